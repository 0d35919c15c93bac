package longnames

import (
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// rrset is the answer to one kind of question. It is shared by all who ask, so it is
// never written to.
type rrset struct {
	answer []dns.RR
	// glue are addresses of SRV targets that lie in the block's zones, size the bytes
	// of a whole message with it.
	glue []dns.RR
	size int
}

// zoneRecords are the RRsets of one cluster in one zone, each made when first asked for.
type zoneRecords struct {
	srv, txt, a, aaaa func() *rrset
	// ports has the SRV sets of named ports, as _name._protocol in lower case.
	ports func() map[string]*rrset
}

func newZoneRecords(c *config, m *members, owner string) zoneRecords {
	nodes := sync.OnceValue(func() []*node { return m.listed(netip.Addr{}) })
	lazy := func(qtype uint16) func() *rrset {
		return sync.OnceValue(func() *rrset { return c.records(qtype, owner, nodes()) })
	}
	return zoneRecords{
		srv:  lazy(dns.TypeSRV),
		txt:  lazy(dns.TypeTXT),
		a:    lazy(dns.TypeA),
		aaaa: lazy(dns.TypeAAAA),
		ports: sync.OnceValue(func() map[string]*rrset {
			return c.portRecords(owner, nodes())
		}),
	}
}

// of gives the set for a type, nil for one that clusters have no records of.
func (z *zoneRecords) of(qtype uint16) *rrset {
	switch qtype {
	case dns.TypeSRV:
		return z.srv()
	case dns.TypeTXT:
		return z.txt()
	case dns.TypeA:
		return z.a()
	case dns.TypeAAAA:
		return z.aaaa()
	}
	return nil
}

// records makes the RRset of one type for some nodes.
func (c *config) records(qtype uint16, owner string, nodes []*node) *rrset {
	switch qtype {
	case dns.TypeSRV:
		return c.srv(owner, nodes, func(n *node) []uint16 {
			number, _ := c.port.of(n)
			return []uint16{number}
		})
	case dns.TypeTXT:
		return &rrset{answer: c.txt(owner, nodes)}
	case dns.TypeA, dns.TypeAAAA:
		return &rrset{answer: c.addresses(qtype, owner, nodes)}
	}
	return nil
}

// portRecords makes the SRV sets of all ports that nodes declare, and of epmd's.
func (c *config) portRecords(owner string, nodes []*node) map[string]*rrset {
	sets := make(map[string]*rrset)
	sets["_epmd._tcp"] = c.srv("_epmd._tcp."+owner, nodes, func(n *node) []uint16 {
		return []uint16{c.port.epmd(n)}
	})
	for _, n := range nodes {
		for _, p := range n.ports {
			service := "_" + strings.ToLower(p.Name) + "._" + strings.ToLower(p.Protocol)
			if sets[service] == nil {
				sets[service] = c.srv(service+"."+owner, nodes, func(n *node) []uint16 {
					return n.declares(p.Name, p.Protocol)
				})
			}
		}
	}
	return sets
}

// srv makes SRV records (RFC 2782), one for each target and port.
func (c *config) srv(owner string, nodes []*node, ports func(*node) []uint16) *rrset {
	type end struct {
		target string
		port   uint16
	}
	set := &rrset{answer: make([]dns.RR, 0, len(nodes))}
	seen := make(map[end]bool, len(nodes))
	var inZone []*node
	for _, n := range nodes {
		inside := false
		for _, port := range ports(n) {
			e := end{n.target(), port}
			if seen[e] {
				continue
			}
			seen[e] = true
			set.answer = append(set.answer, &dns.SRV{
				Hdr: header(owner, dns.TypeSRV, c.ttl), Port: port, Target: e.target,
			})
			inside = c.hasZone(e.target)
		}
		if inside {
			inZone = append(inZone, n)
		}
	}
	for _, n := range inZone {
		set.glue = append(set.glue, c.addresses(family(n.address), n.target(), []*node{n})...)
	}
	if len(set.glue) > 0 {
		whole := dns.Msg{Compress: true, Answer: set.answer, Extra: set.glue}
		whole.Question = []dns.Question{{Name: owner, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}
		set.size = whole.Len()
	}
	return set
}

// txt makes TXT records, each of one string: the longname.
func (c *config) txt(owner string, nodes []*node) []dns.RR {
	rrs := make([]dns.RR, 0, len(nodes))
	for i, n := range nodes {
		if i > 0 && nodes[i-1].text == n.text {
			continue // nodes are ordered by it
		}
		rrs = append(rrs, &dns.TXT{Hdr: header(owner, dns.TypeTXT, c.ttl), Txt: []string{n.longname()}})
	}
	return rrs
}

// addresses makes the A or AAAA records of those nodes that have an address of that type.
func (c *config) addresses(qtype uint16, owner string, nodes []*node) []dns.RR {
	rrs := make([]dns.RR, 0, len(nodes))
	seen := make(map[netip.Addr]bool, len(nodes))
	for _, n := range nodes {
		if family(n.address) != qtype || seen[n.address] {
			continue
		}
		seen[n.address] = true
		rrs = append(rrs, addressRecord(owner, n.address, c.ttl))
	}
	return rrs
}

// addressRecord makes an A or an AAAA record.
func addressRecord(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}

// family is the type of the record that holds an address.
func family(a netip.Addr) uint16 {
	if a.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// withOwner gives the records the owner's spelling of the question, since older OTP
// compares it with regard to case. The records themselves stay as they are.
func withOwner(rrs []dns.RR, owner string) []dns.RR {
	if len(rrs) == 0 || rrs[0].Header().Name == owner {
		return rrs
	}
	own := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		own[i] = dns.Copy(rr)
		own[i].Header().Name = owner
	}
	return own
}
