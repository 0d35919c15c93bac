// Package markdown reads the project's documents, for tests.
package markdown

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Page is a document, or a section of one.
type Page struct {
	Path string
	Text string

	before int // lines before Text
}

// Read reads a document.
func Read(tb testing.TB, path string) Page {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return Page{Path: path, Text: string(text)}
}

// Section returns the text below a heading, up to the next one that is not deeper.
func (p Page) Section(tb testing.TB, heading string) Page {
	tb.Helper()
	before, text, ok := strings.Cut(p.Text, "\n"+heading+"\n")
	if !ok {
		tb.Fatalf("%s: got no heading %q", p.Path, heading)
	}
	level := strings.Count(heading, "#")
	for _, at := range regexp.MustCompile(`(?m)^#+ `).FindAllStringIndex(prose(text), -1) {
		if at[1]-at[0]-1 <= level {
			text = text[:at[0]]
			break
		}
	}
	return Page{p.Path, text, p.before + strings.Count(before, "\n") + 2}
}

// Snippet is a block of code.
type Snippet struct {
	Where   string // path and line
	Heading string // the last one above it, without its level
	Text    string
}

// Snippets returns the blocks of code in a language. Those in lists lose their indentation.
func (p Page) Snippets(language string) []Snippet {
	fences := regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatchIndex(p.Text, -1)
	found := make([]Snippet, 0, len(fences))
	for _, at := range fences {
		line := p.before + strings.Count(p.Text[:at[0]], "\n") + 2
		heading := ""
		for _, above := range headings(p.Text[:at[0]]) {
			heading = above
		}
		indent := regexp.MustCompile("(?m)^" + p.Text[at[2]:at[3]])
		found = append(found, Snippet{p.Path + ":" + strconv.Itoa(line), heading, indent.ReplaceAllString(p.Text[at[4]:at[5]], "")})
	}
	return found
}

// All returns the first group of each match of a regular expression.
func (p Page) All(pattern string) []string {
	matches := regexp.MustCompile(pattern).FindAllStringSubmatch(p.Text, -1)
	found := make([]string, 0, len(matches))
	for _, match := range matches {
		found = append(found, match[1])
	}
	return found
}

// Links returns the targets of the page's links.
func (p Page) Links() []string { return p.All(`\]\(([^)]*)\)`) }

// Anchors returns the targets that links to the page can have.
func (p Page) Anchors() []string {
	found := headings(p.Text)
	for i, heading := range found {
		found[i] = Anchor(heading)
	}
	return found
}

func headings(text string) []string { return Page{Text: prose(text)}.All(`(?m)^#+ (.*)$`) }

// prose blanks out code, in which a comment looks like a heading.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllStringFunc(text, func(code string) string {
		return strings.Repeat(" ", len(code))
	})
}

// Anchor returns the target of a link to a heading.
func Anchor(heading string) string {
	text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(text, " ", "-")
}
