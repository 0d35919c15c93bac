package node

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The pages whose blocks of code are tried.
const (
	clientsPage   = "../../../docs/clients.md"
	migratingPage = "../../../docs/migrating-from-libcluster.md"
)

// snippet is a block of code on a page.
type snippet struct {
	section, language, text string
}

var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// snippets reads those of a page, in order. A block in a list is indented; that is taken away.
func snippets(t *testing.T, page string) []snippet {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []snippet
	section, open := "", false
	var indent string
	for line := range strings.SplitSeq(string(text), "\n") {
		found := fence.FindStringSubmatch(line)
		switch {
		case open && found != nil:
			open = false
		case open:
			out[len(out)-1].text += strings.TrimPrefix(line, indent) + "\n"
		case found != nil:
			open, indent = true, found[1]
			out = append(out, snippet{section: section, language: found[2]})
		case strings.HasPrefix(line, "#"):
			section = strings.TrimLeft(line, "# ")
		}
	}
	return out
}

// pageBlock returns the one block of a section of a page that is in a language and has a text in it, for a namespace instead
// of prod, which is that of the pages.
func pageBlock(t *testing.T, page, section, language, having, namespace string) string {
	t.Helper()
	found := slices.DeleteFunc(snippets(t, page), func(s snippet) bool {
		return s.section != section || s.language != language || !strings.Contains(s.text, having)
	})
	if len(found) != 1 {
		t.Fatalf("%s, section %q: got %d blocks in %s with %q, want 1", page, section, len(found), language, having)
	}
	return inNamespace(found[0].text, namespace)
}

var prod = regexp.MustCompile(`\bprod\b`)

func inNamespace(text, namespace string) string { return prod.ReplaceAllString(text, namespace) }

var longnamesLine = regexp.MustCompile(`(?m)^ +longnames .*\{$`)

// with adds options to a block.
func with(block, options string) string {
	return longnamesLine.ReplaceAllString(block, "${0}\n"+options)
}

// withMode is what a block becomes where the page says that the mode is to be changed.
func withMode(block, mode string) string {
	block = regexp.MustCompile(`(?m)^ +(mode|cluster_domain) .*\n`).ReplaceAllString(block, "")
	if mode == "ip" {
		return block
	}
	return with(block, "mode "+mode+"\ncluster_domain erl.internal")
}

// replaced replaces texts that have to be there, each once.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if n := strings.Count(text, pair[0]); n != 1 {
			t.Fatalf("got %q %d times, want it once in:\n%s", pair[0], n, text)
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

func TestSnippetsOfListsAreNotIndented(t *testing.T) {
	if got := pageBlock(t, clientsPage, "The way of a question", "yaml", "dnsPolicy", "x"); !strings.HasPrefix(got, "spec:\n  template:\n") {
		t.Errorf("got %q, want it without its indentation", got)
	}
}
