package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// How large a large Kubernetes cluster is: ten times as many pods as Kubernetes itself is made for.
const (
	scaleApps     = 100_000
	scaleTogether = 10
	scaleMembers  = scaleApps * scaleTogether
	scaleRate     = 1000 // changes a second
	scaleAsked    = 10_000
	scaleRounds   = 3
)

// scale is about a million members in 100 000 clusters, which no API server could have here: they are made up.
func (p *peers) scale(t *trial) {
	idle := t.crowded(0)
	idleLive := idle.liveHeap()
	idle.stop()

	m := t.newMadeUp(scaleApps)
	c := t.newPeer(fmt.Sprintf("longnames-%d", scaleMembers), 1, t.scalePlugin(m))
	rounds := min(p.rounds, scaleRounds)
	known, used := make([]float64, 0, rounds), make([]float64, 0, rounds)
	peak, live := make([]float64, 0, rounds), make([]float64, 0, rounds)
	for round := range rounds {
		begin := time.Now()
		c.start()
		c.knows(m.name(scaleMembers-1), "A", scaleTogether)
		known, used = append(known, time.Since(begin).Seconds()), append(used, c.cpu())
		peak, live = append(peak, c.peakRSS()/megabyte), append(live, (c.liveHeap()-idleLive)/scaleMembers)
		if round < rounds-1 {
			c.stop()
		}
	}
	t.must(p.profile(c, "heap", "heap"))
	p.scaled("time until all are known", "%.1f s", median(known))
	p.scaled("CPU time of CoreDNS until then", "%.1f s", median(used))
	p.scaled("peak RSS until then", "%.0f MB", median(peak))
	p.scaled("live heap a member", "%.0f B", median(live))
	p.changesAlone(t, m, c, rounds)
	p.changesAndQuestions(t, m, c, rounds)
	c.stop()
}

// changesAlone is what a change of any cluster costs. It comes before any question: that leaves garbage to be collected.
func (p *peers) changesAlone(t *trial, m *madeUp, c *peer, rounds int) {
	share := func() float64 { // of a core
		before, begin := c.cpu(), time.Now()
		t.wait(p.load)
		return (c.cpu() - before) / time.Since(begin).Seconds()
	}
	costs, rates := make([]float64, 0, rounds), make([]float64, 0, rounds)
	for range rounds {
		still := share()
		end := m.churn(t, func() int { return rand.N(scaleMembers - scaleTogether) }) //nolint:gosec // any will do
		busy := share()
		rate := end()
		costs, rates = append(costs, (busy-still)/rate*1e6), append(rates, rate)
	}
	p.scaled(fmt.Sprintf("CPU time of a change, at %.0f changes/s, without questions", median(rates)), "%.0f µs", median(costs))
}

// changesAndQuestions are about the same clusters, so that records have to be made again; in turns with questions alone.
func (p *peers) changesAndQuestions(t *trial, m *madeUp, c *peer, rounds int) {
	asked, questions := make([]int, 0, scaleAsked), make([]string, 0, scaleAsked)
	for range scaleAsked {
		pod := rand.N(scaleMembers - scaleTogether) //nolint:gosec // any will do
		asked, questions = append(asked, pod), append(questions, m.name(pod)+" SRV")
	}
	quiet := &loaded{peer: c, network: "udp", edns: true, questions: strings.Join(questions, "\n")}
	for _, pod := range asked {
		_, size := quiet.verified(m.name(pod), "SRV", scaleTogether)
		quiet.size += size / scaleAsked
	}
	busy := &loaded{peer: c, network: quiet.network, edns: quiet.edns, questions: quiet.questions, size: quiet.size}
	delays := make([]float64, 0, rounds*p.writes)
	rates, shares := make([]float64, 0, rounds), make([]float64, 0, rounds)
	for round := range rounds {
		quiet.dnsperf(p.load)
		end := m.churn(t, func() int { return asked[rand.N(scaleAsked)] }) //nolint:gosec // any will do
		busy.dnsperf(p.load)
		delays = append(delays, m.delays(t, c, p.writes)...)
		rates, shares = append(rates, end()), append(shares, busy.rates[round]/quiet.rates[round])
	}
	p.scaled(fmt.Sprintf("questions about %d clusters, no changes", scaleAsked), "%s", quiet)
	p.scaled(fmt.Sprintf("questions about them, with %.0f changes/s, all of these clusters", median(rates)), "%s", busy)
	p.scaled("questions with changes, as a share of those without", "%.2f", median(shares))
	p.scaled("change sent until it is answered, meanwhile, p50", "%.1f ms", median(delays))
	p.scaled("change sent until it is answered, meanwhile, p99", "%.1f ms", quantile(delays, 0.99))
}

