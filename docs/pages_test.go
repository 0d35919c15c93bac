// Package docs_test tests the documents, and what deploy/ has users install.
package docs_test

import (
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/internal/markdown"
)

// TestMain runs the tests in the root of the repository, from which the paths of documents start.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m)
}

const (
	readmePath     = "README.md"
	deployPath     = "deploy/README.md"
	clientsPath    = "docs/clients.md"
	migratingPath  = "docs/migrating-from-libcluster.md"
	operationsPath = "docs/operations.md"
)

// pages returns all documents for users.
func pages(t *testing.T) []markdown.Page {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []markdown.Page
	for _, path := range append(paths, readmePath, deployPath) {
		found = append(found, markdown.Read(t, path))
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manifests decodes the YAML of a page as strictly as an API server can. The result has its objects by kind.
func manifests(t *testing.T, page markdown.Page, kinds map[string]func() any) map[string][]any {
	t.Helper()
	found := make(map[string][]any)
	for _, snippet := range page.Snippets("yaml") {
		for doc := range strings.SplitSeq(snippet.Text, "---\n") {
			var meta struct{ Kind string }
			if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
				t.Errorf("%s: %v", snippet.Where, err)
			}
			create, ok := kinds[meta.Kind]
			if !ok {
				t.Errorf("%s: got unexpected kind %q", snippet.Where, meta.Kind)
				continue
			}
			object := create()
			if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
				t.Errorf("%s: %v", snippet.Where, err)
			}
			found[meta.Kind] = append(found[meta.Kind], object)
		}
	}
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, link := range page.Links() {
			path, anchor, _ := strings.Cut(link, "#")
			if strings.HasPrefix(path, "https://") {
				continue
			}
			file := page.Path
			if path != "" {
				file = filepath.Join(filepath.Dir(page.Path), filepath.FromSlash(path))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link: %v", page.Path, err)
			} else if anchor != "" {
				if anchors := markdown.Read(t, file).Anchors(); !slices.Contains(anchors, anchor) {
					t.Errorf("%s: got link to %s, want one of %v", page.Path, link, anchors)
				}
			}
		}
	}
}

// Tables and links cannot be broken.
func TestPagesAreWrapped(t *testing.T) {
	const longest = 120
	for _, path := range []string{clientsPath, migratingPath} {
		for i, line := range strings.Split(read(t, path), "\n") {
			if length := len([]rune(line)); length > longest && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: got %d characters, want %d at most", path, i+1, length, longest)
			}
		}
	}
}
