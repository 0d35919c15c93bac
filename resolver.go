package longnames

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns/coredns/plugin/pkg/fall"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// resolver answers questions in the zones that the same blocks share, from the tables of these together. It does no
// I/O, and looks at no clock but for serials.
type resolver struct {
	encoder
	name    string // of the first block, for metrics
	fall    fall.F
	tables  []*table // in the order of the Corefile
	reverse bool     // a zone has PTR records
	grouped bool     // there can be many clusters

	clusters sync.Map // name → *cluster, of those that have been asked for
	asked    askedCounters
}

// newResolver returns the resolver of blocks that agree on what they must agree on, see disagreement.
func newResolver(tables []*table) *resolver {
	first := tables[0].config
	r := &resolver{name: first.name(), fall: first.fall, tables: tables, grouped: first.rules.GroupLabel >= 0}
	r.ttl = first.ttl
	for _, t := range tables {
		r.blocks = append(r.blocks, t.config)
	}
	return r
}

// add adds a zone to those that the resolver answers in.
func (r *resolver) add(z *zone) {
	if z.reverse {
		r.reverse = true
		return
	}
	z.index = len(r.zones)
	r.zones = append(r.zones, z)
	r.hosts = r.blocks[0].placeIn(r.zones)
	for _, c := range r.blocks[1:] {
		if c.placeIn(r.zones) != r.hosts {
			r.hosts = mixed
		}
	}
}

// question is a question and the client that asks it.
type question struct {
	name   string // lower case, with a final dot
	qname  string // the same as the client spelt it
	qtype  uint16
	client netip.Addr // where the question came from
	server netip.Addr // where it came to; valid if name is a zone's name server
	fit    int        // how many records the client can take at most
}

// reply is the answer to a question.
type reply struct {
	result result
	set    *rrset    // of success
	owner  string    // of the answer's records, as the client spelt it
	by     *resolver // of success
	stale  bool      // made from the last known members, which may be out of date
	empty  bool      // the name is that of a cluster without members
	soa    dns.RR    // of the closest zone, if there is no answer
}

// unknown is the reply while the members are not known.
var unknown = reply{result: unavailable}

// lookup answers a question about a name in a zone. While one of the blocks does not know its members, those of a
// cluster are unknown. An address is not: it has one name, whichever block has it.
func (r *resolver) lookup(z *zone, q *question) reply {
	isKnown, isStale := r.knows(z, q)
	if !isKnown && !z.reverse {
		return unknown
	}
	answer := r.answer(z, q)
	if !isKnown && (answer.result != success || q.qtype != dns.TypePTR) {
		return unknown
	}
	answer.stale = isStale && answer.result != refused
	answer.empty = answer.result == noData && r.isEmpty(z, q)
	if answer.stale && answer.empty {
		return unknown // a cluster that had no members then may have some now
	}
	return answer
}

// isEmpty reports whether a name is that of a cluster without members, or of its ports.
func (r *resolver) isEmpty(z *zone, q *question) bool {
	if z.reverse {
		return false
	}
	c, below := r.locate(z.relative(q.name))
	return c != nil && isOfCluster(below) && len(c.members(r).nodes) == 0
}

func (r *resolver) answer(z *zone, q *question) reply {
	if q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR {
		return reply{result: refused}
	}
	set, ok := r.find(z, q)
	if ok && q.qtype == dns.TypeANY {
		set = minimalAny(q.qname, r.ttl)
	}
	switch {
	case !ok:
		return reply{result: nameError}
	case set.len() == 0:
		return reply{result: noData}
	}
	return reply{result: success, set: set, owner: q.qname, by: r}
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
			set = &rrset{answer: []dns.RR{addressRecord(q.qname, q.server, r.ttl)}}
		}
		return set, true
	}
	if z.reverse {
		set, exists = r.pointTo(q)
	} else {
		set, exists = r.forward(z, q, relative)
	}
	return set, exists || q.name == z.name
}

// apex returns the records that every zone has.
func (r *resolver) apex(z *zone, q *question) *rrset {
	switch q.qtype {
	case dns.TypeSOA:
		return &rrset{answer: []dns.RR{r.soa(z, q)}}
	case dns.TypeNS:
		return &rrset{answer: []dns.RR{z.ns(q.qname, r.ttl)}}
	}
	return nil
}

// soa returns the SOA record, with the zone's name as the question spells it.
func (r *resolver) soa(z *zone, q *question) dns.RR {
	owner := q.qname[len(q.qname)-len(z.name):]
	return z.soa(owner, r.ttl, z.serial.at(time.Now()))
}

