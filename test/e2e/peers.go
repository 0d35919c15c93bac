package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

// peers measures *longnames* side by side with other plugins of the same CoreDNS binary: over the same objects, on the
// same machine, in one run.
type peers struct {
	chosen   string // the parts, a regular expression
	rounds   int
	load     time.Duration
	writes   int
	cost     time.Duration
	table    string
	profiles string

	goals  []goal
	costs  []cost     // by size, then in the order of costKinds
	scales [][]string // what is compared to nothing, and its figure
	shares [][]string // what a member has memory for, and how many bytes
}

// peersPart is one that can be measured alone.
type peersPart struct {
	name    string
	measure func(p *peers, t *trial)
}

func peersParts() []peersPart {
	return []peersPart{
		{"udp", (*peers).udp},
		{"tcp", (*peers).tcp},
		{"alone", (*peers).alone},
		{"latency", (*peers).latency},
		{"limit", (*peers).limit},
		{"scale", (*peers).scale},
		{"memory", (*peers).memory}, // leaves its pods behind, and no kubelet
		{"cost", (*peers).control},  // has control planes of its own
	}
}

func (p *peers) flags() {
	flag.StringVar(&p.chosen, "peers", "", "try nothing, but measure the parts that match this `regexp`: udp, tcp, alone, latency, limit, scale, memory, cost")
	flag.IntVar(&p.rounds, "peers-rounds", 5, "measure each `n` times, in turns")
	flag.DurationVar(&p.load, "peers-load", 4*time.Second, "put load on a server for so `long` in each round")
	flag.IntVar(&p.writes, "peers-writes", 200, "wait for `n` writes to be answered in each round")
	flag.DurationVar(&p.cost, "peers-cost", 10*time.Minute, "look at the API servers for so `long` with each number of nodes")
	flag.StringVar(&p.table, "peers-table", "", "write the tables to this `file`, between its marks, if all parts are measured")
	flag.StringVar(&p.profiles, "peers-profiles", "", "write a CPU profile of each server under each load to this `directory`")
}

// measure takes the parts one after the other, for nothing else is to use the machine. What the others have found is
// printed even if one fails.
func (p *peers) measure(ctx context.Context, b *bed) error {
	parts, err := regexp.Compile(p.chosen)
	if err != nil {
		return err
	}
	if p.profiles != "" {
		if err := os.MkdirAll(p.profiles, 0o755); err != nil {
			return err
		}
	}
	all := true
	var failed error
	for i, part := range peersParts() {
		if !parts.MatchString(part.name) {
			all = false
			continue
		}
		begin := time.Now()
		err := attempt(ctx, b, scenario{part.name, func(t *trial) { part.measure(p, t) }}, i+1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = errors.Join(append([]error{failed, fmt.Errorf("%s: %w", part.name, err)}, b.dead()...)...)
		}
		fmt.Printf("%-8s %6.1f s\n", part.name, time.Since(begin).Seconds())
	}
	facts, err := p.facts(ctx, b)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n\n", facts)
	for _, t := range p.tables() {
		fmt.Printf("%s\n\n%s\n", t.caption, align(t.lines))
	}
	if p.table == "" || !all || failed != nil {
		return failed
	}
	if p.profiles != "" {
		fmt.Println("Nothing is written to", p.table+": who is profiled is slower.")
		return nil
	}
	return p.write(facts)
}
