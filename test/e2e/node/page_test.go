package node

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// checkout is the directory in which users run the commands of the documentation.
const checkout = "../../.."

// The pages whose blocks of code are tried.
const (
	deployPage    = "deploy/README.md"
	securityPage  = "docs/security.md"
	clientsPage   = "docs/clients.md" // stands for those of all clients
	migratingPage = "docs/migrating-from-libcluster.md"
)

// clientsPages are those that clientsPage stands for.
var clientsPages = []string{
	clientsPage, "docs/phoenix.md", "docs/libcluster.md", "docs/rabbitmq.md", "docs/emqx.md", "docs/couchdb.md", "docs/other-clients.md",
}

// snippet is a block of code on a page.
type snippet struct {
	section, language, text string
}

var fence = regexp.MustCompile("^( *)```([a-z]*)$")

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snippets reads those of a page, in order, or of the pages that it stands for. A block in a list is indented; that is
// taken away.
func snippets(t *testing.T, page string) (out []snippet) {
	t.Helper()
	if page == clientsPage {
		for _, page := range clientsPages {
			out = append(out, snippetsOf(t, page)...)
		}
		return out
	}
	return snippetsOf(t, page)
}

func snippetsOf(t *testing.T, page string) (out []snippet) {
	t.Helper()
	section, open, indent := "", false, ""
	for line := range strings.SplitSeq(read(t, page), "\n") {
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

// blocks returns those of a section that are in a language and have a text in them, of which there is at least one.
func blocks(t *testing.T, page, section, language, having string) (out []string) {
	t.Helper()
	for _, s := range snippets(t, page) {
		if s.section == section && s.language == language && strings.Contains(s.text, having) {
			out = append(out, s.text)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no %s with %q in section %q", page, language, having, section)
	}
	return out
}

// pageBlock returns the one block, for this namespace instead of prod, which is that of the pages.
func (b *bed) pageBlock(page, section, language, having string) string {
	b.Helper()
	found := blocks(b.T, page, section, language, having)
	if len(found) != 1 {
		b.Fatalf("%s, section %q: got %d blocks in %s with %q, want 1", page, section, len(found), language, having)
	}
	return b.here(found[0])
}

// page returns one of the clients' pages.
func (b *bed) page(section, language, having string) string {
	b.Helper()
	return b.pageBlock(clientsPage, section, language, having)
}

// manifest returns one of examples/clients, likewise.
func (b *bed) manifest(name string) string {
	b.Helper()
	return b.here(read(b.T, "examples/clients/"+name+".yaml"))
}

var prod = regexp.MustCompile(`\bprod\b`)

func (b *bed) here(text string) string { return prod.ReplaceAllString(text, b.namespace) }

// with adds options to a block.
func with(block, options string) string {
	return regexp.MustCompile(`(?m)^ +longnames .*\{$`).ReplaceAllString(block, "${0}\n"+options)
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
func (b *bed) replaced(text string, pairs ...string) string {
	b.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if n := strings.Count(text, pair[0]); n != 1 {
			b.Fatalf("got %q %d times, want it once in:\n%s", pair[0], n, text)
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}
