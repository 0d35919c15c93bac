package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/longnames/longnames/test/e2e/build"
)

// Lines of benchmarks: what it is of, and its figures.
var (
	benchedQuestion = regexp.MustCompile(`(?m)^BenchmarkServeDNS/(\w+)/members=(\d+)/write=none\S*\s+\d+\s+([0-9.]+) ns/op.* (\d+) allocs/op$`)
	benchedTable    = regexp.MustCompile(`(?m)^BenchmarkMemory/(\S+?)(?:-\d+)?\s.* ([0-9.]+) B/member`)
	benchedObjects  = regexp.MustCompile(`(?m)^BenchmarkRead/(\w+)/members=\d+/first\S*\s.* ([0-9.]+) live-B/member`)
)

// alone takes the plugin's own benchmarks for what no server shows: a question without packing its answer, and what each
// option and each type of question adds to the memory of a member.
func (p *peers) alone(t *trial) {
	p.questions(t)
	p.memoryShares(t)
}

// benchmarks gives what they say. They are compiled as CoreDNS is.
func benchmarks(ctx context.Context, pkg, regexp string, more ...string) (string, error) {
	args := append([]string{"test", "-trimpath", "-buildvcs=false", "-run", "^$", "-bench", regexp, "-benchmem"}, more...)
	cmd := exec.CommandContext(ctx, build.GoCommand(), append(args, pkg)...) //nolint:gosec // what to run is ours
	cmd.Dir = "../.."
	cmd.Env = build.Shipped()
	said, err := toEndOf(cmd)
	if err != nil {
		err = fmt.Errorf("%s of %s: %w: %s", regexp, pkg, err, tail(said))
	}
	return said, err
}

// questions is about whether the size of a cluster matters. The type that takes longest counts.
func (p *peers) questions(t *trial) {
	said, err := benchmarks(t.ctx, ".", "^BenchmarkServeDNS$/.*/members=(3|3000)$/write=none", "-count", strconv.Itoa(p.rounds))
	t.must(err)
	times := make(map[string]map[string][]float64) // by members, by type
	allocations, figures := 0.0, 0
	for _, found := range benchedQuestion.FindAllStringSubmatch(said, -1) {
		if times[found[2]] == nil {
			times[found[2]] = make(map[string][]float64)
		}
		times[found[2]][found[1]] = append(times[found[2]][found[1]], t.parsed(found[3]))
		allocations = max(allocations, t.parsed(found[4]))
		figures++
	}
	few, lots := times["3"], times["3000"]
	if len(few) != 3 || len(lots) != 3 || figures != 6*p.rounds {
		t.failf("got %d figures for %d and %d types, want %d for 3 and 3: %s", figures, len(few), len(lots), 6*p.rounds, tail(said))
	}
	slowest := func(types map[string][]float64) (most float64) {
		for _, figures := range types {
			most = max(most, median(figures))
		}
		return most
	}
	atFew, atLots := slowest(few), slowest(lots)
	p.goals = append(p.goals, goal{
		work: "ServeDNS without packing, 3 and 3 000 members", ours: fmt.Sprintf("%.0f ns and %.0f ns, %.0f allocations", atFew, atLots, allocations),
		ratio: fmt.Sprintf("%.2f", atLots/atFew), want: "≤ 1 µs, ≤ 6 allocations, 3 000 ≤ 1.1 × 3",
		met: atFew <= 1000 && atLots <= 1000 && allocations <= 6 && atLots <= 1.1*atFew,
	})
}

// memoryShares is what a member takes. Heaps are counted, not timed: once is enough.
func (p *peers) memoryShares(t *trial) {
	objects, err := benchmarks(t.ctx, "./kubeapi", "^BenchmarkRead$/.*/members=100000$/first", "-benchtime", "1x")
	t.must(err)
	rest, err := benchmarks(t.ctx, ".", "^BenchmarkMemory$", "-benchtime", "1x")
	t.must(err)
	read, tables := benchedObjects.FindAllStringSubmatch(objects, -1), benchedTable.FindAllStringSubmatch(rest, -1)
	if len(read) != 2 || len(tables) == 0 {
		t.failf("no figures: %s\n%s", tail(objects), tail(rest))
	}
	for _, found := range read {
		p.shares = append(p.shares, []string{fmt.Sprintf("what is read, `lookup %s`", found[1]), fmt.Sprintf("%.0f", t.parsed(found[2]))})
	}
	for _, found := range tables {
		p.shares = append(p.shares, []string{"the table: " + strings.ReplaceAll(found[1], "_", " "), fmt.Sprintf("%.0f", t.parsed(found[2]))})
	}
}

func (p *peers) shareLines() [][]string {
	return append([][]string{{"memory for", "bytes a member"}}, p.shares...)
}
