package markdown_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/internal/markdown"
)

// text has tildes for backquotes.
const text = `# Title

[one](#a-b)

## A, b!

* A list:

  ~~~sh
  # no heading
  if a; then
    b
  fi
  ~~~

### Deeper

~~~sh
c
~~~

## Next
`

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "~~~", "```")), 0o600); err != nil {
		t.Fatal(err)
	}
	page := markdown.Read(t, path)
	section := page.Section(t, "## A, b!")
	snippets := func(above string) []markdown.Snippet {
		return []markdown.Snippet{
			{Where: path + ":10", Heading: above, Text: "# no heading\nif a; then\n  b\nfi\n"},
			{Where: path + ":19", Heading: "Deeper", Text: "c\n"},
		}
	}
	for _, tc := range []struct {
		name      string
		got, want []string
	}{
		{"anchors", page.Anchors(), []string{"title", "a-b", "deeper", "next"}},
		{"links", page.Links(), []string{"#a-b"}},
		{"anchors of a section", section.Anchors(), []string{"deeper"}},
		{"anchors of a deeper one", page.Section(t, "### Deeper").Anchors(), []string{}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
	for above, part := range map[string]markdown.Page{"A, b!": page, "": section} { // whose own heading is above it
		if got, want := part.Snippets("sh"), snippets(above); !slices.Equal(got, want) {
			t.Errorf("got snippets %q, want %q", got, want)
		}
	}
}
