package longnames

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

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
