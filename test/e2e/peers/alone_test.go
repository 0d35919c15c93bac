package peers

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
)

// measureAlone takes the plugin's own benchmarks for what no server shows: a question without packing its answer, and
// what each option and each type of question adds to the memory of a member.
func (r *report) measureAlone(t *testing.T) {
	said := benchmarks(t, ".", "^BenchmarkServeDNS$/.*/members=(3|3000)$/write=none", "-count", strconv.Itoa(*rounds))
	names, times := figuresIn(said, "ns/op")
	_, allocations := figuresIn(said, "allocs/op")
	if len(names) != 6 {
		t.Fatalf("got %s, want figures of 3 types with 3 and 3 000 members", said)
	}
	slowest, most := map[bool]float64{}, 0.0 // by whether there are 3 000 members: the type that takes longest counts
	for _, name := range names {
		lots := strings.Contains(name, "=3000/")
		slowest[lots], most = max(slowest[lots], times.median(name)), max(most, allocations.median(name))
	}
	few, lots := slowest[false], slowest[true]
	r.goal(t, "ServeDNS without packing, 3 and 3 000 members", fmt.Sprintf("%.0f ns and %.0f ns, %.0f allocations", few, lots, most), "",
		ratio(lots, few), "≤ 1 µs, ≤ 6 allocations, 3 000 ≤ 1.1 × 3", few <= 1000 && lots <= 1000 && most <= 6 && lots <= 1.1*few)

	for _, of := range []struct{ pkg, chosen, unit, pattern, what string }{
		{"./kubeapi", "^BenchmarkRead$/.*/members=100000$/first", "live-B/member", `^Read/(\w+)/.*`, "what is read, `lookup $1`"},
		{".", "^BenchmarkMemory$", "B/member", `^Memory/(.*)`, "the table: $1"},
	} {
		said := benchmarks(t, of.pkg, of.chosen, "-benchtime", "1x") // heaps are counted, not timed: once is enough
		names, heaps := figuresIn(said, of.unit)
		if len(names) == 0 {
			t.Fatalf("got %s, want %s", said, of.unit)
		}
		for _, name := range names {
			what := regexp.MustCompile(of.pattern).ReplaceAllString(name, of.what)
			add(t, &r.shares, strings.ReplaceAll(what, "_", " "), fmt.Sprintf("%.0f", heaps.median(name)))
		}
	}
	r.measured++
}

// benchmarks runs benchmarks, which are compiled as CoreDNS is, and returns what they print.
func benchmarks(t *testing.T, pkg, chosen string, more ...string) string {
	t.Helper()
	args := append([]string{"test", "-trimpath", "-buildvcs=false", "-run", "^$", "-bench", chosen, "-benchmem"}, more...)
	cmd := exec.CommandContext(t.Context(), build.GoCommand(), append(args, pkg)...)
	cmd.Dir, cmd.Env = root, build.Shipped()
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s of %s: %v: %s", chosen, pkg, err, said)
	}
	return string(said)
}

// figuresIn returns the names of benchmarks in their order, and their figures of a unit.
func figuresIn(said, unit string) (names []string, all figures) {
	all = make(figures)
	for _, line := range regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s.*\s([0-9.e+]+) `+unit+`\b`).FindAllStringSubmatch(said, -1) {
		if all[line[1]] == nil {
			names = append(names, line[1])
		}
		n, _ := strconv.ParseFloat(line[2], 64) // it matches
		all.add(line[1], n)
	}
	return names, all
}
