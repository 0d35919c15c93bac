package longnames

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// cluster is a cluster at one time, from all blocks that share a zone. Its members and records are made at
// the first question.
type cluster struct {
	name    string               // relative to the zone, lower case; empty at the apex
	rosters []*membership.Roster // of each block; nil for one that knows no such cluster

	once  sync.Once
	built *members
}

// cluster returns a cluster as of now, nil if no block knows it.
func (r *resolver) cluster(name string) *cluster {
	for {
		v, _ := r.clusters.Load(name)
		known, _ := v.(*cluster)
		if known != nil && r.isCurrent(known) {
			return known
		}
		c := r.clusterNow(name)
		if c == nil {
			return nil
		}
		if !r.keep(known, c) {
			continue // another question has kept one: its records are made once
		}
		if r.clusterNow(name) == nil { // it has ended meanwhile, and it could not be forgotten yet
			r.clusters.CompareAndDelete(name, c)
		}
		return c
	}
}

// keep keeps c in place of another cluster, nil if none is kept, and reports whether that was still so.
func (r *resolver) keep(other, c *cluster) bool {
	if other == nil {
		_, isKept := r.clusters.LoadOrStore(c.name, c)
		return !isKept
	}
	return r.clusters.CompareAndSwap(c.name, other, c)
}

// clusterNow makes a cluster, and keeps nothing.
func (r *resolver) clusterNow(name string) *cluster {
	rosters, exists := make([]*membership.Roster, len(r.tables)), false
	for i, t := range r.tables {
		rosters[i] = t.roster(name)
		exists = exists || rosters[i] != nil
	}
	if !exists {
		return nil
	}
	return &cluster{name: name, rosters: rosters}
}

// names yields the name of each cluster once.
func (r *resolver) names(yield func(string) bool) {
	more := true
	for i, t := range r.tables {
		t.views.Range(func(key, _ any) bool {
			name := key.(string)
			isNew := !slices.ContainsFunc(r.tables[:i], func(t *table) bool { return t.view(name) != nil })
			more = !isNew || yield(name)
			return more
		})
		if !more {
			return
		}
	}
}

// forget drops the members and records that are kept of a cluster that has changed, since it may never be asked for
// again.
func (r *resolver) forget(cluster string) { r.clusters.Delete(cluster) }

func (r *resolver) isCurrent(c *cluster) bool {
	for i, t := range r.tables {
		if t.roster(c.name) != c.rosters[i] {
			return false
		}
	}
	return true
}

// members returns the named members of a cluster.
func (c *cluster) members(r *resolver) *members {
	c.once.Do(func() { c.built = newMembers(r, c.name, c.nodes(r)) })
	return c.built
}

// nodes returns the nodes of a cluster, ordered by longname.
func (c *cluster) nodes(r *resolver) []membership.Node {
	all, _ := c.candidates(r)
	if len(c.rosters) == 1 || len(r.zones) == 0 { // a reverse zone has no members
		return all
	}
	return membership.Unite(all)
}

// candidates returns the nodes that each block has, and what each leaves out.
func (c *cluster) candidates(r *resolver) (all []membership.Node, left []membership.LeftOut) {
	for i, roster := range c.rosters {
		if roster == nil {
			continue
		}
		nodes, out := r.tables[i].config.rules.Nodes(roster)
		for at := range nodes {
			nodes[at].Block = uint16(i)
		}
		for at := range out {
			out[at].Block = uint16(i)
		}
		if all, left = append(all, nodes...), append(left, out...); i == 0 {
			all, left = nodes, out
		}
	}
	return all, left
}

// members are the named candidates of a cluster, and the records made of them.
type members struct {
	nodes []membership.Node // ordered by longname
	count int               // of the longnames that are listed
	// waiting are those that are not listed, by address, mostWaiting each; nil if there are none.
	waiting map[netip.Addr][]*membership.Node
	records []records // by zone.index

	once  sync.Once
	found *directory

	ports    lazy[services]
	mayAsk   lazy[map[datum]bool] // see dataOfWaiting
	building sync.Mutex           // held while one of the two is made
}

func newMembers(r *resolver, cluster string, nodes []membership.Node) *members {
	m := &members{nodes: nodes, count: listed(nodes)}
	for i := range m.nodes {
		if n := &m.nodes[i]; !n.Listed {
			if m.waiting == nil {
				m.waiting = make(map[netip.Addr][]*membership.Node)
			}
			m.waiting[n.Address()] = append(m.waiting[n.Address()], n)
		}
	}
	for address, nodes := range m.waiting {
		m.waiting[address] = fewWaiting(nodes)
	}
	for _, z := range r.zones {
		m.records = append(m.records, records{resolver: r, members: m, owner: z.absolute(cluster)})
	}
	return m
}

