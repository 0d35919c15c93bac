package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// resolver answers questions from a table. It does no I/O and looks at no clock.
type resolver struct {
	config *config
	table  *table
}

// question is what is asked, and by whom.
type question struct {
	name   string // lower case, with a final dot
	qname  string // the same as the client spelt it
	qtype  uint16
	client netip.Addr // where the question came from
	server netip.Addr // where it came to; valid if name is a zone's name server
}

// result is the kind of an answer.
type result uint8

const (
	success     result = iota // there are records
	noData                    // the name exists, but has no record of the type
	nameError                 // the name does not exist
	unavailable               // nobody knows yet
	refused                   // not answered here
)

// reply is the answer to a question.
type reply struct {
	result result
	answer []dns.RR // shared: neither it nor its records may be written to
	glue   []dns.RR // likewise; addresses that may be left out
	size   int      // bytes of the message with glue
	soa    dns.RR   // of the zone, if there is no answer
}

// lookup answers a question about a name in a zone of the block.
func (r *resolver) lookup(z *zone, q *question) reply {
	if !r.table.synced.Load() {
		return reply{result: unavailable}
	}
	if q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR {
		return reply{result: refused}
	}
	set, ok := r.find(z, q)
	if ok && q.qtype == dns.TypeANY {
		set = minimalAny(q.qname)
	}
	switch {
	case !ok:
		return reply{result: nameError, soa: r.soa(z, q)}
	case set == nil || len(set.answer) == 0:
		return reply{result: noData, soa: r.soa(z, q)}
	}
	return reply{result: success, answer: withOwner(set.answer, q.qname), glue: set.glue, size: set.size}
}

// find looks for the records of a name, and tells whether the name exists.
func (r *resolver) find(z *zone, q *question) (set *rrset, exists bool) {
	relative := z.relative(q.name)
	if relative == "" {
		if set := r.apex(z, q); set != nil {
			return set, true
		}
	}
	if z.reverse {
		if set, ok := r.reverse(q); ok {
			return set, true
		}
	} else if set, ok := r.forward(z, q, relative); ok {
		return set, true
	}
	switch q.name {
	case z.name, z.parent:
		return nil, true
	case z.server:
		return r.nameServer(q), true
	}
	return nil, false
}

// apex has the records that every zone has.
func (r *resolver) apex(z *zone, q *question) *rrset {
	switch q.qtype {
	case dns.TypeSOA:
		return &rrset{answer: []dns.RR{r.soa(z, q)}}
	case dns.TypeNS:
		return &rrset{answer: []dns.RR{z.ns(q.qname, r.config.ttl)}}
	}
	return nil
}

// soa has the zone's name as the question spells it.
func (r *resolver) soa(z *zone, q *question) dns.RR {
	owner := q.qname[len(q.qname)-len(z.name):]
	return z.soa(owner, r.config.ttl, r.table.serial.Load())
}

func (r *resolver) nameServer(q *question) *rrset {
	if !q.server.IsValid() || family(q.server) != q.qtype {
		return nil
	}
	return &rrset{answer: []dns.RR{addressRecord(q.qname, q.server, r.config.ttl)}}
}

// forward looks among clusters, then among host parts.
func (r *resolver) forward(z *zone, q *question, relative string) (set *rrset, exists bool) {
	if c, below := r.cluster(relative); c != nil {
		if set, ok := r.inCluster(c, z, q, below); ok {
			return set, true
		}
	}
	if set := r.host(q); set != nil {
		return set, true
	}
	return nil, r.table.groups.has(relative) || r.table.hostNames.has(q.name)
}

// cluster finds the cluster that a name is in, and what of the name lies below it.
func (r *resolver) cluster(relative string) (c *cluster, below string) {
	if r.config.groupLabel < 0 {
		return r.table.cluster(""), relative
	}
	at, dots := len(relative), 0
	for ; at > 0; at-- {
		if relative[at-1] == '.' {
			if dots++; dots == 2 {
				break
			}
		}
	}
	return r.table.cluster(relative[at:]), strings.TrimSuffix(relative[:at], ".")
}

// inCluster looks for what lies at a cluster's name or below it.
func (r *resolver) inCluster(c *cluster, z *zone, q *question, below string) (set *rrset, exists bool) {
	m := c.roster.Load().members(r.config, c.name)
	switch {
	case below == "" && m.isWaiting(q.client):
		return r.config.records(q.qtype, q.name, m.listed(q.client)), true
	case below == "":
		return m.zones[z.index].of(q.qtype), true
	case below[0] == '_':
		sets := m.zones[z.index].ports()
		if m.isWaiting(q.client) {
			sets = r.config.portRecords(z.absolute(c.name), m.listed(q.client))
		}
		return findPort(sets, q, below)
	}
	d := m.directory()
	if nodes := d.byName[below]; len(nodes) > 0 {
		return r.config.records(q.qtype, q.name, nodes), true
	}
	return nil, d.below[below]
}

// findPort looks for _PORT._PROTOCOL, and for _PROTOCOL alone, which has no records.
func findPort(sets map[string]*rrset, q *question, below string) (set *rrset, exists bool) {
	if set, ok := sets[below]; ok {
		if q.qtype != dns.TypeSRV {
			return nil, true
		}
		return set, true
	}
	for service := range sets {
		if _, protocol, _ := strings.Cut(service, "."); protocol == below {
			return nil, true
		}
	}
	return nil, false
}

// host looks for a host part of any cluster.
func (r *resolver) host(q *question) *rrset {
	var nodes []*node
	for _, o := range r.table.hosts.in(q.name) {
		d := o.cluster.roster.Load().members(r.config, o.cluster.name).directory()
		for _, n := range d.byHost[q.name] {
			nodes = best(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	if q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA {
		return &rrset{}
	}
	return r.config.records(q.qtype, q.name, nodes)
}

// reverse looks for an address: it has one PTR record, for inet_res:gethostbyaddr takes
// several for none.
func (r *resolver) reverse(q *question) (set *rrset, exists bool) {
	prefix, ok := reversePrefix(q.name)
	if !ok {
		return nil, false
	}
	if !prefix.IsSingleIP() {
		return nil, r.table.reverse.overlaps(prefix, &r.table.addresses)
	}
	var nodes []*node
	for _, o := range r.table.addresses.in(prefix.Addr()) {
		d := o.cluster.roster.Load().members(r.config, o.cluster.name).directory()
		for _, n := range d.byAddress[prefix.Addr()] {
			nodes = best(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return nil, false
	}
	if q.qtype != dns.TypePTR {
		return nil, true
	}
	target := slices.MinFunc(nodes, func(a, b *node) int { return strings.Compare(a.target(), b.target()) }).target()
	return &rrset{answer: []dns.RR{&dns.PTR{Hdr: header(q.qname, dns.TypePTR, r.config.ttl), Ptr: target}}}, true
}

// minimalAny is the answer to a question for records of any type (RFC 8482, section 4.2).
func minimalAny(owner string) *rrset {
	return &rrset{answer: []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, 3600), Cpu: "RFC8482"}}}
}
