package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// export is all that is in a zone.
type export struct {
	*Longnames
	asked *zone
	chain []zoneOwner // all that may answer in it
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

// clusterAt is a cluster at one time.
type clusterAt struct {
	*view
	roster *roster
}

// all yields what the block would answer, unless another one does. What its clusters are made
// of is taken down first, which is quick: a change meanwhile leads to another serial, and so to
// another transfer. Records are made cluster by cluster, and not kept.
func (y *blockZone) all(yield func([]dns.RR) bool) bool {
	c := y.block.config
	if y.tells(y.zone.server) && !yield(addressRecords(y.zone.server, y.addresses, c.ttl)) {
		return false
	}
	var clusters []clusterAt
	y.block.table.views.Range(func(_, v any) bool {
		c := v.(*view)
		clusters = append(clusters, clusterAt{c, c.roster.Load()})
		return true
	})
	for _, of := range clusters {
		nodes, _ := c.rules.Nodes(of.roster.Roster)
		m := newMembers(c, of.name, nodes)
		if y.zone.reverse {
			if !y.pointers(m, yield) {
				return false
			}
			continue
		}
		if !y.cluster(of, m, yield) || !y.hosts(of, m, yield) {
			return false
		}
	}
	return true
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

// cluster yields the sets of a cluster, of its ports, and of single nodes.
func (y *blockZone) cluster(of clusterAt, m *members, yield func([]dns.RR) bool) bool {
	c, records := y.block.config, &m.records[y.zone.index]
	if y.tells(records.owner) && !y.sets(records.owner, records.of, yield) {
		return false
	}
	for service := range m.services().nodes {
		if !isOwner(service) {
			continue
		}
		if set := records.ofPort(service); set.len() > 0 && y.tells(set.answer[0].Header().Name) && !yield(set.answer) {
			return false
		}
	}
	for below, nodes := range m.directory(c).byName {
		name := y.zone.absolute(below + dotted(of.name))
		set := func(qtype uint16) *rrset { return c.rrset(qtype, name, nodes, m.hosts(c)) }
		if isOwner(below) && below[0] != '_' && y.tells(name) && !y.sets(name, set, yield) {
			return false
		}
	}
	return true
}

// sets yields those of all types that a name can have.
func (y *blockZone) sets(name string, of func(qtype uint16) *rrset, yield func([]dns.RR) bool) bool {
	for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeAAAA} {
		if answer := of(qtype).answer; len(answer) > 0 && !y.isServer(name, qtype) && !yield(answer) {
			return false
		}
	}
	return true
}

// isServer reports whether a name has addresses of that type because it is the name server's.
func (y *blockZone) isServer(name string, qtype uint16) bool {
	return name == y.zone.server && slices.ContainsFunc(y.addresses, func(a netip.Addr) bool { return addressType(a) == qtype })
}

// hosts yields the addresses of host parts, of which several clusters may have one.
func (y *blockZone) hosts(of clusterAt, m *members, yield func([]dns.RR) bool) bool {
	c, r := y.block.config, y.block.resolver
	if c.hosts == outside {
		return true
	}
	for host, nodes := range m.directory(c).byHost {
		if y.isInCluster(of, m, host) || !y.tells(host) {
			continue
		}
		if in := r.table.hosts.in(host); len(in) > 1 {
			if y.emitted[host] {
				continue
			}
			y.emitted[host] = true
			_, nodes = r.nodes(in, func(d *directory) []*membership.Node { return d.byHost[host] })
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if rrs := c.addresses(qtype, host, nodes); len(rrs) > 0 && !y.isServer(host, qtype) && !yield(rrs) {
				return false
			}
		}
	}
	return true
}

// isInCluster reports whether a host part is a name in some cluster too, which comes first. Mostly
// that is the node's own, whose members are at hand.
func (y *blockZone) isInCluster(of clusterAt, m *members, host string) bool {
	r, z := y.block.resolver, y.zone
	if !z.holds(host) {
		return false
	}
	in, below := r.locate(z.relative(host))
	switch in {
	case nil:
		return false
	case of.view:
		_, exists := r.among(m, z, &question{name: host, qname: host}, below)
		return exists
	}
	_, exists := r.inCluster(in, z, &question{name: host, qname: host}, below)
	return exists
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
			_, nodes = r.nodes(in, func(d *directory) []*membership.Node { return d.byAddress[address] })
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

// isOwner reports whether somebody can ask for names that begin like this: a question spells
// other characters in another way.
func isOwner(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return text != "" && strings.Trim(text, letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
