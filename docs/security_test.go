package docs_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/longnames/longnames/internal/markdown"
)

// Each promise names the tests that hold it.
func TestPromisesHaveTests(t *testing.T) {
	known := make(map[string]bool)
	if err := fs.WalkDir(os.DirFS(".."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, found := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(read(t, "../"+path), -1) {
			known[found[1]] = true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	promises := 0
	for line := range strings.Lines(markdown.Read(t, securityPath).Section(t, "## What holds").Text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 || strings.Trim(cells[1], "- ") == "" || strings.TrimSpace(cells[1]) == "Promise" {
			continue
		}
		promises++
		for name := range strings.SplitSeq(cells[2], ",") {
			if name = strings.TrimSpace(name); !known[name] {
				t.Errorf("%s: got %q for %q, want the name of a test", securityPath, name, strings.TrimSpace(cells[1]))
			}
		}
	}
	if promises == 0 {
		t.Errorf("%s: got no promises", securityPath)
	}
}
