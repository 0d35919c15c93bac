package peers

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Very many pods, and how many of them make up a cluster.
const (
	massSize     = 20_000
	massTogether = 10
	megabyte     = 1 << 20
)

func massApp(i int) string     { return fmt.Sprintf("app-%d", i/massTogether) }
func massAddress(i int) string { return fmt.Sprintf("10.7.%d.%d", 100+i/250, i%250+1) }

// reader is a CoreDNS that reads all pods: which name a pod is an answer for, and how many pods that name has.
type reader struct {
	*server
	name     func(i int) string
	together int
}

// measureMemory has CoreDNS read very many pods: for the first time, and once more.
func measureMemory(b *bed, r *report) {
	longnames, kubernetes := b.newPair("lookup pods\ngroup_by app", "", "GODEBUG=gctrace=1")
	ours := &reader{longnames, func(i int) string { return b.ourName(massApp(i)) }, massTogether}
	theirs := &reader{kubernetes, func(i int) string {
		return strings.ReplaceAll(massAddress(i), ".", "-") + "." + b.namespace + ".pod.cluster.local."
	}, 1}
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
	most := 2*ours.median("live") + 32
	for _, of := range []struct {
		work, figure, unit, want string
		most                     float64
	}{
		{"first sync of 20 000 pods, growth of peak RSS", "growth", "MB", "≤ 0.2", 0.2 * theirs.median("growth")},
		{"relist of the same, peak heap", "peak", "MB", fmt.Sprintf("≤ 2 × live + 32 MB = %.1f MB", most), most},
		{"live heap a member, `lookup pods`, before the first question", "member", "B", "≤ 300 B", 300},
	} {
		our, their := ours.median(of.figure), theirs.median(of.figure)
		r.add(b, of.work, fmt.Sprintf("%.1f %s", our, of.unit), fmt.Sprintf("kubernetes %.1f %s", their, of.unit),
			our/their, goal{of.want, our / of.most, 0.05})
	}
}

// first has it read for the first time. It goes on.
func (s *reader) first() {
	s.start()
	for _, i := range []int{0, massSize / 2, massSize - 1} {
		s.knows(s.name(i), "A", s.together)
	}
	s.add("growth", (s.peakRSS()-s.median("idle RSS"))/megabyte)
	heap := s.heap(3)
	s.add("member", (heap-s.median("idle heap"))/massSize)
	s.add("live", heap/megabyte)
}

// again has all of them read everything once more, and ends them: while the API server is away, etcd goes on from the
// version up to which they have seen pods, so that no watch can.
func (b *bed) again(fresh int, readers []*reader) {
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
		told := false
		s.knows(s.name(fresh), "A", 1)
		peak := s.heap(0) / megabyte // from one collection to the next the heap grows
		// To read everything anew without a collection is impossible.
		for _, found := range collected.FindAllStringSubmatch(s.process.Output()[said[i]:], -1) {
			begin, err := strconv.ParseFloat(found[1], 64)
			end, err2 := strconv.ParseFloat(found[2], 64)
			require.NoError(b, errors.Join(err, err2))
			peak, told = max(peak, begin, end), true
		}
		require.True(b, told, "%s tells of garbage collections", s.server.name)
		s.add("peak", peak)
		s.stop()
	}
}

// collected is what Go says of each garbage collection: the heap in MB at its begin and at its end.
var collected = regexp.MustCompile(`(?m)^gc \d+ @.* (\d+)->(\d+)->\d+ MB,`)

// plant creates pods that are as large as pods are in real life: half of it is the environment, and who manages which
// field of it.
func (b *bed) plant(from, to int) {
	var env []corev1.EnvVar
	for n := range 34 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", n), Value: fmt.Sprintf("value %d of a pod", n)})
	}
	var g errgroup.Group
	g.SetLimit(16)
	for i := from; i < to; i++ {
		g.Go(func() error {
			p := b.CreatePod(b, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: fmt.Sprintf("%s-%d", massApp(i), i),
					Labels: app(massApp(i))},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app", Env: env}}},
			}, true, massAddress(i))
			if size := p.Size(); size < 4800 || size > 5200 {
				return fmt.Errorf("got a pod of %d bytes, want some 5000", size)
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
}
