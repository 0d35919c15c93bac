package peers

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// Very many pods, and how many of them make up a cluster.
const (
	massSize     = 20_000
	massTogether = 10
	megabyte     = 1 << 20
)

// asked is when the live heap is looked at.
var asked = []string{"before the first question", "every cluster asked for SRV", "every cluster asked for SRV, TXT and A"}

func massApp(i int) string     { return fmt.Sprintf("app-%d", i/massTogether) }
func massAddress(i int) string { return fmt.Sprintf("10.7.%d.%d", 100+i/250, i%250+1) }

// reader is a CoreDNS that reads all pods: which name a pod is an answer for, how many pods that name has, and what every
// cluster is asked for when.
type reader struct {
	*server
	name     func(i int) string
	together int
	qtypes   [][]string
}

// measureMemory has CoreDNS read very many pods: for the first time, and once more.
func (r *report) measureMemory(t *testing.T) {
	b := newBed(t)
	_, err := b.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.NoNode}}, metav1.CreateOptions{})
	b.must(err)
	longnames, kubernetes := b.newPair("lookup pods\ngroup_by app", "", "GODEBUG=gctrace=1")
	ours := &reader{longnames, func(i int) string { return b.ourName(massApp(i)) }, massTogether, [][]string{{}, {"SRV"}, {"TXT", "A"}}}
	theirs := &reader{kubernetes, func(i int) string {
		return strings.ReplaceAll(massAddress(i), ".", "-") + "." + b.namespace + ".pod.cluster.local."
	}, 1, make([][]string, 3)}
	both, rounds := []*reader{ours, theirs}, min(*rounds, 3) // memory differs little from round to round
	for range rounds {
		for _, s := range both { // both plugins have CoreDNS wait for what they read before it listens
			s.start()
			s.add("idle RSS", s.peakRSS())
			s.add("idle heap", s.heap(3))
			s.stop()
		}
	}
	b.plant(0, massSize)
	for round := range rounds {
		for _, s := range both {
			s.first()
		}
		b.again(massSize+round*massTogether, both)
		slices.Reverse(both)
	}
	goal := func(work, figure, format, want string, met func(our, their float64) bool) {
		our, their := ours.median(figure), theirs.median(figure)
		r.goal(t, work, fmt.Sprintf(format, our, ours.median("live")), "kubernetes "+fmt.Sprintf(format, their, theirs.median("live")), ratio(our, their), want, met(our, their))
	}
	goal("first sync of 20 000 pods, growth of peak RSS", "growth", "%.1[1]f MB", "≤ 0.2", func(our, their float64) bool { return our <= 0.2*their })
	goal("relist of the same, peak heap", "peak", "%.1f MB, live %.1f MB", "≤ 2 × live + 32 MB", func(our, _ float64) bool { return our <= 2*ours.median("live")+32 })
	for _, when := range asked {
		goal("live heap a member, `lookup pods`, "+when, when, "%.0[1]f B", "≤ 300 B", func(our, _ float64) bool { return our <= 300 })
	}
	r.measured++
}

// first has it read for the first time, and answer all questions. It goes on.
func (s *reader) first() {
	s.Helper()
	s.start()
	for _, i := range []int{0, massSize / 2, massSize - 1} {
		s.knows(s.name(i), "A", s.together)
	}
	s.add("growth", (s.peakRSS()-s.median("idle RSS"))/megabyte)
	for i, when := range asked {
		for pod := 0; pod < massSize; pod += s.together {
			for _, qtype := range s.qtypes[i] {
				s.knows(s.name(pod), qtype, s.together)
			}
		}
		s.add(when, (s.heap(3)-s.median("idle heap"))/massSize)
	}
	s.add("live", s.heap(3)/megabyte)
}

// again has all of them read everything once more, and ends them: while the API server is away, etcd goes on from the
// version up to which they have seen pods, so that no watch can.
func (b *bed) again(fresh int, readers []*reader) {
	b.Helper()
	said := make([]int, len(readers))
	for i, s := range readers {
		s.heap(3) // so that nothing is left of before
		said[i] = len(s.process.Output())
	}
	b.Kubectl(b, "create", "namespace", fmt.Sprintf("other-%d", fresh))
	b.Part("kube-apiserver").Stop(0)
	b.Restart(b, "kube-apiserver")
	b.Ready(b)
	b.plant(fresh, fresh+1)
	for i, s := range readers {
		s.knows(s.name(fresh), "A", 1)
		peak, err := peakOf(s.process.Output()[said[i]:])
		b.must(err)
		s.add("peak", max(peak, s.heap(0)/megabyte)) // from one collection to the next the heap grows
		s.stop()
	}
}

// collected is what Go says of each garbage collection: the heap at its begin and at its end.
var collected = regexp.MustCompile(`(?m)^gc \d+ @.* (\d+)->(\d+)->\d+ MB,`)

// peakOf returns the largest heap that a trace of garbage collections tells of, in MB. To read everything anew without a
// collection is impossible.
func peakOf(trace string) (most float64, err error) {
	for _, found := range collected.FindAllStringSubmatch(trace, -1) {
		begin, _ := strconv.ParseFloat(found[1], 64) // it matches
		end, _ := strconv.ParseFloat(found[2], 64)
		most = max(most, begin, end)
	}
	if most == 0 {
		return 0, fmt.Errorf("no garbage collection is told of: %s", trace)
	}
	return most, nil
}

// plant creates pods that are as large as pods are in real life: half of it is the environment, and who manages which
// field of it.
func (b *bed) plant(from, to int) {
	b.Helper()
	var env []corev1.EnvVar
	for n := range 34 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", n), Value: fmt.Sprintf("value %d of a pod", n)})
	}
	pods := b.Client.CoreV1().Pods(b.namespace)
	var g errgroup.Group
	g.SetLimit(16)
	for i := from; i < to; i++ {
		g.Go(func() error {
			p, err := pods.Create(b.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", massApp(i), i), Labels: app(massApp(i))},
				Spec:       corev1.PodSpec{NodeName: cluster.NoNode, Containers: []corev1.Container{{Name: "app", Image: "app", Env: env}}},
			}, metav1.CreateOptions{})
			if err == nil {
				p.Status = cluster.RunningStatus(true, netip.MustParseAddr(massAddress(i)))
				p, err = pods.UpdateStatus(b.Context(), p, metav1.UpdateOptions{})
			}
			if size := p.Size(); err == nil && (size < 4800 || size > 5200) {
				err = fmt.Errorf("got a pod of %d bytes, want some 5000", size)
			}
			return err
		})
	}
	b.must(g.Wait())
}

func TestPeakOf(t *testing.T) {
	const trace = `gc 2 @0.020s 5%: 0.03+1.1+0.01 ms clock, 0.06+0.2/0.9/0+0.03 ms cpu, 51->53->20 MB, 52 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 3 @0.030s 5%: 0.03+1.1+0.01 ms clock, 0.06+0.2/0.9/0+0.03 ms cpu, 40->41->20 MB, 42 MB goal, 0 MB stacks, 0 MB globals, 2 P
`
	if got, err := peakOf(trace); got != 53 || err != nil {
		t.Errorf("got %v and %v, want 53", got, err)
	}
	if got, err := peakOf("[INFO] nothing of that kind\n"); err == nil {
		t.Errorf("got %v without any collection, want an error", got)
	}
}
