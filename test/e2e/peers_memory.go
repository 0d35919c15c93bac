package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// megabyte is what memory is told in.
const megabyte = 1 << 20

// memoryRounds are enough, as it differs little from round to round.
const memoryRounds = 3

// memory has CoreDNS read very many pods: for the first time, and once more.
func (p *peers) memory(t *trial) {
	m := newMass(t)
	// Go tells of each garbage collection.
	const trace = "GODEBUG=gctrace=1"
	ours := &reader{
		peer: t.newPeer("longnames", 0, t.longnamesPlugin(m.namespace, "lookup pods", "group_by app"), trace),
		name: func(i int) string { return ourName(massApp(i), m.namespace) }, qtypes: []string{"SRV", "TXT", "A"}, together: massTogether,
	}
	theirs := &reader{
		peer: t.newPeer("kubernetes", 1, t.kubernetesPlugin(m.namespace), trace),
		name: func(i int) string {
			return strings.ReplaceAll(m.address(i), ".", "-") + "." + m.namespace + ".pod.cluster.local."
		}, together: 1,
	}
	both := []*reader{ours, theirs}
	rounds := min(p.rounds, memoryRounds)
	for range rounds {
		for _, r := range both {
			r.nobody()
		}
	}
	m.plantAll()
	for round := range rounds {
		for _, r := range both {
			r.first()
			t.must(p.profile(r.peer, "heap", "heap?gc=1"))
		}
		m.again(round, both)
		slices.Reverse(both)
	}
	growth, theirGrowth := median(ours.growth), median(theirs.growth)
	p.compare("first sync of 20 000 pods, growth of peak RSS", "kubernetes",
		[2]string{fmt.Sprintf("%.1f MB", growth), fmt.Sprintf("%.1f MB", theirGrowth)}, growth, theirGrowth, "≤ 0.2", growth <= 0.2*theirGrowth)
	live, peak := median(ours.live), median(ours.peak)
	p.compare("relist of the same, peak heap", "kubernetes", [2]string{
		fmt.Sprintf("%.1f MB, live %.1f MB", peak, live), fmt.Sprintf("%.1f MB, live %.1f MB", median(theirs.peak), median(theirs.live)),
	}, peak, median(theirs.peak), "≤ 2 × live + 32 MB", peak <= 2*live+32)
	for _, each := range []struct {
		work         string
		ours, theirs []float64
	}{
		{"live heap a member, `lookup pods`, before the first question", ours.unasked, theirs.unasked},
		{"live heap a member, `lookup pods`, every cluster asked for SRV", ours.asked, theirs.asked},
		{"live heap a member, `lookup pods`, every cluster asked for SRV, TXT and A", ours.each, theirs.each},
	} {
		our, their := median(each.ours), median(each.theirs)
		p.compare(each.work, "kubernetes", [2]string{fmt.Sprintf("%.0f B", our), fmt.Sprintf("%.0f B", their)}, our, their, "≤ 300 B", our <= 300)
	}
}

// reader is a CoreDNS that reads all pods.
type reader struct {
	*peer
	name     func(i int) string // what is asked for a pod
	qtypes   []string           // all that it can be asked for
	together int                // how many pods that name has

	idlePeak, idleLive []float64 // with no pods there, in bytes
	growth, live, peak []float64 // in MB
	// Live bytes a member: before questions, after one of the first type about each cluster, and after all.
	unasked, asked, each []float64
}

// nobody has it idle. Both plugins have CoreDNS wait for what they read before it listens.
func (r *reader) nobody() {
	r.start()
	r.idlePeak, r.idleLive = append(r.idlePeak, r.peakRSS()), append(r.idleLive, r.liveHeap())
	r.stop()
}

