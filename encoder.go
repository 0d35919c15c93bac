package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// encoder makes the records of nodes.
type encoder struct {
	ttl   uint32 // seconds
	port  port
	zones []zone
	hosts placement // of host parts
}

// placement says whether host parts lie in zones of the block.
type placement uint8

const (
	outside placement = iota
	inside
	mixed // it depends on the namespace, say
)

// hasHost reports whether a host part, with a final dot, lies in one of the zones.
func (e *encoder) hasHost(host string) bool {
	if e.hosts != mixed {
		return e.hosts == inside
	}
	return slices.ContainsFunc(e.zones, func(z zone) bool { return dns.IsSubDomain(z.name, host) })
}

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

// portSets are the SRV sets of named ports, as _name._protocol in lower case.
type portSets map[string]*rrset

// rrset makes the RRset of one type for some nodes; nil for a type that nodes have none of.
func (e *encoder) rrset(qtype uint16, owner string, nodes []*membership.Node, at hosts) *rrset {
	switch qtype {
	case dns.TypeSRV:
		return e.srv(owner, nodes, at, func(i int) []uint16 {
			number, _ := e.port.of(nodes[i])
			return []uint16{number}
		})
	case dns.TypeTXT:
		return &rrset{answer: e.txt(owner, nodes)}
	case dns.TypeA, dns.TypeAAAA:
		return &rrset{answer: e.addresses(qtype, owner, nodes)}
	}
	return nil
}

