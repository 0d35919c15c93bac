package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// patient asks as OTP's inet_res does for a cluster that is too large for UDP: over UDP without EDNS first, and as that
// answer is truncated, over a TCP connection that serves this one question.
type patient struct {
	*peer
	name    string
	members int

	rates, cpus []float64 // as those of loaded
}

// patients is how many ask at once.
const patients = 4

// truncated is about clusters whose answers are. dnsperf cannot ask like that.
func (p *peers) truncated(t *trial, namespace string, ours, kubernetes *peer) {
	w := &writer{trial: t, namespace: namespace}
	w.cluster(sized(busySize), busySize)
	// Each question leaves a port behind, which is to be used again before a minute is over.
	t.must(t.plane.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0o600) }))
	few, theirs := &patient{peer: ours, name: ourName(sized(100), namespace), members: 100},
		&patient{peer: kubernetes, name: theirName(sized(100), namespace), members: 100}
	lots := &patient{peer: ours, name: ourName(sized(busySize), namespace), members: busySize}
	all := []*patient{few, theirs, lots}
	for _, a := range all {
		a.knows(a.name, "SRV", a.members)
	}
	for range p.rounds {
		for _, a := range all {
			a.ask(p.load)
			t.note("%s: %s", a.peer.name, a)
		}
	}
	const how = "truncated over UDP, then a new TCP connection"
	p.compare("SRV, 100 members, "+how, "kubernetes", [2]string{few.String(), theirs.String()}, median(few.rates), median(theirs.rates), "", false)
	p.goals = append(p.goals, goal{work: "SRV, 1 000 members, " + how, ours: lots.String()})
}

func (a *patient) String() string {
	return fmt.Sprintf("%.0f/s, %.1f µs of CPU", median(a.rates), median(a.cpus))
}

// ask has some ask for a while.
func (a *patient) ask(long time.Duration) {
	counts := make([]int, patients)
	before, begin := a.cpu(), time.Now()
	var g errgroup.Group
	for i := range patients {
		g.Go(func() error {
			for ; time.Since(begin) < long; counts[i]++ {
				if err := a.askOnce(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	a.t.must(g.Wait())
	took, used, total := time.Since(begin).Seconds(), a.cpu()-before, 0
	for _, n := range counts {
		total += n
	}
	a.rates, a.cpus = append(a.rates, float64(total)/took), append(a.cpus, used/float64(total)*1e6)
}

func (a *patient) askOnce() error {
	if err := a.askOver("udp", true); err != nil {
		return err
	}
	return a.askOver("tcp", false)
}

// askOver asks over a socket that is made for it, and looks at the header of the answer: RFC 1035, section 4.1.1.
func (a *patient) askOver(network string, truncated bool) error {
	ask, err := a.newAsker(network, a.name, "SRV", 0)
	if err != nil {
		return err
	}
	defer ask.close()
	answer, err := ask.ask()
	if err != nil {
		return err
	}
	tc, records := answer[2]&(1<<1) != 0, int(binary.BigEndian.Uint16(answer[6:]))
	if tc != truncated || !truncated && records != a.members {
		return fmt.Errorf("%s %s over %s: got %d records, truncated %t; want %t, and %d if it is not", a.peer.name, a.name, network,
			records, tc, truncated, a.members)
	}
	return nil
}
