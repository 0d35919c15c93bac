package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/internal/markdown"
)

// The tests on a node type what stands on the pages. They take half an hour: that a page has lost a block is known
// here.
func TestPagesHaveWhatIsTriedOnANode(t *testing.T) {
	const node = "../test/e2e/node/"
	bed := markdown.Read(t, node+"page_test.go")
	path := make(map[string][]string) // by the name of a constant
	for _, match := range regexp.MustCompile(`(\w+Page) += "(.*)"`).FindAllStringSubmatch(bed.Text, -1) {
		path[match[1]] = []string{match[2]}
	}
	_, list, _ := strings.Cut(bed.Text, "\nvar clientsPages = ")
	list, _, _ = strings.Cut(list, "\n}")
	path["clientsPage"] = append(path["clientsPage"], markdown.Page{Text: list}.All(`"(.*?)"`)...)

	files, err := filepath.Glob(node + "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`(?:\.page\(|(?:\.(?:pageBlock|types)\(|blocks\(\w\.T, )(\w+), )"([^"]+)", "(\w+)", "([^"]*)"\)`)
	tried := 0
	for _, file := range files {
		for _, match := range call.FindAllStringSubmatch(read(t, file), -1) {
			page, section, language, having := match[1], match[2], match[3], match[4]
			if page == "" {
				page = "clientsPage"
			}
			tried++
			if len(path[page]) == 0 {
				t.Fatalf("%s: got no path of %s", bed.Path, page)
			}
			if !slices.ContainsFunc(path[page], func(path string) bool {
				return slices.ContainsFunc(markdown.Read(t, "../"+path).Snippets(language), func(s markdown.Snippet) bool {
					return s.Heading == section && strings.Contains(s.Text, having)
				})
			}) {
				t.Errorf("%s tries %s with %q in section %q of %q: got none", file, language, having, section, path[page])
			}
		}
	}
	if tried < 30 {
		t.Errorf("got %d blocks that are tried, want those of test/e2e/node: 30 at least", tried)
	}
}
