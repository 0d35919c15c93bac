package main

import (
	"crypto/x509"
	"testing"
)

// The standard library tells whether there are fallback roots by one thing alone: it does not take any a second time.
func TestThereAreFallbackRoots(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("SetFallbackRoots took roots, want them to have been set already")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool())
}