// portSets makes the SRV sets of all ports that nodes declare, and of epmd's.
func (e *encoder) portSets(owner string, nodes []*membership.Node, at hosts) portSets {
	declared := make(map[string]*declaration)
	for _, n := range nodes {
		for _, p := range n.Ports {
			if !membership.IsBasename(p.Name) || !membership.IsBasename(p.Protocol) {
				continue // a question spells other characters in another way
			}
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
		sets[service] = e.srv(service+below, d.nodes, at, func(i int) []uint16 { return d.ports[i] })
	}
	sets["_epmd._tcp"] = e.srv("_epmd._tcp"+below, nodes, at, func(i int) []uint16 {
		return []uint16{e.port.epmd(nodes[i])}
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

// srv makes SRV records (RFC 2782), one for each target and port; ports gives those of the
// node of that index. Their glue is the answer to a question for the targets' addresses.
func (e *encoder) srv(owner string, nodes []*membership.Node, at hosts, ports func(i int) []uint16) *rrset {
	type end struct {
		target string
		port   uint16
	}
	set := &rrset{answer: make([]dns.RR, 0, len(nodes))}
	records := make([]dns.SRV, 0, len(nodes)) // all at once; should they be more, those made stay where they are
	seen := make(map[end]bool, len(nodes))
	var targets []string // in our zones
	for i, n := range nodes {
		isNew := false
		for _, port := range ports(i) {
			at := end{n.Host(), port}
			if !seen[at] {
				seen[at], isNew = true, true
				records = append(records, dns.SRV{Hdr: header(owner, dns.TypeSRV, e.ttl), Port: port, Target: at.target})
				set.answer = append(set.answer, &records[len(records)-1])
			}
		}
		if isNew && e.hasHost(n.Host()) {
			targets = append(targets, n.Host())
		}
	}
	if len(targets) > 0 {
		set.glue = e.glue(targets, at)
	}
	if e.hosts != outside {
		whole := dns.Msg{Compress: true, Answer: set.answer, Extra: set.glue}
		whole.Question = []dns.Question{{Name: owner, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}
		set.size = whole.Len()
	}
	return set
}

// hosts returns the nodes that have a host part, which several may claim.
type hosts func(target string) []*membership.Node

// glue makes the addresses of host parts, some of which may come more than once.
func (e *encoder) glue(targets []string, at hosts) []dns.RR {
	type place struct {
		target  string
		address netip.Addr
	}
	glue := make([]dns.RR, 0, len(targets))
	seen := make(map[place]bool, len(targets))
	for _, target := range targets {
		for _, n := range at(target) {
			if p := (place{target, n.Address()}); !seen[p] {
				seen[p] = true
				glue = append(glue, addressRecord(p.target, p.address, e.ttl))
			}
		}
	}
	return glue
}

// txt makes TXT records, each of one string: the longname.
func (e *encoder) txt(owner string, nodes []*membership.Node) []dns.RR {
	rrs, records, strs := make([]dns.RR, 0, len(nodes)), make([]dns.TXT, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Longname() == n.Longname() {
			continue // nodes are ordered by it
		}
		strs[i] = n.Longname()
		records[i] = dns.TXT{Hdr: header(owner, dns.TypeTXT, e.ttl), Txt: strs[i : i+1 : i+1]}
		rrs = append(rrs, &records[i])
	}
	return rrs
}

// addresses makes the A or AAAA records of those nodes that have an address of that type.
func (e *encoder) addresses(qtype uint16, owner string, nodes []*membership.Node) []dns.RR {
	found := make([]netip.Addr, 0, len(nodes))
	seen := make(map[netip.Addr]bool, len(nodes))
	for _, n := range nodes {
		if a := n.Address(); addressType(a) == qtype && !seen[a] {
			seen[a] = true
			found = append(found, a)
		}
	}
	rrs, hdr := make([]dns.RR, len(found)), header(owner, qtype, e.ttl)
	if qtype == dns.TypeA {
		records, ips := make([]dns.A, len(found)), make([][4]byte, len(found))
		for i, a := range found {
			ips[i] = a.As4()
			records[i] = dns.A{Hdr: hdr, A: ips[i][:]}
			rrs[i] = &records[i]
		}
		return rrs
	}
	records, ips := make([]dns.AAAA, len(found)), make([][16]byte, len(found))
	for i, a := range found {
		ips[i] = a.As16()
		records[i] = dns.AAAA{Hdr: hdr, AAAA: ips[i][:]}
		rrs[i] = &records[i]
	}
	return rrs
}

// addressRecords makes A and AAAA records.
func addressRecords(owner string, addresses []netip.Addr, ttl uint32) []dns.RR {
	rrs := make([]dns.RR, 0, len(addresses))
	for _, a := range addresses {
		rrs = append(rrs, addressRecord(owner, a, ttl))
	}
	return rrs
}

// pointer makes the one PTR record of nodes that share an address.
func (e *encoder) pointer(owner string, nodes []*membership.Node) dns.RR {
	return &dns.PTR{Hdr: header(owner, dns.TypePTR, e.ttl), Ptr: membership.Owner("", nodes).Host()}
}

// addressRecord makes an A or an AAAA record.
func addressRecord(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}

// addressType is the type of the record that holds an address.
func addressType(a netip.Addr) uint16 {
	if a.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

// copyWithOwner returns the records with the owner's spelling of the question, since older OTP
// compares it with regard to case. The records themselves stay as they are.
func copyWithOwner(rrs []dns.RR, owner string) []dns.RR {
	if len(rrs) == 0 || rrs[0].Header().Name == owner {
		return rrs
	}
	switch rrs[0].(type) {
	case *dns.SRV:
		return copiesOf[dns.SRV](rrs, owner)
	case *dns.TXT:
		return copiesOf[dns.TXT](rrs, owner)
	case *dns.A:
		return copiesOf[dns.A](rrs, owner)
	case *dns.AAAA:
		return copiesOf[dns.AAAA](rrs, owner)
	}
	own := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		own[i] = dns.Copy(rr)
		own[i].Header().Name = owner
	}
	return own
}

// copiesOf copies records of one type, all at once, with another owner.
func copiesOf[T any, P interface {
	*T
	dns.RR
}](rrs []dns.RR, owner string) []dns.RR {
	copies := make([]T, len(rrs))
	own := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		copies[i] = *rr.(P)
		p := P(&copies[i])
		p.Header().Name = owner
		own[i] = p
	}
	return own
}
