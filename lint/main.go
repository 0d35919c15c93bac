// Command lint fails for packages that cannot be read file by file: where files depend on each other in a
// large cycle, where the methods of a type are spread over many files, where a file is long, and where there are
// many.
//
//	lint [-cycle N] [-spread N] [-except TYPE=N]... [-lines N] [-files N] [PACKAGE...]
//
// A file depends on another of its package if it uses an identifier that is declared there: a
// constant, a variable, a function, a type, a method or a field. Tests do not count.
package main

import (
	"flag"
	"fmt"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	most := limits{except: make(map[string]int)}
	flag.IntVar(&most.cycle, "cycle", 6, "most `files` in a cycle")
	flag.IntVar(&most.spread, "spread", 3, "most `files` with methods of one type")
	flag.IntVar(&most.lines, "lines", 400, "most `lines` in a file")
	flag.IntVar(&most.files, "files", 25, "most `files` in a package")
	flag.Func("except", "most files with methods of one type, as `TYPE=N`", most.allow)
	flag.Parse()
	pkgs, err := load(".", flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := false
	for _, p := range pkgs {
		uses := dependencies(p)
		arrows := 0
		for _, on := range uses {
			arrows += len(on)
		}
		fmt.Printf("%s: %d files, %d dependencies, %d in the largest cycle\n", p.PkgPath, len(p.GoFiles), arrows, len(largestCycle(uses)))
		for _, problem := range most.check(p) {
			failed = true
			fmt.Printf("\t%s\n", problem)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func load(dir string, patterns ...string) ([]*packages.Package, error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo
	pkgs, err := packages.Load(&packages.Config{Mode: mode, Dir: dir}, patterns...)
	if err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("%s: %w", p.PkgPath, p.Errors[0])
		}
	}
	return pkgs, nil
}

// limits are the most that a package may have of each.
type limits struct {
	cycle, spread, lines, files int
	except                      map[string]int // spread of some types
}

// allow reads an exception, TYPE=N.
func (most limits) allow(text string) error {
	name, number, _ := strings.Cut(text, "=")
	n, err := strconv.Atoi(number)
	if err != nil || name == "" {
		return fmt.Errorf("expected TYPE=N, got %q", text)
	}
	most.except[name] = n
	return nil
}

// check returns a text for each limit that is exceeded.
func (most limits) check(p *packages.Package) (problems []string) {
	if cycle := largestCycle(dependencies(p)); len(cycle) > most.cycle {
		problems = append(problems, fmt.Sprintf("got a cycle of %d files, want at most %d: %s", len(cycle), most.cycle, strings.Join(cycle, " ")))
	}
	for _, name := range p.Types.Scope().Names() {
		spread := most.spread
		if n, ok := most.except[name]; ok {
			spread = n
		}
		if files := methodFiles(p, name); len(files) > spread {
			problems = append(problems, fmt.Sprintf("got methods of %s in %d files, want at most %d: %s", name, len(files), spread, strings.Join(files, " ")))
		}
	}
	if len(p.Syntax) > most.files {
		problems = append(problems, fmt.Sprintf("got %d files, want at most %d", len(p.Syntax), most.files))
	}
	for _, f := range p.Syntax {
		if lines := p.Fset.File(f.Pos()).LineCount(); lines > most.lines {
			problems = append(problems, fmt.Sprintf("got %d lines in %s, want at most %d", lines, file(p, f.Pos()), most.lines))
		}
	}
	return problems
}

// methodFiles returns the files with methods of a type, in order; none if it is something else.
func methodFiles(p *packages.Package, name string) (files []string) {
	declared, ok := p.Types.Scope().Lookup(name).(*types.TypeName)
	if !ok {
		return nil
	}
	t, ok := declared.Type().(*types.Named)
	if !ok || declared.IsAlias() {
		return nil
	}
	for m := range t.Methods() {
		files = append(files, file(p, m.Pos()))
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// graph has for each file, by its name, the others that it depends on, in order.
type graph map[string][]string

func dependencies(p *packages.Package) graph {
	uses := make(graph)
	for id, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types {
			continue
		}
		from, to := file(p, id.Pos()), file(p, object.Pos())
		if from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	for from := range uses {
		slices.Sort(uses[from])
	}
	return uses
}

// largestCycle returns the largest set of files of which each depends on all others, directly or through
// others, in order; none if there is no such pair.
func largestCycle(uses graph) []string {
	reach := make(map[string]map[string]bool, len(uses))
	for from := range uses {
		reach[from] = make(map[string]bool)
		for todo := uses[from]; len(todo) > 0; todo = todo[1:] {
			if to := todo[0]; !reach[from][to] {
				reach[from][to] = true
				todo = append(todo, uses[to]...)
			}
		}
	}
	var largest []string
	for from := range uses {
		var cycle []string
		for to := range reach[from] {
			if reach[to][from] {
				cycle = append(cycle, to)
			}
		}
		if len(cycle) > len(largest) {
			slices.Sort(cycle)
			largest = cycle
		}
	}
	return largest
}

func file(p *packages.Package, pos token.Pos) string {
	return filepath.Base(p.Fset.Position(pos).Filename)
}
