package release_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/longnames/longnames/internal/markdown"
)

// The entry in CoreDNS' list of external plugins says what the README says.
func TestCoreDNSEntry(t *testing.T) {
	readme := markdown.Read(t, "../README.md")
	entry := string(read(t, "coredns.io/longnames.md"))
	front, body, ok := strings.Cut(strings.TrimPrefix(entry, "+++\n"), "\n+++\n")
	if !ok {
		t.Fatal("the entry has no front matter in TOML, between lines of +++")
	}
	name := strings.TrimSpace(readme.Section(t, "## Name").Text)
	for _, want := range []string{
		`title = "longnames"`, `description = "` + name + `"`, `categories = [ "plugin", "external" ]`,
		`repo = "https://github.com/longnames/longnames"`,
	} {
		if !strings.Contains(front, want+"\n") {
			t.Errorf("got front matter\n%s\nwant %s in it", front, want)
		}
	}
	fences := regexp.MustCompile(`(?ms)^~~~ (txt|corefile)\n(.*?)^~~~$`).FindAllStringSubmatch(body, -1)
	if len(fences) != 2 {
		t.Fatalf("got %d snippets, want the syntax and an example", len(fences))
	}
	syntax := readme.Section(t, "## Syntax").Snippets("txt")[0].Text
	for line := range strings.Lines(fences[0][2]) {
		if !strings.Contains(syntax, line) {
			t.Errorf("the syntax has %q, and the README's has not", line)
		}
	}
	for _, option := range regexp.MustCompile(`(?m)^        (\w+)`).FindAllStringSubmatch(fences[1][2], -1) {
		if !strings.Contains(syntax, "\n    "+option[1]+" ") {
			t.Errorf("the example has option %s, and the README's syntax has not", option[1])
		}
	}
}
