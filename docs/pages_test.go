// Package docs_test tests the documents, and what deploy/ has users install.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/internal/markdown"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	readmePath     = "../README.md"
	deployPath     = "../deploy/README.md"
	beamPath       = "../beam/README.md"
	clientsPath    = "clients.md"
	logLinesPath   = "log-lines.md"
	operationsPath = "operations.md"
	optionsPath    = "../examples/Corefile.options"
	securityPath   = "security.md"
)

// pages returns all documents for users.
func pages(t *testing.T) []markdown.Page {
	t.Helper()
	paths, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []markdown.Page
	for _, path := range append(paths, readmePath, deployPath, beamPath, "../CHANGELOG.md", "../CONTRIBUTING.md") {
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

// readAll returns the text of each file below a directory, by path.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found[path] = read(t, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// objects decodes YAML as strictly as an API server can, and returns it by kind. Parts of objects have no kind: they are
// decoded into the value that part returns.
func objects(t *testing.T, snippets []markdown.Snippet, part func() any) map[string][]any {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	found := make(map[string][]any)
	for _, snippet := range snippets {
		for doc := range strings.SplitSeq(snippet.Text, "---\n") {
			var object any
			var err error
			kind := &schema.GroupVersionKind{}
			if regexp.MustCompile(`(?m)^kind: `).MatchString(doc) {
				object, kind, err = decoder.Decode([]byte(doc), nil, nil)
			} else {
				object = part()
				err = yaml.UnmarshalStrict([]byte(doc), object)
			}
			if err != nil {
				t.Errorf("%s: %v", snippet.Where, err)
				continue
			}
			found[kind.Kind] = append(found[kind.Kind], object)
		}
	}
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	anchors := make(map[string][]string) // by path
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
				continue
			}
			if anchor == "" {
				continue
			}
			if anchors[file] == nil {
				anchors[file] = markdown.Read(t, file).Anchors()
			}
			if !slices.Contains(anchors[file], anchor) {
				t.Errorf("%s: got link to %s, want one of %v", page.Path, link, anchors[file])
			}
		}
	}
}

// Each page is in the index.
func TestIndexHasEachPage(t *testing.T) {
	links := markdown.Read(t, "README.md").Links()
	for _, page := range pages(t) {
		if page.Path != "README.md" && page.Path != "../CHANGELOG.md" && !slices.Contains(links, page.Path) {
			t.Errorf("README.md: got no link to %s", page.Path)
		}
	}
}

// A port that stays forwarded would also answer what the next page asks, which may be about another pod.
func TestForwardedPortsAreGivenBack(t *testing.T) {
	whole := regexp.MustCompile(`(?s)port-forward [^\n]* &\nsleep 2\n.*\nkill \$!\n`)
	forwarding := 0
	for _, page := range pages(t) {
		for _, block := range page.Snippets("sh") {
			if !strings.Contains(block.Text, "port-forward") {
				continue
			}
			forwarding++
			if !whole.MatchString(block.Text) {
				t.Errorf("%s: got\n%s\nwant port-forward … &, sleep 2, and kill $! at the end", block.Where, block.Text)
			}
		}
	}
	if forwarding < 5 {
		t.Errorf("got %d blocks that forward a port, want 5 at least", forwarding)
	}
}

const mostWords = 17800

// They can be read in minutes: `wc` counts what the reader sees, code and tables included.
func TestPagesAreShort(t *testing.T) {
	total, lines := 0, map[string]int{readmePath: 400, operationsPath: 450}
	for _, page := range pages(t) {
		if page.Path != "../CONTRIBUTING.md" {
			total += len(strings.Fields(page.Text))
		}
		if most := lines[page.Path]; most > 0 && strings.Count(page.Text, "\n") > most {
			t.Errorf("%s: got %d lines, want %d at most", page.Path, strings.Count(page.Text, "\n"), most)
		}
	}
	if total > mostWords {
		t.Errorf("got %d words in all, want %d at most", total, mostWords)
	}
}

// Rows of tables cannot be broken.
func TestPagesAreWrapped(t *testing.T) {
	const longest = 120
	for _, page := range pages(t) {
		if page.Path == beamPath { // is a package's of its own
			continue
		}
		for i, line := range strings.Split(page.Text, "\n") {
			if length := len([]rune(line)); length > longest && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: got %d characters, want %d at most", page.Path, i+1, length, longest)
			}
		}
	}
}
