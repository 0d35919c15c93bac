package fakeapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority issues the server's certificate and those of its clients.
type authority struct {
	tb     testing.TB
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
	server tls.Certificate
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "fakeapi CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, key := a.sign(template, template, nil)
	a.key, a.pem = key, encodePEM("CERTIFICATE", der)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatalf("fakeapi: %v", err)
	}
	cert, keyPEM := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if a.server, err = tls.X509KeyPair(cert, keyPEM); err != nil {
		tb.Fatalf("fakeapi: %v", err)
	}
	return a
}

func (a *authority) issue(template *x509.Certificate) (certPEM, keyPEM []byte) {
	a.tb.Helper()
	der, key := a.sign(template, a.cert, a.key)
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.tb.Fatalf("fakeapi: %v", err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("EC PRIVATE KEY", secret)
}

// sign makes a key and a certificate for it, signed by itself without an issuer's key.
func (a *authority) sign(template, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatalf("fakeapi: %v", err)
	}
	if issuerKey == nil {
		issuerKey = key
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.tb.Fatalf("fakeapi: %v", err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		a.tb.Fatalf("fakeapi: %v", err)
	}
	return der, key
}

// trusts tells a client's certificate of ours from a foreign one.
func (a *authority) trusts(cert *x509.Certificate) bool {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// CAPEM is the certificate authority that signed the server's certificate; nil without TLS.
func (s *Server) CAPEM() []byte {
	if s.ca == nil {
		return nil
	}
	return s.ca.pem
}

// ClientCert issues a new client certificate and its key in PEM. It needs TLS.
func (s *Server) ClientCert(commonName string) (certPEM, keyPEM []byte) {
	s.tb.Helper()
	if s.ca == nil {
		s.tb.Fatal("fakeapi: no client certificates without TLS")
	}
	return s.ca.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}
