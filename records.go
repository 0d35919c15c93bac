package longnames

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// rrset is the answer to one kind of question. It is shared by all who ask, so it is
// never written to.
type rrset struct {
	answer []dns.RR
	// glue are addresses of SRV targets that lie in the block's zones, size the bytes
	// of a whole message with it, if there can be any.
	glue []dns.RR
	size int
}

// with returns a set with more records. Neither of the two changes.
func (s *rrset) with(more *rrset) *rrset {
	return &rrset{answer: union(s.answer, more.answer), glue: union(s.glue, more.glue), size: s.size + more.size}
}

// union returns records, and those of others that are not among them. Neither changes.
func union(rrs, others []dns.RR) []dns.RR {
	both := slices.Clone(rrs)
	for _, rr := range others {
		if !slices.ContainsFunc(rrs, func(known dns.RR) bool { return dns.IsDuplicate(rr, known) }) {
			both = append(both, rr)
		}
	}
	return both
}

// lazy is something that is made when it is first asked for. There are many: it is as small
// as can be, so that those of one cluster share a lock.
type lazy[T any] struct{ made atomic.Pointer[T] }

func (l *lazy[T]) get(mu *sync.Mutex, made func() *T) *T {
	if got := l.made.Load(); got != nil {
		return got
	}
	mu.Lock()
	defer mu.Unlock()
	if l.made.Load() == nil {
		l.made.Store(made())
	}
	return l.made.Load()
}

// records are the RRsets of one cluster in one zone.
type records struct {
	config  *config
	members *members
	owner   string

	mu                sync.Mutex // held while one of them is made
	srv, txt, a, aaaa lazy[rrset]
	ports             lazy[portSets]
}

// portSets are the SRV sets of named ports, as _name._protocol in lower case.
type portSets map[string]*rrset

// of returns the set for a type, nil for one that clusters have no records of.
func (r *records) of(qtype uint16) *rrset {
	var l *lazy[rrset]
	switch qtype {
	case dns.TypeSRV:
		l = &r.srv
	case dns.TypeTXT:
		l = &r.txt
	case dns.TypeA:
		l = &r.a
	case dns.TypeAAAA:
		l = &r.aaaa
	default:
		return nil
	}
	return l.get(&r.mu, func() *rrset {
		listed := r.members.listed()
		return r.config.rrset(qtype, r.owner, listed, hostsOf(listed))
	})
}

// ofPorts returns the SRV sets of all ports that somebody declares, and of epmd's.
func (r *records) ofPorts() portSets {
	return *r.ports.get(&r.mu, func() *portSets {
		listed := r.members.listed()
		sets := r.config.portSets(r.owner, listed, hostsOf(listed))
		return &sets
	})
}

// rrset makes the RRset of one type for some nodes; nil for a type that nodes have none of.
func (c *config) rrset(qtype uint16, owner string, nodes []*membership.Node, at hosts) *rrset {
	switch qtype {
	case dns.TypeSRV:
		return c.srv(owner, nodes, at, func(i int) []uint16 {
			number, _ := c.port.of(nodes[i])
			return []uint16{number}
		})
	case dns.TypeTXT:
		return &rrset{answer: c.txt(owner, nodes)}
	case dns.TypeA, dns.TypeAAAA:
		return &rrset{answer: c.addresses(qtype, owner, nodes)}
	}
	return nil
}

// portSets makes the SRV sets of all ports that nodes declare, and of epmd's.
func (c *config) portSets(owner string, nodes []*membership.Node, at hosts) portSets {
	declared := make(map[string]*declaration)
	for _, n := range nodes {
		for _, p := range n.Ports {
			service := "_" + strings.ToLower(p.Name) + "._" + strings.ToLower(p.Protocol)
			if declared[service] == nil {
				declared[service] = &declaration{}
			}
			declared[service].add(n, p.Number)
		}
	}
	sets := make(portSets, len(declared)+1)
	below := "." + strings.TrimPrefix(owner, ".") // the root is a dot
	for service, d := range declared {
		sets[service] = c.srv(service+below, d.nodes, at, func(i int) []uint16 { return d.ports[i] })
	}
	sets["_epmd._tcp"] = c.srv("_epmd._tcp"+below, nodes, at, func(i int) []uint16 {
		return []uint16{c.port.epmd(nodes[i])}
	})
	return sets
}

// declaration is which nodes declare a port, and with which numbers.
type declaration struct {
	nodes []*membership.Node
	ports [][]uint16
}

func (d *declaration) add(n *membership.Node, port uint16) {
	if last := len(d.nodes) - 1; last >= 0 && d.nodes[last] == n {
		d.ports[last] = append(d.ports[last], port)
		return
	}
	d.nodes = append(d.nodes, n)
	d.ports = append(d.ports, []uint16{port})
}