// dataOfWaiting returns the data, without ports, that records of waiting nodes may have.
func (m *members) dataOfWaiting() map[datum]bool {
	return *m.mayAsk.get(&m.building, func() *map[datum]bool {
		data := make(map[datum]bool)
		for address, nodes := range m.waiting {
			data[datum{address: address}] = true
			for _, n := range nodes {
				data[datum{name: n.Longname()}] = true
				data[datum{name: strings.ToLower(n.Host())}] = true
			}
		}
		return &data
	})
}

// services returns the ports that listed nodes declare.
func (m *members) services() *services {
	return m.ports.get(&m.building, func() *services { return servicesOf(m.listed()) })
}

// listed returns the nodes that every question gets, suspects last: clients connect to one after the
// other, and may wait for the address of a node that is dead.
func (m *members) listed() []*membership.Node {
	nodes := make([]*membership.Node, 0, len(m.nodes))
	suspects := false
	for i := range m.nodes {
		if n := &m.nodes[i]; n.Listed {
			nodes = append(nodes, n)
			suspects = suspects || n.Suspect
		}
	}
	if suspects {
		slices.SortStableFunc(nodes, func(a, b *membership.Node) int { return cmp.Compare(a.Doubt(), b.Doubt()) })
	}
	return nodes
}

// directory returns the index of single nodes, and makes it when it is first asked for.
func (m *members) directory(r *resolver) *directory {
	m.once.Do(func() { m.found = newDirectory(r, m.nodes) })
	return m.found
}

// listed counts the longnames of nodes that are listed; the nodes are ordered by them.
func listed(nodes []membership.Node) int {
	count, last := 0, ""
	for i := range nodes {
		if n := &nodes[i]; n.Listed && n.Longname() != last {
			count, last = count+1, n.Longname()
		}
	}
	return count
}

// records are the RRsets of one cluster in one zone.
type records struct {
	resolver *resolver
	members  *members
	owner    string

	mu                      sync.Mutex // held while one of them is made
	srv, txt, a, aaaa, epmd lazy[rrset]
	ports                   atomic.Pointer[map[string]*rrset] // by name of the service; never written to
}

// of returns the set for a type, nil for one that clusters have no records of.
func (r *records) of(qtype uint16) *rrset {
	var l *lazy[rrset]
	switch qtype {
	case dns.TypeSRV:
		l = &r.srv
	case dns.TypeTXT:
		l = &r.txt
	case dns.TypeA:
		l = &r.a
	case dns.TypeAAAA:
		l = &r.aaaa
	default:
		return nil
	}
	return l.get(&r.mu, func() *rrset {
		listed := r.members.listed()
		return r.resolver.rrset(qtype, r.owner, listed, r.hosts(listed))
	})
}

// hosts returns nodes by host part, for records of listed ones. A single block needs no directory for that.
func (r *records) hosts(listed []*membership.Node) hosts {
	if len(r.resolver.blocks) > 1 {
		return r.members.hosts(r.resolver)
	}
	return hostsOf(listed)
}

// with adds the records of nodes that wait at the client's address. What those share with a set is looked
// for once.
func (r *records) with(set, own *rrset) *rrset {
	if set == nil {
		return own
	}
	said := set.said.get(&r.mu, func() *map[datum]bool {
		said := sharedData(set.answer, r.members.dataOfWaiting())
		return &said
	})
	return set.with(own, *said)
}

// mostPortSets is how many SRV sets of ports are kept, besides epmd's: few nodes have more ports that
// clients ask for, and each set is as large as that of the cluster.
const mostPortSets = 16

// ofPort returns the SRV set of a port, nil if no node declares it. It need not have more than one record that
// does not fit: of many ports in turn, the sets are not kept, so each question has to make its own.
func (r *records) ofPort(service string, fit int) *rrset {
	services := r.members.services()
	if service == epmdService {
		return r.epmd.get(&r.mu, func() *rrset {
			return r.resolver.portSet(r.owner, service, services.listed, r.hosts(services.listed))
		})
	}
	ends := services.ends(service)
	if len(ends) == 0 {
		return nil
	}
	set, keeps := r.keptPort(service, ends)
	if keeps {
		return set
	}
	return r.portSet(service, ends[:min(len(ends), fit+1)], fit)
}

func (r *records) portSet(service string, ends []end, most int) *rrset {
	return r.resolver.srv(serviceOwner(r.owner, service), r.members.services().listed, ends, r.members.hosts(r.resolver), most)
}

// keptPort returns the set of a port, and whether it is kept: those are that are asked for first.
func (r *records) keptPort(service string, ends []end) (set *rrset, keeps bool) {
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	set = r.portSet(service, ends, mostRecords)
	sets := map[string]*rrset{service: set}
	if kept := r.ports.Load(); kept != nil {
		maps.Copy(sets, *kept)
	}
	r.ports.Store(&sets)
	return set, true
}

// keptPorts returns the set of a port if it is kept, and reports whether no more are.
func (r *records) keptPorts(service string) (set *rrset, keeps, full bool) {
	kept := r.ports.Load()
	if kept == nil {
		return nil, false, false
	}
	set, keeps = (*kept)[service]
	return set, keeps, len(*kept) == mostPortSets
}