// scaled adds a figure that is compared to nothing.
func (p *peers) scaled(what, format string, figure any) {
	p.scales = append(p.scales, []string{what, fmt.Sprintf(format, figure)})
	fmt.Printf("%s: "+format+"\n", what, figure)
}

func (p *peers) scaleLines() [][]string {
	return append([][]string{{fmt.Sprintf("%d members in %d clusters", scaleMembers, scaleApps), "figure"}}, p.scales...)
}

func (t *trial) newMadeUp(apps int) *madeUp {
	m, err := newMadeUp(t.bed, apps, scaleTogether)
	t.must(err)
	t.cleanup(m.close)
	return m
}

func (t *trial) scalePlugin(m *madeUp) string {
	return fmt.Sprintf("longnames %s {\nendpoint http://%s\nnamespaces %s\nlookup pods\ngroup_by app\n}", ourZone, m.listener.Addr(), scaleNamespace)
}

// crowded starts a CoreDNS that knows so many apps.
func (t *trial) crowded(apps int) *peer {
	c := t.newPeer(fmt.Sprintf("longnames-%d", apps), 0, t.scalePlugin(t.newMadeUp(apps)))
	c.start()
	return c
}

// wait lets time pass in which something is measured.
func (t *trial) wait(d time.Duration) {
	select {
	case <-t.ctx.Done():
		t.must(t.ctx.Err())
	case <-time.After(d):
	}
}

func (m *madeUp) name(pod int) string { return ourName(m.app(pod), scaleNamespace) }

// churn moves pods all the time, until the function that it gives is called, which tells how many in a second. pod tells
// which is next; none of the last cluster's.
func (m *madeUp) churn(t *trial, pod func() int) (end func() (rate float64)) {
	ctx, cancel := context.WithCancel(t.ctx)
	begin, done, moved := time.Now(), make(chan struct{}), 0
	go func() {
		defer close(done)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-ticker.C:
				// As many as are due, for a busy machine has no finer clock.
				for due := int(time.Since(begin).Seconds() * scaleRate); moved < due && m.move(ctx, pod()); {
					moved++
				}
			}
		}
	}()
	return func() float64 {
		cancel()
		<-done
		return float64(moved) / time.Since(begin).Seconds()
	}
}

// move gives a pod any address.
func (m *madeUp) move(ctx context.Context, pod int) bool {
	_, ok := m.send(ctx, pod)
	return ok
}

func (m *madeUp) send(ctx context.Context, pod int) (to netip.Addr, ok bool) {
	to = netip.AddrFrom4([4]byte{11, byte(rand.N(256)), byte(rand.N(256)), byte(1 + rand.N(255))}) //nolint:gosec // any will do
	select {
	case m.moves <- move{pod, to}:
		return to, true
	case <-ctx.Done():
		return to, false
	}
}

// delays gives how long each of some moves in the last cluster took to be shown, in milliseconds.
func (m *madeUp) delays(t *trial, c *peer, moves int) (out []float64) {
	ask := c.asker("udp", m.name(scaleMembers-1), "A", 4096)
	defer ask.close()
	for range moves {
		to, ok := m.send(t.ctx, scaleMembers-1)
		if !ok {
			t.must(t.ctx.Err())
		}
		begin := time.Now()
		shown, err := ask.shows(to)
		t.must(err)
		out = append(out, shown.Sub(begin).Seconds()*1000)
	}
	return out
}
