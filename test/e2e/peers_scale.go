package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
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
)

// scale is about a million members in 100 000 clusters, which no API server could have here: they are made up.
func (p *peers) scale(t *trial) {
	idle := t.crowded(0)
	idleLive := idle.liveHeap()
	idle.stop()

	m := t.newMadeUp(scaleApps)
	c := t.newPeer("longnames-1000000", 1, t.scalePlugin(m))
	begin := time.Now()
	c.start()
	c.knows(m.name(scaleMembers-1), "A", scaleTogether)
	p.figure("time until all are known", "%.1f s", time.Since(begin).Seconds())
	p.figure("of that, CPU of CoreDNS", "%.1f s", c.cpu())
	p.figure("peak RSS meanwhile", "%.0f MB", c.peakRSS()/megabyte)
	p.figure("live heap a member", "%.0f B", (c.liveHeap()-idleLive)/scaleMembers)
	t.must(p.profile(c, "heap", "heap"))

	// Before any load, which leaves garbage to be collected.
	before, begin := c.cpu(), time.Now()
	t.wait(p.load)
	still := (c.cpu() - before) / time.Since(begin).Seconds()
	end := m.disturb(t)
	before, begin = c.cpu(), time.Now()
	t.wait(p.load)
	busy := (c.cpu() - before) / time.Since(begin).Seconds()
	rate := end()
	p.figure(fmt.Sprintf("CPU of a change, at %.0f changes a second, without questions", rate), "%.0f µs", (busy-still)/rate*1e6)

	questions := make([]string, 0, scaleAsked)
	for range scaleAsked {
		questions = append(questions, m.name(rand.N(scaleMembers))+" SRV") //nolint:gosec // any will do
	}
	load := &loaded{peer: c, question: strings.Join(questions, "\n")}
	ask := c.asker("udp", m.name(0), "SRV", 4096)
	p.figure("one question, nothing else going on: median", "%.0f µs", median(t.askedFor(ask))*1000)
	ask.close()
	quiet := p.rate(load)
	p.figure(fmt.Sprintf("questions for %d clusters, no changes", scaleAsked), "%.0f/s", quiet)

	end = m.disturb(t)
	withChanges := p.rate(load)
	delays := m.delays(t, c, p.writes)
	rate = end()
	p.figure(fmt.Sprintf("questions, with %.0f changes a second", rate), "%.0f/s", withChanges)
	p.figure("share of those without changes", "%.2f", withChanges/quiet)
	p.figure("change sent until it is answered, meanwhile: p50", "%.1f ms", median(delays))
	p.figure("p99", "%.1f ms", quantile(delays, 0.99))
	c.stop()
}

// figure is one of those that are compared to nothing.
func (p *peers) figure(what, format string, figure float64) {
	p.scales = append(p.scales, []string{what, fmt.Sprintf(format, figure)})
	fmt.Printf("%s: "+format+"\n", what, figure)
}

func (p *peers) scaleLines() [][]string {
	return append([][]string{{fmt.Sprintf("%d members in %d clusters", scaleMembers, scaleApps), "figure"}}, p.scales...)
}

func (p *peers) rate(l *loaded) float64 {
	rounds := min(p.rounds, 3)
	rates := make([]float64, 0, rounds)
	for range rounds {
		rates = append(rates, l.dnsperf("udp", "-e", p.load))
	}
	return median(rates)
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

// askedFor gives how long each of some questions took, in milliseconds.
func (t *trial) askedFor(a *asker) (out []float64) {
	for range 1000 {
		begin := time.Now()
		_, err := a.ask()
		t.must(err)
		out = append(out, time.Since(begin).Seconds()*1000)
	}
	return out
}

// cpu is what all threads of the process have used, in seconds: see proc_pid_stat(5). A tick is a hundredth on any Linux.
func (p *peer) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.cmd.Process.Pid))
	p.t.must(err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const user, system, ticks = 11, 12, 100
	return (p.t.figure(fields[user]) + p.t.figure(fields[system])) / ticks
}

func (m *madeUp) name(pod int) string { return ourName(m.app(pod), scaleNamespace) }

// disturb moves pods all the time, all but the last cluster's, until the function that it gives is called, which tells
// how many in a second.
func (m *madeUp) disturb(t *trial) (end func() (rate float64)) {
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
				for due := int(time.Since(begin).Seconds() * scaleRate); moved < due && m.move(ctx, rand.N(scaleMembers-scaleTogether)); { //nolint:gosec // any will do
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
		data := append([]byte{0, 4}, to.AsSlice()...)
		for shown := false; !shown; {
			answer, err := ask.ask()
			t.must(err)
			if shown = bytes.Contains(answer, data); !shown && time.Since(begin) > patience {
				t.failf("%s does not show %s", c.name, to)
			}
		}
		out = append(out, time.Since(begin).Seconds()*1000)
	}
	return out
}
