package longnames

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// resolver answers questions from a table. It does no I/O, and looks at no clock but for serials.
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

// lookup answers a question about a name in a zone of the block.
func (r *resolver) lookup(z *zone, q *question) reply {
	stale := !r.table.synced.Load()
	if stale && !r.table.known() {
		return unknown
	}
	answer := r.answer(z, q)
	answer.stale = stale && answer.result != refused
	answer.empty = answer.result == noData && r.isEmpty(z, q)
	if answer.stale && answer.empty {
		return unknown // a cluster that had nobody then may have members now
	}
	return answer
}

// isEmpty reports whether a name is that of a cluster without members, or of its ports.
func (r *resolver) isEmpty(z *zone, q *question) bool {
	if z.reverse {
		return false
	}
	c, below := r.locate(z.relative(q.name))
	return c != nil && (below == "" || below[0] == '_') && len(c.members(r.config).nodes) == 0
}

func (r *resolver) answer(z *zone, q *question) reply {
	if q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR {
		return reply{result: refused}
	}
	set, ok := r.find(z, q)
	if ok && q.qtype == dns.TypeANY {
		set = minimalAny(q.qname, r.config.ttl)
	}
	switch {
	case !ok:
		return reply{result: nameError}
	case set.len() == 0:
		return reply{result: noData}
	}
	return reply{result: success, set: set, owner: q.qname, hosts: &r.table.hosts}
}

// find looks for the records of a name, and reports whether the name exists.
func (r *resolver) find(z *zone, q *question) (set *rrset, exists bool) {
	relative := z.relative(q.name)
	if relative == "" {
		if set := r.apex(z, q); set != nil {
			return set, true
		}
	}
	if q.name == z.server && q.server.IsValid() && addressType(q.server) == q.qtype {
		return &rrset{answer: []dns.RR{addressRecord(q.qname, q.server, r.config.ttl)}}, true
	}
	if z.reverse {
		set, exists = r.reverse(q)
	} else {
		set, exists = r.forward(z, q, relative)
	}
	return set, exists || q.name == z.name || q.name == z.parent || q.name == z.server
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
	return z.soa(owner, r.config.ttl, z.serial.at(time.Now()))
}

// forward looks among clusters, then among host parts.
func (r *resolver) forward(z *zone, q *question, relative string) (set *rrset, exists bool) {
	if c, below := r.locate(relative); c != nil {
		if set, ok := r.inCluster(c, z, q, below); ok {
			return set, true
		}
	}
	if r.config.hosts != outside {
		if set, ok := r.host(q); ok {
			return set, true
		}
	}
	return nil, r.table.spaces.has(relative)
}

// locate finds the cluster that a name is in, and what of the name lies below it.
func (r *resolver) locate(relative string) (c *view, below string) {
	if r.config.rules.GroupLabel < 0 {
		return r.table.view(""), relative
	}
	at, dots := len(relative), 0
	for ; at > 0; at-- {
		if relative[at-1] == '.' {
			if dots++; dots == 2 {
				break
			}
		}
	}
	return r.table.view(relative[at:]), strings.TrimSuffix(relative[:at], ".")
}

// inCluster looks for what lies at a cluster's name or below it. An asker that is not
// listed finds itself added.
func (r *resolver) inCluster(c *view, z *zone, q *question, below string) (set *rrset, exists bool) {
	return r.among(c.members(r.config), z, q, below)
}

// among does so among the members of a cluster.
func (r *resolver) among(m *members, z *zone, q *question, below string) (set *rrset, exists bool) {
	records := &m.records[z.index]
	asker := m.waiting[q.client]
	switch {
	case below == "":
		set := records.of(q.qtype)
		if len(asker) > 0 && set != nil {
			set = records.with(set, r.config.rrset(q.qtype, records.owner, asker, m.hosts(r.config)))
		}
		return set, true
	case below[0] == '_':
		return r.port(m, records, asker, q.qtype, below)
	}
	d := m.directory(r.config)
	if nodes := d.byName[below]; len(nodes) > 0 {
		return d.set(nameType{q.name, q.qtype}, nodes, func() *rrset { return r.config.rrset(q.qtype, q.name, nodes, m.hosts(r.config)) }), true
	}
	return nil, d.above[below]
}