// forward looks among clusters and their ports, then among host parts, then among the nodes of a cluster.
func (r *resolver) forward(z *zone, q *question, relative string) (set *rrset, exists bool) {
	c, below := r.locate(relative)
	var m *members
	if c != nil {
		m = c.members(r)
		if isOfCluster(below) {
			if set, ok := r.ofCluster(m, z, q, below); ok {
				return set, true
			}
		}
	}
	all, own, d, exists := r.host(q.name, c)
	of := nameType{q.name, q.qtype}
	switch {
	case len(all) > 0 && (q.qtype == dns.TypeA || q.qtype == dns.TypeAAAA):
		return d.set(of, all, func() *rrset { return &rrset{answer: r.addresses(q.qtype, q.name, all)} }), true
	case len(all) > 0 && isAnyNamed(own, below):
		return m.set(r, of, own), true // the node's name in its cluster, too
	case len(all) > 0:
		return nil, true
	}
	if m != nil {
		if nodes := m.directory(r).byName[below]; len(nodes) > 0 {
			return m.set(r, of, nodes), true
		}
	}
	return nil, exists || r.anyTable(func(t *table) bool { return t.spaces.has(relative) })
}

// isAnyNamed reports whether any of some nodes has a name in its cluster.
func isAnyNamed(nodes []*membership.Node, name string) bool {
	return slices.ContainsFunc(nodes, func(n *membership.Node) bool { return n.IsNamed(name) })
}

// isOfCluster reports whether a name is that of a cluster or of a port, given the part of it that lies below the
// cluster's.
func isOfCluster(below string) bool { return below == "" || below[0] == '_' }

// locate finds the cluster of a name, and the part of the name below it.
func (r *resolver) locate(relative string) (c *cluster, below string) {
	if !r.grouped {
		return r.cluster(""), relative
	}
	at, dots := len(relative), 0
	for ; at > 0; at-- {
		if relative[at-1] == '.' {
			if dots++; dots == 2 {
				break
			}
		}
	}
	return r.cluster(relative[at:]), strings.TrimSuffix(relative[:at], ".")
}

// clusterOf returns the cluster that a question is about: its name is that cluster's, or a port's in it, or of
// one of its nodes, or lies below it. It also returns the zone that has the cluster's name. Nil if there is none.
func (r *resolver) clusterOf(z *zone, q *question) (*cluster, *zone) {
	if z.reverse {
		return r.clusterAt(q)
	}
	c, below := r.locate(z.relative(q.name))
	if c != nil && isOfCluster(below) || !r.grouped {
		return c, z
	}
	_, home, _ := r.owners(r.withHost(q.name), func(d *directory) []*membership.Node { return d.byHost[q.name] })
	if home != nil {
		return home, z
	}
	return c, z
}

// clusterAt returns the cluster of the node at the address that a PTR question is about.
func (r *resolver) clusterAt(q *question) (*cluster, *zone) {
	prefix, ok := reversePrefix(q.name)
	if !ok || !prefix.IsSingleIP() {
		return nil, nil
	}
	nodes, home, _ := r.ownersOf(prefix.Addr())
	if len(nodes) == 0 {
		return nil, nil
	}
	return home, r.tables[membership.Owner("", nodes).Block].config.first()
}

// ofCluster looks for the records of a cluster or of its ports. An asker that is not listed finds itself added.
func (r *resolver) ofCluster(m *members, z *zone, q *question, below string) (set *rrset, exists bool) {
	records := &m.records[z.index]
	asker := m.waiting[q.client]
	if below == "" {
		set := records.of(q.qtype)
		if len(asker) > 0 && set != nil {
			set = records.with(set, r.rrset(q.qtype, records.owner, asker, m.hosts(r)))
		}
		return set, true
	}
	return r.ofPort(m, records, asker, q.qtype, below, q.fit)
}

// ofPort looks for _PORT._PROTOCOL, and for _PROTOCOL alone, which has no records.
func (r *resolver) ofPort(m *members, records *records, asker []*membership.Node, qtype uint16, name string, fit int) (set *rrset, exists bool) {
	exists = m.services().has(name)
	for _, n := range asker {
		exists = exists || hasService(n, name)
	}
	if qtype != dns.TypeSRV {
		return nil, exists
	}
	set = records.ofPort(name, fit)
	if asker = declaring(asker, name); len(asker) > 0 {
		set = records.with(set, r.portSet(records.owner, name, asker, m.hosts(r)))
	}
	return set, exists
}

