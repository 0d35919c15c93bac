package peers

import (
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// figures has what was measured in each round, by name.
type figures map[string][]float64

func (f figures) add(name string, n ...float64) { f[name] = append(f[name], n...) }
func (f figures) median(name string) float64    { return quantile(f[name], 0.5) }

// quantile returns the least figure that so many others do not exceed, of any number of figures but none.
func quantile(of []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// report has the lines of the tables.
type report struct{ goals, costs [][]string }

func add(t testing.TB, to *[][]string, cells ...string) {
	t.Helper()
	t.Log(strings.Join(cells, " | "))
	*to = append(*to, cells)
}

// goal is what a figure should be. It may be empty.
type goal struct {
	want string
	part float64 // of what is allowed that was measured: above 1 the goal is missed
	// noise is by which part the figure may exceed that and still be as good: so much it differs from run to run.
	noise float64
}

func (g goal) result() string {
	switch {
	case g.want == "":
		return ""
	case g.part <= 1:
		return "ok"
	case g.part <= 1+g.noise:
		return "miss within noise"
	}
	return "FAILED"
}

// add adds what a kind of work has come to, and fails the test if that misses its goal by more than noise.
func (r *report) add(t testing.TB, work, ours, theirs string, ratio float64, g goal) {
	t.Helper()
	add(t, &r.goals, work, ours, theirs, fmt.Sprintf("%.2g", ratio), g.want, g.result())
	assert.NotEqual(t, "FAILED", g.result(), "%s: got %s, and %s, want %s", work, ours, theirs, g.want)
}

// markdown has the facts, and those tables that have any lines.
func (r *report) markdown(facts string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s\n", facts)
	for _, t := range []struct {
		caption, head string
		lines         [][]string
	}{
		{"Side by side. A rate is the median of all rounds; beside it, the CPU time that one answer costs the server.",
			"work | longnames | peer | ratio | goal | result", r.goals},
		{"The cost of one cluster for the API server. One of its members changes every 10 seconds.",
			"nodes | clients | requests | bytes | CPU time of kube-apiserver", r.costs},
	} {
		if len(t.lines) > 0 {
			fmt.Fprintf(&out, "\n%s\n\n| %s |\n%s|\n", t.caption, t.head, strings.Repeat("|---", 1+strings.Count(t.head, "|")))
		}
		for _, line := range t.lines {
			fmt.Fprintf(&out, "| %s |\n", strings.Join(line, " | "))
		}
	}
	return out.String() + "\n"
}

const factsScript = `
model=$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)
echo "$(date -u +%F), on $(nproc) cores of ${model:-$(uname -m)}, Linux $(uname -r):"
"$1" -version | sed 's/$/,/'
sed -nE 's/^\t((k8s.io.kubernetes|go.etcd.io.etcd.server.v3) .*)/\1,/p' ../controlplane/go.mod
dnsperf -h 2>/dev/null | sed -n 's/^Version \(.*\)/dnsperf \1./p'`

// facts tells what was measured, when and where.
func facts(t *testing.T) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "sh", "-euc", factsScript, "sh", coredns).CombinedOutput()
	require.NoError(t, err, string(text))
	return fmt.Sprintf("%sRounds: %d; load in each: %s; writes in each: %d; the API server: %s each.",
		text, *rounds, load, *writes, costTime)
}

func TestQuantile(t *testing.T) {
	var figures []float64
	for i := 200; i > 0; i-- {
		figures = append(figures, float64(i))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 101, 0.99: 199, 1: 200} {
		assert.Equal(t, want, quantile(figures, share), "quantile %v", share)
	}
}

func TestGoal(t *testing.T) {
	for g, want := range map[goal]string{
		{}: "", {"≤ 1", 1, 0}: "ok", {"≤ 1", 1.05, 0.1}: "miss within noise", {"≤ 1", 1.2, 0.1}: "FAILED", {"< 50", 1.02, 0}: "FAILED",
		{"≤ 1", math.Inf(1), 0.1}: "FAILED", {"≤ 1", math.NaN(), 0.1}: "FAILED",
	} {
		assert.Equal(t, want, g.result(), "%+v", g)
	}
}