// port looks for _PORT._PROTOCOL, and for _PROTOCOL alone, which has no records.
func (r *resolver) port(m *members, records *records, asker []*membership.Node, qtype uint16, name string) (set *rrset, exists bool) {
	exists = m.services().has(name)
	for _, n := range asker {
		exists = exists || hasService(n, name)
	}
	if qtype != dns.TypeSRV {
		return nil, exists
	}
	set = records.ofPort(name)
	if asker = declaring(asker, name); len(asker) > 0 {
		set = records.with(set, r.config.portSet(records.owner, name, asker, m.hosts(r.config)))
	}
	return set, exists
}

// host looks for a host part, of any cluster.
func (r *resolver) host(q *question) (set *rrset, exists bool) {
	if !r.table.indexed() {
		d := r.table.view("").members(r.config).directory(r.config)
		return r.hostSet(q, d, d.byHost[q.name]), len(d.byHost[q.name]) > 0 || d.above[q.name]
	}
	in := r.table.hosts.in(q.name)
	d, nodes := r.nodes(in, func(d *directory) []*membership.Node { return d.byHost[q.name] })
	return r.hostSet(q, d, nodes), len(in) > 0 || r.table.hostNames.has(q.name)
}

// nodes returns the best of those that some clusters have, a few of each. If it is one cluster, it returns
// all, and the cluster's directory.
func (r *resolver) nodes(in []occurrence, of func(*directory) []*membership.Node) (d *directory, nodes []*membership.Node) {
	if len(in) == 1 {
		d = in[0].view.members(r.config).directory(r.config)
		return d, of(d)
	}
	for _, o := range in {
		all := of(o.view.members(r.config).directory(r.config))
		for _, n := range all[:min(len(all), fewNodes)] {
			nodes = best(nodes, n)
		}
	}
	return nil, nodes
}

// hostSet has the addresses of a host part, which has no other records.
func (r *resolver) hostSet(q *question, d *directory, nodes []*membership.Node) *rrset {
	if len(nodes) == 0 || q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA {
		return nil
	}
	return d.set(nameType{q.name, q.qtype}, nodes, func() *rrset { return &rrset{answer: r.config.addresses(q.qtype, q.name, nodes)} })
}

// reverse looks for an address: it has one PTR record, for inet_res:gethostbyaddr takes
// several for none.
func (r *resolver) reverse(q *question) (set *rrset, exists bool) {
	prefix, ok := reversePrefix(q.name)
	if !ok {
		return nil, false
	}
	var nodes []*membership.Node
	var d *directory
	switch {
	case !r.table.indexed():
		d = r.table.view("").members(r.config).directory(r.config)
		if !prefix.IsSingleIP() {
			return nil, d.addresses.overlaps(prefix)
		}
		nodes = d.byAddress[prefix.Addr()]
	case !prefix.IsSingleIP():
		return nil, r.table.prefixes.has(prefix)
	default:
		d, nodes = r.nodes(r.table.addresses.in(prefix.Addr()), func(d *directory) []*membership.Node { return d.byAddress[prefix.Addr()] })
	}
	if len(nodes) == 0 || q.qtype != dns.TypePTR {
		return nil, len(nodes) > 0
	}
	return d.set(nameType{q.name, q.qtype}, nodes, func() *rrset { return &rrset{answer: []dns.RR{r.config.pointer(q.name, nodes)}} }), true
}

// minimalAny is the answer to a question for records of any type (RFC 8482, section 4.2).
func minimalAny(owner string, ttl uint32) *rrset {
	return &rrset{answer: []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, ttl), Cpu: "RFC8482"}}}
}
