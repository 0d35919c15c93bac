package peers

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
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

// goal adds what a kind of work has come to, and whether that is what it should be. Without want, there is no goal.
func (r *report) goal(t testing.TB, work, ours, theirs string, ratio float64, want string, met bool) {
	t.Helper()
	result := map[bool]string{true: "ok", false: "miss"}[met]
	if want == "" {
		result = ""
	}
	add(t, &r.goals, work, ours, theirs, fmt.Sprintf("%.2g", ratio), want, result)
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
		{"What the clients of one cluster cost the API server. One of its members changes every 10 seconds.",
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
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return fmt.Sprintf("%sRounds: %d; load in each: %s; writes in each: %d; the API server: %s each.",
		text, *rounds, load, *writes, costTime)
}

func TestQuantile(t *testing.T) {
	var figures []float64
	for i := 200; i > 0; i-- {
		figures = append(figures, float64(i))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 101, 0.99: 199, 1: 200} {
		if got := quantile(figures, share); got != want {
			t.Errorf("quantile %v: got %v, want %v", share, got, want)
		}
	}
}
