package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// benched is a line of a benchmark: type of the question, members, nanoseconds, allocations.
var benched = regexp.MustCompile(`(?m)^BenchmarkServeDNS/(\w+)/members=(\d+)/pack=false\S*\s+\d+\s+([0-9.]+) ns/op.* (\d+) allocs/op$`)

// alone takes the plugin's own benchmarks for what no server shows: a question without packing its answer. The type that
// takes longest counts.
func (p *peers) alone(t *trial) {
	cmd := exec.CommandContext(t.ctx, goCommand(), "test", "-run", "^$", "-bench", "ServeDNS/.*/members=(3|3000)$/pack=false", //nolint:gosec // what to run is ours
		"-benchmem", "-count", strconv.Itoa(p.rounds), ".")
	cmd.Dir = "../.."
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.failf("%w: %s", err, tail(string(said)))
	}
	times := make(map[string]map[string][]float64) // by members, by type
	allocations := 0.0
	for _, found := range benched.FindAllStringSubmatch(string(said), -1) {
		if times[found[2]] == nil {
			times[found[2]] = make(map[string][]float64)
		}
		times[found[2]][found[1]] = append(times[found[2]][found[1]], t.figure(found[3]))
		allocations = max(allocations, t.figure(found[4]))
	}
	if len(times) != 2 {
		t.failf("no benchmarks of two sizes: %s", tail(string(said)))
	}
	slowest := func(members string) (most float64) {
		for _, figures := range times[members] {
			most = max(most, median(figures))
		}
		return most
	}
	few, lots := slowest("3"), slowest("3000")
	p.goals = append(p.goals, goal{
		work: "ServeDNS without packing", ours: fmt.Sprintf("3 members: %.0f ns, 3 000: %.0f ns; %.0f allocations", few, lots, allocations),
		ratio: fmt.Sprintf("%.2f", lots/few), want: "≤ 1 µs, ≤ 6 allocations, the same for both",
		met: few <= 1000 && lots <= 1000 && allocations <= 6 && lots <= 1.1*few,
	})
}
