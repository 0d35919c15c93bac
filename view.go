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

// view is what questions see of a cluster. They read its roster without a lock; only the table, under
// its own, replaces it.
type view struct {
	name   string // relative to the zone, lower case; empty at the apex
	roster atomic.Pointer[roster]
}

func newView(name string) *view {
	v := &view{name: name}
	v.roster.Store(&roster{Roster: &membership.Roster{}})
	return v
}

// members returns the named members as of now.
func (v *view) members(conf *config) *members {
	return v.roster.Load().members(conf, v.name)
}

// roster is a cluster's at one time. What follows from it is worked out at the first question.
type roster struct {
	*membership.Roster
	once  sync.Once
	built *members
}

// members returns the named members of a cluster that is or was made of r.
func (r *roster) members(conf *config, cluster string) *members {
	r.once.Do(func() {
		nodes, _ := conf.rules.Nodes(r.Roster)
		r.built = newMembers(conf, cluster, nodes)
	})
	return r.built
}

// members are the named candidates of a roster, and the records made of them.
type members struct {
	nodes []membership.Node // ordered by longname
	count int               // of the longnames that are listed
	// waiting are those that are not listed, by address; nil if there are none.
	waiting map[netip.Addr][]*membership.Node
	records []records // by zone.index

	once  sync.Once
	found *directory
}

func newMembers(c *config, cluster string, nodes []membership.Node) *members {
	m := &members{nodes: nodes, count: listed(nodes)}
	for i := range m.nodes {
		if n := &m.nodes[i]; !n.Listed {
			if m.waiting == nil {
				m.waiting = make(map[netip.Addr][]*membership.Node)
			}
			m.waiting[n.Address()] = append(m.waiting[n.Address()], n)
		}
	}
	for i := range c.zones {
		if z := &c.zones[i]; !z.reverse {
			m.records = append(m.records, records{config: c, members: m, owner: z.absolute(cluster)})
		}
	}
	return m
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

// directory is for finding single nodes.
func (m *members) directory(c *config) *directory {
	m.once.Do(func() { m.found = newDirectory(c, m.nodes) })
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

// directory finds single nodes of a cluster, listed or not: whether a node is listed is a matter of
// probes, but a name belongs to its node as long as that is there. Where several have the
// same name, those that are most likely alive have it.
type directory struct {
	// byName has hostnames, pod names and dashed addresses, in lower case, relative to the
	// cluster.
	byName map[string][]*membership.Node
	// byHost has host parts, in lower case with a final dot; none if they lie outside our zones.
	byHost map[string][]*membership.Node
	// byAddress and addresses are empty if no zone is reverse.
	byAddress map[netip.Addr][]*membership.Node
	addresses addresses
	// above has what exists only because something in byName or byHost lies below it.
	above map[string]bool
}

func newDirectory(c *config, nodes []membership.Node) *directory {
	d := &directory{
		byName: make(map[string][]*membership.Node, 2*len(nodes)),
		byHost: make(map[string][]*membership.Node),
		above:  make(map[string]bool),
	}
	if c.reverse {
		d.byAddress = make(map[netip.Addr][]*membership.Node, len(nodes))
	}
	for i := range nodes {
		n := &nodes[i]
		for _, name := range []string{n.Member.Hostname, n.Member.Pod(), membership.Dashed(n.Address())} {
			if name != "" {
				d.add(d.byName, name, n)
			}
		}
		if c.hosts != outside {
			d.add(d.byHost, n.Host(), n)
		}
		if c.reverse {
			d.byAddress[n.Address()] = best(d.byAddress[n.Address()], n)
		}
	}
	d.addresses.all = maps.Keys(d.byAddress)
	return d
}

func (d *directory) add(names map[string][]*membership.Node, name string, n *membership.Node) {
	name = strings.ToLower(name)
	names[name] = best(names[name], n)
	for _, parent, more := strings.Cut(name, "."); more && !d.above[parent]; _, parent, more = strings.Cut(parent, ".") {
		d.above[parent] = true
	}
}

// best adds n to nodes of the same name, and keeps those of the highest rank. Names of one
// node come one after the other.
func best(nodes []*membership.Node, n *membership.Node) []*membership.Node {
	switch {
	case len(nodes) == 0 || n.Rank() > nodes[0].Rank():
		return []*membership.Node{n}
	case n.Rank() < nodes[0].Rank() || nodes[len(nodes)-1] == n:
		return nodes
	}
	return append(nodes, n)
}

// hosts returns nodes by host part as the directory does.
func (m *members) hosts(c *config) hosts {
	return func(target string) []*membership.Node { return m.directory(c).byHost[strings.ToLower(target)] }
}

// hostsOf does the same for listed nodes, without a directory: one that is not listed never takes a
// host part from one that is. Only SRV records ask, so it looks at the nodes when first called.
func hostsOf(listed []*membership.Node) hosts {
	var byHost map[string][]*membership.Node
	return func(target string) []*membership.Node {
		if byHost == nil {
			byHost = make(map[string][]*membership.Node, len(listed))
			for _, n := range listed {
				host := strings.ToLower(n.Host())
				byHost[host] = best(byHost[host], n)
			}
		}
		return byHost[strings.ToLower(target)]
	}
}

// lazy is something that is made when it is first asked for. There are many: it is as small
// as can be, so that those of one cluster share a lock.
type lazy[T any] struct{ made atomic.Pointer[T] }

func (l *lazy[T]) get(mu *sync.Mutex, made func() *T) *T {
	if got := l.made.Load(); got != nil {
		return got
	}
	mu.Lock()
	defer mu.Unlock()
	if l.made.Load() == nil {
		l.made.Store(made())
	}
	return l.made.Load()
}

// records are the RRsets of one cluster in one zone.
type records struct {
	config  *config
	members *members
	owner   string

	mu                sync.Mutex // held while one of them is made
	srv, txt, a, aaaa lazy[rrset]
	ports             lazy[portSets]
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
		return r.config.rrset(qtype, r.owner, listed, hostsOf(listed))
	})
}

// ofPorts returns the SRV sets of all ports that somebody declares, and of epmd's.
func (r *records) ofPorts() portSets {
	return *r.ports.get(&r.mu, func() *portSets {
		listed := r.members.listed()
		sets := r.config.portSets(r.owner, listed, hostsOf(listed))
		return &sets
	})
}
