package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/txtar"
)

// loadText loads the package of a txtar archive.
func loadText(t *testing.T, text string) *packages.Package {
	t.Helper()
	dir := t.TempDir()
	archive := txtar.Parse([]byte(text))
	archive.Files = append(archive.Files, txtar.File{Name: "go.mod", Data: []byte("module example.org/p\n\ngo 1.26\n")})
	for _, f := range archive.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOWORK", "off")
	pkgs, err := load(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) != 1 {
		t.Fatalf("want one package, got %v", pkgs)
	}
	return pkgs[0]
}

func TestLargestCycle(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		want []string
	}{
		{"one file that uses itself", `
-- a.go --
package p
func a() { b() }
func b() { a() }
`, nil},
		{"a line", `
-- a.go --
package p
func a() { b() }
-- b.go --
package p
func b() { c() }
-- c.go --
package p
func c() {}
`, nil},
		{"two files", `
-- a.go --
package p
func a() { b() }
-- b.go --
package p
func b() { a() }
`, []string{"a.go", "b.go"}},
		{"a ring, with a file before and one after", `
-- a.go --
package p
func a() { b() }
-- b.go --
package p
func b() { c() }
-- c.go --
package p
func c() { d() }
-- d.go --
package p
func d() { b(); e() }
-- e.go --
package p
func e() {}
`, []string{"b.go", "c.go", "d.go"}},
		{"two cycles, the larger one counts", `
-- a.go --
package p
func a() { b() }
-- b.go --
package p
func b() { a() }
-- c.go --
package p
func c() { d() }
-- d.go --
package p
func d() { e() }
-- e.go --
package p
func e() { c(); a() }
`, []string{"c.go", "d.go", "e.go"}},
		{"by a constant and a variable", `
-- a.go --
package p
const one = 1
var a = two
-- b.go --
package p
var two = one
`, []string{"a.go", "b.go"}},
		{"by a field and a method", `
-- a.go --
package p
type t struct{ field int }
func a(v interface{ method() }) { v.method() }
func use() { new(t).method() }
-- b.go --
package p
func (v *t) method() { v.field++ }
`, []string{"a.go", "b.go"}},
		{"an import of the same name is no cycle", `
-- a.go --
package p
import "strings"
func a() string { return strings.Clone(b) }
-- b.go --
package p
var b = "b"
`, nil},
		{"tests do not count", `
-- a.go --
package p
func a() {}
-- a_test.go --
package p
func b() { a() }
`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := largestCycle(dependencies(loadText(t, tc.text))); !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	const text = `
-- a.go --
package p
type t struct{}
func (t) a() { new(t).b() }
-- b.go --
package p
func (*t) b() { t{}.c() }
func (t) b2() {}
-- c.go --
package p
func (t) c() {}
func f() {}
`
	for _, tc := range []struct {
		name string
		most limits
		want []string
	}{
		{"all kept", limits{cycle: 3, spread: 3, lines: 3, files: 3}, nil},
		{"a cycle that is too large", limits{cycle: 2, spread: 3, lines: 3, files: 3}, []string{"got a cycle of 3 files, want at most 2: a.go b.go c.go"}},
		{"a type in too many files", limits{cycle: 3, spread: 2, lines: 3, files: 3}, []string{"got methods of t in 3 files, want at most 2: a.go b.go c.go"}},
		{"a type that may be", limits{cycle: 3, spread: 2, lines: 3, files: 3, except: map[string]int{"t": 3}}, nil},
		{"a type in more files than it may be", limits{cycle: 3, spread: 3, lines: 3, files: 3, except: map[string]int{"t": 2}}, []string{"got methods of t in 3 files, want at most 2: a.go b.go c.go"}},
		{"too many files", limits{cycle: 3, spread: 3, lines: 3, files: 2}, []string{"got 3 files, want at most 2"}},
		{"files that are too long", limits{cycle: 3, spread: 3, lines: 2, files: 3}, []string{"got 3 lines in a.go, want at most 2", "got 3 lines in b.go, want at most 2", "got 3 lines in c.go, want at most 2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.most.check(loadText(t, text)); !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func TestExceptions(t *testing.T) {
	most := limits{except: make(map[string]int)}
	if err := most.allow("T=6"); err != nil || most.except["T"] != 6 {
		t.Errorf("T=6: got %v and error %v, want 6", most.except, err)
	}
	for _, text := range []string{"", "T", "T=", "T=x", "=6"} {
		if err := most.allow(text); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
}

func TestPackageThatDoesNotCompileIsAnError(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.org/p\n\ngo 1.26\n", "a.go": "package p\n\nvar a = b\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOWORK", "off")
	if _, err := load(dir, "."); err == nil || !strings.Contains(err.Error(), "undefined: b") {
		t.Errorf("want the error of the compiler, got %v", err)
	}
}
