package kubeapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileThatIsTooLargeIsNotRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "huge.yaml")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(maxManifest + 1); err != nil { // takes no space
		t.Fatal(err)
	}
	_, err = New(Config{Lookup: Pods, Manifests: []string{name}, Log: &recordingLog{}})
	if err == nil || !strings.Contains(err.Error(), "expected at most 256 MiB") {
		t.Errorf("got %v, want an error with the most that is read", err)
	}
}

func TestAListInAListIsRefused(t *testing.T) {
	d := decode([]byte(`{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
		{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}]}]}`), Pods)
	if len(d.objects) != 1 || d.objects[0].GetName() != "a" {
		t.Errorf("got %d objects, want the one that is no list", len(d.objects))
	}
	if len(d.broken) != 1 || !strings.Contains(d.broken[0].Error(), "document 1, item 2: expected an object, got a list in a list") {
		t.Errorf("got %v, want one error that names the item", d.broken)
	}
}
