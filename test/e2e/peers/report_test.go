package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// report has the lines of the tables, and how many parts have been measured.
type report struct {
	goals, costs, scale, shares [][]string
	measured                    int
}

func add(t testing.TB, to *[][]string, cells ...string) {
	t.Helper()
	t.Log(strings.Join(cells, " | "))
	*to = append(*to, cells)
}

// goal adds what a kind of work has come to, and whether that is what it should be. Without want, there is no goal.
func (r *report) goal(t testing.TB, work, ours, theirs, ratio, want string, met bool) {
	t.Helper()
	result := map[bool]string{true: "ok", false: "miss"}[met]
	if want == "" {
		result = ""
	}
	add(t, &r.goals, work, ours, theirs, ratio, want, result)
}

// ratio of two figures, unless there is none.
func ratio(ours, theirs float64) string {
	if theirs == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/theirs)
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
		{"A large cluster of Kubernetes, made up.",
			fmt.Sprintf("%d members in %d clusters | figure", scaleMembers, scaleApps), r.scale},
		{"Live heap a member, by the benchmarks: what is read, and what the table has on top of that. Each line is for itself.",
			"memory for | bytes a member", r.shares},
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

// The marks between which a page has what is written here.
const (
	markBegin = "<!-- measured -->\n"
	markEnd   = "<!-- end of measured -->\n"
)

func writeBetweenMarks(page, text string) error {
	was, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(was), markBegin)
	_, after, ok2 := strings.Cut(rest, markEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the marks %q and %q", page, markBegin, markEnd)
	}
	return os.WriteFile(page, []byte(before+markBegin+text+markEnd+after), 0o644)
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
	return fmt.Sprintf("%sRounds: %d; load in each: %s; writes in each: %d; the API server: %s each.", text, *rounds, load, *writes, costTime)
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

func TestTablesAreWrittenBetweenTheMarks(t *testing.T) {
	r := new(report)
	r.goal(t, "work", "30/s", "whoami 20/s", ratio(30, 20), "≥ 1", true)
	r.goal(t, "both at once", "0 ms", "kubernetes 0 ms", ratio(0, 0), "≤ 1", false)
	r.goal(t, "no goal", "1/s", "kubernetes 2/s", ratio(1, 2), "", false)
	add(t, &r.shares, "the table", "2")
	const before, after = "# Page\n\n" + markBegin, markEnd + "\nProse.\n"
	const want = before + "\nfacts\n\nSide by side. A rate is the median of all rounds; beside it, the CPU time that one answer costs the server.\n\n" +
		"| work | longnames | peer | ratio | goal | result |\n|---|---|---|---|---|---|\n" +
		"| work | 30/s | whoami 20/s | 1.50 | ≥ 1 | ok |\n| both at once | 0 ms | kubernetes 0 ms |  | ≤ 1 | miss |\n" +
		"| no goal | 1/s | kubernetes 2/s | 0.50 |  |  |\n\nLive heap a member, by the benchmarks: what is read, and what the table has on top " +
		"of that. Each line is for itself.\n\n| memory for | bytes a member |\n|---|---|\n| the table | 2 |\n\n" + after
	page := filepath.Join(t.TempDir(), "page.md")
	for was, ok := range map[string]bool{before + "old\n" + after: true, want: true, "no marks": false} {
		err := os.WriteFile(page, []byte(was), 0o600)
		err2 := writeBetweenMarks(page, r.markdown("facts"))
		if got, err3 := os.ReadFile(page); err != nil || (err2 == nil) != ok || err3 != nil || ok && string(got) != want {
			t.Errorf("got %s %v, want %s, %t", got, err2, want, ok)
		}
	}
}
