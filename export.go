package longnames

import (
	"math"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// export is all that is in a zone at one time.
type export struct {
	*Longnames
	asked *zone
	chain []zoneOwner // all that may answer in it; frozen
}

// all yields the RRsets of the zone, but for its SOA record, until yield is false.
func (x *export) all(yield func([]dns.RR) bool) bool {
	if !yield([]dns.RR{x.asked.ns(x.asked.name, x.ttl())}) || !x.delegations(yield) {
		return false
	}
	for i, a := range x.chain {
		y := &blockZone{export: x, zoneOwner: a, before: x.chain[:i], addresses: x.serverAddresses(), emitted: make(map[string]bool)}
		if !y.all(yield) {
			return false
		}
	}
	return true
}

func (x *export) ttl() uint32 { return x.chain[0].block.config.ttl }

// delegations are of the zones that begin in this one: what lies in them is theirs.
func (x *export) delegations(yield func([]dns.RR) bool) bool {
	for name, of := range x.zones {
		if name == x.asked.name || !x.asked.holds(name) || x.lower(name, name) {
			continue
		}
		z, ttl := of[0].zone, of[0].block.config.ttl
		if !yield([]dns.RR{z.ns(name, ttl)}) || !yield(addressRecords(z.server, x.serverAddresses(), ttl)) {
			return false
		}
	}
	return true
}

// lower reports whether a name lies in a zone below this one, other than a given one.
func (x *export) lower(name, than string) bool {
	for other, of := range x.zones {
		if other != x.asked.name && other != than && x.asked.holds(other) && of[0].zone.holds(name) {
			return true
		}
	}
	return false
}

// blockZone is what one block has in the zone.
type blockZone struct {
	*export
	zoneOwner
	before    []zoneOwner // those that are asked first
	addresses []netip.Addr
	emitted   map[string]bool // names that several clusters have
}

// all yields what the block would answer, unless another one does. Records are made cluster by cluster,
// some at a time, and not kept; but one that is alone is what questions are answered from.
func (y *blockZone) all(yield func([]dns.RR) bool) bool {
	t := y.block.table
	if y.tells(y.zone.server) && !yield(addressRecords(y.zone.server, y.addresses, y.block.config.ttl)) {
		return false
	}
	more := true
	t.views.Range(func(_, v any) bool {
		of := v.(*view)
		roster := of.roster.Load()
		if t.indexed() {
			nodes, _ := y.block.config.rules.Nodes(roster.Roster)
			more = y.cluster(of, newMembers(y.block.config, of.name, nodes), yield)
			return more
		}
		more = y.cluster(of, roster.members(y.block.config, of.name), yield)
		return more
	})
	return more
}

// cluster yields what a cluster of these members has.
func (y *blockZone) cluster(of *view, m *members, yield func([]dns.RR) bool) bool {
	if y.zone.reverse {
		return y.pointers(m, yield)
	}
	return y.names(of, m, yield) && y.hosts(of, m, yield)
}

// tells reports whether a question for a name in the zone comes to this block, if it is in no
// zone below.
func (y *blockZone) tells(name string) bool {
	if _, ok := dns.IsDomainName(name); !ok || !y.asked.holds(name) || y.lower(name, "") {
		return false
	}
	for _, a := range y.before {
		q := question{name: name, qname: name} // of a type that nothing has
		if _, exists := a.block.resolver.find(a.zone, &q); exists || !a.block.config.fall.Through(name) {
			return false
		}
	}
	return true
}

// names yields the sets of a cluster's name, of its ports, and of single nodes.
func (y *blockZone) names(of *view, m *members, yield func([]dns.RR) bool) bool {
	c, records := y.block.config, &m.records[y.zone.index]
	if y.tells(records.owner) && !y.sets(records.of, yield) {
		return false
	}
	if !y.ports(m, records, yield) {
		return false
	}
	for below, nodes := range m.directory(c).byName {
		name := y.zone.absolute(below + dotted(of.name))
		set := func(qtype uint16) *rrset { return c.rrset(qtype, name, nodes, m.hosts(c)) }
		if !y.isAnothers(m, name) && y.tells(name) && !y.sets(set, yield) {
			return false
		}
	}
	return true
}

// ports yields the sets of a cluster's ports. They may be many, and each as large as the cluster: none is kept.
func (y *blockZone) ports(m *members, records *records, yield func([]dns.RR) bool) bool {
	services := m.services()
	if set := records.ofPort(epmdService, mostRecords); set.len() > 0 && y.tells(set.answer[0].Header().Name) && !inParts(set.answer, yield) {
		return false
	}
	for service := range services.named {
		if service == epmdService || !y.tells(serviceOwner(records.owner, service)) {
			continue
		}
		for ends := range slices.Chunk(services.endsOf(service, math.MaxInt), transferBatch) {
			if !yield(records.portSet(service, ends, 0).answer) {
				return false
			}
		}
	}
	return true
}

// isAnothers reports whether a node's name in its cluster is the name server's or a host part, which come first.
func (y *blockZone) isAnothers(m *members, name string) bool {
	c := y.block.config
	return name == y.zone.server || name == y.zone.parent || c.hosts != outside && (len(m.directory(c).byHost[name]) > 0 || len(y.block.table.hosts.in(name)) > 0)
}

// sets yields those of all types that a name can have.
func (*blockZone) sets(of func(qtype uint16) *rrset, yield func([]dns.RR) bool) bool {
	for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeAAAA} {
		if answer := of(qtype).answer; len(answer) > 0 && !inParts(answer, yield) {
			return false
		}
	}
	return true
}

