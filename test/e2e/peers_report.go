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
)

// goal is what one kind of work has come to, and what it should.
type goal struct {
	work, ours, theirs, ratio, want string
	met                             bool
}

// ratio adds a goal that is about the proportion of two figures.
func (p *peers) ratio(work, peer, format string, ours, theirs float64, want string, met func(ratio float64) bool) {
	p.goals = append(p.goals, goal{
		work: work, ours: fmt.Sprintf(format, ours), theirs: peer + " " + fmt.Sprintf(format, theirs),
		ratio: fmt.Sprintf("%.2f", ours/theirs), want: want, met: met(ours / theirs),
	})
}

func (p *peers) goalLines() [][]string {
	lines := make([][]string, 0, 1+len(p.goals))
	lines = append(lines, []string{"work", "longnames", "peer", "ratio", "goal", "result"})
	for _, g := range p.goals {
		result := "miss"
		if g.met {
			result = "ok"
		}
		lines = append(lines, []string{g.work, g.ours, g.theirs, g.ratio, g.want, result})
	}
	return lines
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
	return fmt.Sprintf("%s, on %d cores of %s, Linux %s: %s.\n%d rounds; load for %s in each, %d writes in each; the API server for %s each.",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor, strings.TrimSpace(string(kernel)), strings.Join(versions, ", "),
		p.rounds, p.load, p.writes, p.cost), nil
}

// The marks between which a document has what is written here.
const (
	tableBegin = "<!-- measured -->\n"
	tableEnd   = "<!-- end of measured -->\n"
)

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
	fmt.Fprintf(&tables, "\n%s\n", facts)
	for _, lines := range [][][]string{p.goalLines(), p.costLines(), p.scaleLines()} {
		fmt.Fprintf(&tables, "\n%s\n", strings.TrimSpace(markdown(lines, nil)))
	}
	return os.WriteFile(p.table, []byte(before+tableBegin+tables.String()+"\n"+tableEnd+after), 0o644) //nolint:gosec // all may read it
}
