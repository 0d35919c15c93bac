package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// srv makes SRV records (RFC 2782), one for each target and port; ports gives those of the
// node of that index. Their glue is the answer to a question for the targets' addresses.
func (c *config) srv(owner string, nodes []*membership.Node, at hosts, ports func(i int) []uint16) *rrset {
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
			e := end{n.Host(), port}
			if !seen[e] {
				seen[e], isNew = true, true
				records = append(records, dns.SRV{Hdr: header(owner, dns.TypeSRV, c.ttl), Port: port, Target: e.target})
				set.answer = append(set.answer, &records[len(records)-1])
			}
		}
		if isNew && c.hasHost(n.Host()) {
			targets = append(targets, n.Host())
		}
	}
	if len(targets) > 0 {
		set.glue = c.glue(targets, at)
	}
	if c.hosts != outside {
		whole := dns.Msg{Compress: true, Answer: set.answer, Extra: set.glue}
		whole.Question = []dns.Question{{Name: owner, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}
		set.size = whole.Len()
	}
	return set
}

// hosts returns the nodes that have a host part, which several may claim.
type hosts func(target string) []*membership.Node

// glue makes the addresses of host parts, some of which may come more than once.
func (c *config) glue(targets []string, at hosts) []dns.RR {
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
				glue = append(glue, addressRecord(p.target, p.address, c.ttl))
			}
		}
	}
	return glue
}

// txt makes TXT records, each of one string: the longname.
func (c *config) txt(owner string, nodes []*membership.Node) []dns.RR {
	rrs, records, strs := make([]dns.RR, 0, len(nodes)), make([]dns.TXT, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Longname() == n.Longname() {
			continue // nodes are ordered by it
		}
		strs[i] = n.Longname()
		records[i] = dns.TXT{Hdr: header(owner, dns.TypeTXT, c.ttl), Txt: strs[i : i+1 : i+1]}
		rrs = append(rrs, &records[i])
	}
	return rrs
}

// addresses makes the A or AAAA records of those nodes that have an address of that type.
func (c *config) addresses(qtype uint16, owner string, nodes []*membership.Node) []dns.RR {
	found := make([]netip.Addr, 0, len(nodes))
	seen := make(map[netip.Addr]bool, len(nodes))
	for _, n := range nodes {
		if a := n.Address(); addressType(a) == qtype && !seen[a] {
			seen[a] = true
			found = append(found, a)
		}
	}
	rrs, hdr := make([]dns.RR, len(found)), header(owner, qtype, c.ttl)
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
func (c *config) pointer(owner string, nodes []*membership.Node) dns.RR {
	first := slices.MinFunc(nodes, func(a, b *membership.Node) int { return strings.Compare(a.Host(), b.Host()) })
	return &dns.PTR{Hdr: header(owner, dns.TypePTR, c.ttl), Ptr: first.Host()}
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

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
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
