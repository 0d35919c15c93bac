package longnames

import (
	"math"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// export is the content of a zone at one time.
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
		y := &ownedZone{export: x, zoneOwner: a, before: x.chain[:i], addresses: x.serverAddresses(), emitted: make(map[string]bool)}
		if !y.all(yield) {
			return false
		}
	}
	return true
}

func (x *export) ttl() uint32 { return x.chain[0].resolver.ttl }

// delegations yields the NS records and addresses of the zones below this one, until yield is false.
func (x *export) delegations(yield func([]dns.RR) bool) bool {
	for name, of := range x.zones {
		if name == x.asked.name || !x.asked.holds(name) || x.lower(name, name) {
			continue
		}
		z, ttl := of.zone, of.resolver.ttl
		if !yield([]dns.RR{z.ns(name, ttl)}) || !yield(addressRecords(z.server, x.serverAddresses(), ttl)) {
			return false
		}
	}
	return true
}

// lower reports whether a name lies in a zone below this one, other than a given one.
func (x *export) lower(name, than string) bool {
	for other, of := range x.zones {
		if other != x.asked.name && other != than && x.asked.holds(other) && of.zone.holds(name) {
			return true
		}
	}
	return false
}

// ownedZone is the part of the zone that one owner of the chain answers for.
type ownedZone struct {
	*export
	zoneOwner
	before    []zoneOwner // those that are asked first
	addresses []netip.Addr
	emitted   map[string]bool // names that several clusters have
}

// all yields the records of the owner that no owner before it has, until yield is false. Records are made cluster
// by cluster, some at a time, and not kept; those of a cluster that is alone are the ones that questions get.
func (y *ownedZone) all(yield func([]dns.RR) bool) bool {
	r := y.resolver
	if y.tells(y.zone.server) && !yield(addressRecords(y.zone.server, y.addresses, r.ttl)) {
		return false
	}
	if !r.grouped {
		c := r.cluster("")
		return y.cluster(c, c.members(r), yield)
	}
	for name := range r.names {
		c := r.clusterNow(name)
		if !y.cluster(c, newMembers(r, name, c.nodes(r)), yield) {
			return false
		}
	}
	return true
}

// cluster yields the records of a cluster with these members.
func (y *ownedZone) cluster(of *cluster, m *members, yield func([]dns.RR) bool) bool {
	if y.zone.reverse {
		return y.pointers(m, yield)
	}
	return y.names(of, m, yield) && y.hosts(of, m, yield)
}

// tells reports whether a question for a name in the zone comes to this owner, if it is in no
// zone below.
func (y *ownedZone) tells(name string) bool {
	if _, ok := dns.IsDomainName(name); !ok || !y.asked.holds(name) || y.lower(name, "") {
		return false
	}
	for _, a := range y.before {
		q := question{name: name, qname: name} // of a type that nothing has
		if _, exists := a.resolver.find(a.zone, &q); exists || !a.resolver.fall.Through(name) {
			return false
		}
	}
	return true
}

// names yields the sets of a cluster's name, of its ports, and of single nodes.
func (y *ownedZone) names(of *cluster, m *members, yield func([]dns.RR) bool) bool {
	r, records := y.resolver, &m.records[y.zone.index]
	if y.tells(records.owner) && !y.sets(records.of, yield) {
		return false
	}
	if !y.ports(m, records, yield) {
		return false
	}
	for below, nodes := range m.directory(r).byName {
		name := y.zone.absolute(below + dotted(of.name))
		set := func(qtype uint16) *rrset { return r.rrset(qtype, name, nodes, m.hosts(r)) }
		if !y.isAnothers(m, name) && y.tells(name) && !y.sets(set, yield) {
			return false
		}
	}
	return true
}

// ports yields the sets of a cluster's ports. They may be many, and each as large as the cluster: none is kept.
func (y *ownedZone) ports(m *members, records *records, yield func([]dns.RR) bool) bool {
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
func (y *ownedZone) isAnothers(m *members, name string) bool {
	r := y.resolver
	return name == y.zone.server || name == y.zone.parent || r.hosts != outside && (len(m.directory(r).byHost[name]) > 0 ||
		r.anyTable(func(t *table) bool { return len(t.hosts.in(name)) > 0 }))
}

// sets yields those of all types that a name can have.
func (*ownedZone) sets(of func(qtype uint16) *rrset, yield func([]dns.RR) bool) bool {
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

// hosts yields the records of host parts, which several clusters may share: addresses and, if a host part is
// also the node's name in its cluster, SRV and TXT.
func (y *ownedZone) hosts(of *cluster, m *members, yield func([]dns.RR) bool) bool {
	r := y.resolver
	if r.hosts == outside {
		return true
	}
	for host, own := range m.directory(r).byHost {
		if !y.tells(host) {
			continue
		}
		all := own
		if r.sharesHost(host) {
			all = nil
			if !y.emitted[host] {
				y.emitted[host] = true
				all, _, _ = r.owners(r.withHost(host), func(d *directory) []*membership.Node { return d.byHost[host] })
			}
		}
		var home *cluster
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
				return &rrset{answer: r.addresses(qtype, host, all)}
			case home != nil && home.name == of.name && isAnyNamed(own, below):
				return r.rrset(qtype, host, own, m.hosts(r))
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
func (y *ownedZone) pointers(m *members, yield func([]dns.RR) bool) bool {
	r := y.resolver
	for address, nodes := range m.directory(r).byAddress {
		name, err := dns.ReverseAddr(address.String())
		if err != nil || !y.tells(name) {
			continue
		}
		if r.grouped && len(r.at(address)) > 1 {
			if y.emitted[name] {
				continue
			}
			y.emitted[name] = true
			nodes, _, _ = r.ownersOf(address)
		}
		if len(nodes) > 0 && !yield([]dns.RR{r.pointer(name, nodes)}) {
			return false
		}
	}
	return true
}

// dotted returns the suffix of the names below a cluster's.
func dotted(cluster string) string {
	if cluster == "" {
		return ""
	}
	return "." + cluster
}
