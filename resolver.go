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
	fit    int        // how many records the client can take at most
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
	if q.name == z.server || q.name == z.parent { // whatever members are called
		if q.name == z.server && q.server.IsValid() && addressType(q.server) == q.qtype {
			set = &rrset{answer: []dns.RR{addressRecord(q.qname, q.server, r.config.ttl)}}
		}
		return set, true
	}
	if z.reverse {
		set, exists = r.reverse(q)
	} else {
		set, exists = r.forward(z, q, relative)
	}
	return set, exists || q.name == z.name
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

// forward looks among clusters and their ports, then among host parts, then among the nodes of a cluster.
func (r *resolver) forward(z *zone, q *question, relative string) (set *rrset, exists bool) {
	c, below := r.locate(relative)
	var m *members
	if c != nil {
		m = c.members(r.config)
		if isOfCluster(below) {
			if set, ok := r.ofCluster(m, z, q, below); ok {
				return set, true
			}
		}
	}
	all, own, d, exists := r.host(q.name, c, m)
	of := nameType{q.name, q.qtype}
	switch {
	case len(all) > 0 && (q.qtype == dns.TypeA || q.qtype == dns.TypeAAAA):
		return d.set(of, all, func() *rrset { return &rrset{answer: r.config.addresses(q.qtype, q.name, all)} }), true
	case len(all) > 0 && len(own) > 0 && own[0].IsNamed(below):
		return m.set(r.config, of, own), true // the node's name in its cluster, too
	case len(all) > 0:
		return nil, true
	}
	if m != nil {
		if nodes := m.directory(r.config).byName[below]; len(nodes) > 0 {
			return m.set(r.config, of, nodes), true
		}
	}
	return nil, exists || r.table.spaces.has(relative)
}

// isOfCluster reports whether a name is that of a cluster or of a port, by what of it lies below the cluster's.
func isOfCluster(below string) bool { return below == "" || below[0] == '_' }

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

// ofCluster looks for the records of a cluster or of its ports. An asker that is not listed finds itself added.
func (r *resolver) ofCluster(m *members, z *zone, q *question, below string) (set *rrset, exists bool) {
	records := &m.records[z.index]
	asker := m.waiting[q.client]
	if below == "" {
		set := records.of(q.qtype)
		if len(asker) > 0 && set != nil {
			set = records.with(set, r.config.rrset(q.qtype, records.owner, asker, m.hosts(r.config)))
		}
		return set, true
	}
	return r.port(m, records, asker, q.qtype, below, q.fit)
}

// port looks for _PORT._PROTOCOL, and for _PROTOCOL alone, which has no records.
func (r *resolver) port(m *members, records *records, asker []*membership.Node, qtype uint16, name string, fit int) (set *rrset, exists bool) {
	exists = m.services().has(name)
	for _, n := range asker {
		exists = exists || hasService(n, name)
	}
	if qtype != dns.TypeSRV {
		return nil, exists
	}
	set = records.ofPort(name, fit)
	if asker = declaring(asker, name); len(asker) > 0 {
		set = records.with(set, r.config.portSet(records.owner, name, asker, m.hosts(r.config)))
	}
	return set, exists
}

// host returns the nodes that have a host part, of all clusters and of one, which may be nil, as it is; the
// directory that all of them are in, if it is one; and reports whether the name exists, maybe since host parts lie
// below it.
func (r *resolver) host(name string, c *view, m *members) (all, own []*membership.Node, d *directory, exists bool) {
	switch {
	case r.config.hosts == outside:
		return nil, nil, nil, false
	case !r.table.indexed():
		d = m.directory(r.config)
		own = d.byHost[name]
		return own, own, d, len(own) > 0 || d.above[name]
	}
	in := r.table.hosts.in(name)
	all, _, d = r.owners(in, func(v *view) (*directory, []*membership.Node) {
		if v != c {
			return v.named(r.config, name)
		}
		d := m.directory(r.config)
		own = d.byHost[name]
		return d, own
	})
	return all, own, d, len(in) > 0 || r.table.hostNames.has(name)
}

// owners returns the owners of a host part or an address that some clusters have, and where the first of them is.
// Each cluster has a few of them; if it is one, all count, and its directory is returned, too.
func (r *resolver) owners(in []occurrence, of func(*view) (*directory, []*membership.Node)) (nodes []*membership.Node, home *view, d *directory) {
	if len(in) == 1 {
		home = in[0].view
		d, nodes = of(home)
		return nodes, home, d
	}
	homes := make(map[*membership.Node]*view)
	for _, o := range in {
		_, all := of(o.view)
		for _, n := range all[:min(len(all), fewNodes)] {
			nodes = append(nodes, n)
			homes[n] = o.view
		}
	}
	if nodes = membership.Owners("", nodes); len(nodes) > 0 {
		home = homes[membership.Owner("", nodes)]
	}
	return nodes, home, nil
}

// ownersOf does so for an address.
func (r *resolver) ownersOf(a netip.Addr) (nodes []*membership.Node, home *view, d *directory) {
	at := func(v *view) (*directory, []*membership.Node) {
		d := v.members(r.config).directory(r.config)
		return d, d.byAddress[a]
	}
	if r.table.indexed() {
		return r.owners(r.table.addresses.in(a), at)
	}
	home = r.table.view("")
	d, nodes = at(home)
	return nodes, home, d
}

// reverse looks for an address: it has one PTR record, for inet_res:gethostbyaddr takes
// several for none.
func (r *resolver) reverse(q *question) (set *rrset, exists bool) {
	prefix, ok := reversePrefix(q.name)
	if !ok {
		return nil, false
	}
	switch {
	case prefix.IsSingleIP():
	case r.table.indexed():
		return nil, r.table.prefixes.has(prefix)
	default:
		return nil, r.table.view("").members(r.config).directory(r.config).addresses.overlaps(prefix)
	}
	nodes, _, d := r.ownersOf(prefix.Addr())
	if len(nodes) == 0 || q.qtype != dns.TypePTR {
		return nil, len(nodes) > 0
	}
	return d.set(nameType{q.name, q.qtype}, nodes, func() *rrset { return &rrset{answer: []dns.RR{r.config.pointer(q.name, nodes)}} }), true
}

// minimalAny is the answer to a question for records of any type (RFC 8482, section 4.2).
func minimalAny(owner string, ttl uint32) *rrset {
	return &rrset{answer: []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, ttl), Cpu: "RFC8482"}}}
}
