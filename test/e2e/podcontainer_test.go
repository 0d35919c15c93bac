package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A kubelet's reader sees a file through a link, and the file changes with all others.
func TestPublishReplacesFiles(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"first", "second"} {
		if err := publish(dir, map[string]string{"Corefile": want}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "Corefile"))
		if err != nil || string(got) != want {
			t.Errorf("got %q and error %v, want %q", got, err, want)
		}
		to, err := os.Readlink(filepath.Join(dir, "Corefile"))
		if err != nil || to != "..data/Corefile" {
			t.Errorf("got a link to %q and error %v, want ..data/Corefile", to, err)
		}
	}
	if err := publish(dir, map[string]string{"a/b": ""}); err == nil {
		t.Error("got no error for a file in a directory")
	}
}
