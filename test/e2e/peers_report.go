package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// goal is what one kind of work has come to, and what it should. There may be no goal; then want is empty.
type goal struct {
	work, ours, theirs, ratio, want string
	met                             bool
}

// compare adds a goal that is about two figures; told is how these are written.
func (p *peers) compare(work, peer string, told [2]string, ours, theirs float64, want string, met bool) {
	g := goal{work: work, ours: told[0], theirs: peer + " " + told[1], want: want, met: met}
	if theirs != 0 {
		g.ratio = fmt.Sprintf("%.2f", ours/theirs)
	}
	p.goals = append(p.goals, g)
}

func (p *peers) goalLines() [][]string {
	lines := make([][]string, 0, 1+len(p.goals))
	lines = append(lines, []string{"work", "longnames", "peer", "ratio", "goal", "result"})
	for _, g := range p.goals {
		result := "miss"
		switch {
		case g.want == "":
			result = ""
		case g.met:
			result = "ok"
		}
		lines = append(lines, []string{g.work, g.ours, g.theirs, g.ratio, g.want, result})
	}
	return lines
}

// table is a table of the report.
type table struct {
	caption string
	lines   [][]string // the first has the heads of the columns
}

// tables are those that have something in them.
func (p *peers) tables() []table {
	all := []table{
		{"Side by side. A rate is the median of all rounds; beside it, the CPU time that one answer costs the server.", p.goalLines()},
		{"What the clients of one cluster cost the API server. One of its members changes every 10 seconds.", p.costLines()},
		{"A large cluster of Kubernetes, made up.", p.scaleLines()},
		{"Live heap a member, by the benchmarks: what is read, and what the table has on top of that. Each line is for itself.", p.shareLines()},
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.lines) < 2 })
}

// median is of any number of figures but none.
func median(of []float64) float64 { return quantile(of, 0.5) }

// quantile is the least figure that so many others do not exceed.
func quantile(of []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// facts tell what was measured, when and where.
func (p *peers) facts(ctx context.Context, b *bed) (string, error) {
	said, err := output(ctx, b.plane.name, nil, b.coredns, "-version")
	if err != nil {
		return "", err
	}
	versions := strings.Split(strings.ReplaceAll(strings.TrimSpace(said), "\n", ", "), ", ")
	modules, err := os.ReadFile("controlplane/go.mod")
	if err != nil {
		return "", err
	}
	for _, module := range []string{"k8s.io/kubernetes", "go.etcd.io/etcd/server/v3"} {
		if found := regexp.MustCompile(`(?m)^\t(` + regexp.QuoteMeta(module) + ` \S+)$`).FindSubmatch(modules); found != nil {
			versions = append(versions, string(found[1]))
		}
	}
	if usage, err := output(ctx, b.plane.name, nil, "dnsperf", "-h"); err == nil {
		if found := regexp.MustCompile(`(?m)^Version (\S+)$`).FindStringSubmatch(usage); found != nil {
			versions = append(versions, "dnsperf "+found[1])
		}
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	processor := runtime.GOARCH
	if found := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(info); found != nil {
		processor = string(found[1])
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, on %d cores of %s, Linux %s: %s. Rounds: %d; load in each: %s; writes in each: %d; the API server: %s each.",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor, strings.TrimSpace(string(kernel)), strings.Join(versions, ", "),
		p.rounds, p.load, p.writes, p.cost), nil
}

// The marks between which a document has what is written here.
const (
	tableBegin = "<!-- measured -->\n"
	tableEnd   = "<!-- end of measured -->\n"
)

// wrap breaks a text into lines of at most 120 characters.
func wrap(text string) string {
	const most = 120
	var out strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		switch n := utf8.RuneCountInString(word); {
		case length == 0:
			length = n
		case length+1+n > most:
			out.WriteByte('\n')
			length = n
		default:
			out.WriteByte(' ')
			length += 1 + n
		}
		out.WriteString(word)
	}
	return out.String()
}

// write puts the tables into their document.
func (p *peers) write(facts string) error {
	text, err := os.ReadFile(p.table)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the marks %q and %q", p.table, tableBegin, tableEnd)
	}
	var tables strings.Builder
	fmt.Fprintf(&tables, "\n%s\n", wrap(facts))
	for _, t := range p.tables() {
		fmt.Fprintf(&tables, "\n%s\n\n%s\n", wrap(t.caption), strings.TrimSpace(markdown(t.lines, nil)))
	}
	return os.WriteFile(p.table, []byte(before+tableBegin+tables.String()+"\n"+tableEnd+after), 0o644) //nolint:gosec // all may read it
}