// first has it read for the first time, and answer all questions. It goes on.
func (r *reader) first() {
	r.start()
	for _, i := range []int{0, massSize / 2, massSize - 1} {
		r.knows(r.name(i), "A", r.together)
	}
	peak, unasked := r.peakRSS(), r.liveHeap()
	first := min(1, len(r.qtypes))
	r.askAll(r.qtypes[:first])
	asked := r.liveHeap()
	r.askAll(r.qtypes[first:])
	live := r.liveHeap()
	r.growth = append(r.growth, (peak-median(r.idlePeak))/megabyte)
	r.live = append(r.live, live/megabyte)
	r.each = append(r.each, (live-median(r.idleLive))/massSize)
	r.asked = append(r.asked, (asked-median(r.idleLive))/massSize)
	r.unasked = append(r.unasked, (unasked-median(r.idleLive))/massSize)
	r.t.note("%s: peak RSS %.1f MB, idle %.1f MB; live heap %.1f MB, %.1f MB before questions, %.1f MB after the first, idle %.1f MB",
		r.peer.name, peak/megabyte, median(r.idlePeak)/megabyte, live/megabyte, unasked/megabyte, asked/megabyte,
		median(r.idleLive)/megabyte)
}

func (r *reader) askAll(qtypes []string) {
	for i := 0; i < massSize; i += r.together {
		for _, qtype := range qtypes {
			r.knows(r.name(i), qtype, r.together)
		}
	}
}

// again has all of them read everything once more, and ends them.
func (m *mass) again(round int, readers []*reader) {
	said := make([]int, 0, len(readers))
	for _, r := range readers {
		r.liveHeap() // so that nothing is left of before
		said = append(said, len(r.process.output()))
	}
	fresh := massSize + round*massTogether
	m.growUnseen(fresh)
	for i, r := range readers {
		r.knows(r.name(fresh), "A", 1)
		peak := r.peakHeap(said[i])
		r.peak = append(r.peak, peak)
		m.note("%s: peak heap %.1f MB", r.peer.name, peak)
		r.stop()
	}
}

// peakRSS is the most that the process has ever had in memory.
func (p *peer) peakRSS() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.cmd.Process.Pid))
	p.t.must(err)
	return 1024 * p.found(`VmHWM:\s+(\d+) kB`, text)
}

// liveHeap is what is left after garbage collections: the second one empties the pools, too.
func (p *peer) liveHeap() (live float64) {
	for range 3 {
		live = p.heap("&gc=1")
	}
	return live
}

func (p *peer) heap(more string) float64 {
	var text []byte
	// On a busy machine a collection may take longer than the 5 seconds that *pprof* has for its answer.
	p.t.soon(p.name+" tells of its heap", func() (err error) {
		text, err = p.look("heap?debug=1" + more)
		return err
	})
	return p.found(`(?m)^# HeapAlloc = (\d+)$`, text)
}

// found is the number in a text.
func (p *peer) found(pattern string, text []byte) float64 {
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		p.t.failf("%s does not tell %s", p.name, pattern)
	}
	return p.t.parsed(string(found[1]))
}

// collected is what Go says of each garbage collection: the heap at its begin and at its end.
var collected = regexp.MustCompile(`(?m)^gc \d+ @.* (\d+)->(\d+)->\d+ MB,`)

// peakHeap is the most that the heap had since the process has said so much, in MB. From one collection to the next it
// grows.
func (p *peer) peakHeap(since int) float64 {
	most, err := peakOf(p.process.output()[since:])
	if err != nil {
		p.t.failf("%s: %w", p.name, err)
	}
	return max(most, p.heap("")/megabyte)
}

// peakOf is the most that a trace of garbage collections tells of, in MB. There has to be one: who has read everything
// anew has collected.
func peakOf(trace string) (most float64, err error) {
	collections := collected.FindAllStringSubmatch(trace, -1)
	if len(collections) == 0 {
		return 0, fmt.Errorf("no garbage collection is told of: %s", tail(trace))
	}
	for _, found := range collections {
		for _, text := range found[1:] {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return 0, err
			}
			most = max(most, n)
		}
	}
	return most, nil
}
