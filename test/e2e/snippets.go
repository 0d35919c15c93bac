package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