// inParts yields copies of records, some at a time: a record keeps all records that it was made with.
func inParts(rrs []dns.RR, yield func([]dns.RR) bool) bool {
	for part := range slices.Chunk(rrs, transferBatch) {
		copies := make([]dns.RR, len(part))
		for i, rr := range part {
			copies[i] = dns.Copy(rr)
		}
		if !yield(copies) {
			return false
		}
	}
	return true
}

// hosts yields the records of host parts, of which several clusters may have one: addresses, and what a node
// has by its name in its cluster if that is the same.
func (y *blockZone) hosts(of *view, m *members, yield func([]dns.RR) bool) bool {
	c, r := y.block.config, y.block.resolver
	if c.hosts == outside {
		return true
	}
	for host, own := range m.directory(c).byHost {
		if !y.tells(host) {
			continue
		}
		all := own
		if in := r.table.hosts.in(host); len(in) > 1 {
			all = nil
			if !y.emitted[host] {
				y.emitted[host] = true
				all, _, _ = r.owners(in, func(v *view) (*directory, []*membership.Node) { return v.named(c, host) })
			}
		}
		var home *view
		var below string
		if y.zone.holds(host) {
			home, below = r.locate(y.zone.relative(host))
		}
		if home != nil && isOfCluster(below) { // the zone's own name
			continue
		}
		set := func(qtype uint16) *rrset {
			switch {
			case qtype == dns.TypeA || qtype == dns.TypeAAAA:
				return &rrset{answer: c.addresses(qtype, host, all)}
			case home == of && len(own) > 0 && own[0].IsNamed(below):
				return c.rrset(qtype, host, own, m.hosts(c))
			}
			return &rrset{}
		}
		if !y.sets(set, yield) {
			return false
		}
	}
	return true
}

// pointers yields the PTR records of members' addresses.
func (y *blockZone) pointers(m *members, yield func([]dns.RR) bool) bool {
	c, r := y.block.config, y.block.resolver
	for address, nodes := range m.directory(c).byAddress {
		name, err := dns.ReverseAddr(address.String())
		if err != nil || !y.tells(name) {
			continue
		}
		if in := r.table.addresses.in(address); len(in) > 1 {
			if y.emitted[name] {
				continue
			}
			y.emitted[name] = true
			nodes, _, _ = r.ownersOf(address)
		}
		if len(nodes) > 0 && !yield([]dns.RR{c.pointer(name, nodes)}) {
			return false
		}
	}
	return true
}

// dotted is what follows a name below a cluster's.
func dotted(cluster string) string {
	if cluster == "" {
		return ""
	}
	return "." + cluster
}