// host returns the nodes that have a host part, of all clusters and of one, which may be nil; the directory that all
// of them are in, if it is one; and reports whether the name exists, maybe since host parts lie below it.
func (r *resolver) host(name string, c *cluster) (all, own []*membership.Node, d *directory, exists bool) {
	if r.hosts == outside {
		return nil, nil, nil, false
	}
	if c != nil {
		d = c.members(r).directory(r)
		own = d.byHost[name]
	}
	if !r.grouped {
		return own, own, d, len(own) > 0 || d.above[name]
	}
	in := r.withHost(name)
	all, _, d = r.owners(in, func(d *directory) []*membership.Node { return d.byHost[name] })
	return all, own, d, len(in) > 0 || r.anyTable(func(t *table) bool { return t.hostNames.has(name) })
}

// withHost returns the clusters in which nodes have a host part, where there can be many.
func (r *resolver) withHost(host string) []*cluster {
	return occurring(r, func(t *table) []occurrence { return t.hosts.in(host) })
}

// at returns the clusters that have an address.
func (r *resolver) at(a netip.Addr) []*cluster {
	if !r.grouped {
		return []*cluster{r.cluster("")}
	}
	return occurring(r, func(t *table) []occurrence { return t.addresses.in(a) })
}

// occurring returns the clusters in which a key occurs, given its occurrences in each block.
func occurring(r *resolver, in func(*table) []occurrence) []*cluster {
	var found []*cluster
	for _, t := range r.tables {
		for _, o := range in(t) {
			if slices.ContainsFunc(found, func(c *cluster) bool { return c.name == o.cluster }) {
				continue
			}
			if c := r.cluster(o.cluster); c != nil {
				found = append(found, c)
			}
		}
	}
	return found
}

// sharesHost reports whether several clusters have a host part.
func (r *resolver) sharesHost(host string) bool {
	first, seen := "", false
	for _, t := range r.tables {
		for _, o := range t.hosts.in(host) {
			if seen && o.cluster != first {
				return true
			}
			first, seen = o.cluster, true
		}
	}
	return false
}

// owners returns the owners of a host part or an address that some clusters have, and where the first of them is.
// Each cluster has a few of them; if it is one, all count, and its directory is returned, too.
func (r *resolver) owners(in []*cluster, of func(*directory) []*membership.Node) (nodes []*membership.Node, home *cluster, d *directory) {
	if len(in) == 1 {
		d = in[0].members(r).directory(r)
		return of(d), in[0], d
	}
	homes := make(map[*membership.Node]*cluster)
	for _, c := range in {
		all := of(c.members(r).directory(r))
		for _, n := range all[:min(len(all), fewNodes)] {
			nodes = append(nodes, n)
			homes[n] = c
		}
	}
	if nodes = membership.Owners("", nodes); len(nodes) > 0 {
		home = homes[membership.Owner("", nodes)]
	}
	return nodes, home, nil
}

// ownersOf returns the owners of an address.
func (r *resolver) ownersOf(a netip.Addr) (nodes []*membership.Node, home *cluster, d *directory) {
	return r.owners(r.at(a), func(d *directory) []*membership.Node { return d.byAddress[a] })
}

// pointTo looks for an address: it has one PTR record, for inet_res:gethostbyaddr takes
// several for none.
func (r *resolver) pointTo(q *question) (set *rrset, exists bool) {
	prefix, ok := reversePrefix(q.name)
	if !ok {
		return nil, false
	}
	switch {
	case prefix.IsSingleIP():
	case r.grouped:
		return nil, r.anyTable(func(t *table) bool { return t.prefixes.has(prefix) })
	default:
		return nil, r.cluster("").members(r).directory(r).addresses.overlaps(prefix)
	}
	nodes, _, d := r.ownersOf(prefix.Addr())
	if len(nodes) == 0 || q.qtype != dns.TypePTR {
		return nil, len(nodes) > 0
	}
	return d.set(nameType{q.name, q.qtype}, nodes, func() *rrset { return &rrset{answer: []dns.RR{r.pointer(q.name, nodes)}} }), true
}

// count adds one to a counter of the resolver.
func (r *resolver) count(server string, s slot) { r.asked.count(server, r.name, s) }

func (r *resolver) anyTable(has func(*table) bool) bool { return slices.ContainsFunc(r.tables, has) }

// minimalAny returns the answer to a question for records of any type (RFC 8482, section 4.2).
func minimalAny(owner string, ttl uint32) *rrset {
	return &rrset{answer: []dns.RR{&dns.HINFO{Hdr: header(owner, dns.TypeHINFO, ttl), Cpu: "RFC8482"}}}
}
