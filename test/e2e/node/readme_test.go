package node

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
)

// checkout is the directory in which users run the commands of the documentation.
const checkout = "../../.."

var (
	heading   = regexp.MustCompile(`(?m)^#+ .*$`)
	codeBlock = regexp.MustCompile("(?ms)^( *)```(\\w+)\n(.*?)^ *```$")
)

// codeBlocks returns the blocks of a page's section that are in a language, of which there is at least one.
func codeBlocks(t *testing.T, page, section, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, page))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	// Comments in code look like headings. A section goes on behind them.
	code := codeBlock.FindAllSubmatchIndex(text, -1)
	in := ""
	at := 0
	for _, c := range code {
		for _, h := range heading.FindAll(text[at:c[0]], -1) {
			in = strings.TrimLeft(string(h), "# ")
		}
		at = c[1]
		indent, body := string(text[c[2]:c[3]]), string(text[c[6]:c[7]])
		if in == section && string(text[c[4]:c[5]]) == language {
			out = append(out, strings.ReplaceAll(strings.TrimPrefix(body, indent), "\n"+indent, "\n"))
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no %s in section %q", page, language, section)
	}
	return out
}

// repository is one of a user, as deploy/README.md wants it: a copy of deploy in longnames, and an overlay in
// overlays/prod with a Corefile.
type repository string

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository(t.TempDir())
	if err := build.CopySource(r.path("longnames/deploy"), filepath.Join(checkout, "deploy")); err != nil {
		t.Fatal(err)
	}
	r.write(t, "overlays/prod/kustomization.yaml", codeBlocks(t, deployPage, "What to edit", "yaml")[0])
	r.write(t, "overlays/prod/Corefile", r.read(t, "longnames/deploy/base/Corefile"))
	return r
}

func (r repository) path(name string) string { return filepath.Join(string(r), name) }

func (r repository) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r repository) write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.path(name)), 0o755), os.WriteFile(r.path(name), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// replace replaces something that is in a file.
func (r repository) replace(t *testing.T, name, from, to string) {
	t.Helper()
	text := r.read(t, name)
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q", name, from)
	}
	r.write(t, name, strings.ReplaceAll(text, from, to))
}

// apply applies the overlay in place of the one that the commands of deploy/README.md apply.
func (r repository) apply(t *testing.T, b bed) {
	t.Helper()
	script := codeBlocks(t, deployPage, "Standalone", "sh")[0]
	b.Shell(t, string(r), strings.Replace(script, "deploy/overlays/standalone", "overlays/prod", 1))
}
