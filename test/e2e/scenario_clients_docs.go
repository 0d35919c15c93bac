package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The pages whose snippets are tried.
const (
	clientsPage   = "../../docs/clients.md"
	migratingPage = "../../docs/migrating-from-libcluster.md"
)

// snippet is a block of code on a page.
type snippet struct {
	section, language, text string
}

var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// snippets reads those of a page, in order. A block in a list is indented; that is taken away.
func snippets(page string) ([]snippet, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
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
	return out, nil
}

// snippet gives the one block of a section of a page that is in a language, for a namespace instead of prod.
func (t *trial) snippet(page, section, language, namespace string) string {
	all, err := snippets(page)
	t.must(err)
	var found []string
	for _, s := range all {
		if s.section == section && s.language == language {
			found = append(found, s.text)
		}
	}
	if len(found) != 1 {
		t.failf("%s, section %q: %d blocks in %s, want 1", filepath.Base(page), section, len(found), language)
	}
	return inNamespace(found[0], namespace)
}

var prod = regexp.MustCompile(`\bprod\b`)

// inNamespace writes a namespace instead of prod, which is that of the pages.
func inNamespace(text, namespace string) string { return prod.ReplaceAllString(text, namespace) }

var longnamesLine = regexp.MustCompile(`(?m)^ +longnames .*\{$`)

// serveBlocks starts CoreDNS with server blocks from the pages. What is added is where it listens, and its account.
func (t *trial) serveBlocks(blocks ...string) {
	var out strings.Builder
	for _, block := range blocks {
		keys, rest, _ := strings.Cut(block, "\n")
		rest = longnamesLine.ReplaceAllString(rest, "${0}\nservice_account "+t.server.account)
		fmt.Fprintf(&out, "%s\nbind %s %s\nerrors\nlog\n%s", keys, t.server.v4, t.server.v6, rest)
	}
	t.server.serve("}\n" + strings.TrimSuffix(out.String(), "}\n"))
}

// withMode is what a page's block becomes where the page says that the mode is to be changed.
func withMode(block, mode string) string {
	block = regexp.MustCompile(`(?m)^ +(mode|cluster_domain) .*\n`).ReplaceAllString(block, "")
	options := "\nmode " + mode
	if mode != "ip" {
		options += "\ncluster_domain " + clientsDomain
	}
	return longnamesLine.ReplaceAllString(block, "${0}"+options)
}
