package node

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/internal/markdown"
)

// checkout is the directory in which users run the commands of the documentation.
const checkout = "../../.."

// The pages whose blocks of code are tried.
const (
	readmePage    = "README.md"
	deployPage    = "deploy/README.md"
	operatingPage = "docs/operations.md"
	phoenixPage   = "docs/phoenix.md"
	rabbitPage    = "docs/rabbitmq.md"
	securityPage  = "docs/security.md"
	clientsPage   = "docs/clients.md" // stands for those of all clients
	migratingPage = "docs/migrating-from-libcluster.md"
)

// clientsPages are those that clientsPage stands for.
var clientsPages = []string{
	clientsPage, "docs/phoenix.md", "docs/libcluster.md", "docs/rabbitmq.md", "docs/emqx.md", "docs/couchdb.md", "docs/other-clients.md",
}

func read(t *testing.T, page string) string {
	t.Helper()
	return markdown.Read(t, filepath.Join(checkout, page)).Text
}

// snippets returns those of a page that are in a language, or of the pages that it stands for.
func snippets(t *testing.T, page, language string) (out []markdown.Snippet) {
	t.Helper()
	pages := []string{page}
	if page == clientsPage {
		pages = clientsPages
	}
	for _, page := range pages {
		out = append(out, markdown.Read(t, filepath.Join(checkout, page)).Snippets(language)...)
	}
	return out
}

// blocks returns those of a section that are in a language and have a text in them, of which there is at least one.
func blocks(t *testing.T, page, section, language, having string) (out []string) {
	t.Helper()
	for _, s := range snippets(t, page, language) {
		if s.Heading == section && strings.Contains(s.Text, having) {
			out = append(out, s.Text)
		}
	}
	require.NotEmpty(t, out, "%s: %s with %q in section %q", page, language, having, section)
	return out
}

// pageBlock returns the one block, for this namespace instead of prod, which is that of the pages.
func (b *bed) pageBlock(page, section, language, having string) string {
	found := blocks(b.T, page, section, language, having)
	require.Len(b, found, 1, "%s: %s with %q in section %q", page, language, having, section)
	return b.here(found[0])
}

// page returns one of the clients' pages.
func (b *bed) page(section, language, having string) string {
	return b.pageBlock(clientsPage, section, language, having)
}

// manifest returns one of examples/clients, likewise.
func (b *bed) manifest(name string) string {
	b.Helper()
	return b.here(read(b.T, "examples/clients/"+name+".yaml"))
}

// untilAnswered is a script of a page that forwards a port, and asks there. It can once kubectl is ready.
func untilAnswered(script string) string {
	return regexp.MustCompile("(?m)^dig .*$").ReplaceAllString(script, "until ${0}; do sleep 0.1; done")
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
	for pair := range slices.Chunk(pairs, 2) {
		require.Equal(b, 1, strings.Count(text, pair[0]), "how often %q is in:\n%s", pair[0], text)
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}
