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
	case set == nil || len(set.answer) == 0:
		return reply{result: noData}
	}
	return reply{result: success, answer: copyWithOwner(set.answer, q.qname), glue: set.glue, hosts: &r.table.hosts, size: set.size}
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
	all, own, exists := r.host(q.name, c, m)
	switch {
	case len(all) > 0 && (q.qtype == dns.TypeA || q.qtype == dns.TypeAAAA):
		return &rrset{answer: r.config.addresses(q.qtype, q.name, all)}, true
	case len(all) > 0 && len(own) > 0 && !strings.Contains(below, "."):
		return r.config.rrset(q.qtype, q.name, own, m.hosts(r.config)), true // the node's name in its cluster, too
	case len(all) > 0:
		return nil, true
	}
	if m != nil {
		if nodes := m.directory(r.config).byName[below]; len(nodes) > 0 {
			return r.config.rrset(q.qtype, q.name, nodes, m.hosts(r.config)), true
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
			set = set.with(r.config.rrset(q.qtype, records.owner, asker, m.hosts(r.config)))
		}
		return set, true
	}
	set, exists = findPort(records.ofPorts(), q, below)
	if len(asker) > 0 {
		own, ok := findPort(r.config.portSets(records.owner, asker, m.hosts(r.config)), q, below)
		switch {
		case set == nil:
			set = own
		case own != nil:
			set = set.with(own)
		}
		exists = exists || ok
	}
	return set, exists
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

// host returns the nodes that have a host part, of all clusters and of one, which may be nil, as it is; and
// reports whether the name exists, maybe since host parts lie below it.
func (r *resolver) host(name string, c *view, m *members) (all, own []*membership.Node, exists bool) {
	switch {
	case r.config.hosts == outside:
		return nil, nil, false
	case !r.table.indexed():
		d := m.directory(r.config)
		own = d.byHost[name]
		return own, own, len(own) > 0 || d.above[name]
	}
	in := r.table.hosts.in(name)
	all, _ = r.owners(in, func(v *view) []*membership.Node {
		if v == c {
			own = m.directory(r.config).byHost[name]
			return own
		}
		return v.members(r.config).directory(r.config).byHost[name]
	})
	return all, own, len(in) > 0 || r.table.hostNames.has(name)
}

// owners returns the owners of a host part or an address that some clusters have, and where the first of them is.
func (r *resolver) owners(in []occurrence, of func(*view) []*membership.Node) (nodes []*membership.Node, home *view) {
	if len(in) == 1 {
		return of(in[0].view), in[0].view
	}
	homes := make(map[*membership.Node]*view)
	for _, o := range in {
		for _, n := range of(o.view) {
			nodes = append(nodes, n)
			homes[n] = o.view
		}
	}
	if nodes = membership.Owners("", nodes); len(nodes) > 0 {
		home = homes[membership.Owner("", nodes)]
	}
	return nodes, home
}

// ownersOf returns the owners of an address, and the cluster of the first of them.
func (r *resolver) ownersOf(a netip.Addr) (nodes []*membership.Node, home *view) {
	if !r.table.indexed() {
		home = r.table.view("")
		return home.members(r.config).directory(r.config).byAddress[a], home
	}
	return r.owners(r.table.addresses.in(a), func(v *view) []*membership.Node {
		return v.members(r.config).directory(r.config).byAddress[a]
	})
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
	nodes, _ := r.ownersOf(prefix.Addr())
	if len(nodes) == 0 || q.qtype != dns.TypePTR {
		return nil, len(nodes) > 0
	}
	return &rrset{answer: []dns.RR{r.config.pointer(q.qname, nodes)}}, true
}

// minimalAny is the answer to a question for records of any type (RFC 8482, section 4.2).
func minimalAny(owner string, ttl uint32) *rrset {
	return &rrset{answer: []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, ttl), Cpu: "RFC8482"}}}
}
