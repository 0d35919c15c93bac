package longnames

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// cluster is the set of nodes that shall find each other. Questions read its roster
// without a lock; only the table, under its own, replaces it.
type cluster struct {
	name   string // relative to the zone, lower case; empty at the apex
	roster atomic.Pointer[roster]

	// The following are for the table only.
	counts headcounts // of members
	pulse  *pulse     // nil if the roster has no suspects
	ledger *ledger    // likewise, or if nothing has changed since it has got them
	due    time.Time  // when the next suspect is given up; zero if none is
}

func newCluster(name string) *cluster {
	c := &cluster{name: name}
	c.roster.Store(&roster{})
	return c
}

// members gives the named members as of now.
func (c *cluster) members(conf *config) *members {
	return c.roster.Load().members(conf, c.name)
}

// roster is what a cluster was made of at one time. It never changes; what follows from
// it is worked out at the first question.
type roster struct {
	objects  []*kubeapi.Object // ordered by namespace and name
	suspects []*suspect        // the oldest first
	once     sync.Once
	built    *members
}

// members gives the named members of a cluster that is or was made of r.
func (r *roster) members(conf *config, cluster string) *members {
	r.once.Do(func() {
		nodes, _ := conf.nameAll(r)
		r.built = newMembers(conf, cluster, nodes)
	})
	return r.built
}

func (r *roster) isEmpty() bool { return len(r.objects)+len(r.suspects) == 0 }

// with gives a roster without some objects and with others, which may be newer states of
// the former, and puts both in order. r itself stays as it is.
func (r *roster) with(removed, added []*kubeapi.Object) *roster {
	slices.SortFunc(removed, compareObjects)
	slices.SortFunc(added, compareObjects)
	objects, rest := make([]*kubeapi.Object, 0, max(0, len(r.objects)-len(removed)+len(added))), r.objects
	upTo := func(o *kubeapi.Object) (found bool) {
		at, found := slices.BinarySearchFunc(rest, o, compareObjects)
		objects, rest = append(objects, rest[:at]...), rest[at:]
		return found
	}
	for len(removed) > 0 || len(added) > 0 {
		if len(added) == 0 || len(removed) > 0 && compareObjects(removed[0], added[0]) <= 0 {
			if upTo(removed[0]) {
				rest = rest[1:]
			}
			removed = removed[1:]
			continue
		}
		upTo(added[0])
		objects, added = append(objects, added[0]), added[1:]
	}
	return &roster{objects: append(objects, rest...)}
}

func compareObjects(a, b *kubeapi.Object) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// members are the named candidates of a roster, and the records made of them.
type members struct {
	nodes []node // ordered by longname
	count int    // of the longnames that are listed
	// waiting are those that are not listed, by address; nil if there are none.
	waiting map[netip.Addr][]*node
	records []records // by zone.index

	once  sync.Once
	found *directory
}

func newMembers(c *config, cluster string, nodes []node) *members {
	m := &members{nodes: nodes, count: listed(nodes)}
	for i := range m.nodes {
		if n := &m.nodes[i]; !n.listed {
			if m.waiting == nil {
				m.waiting = make(map[netip.Addr][]*node)
			}
			m.waiting[n.address()] = append(m.waiting[n.address()], n)
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
func (m *members) listed() []*node {
	nodes := make([]*node, 0, len(m.nodes))
	suspects := false
	for i := range m.nodes {
		if n := &m.nodes[i]; n.listed {
			nodes = append(nodes, n)
			suspects = suspects || n.suspect
		}
	}
	if suspects {
		slices.SortStableFunc(nodes, func(a, b *node) int { return cmp.Compare(a.doubt(), b.doubt()) })
	}
	return nodes
}

// directory is for finding single nodes.
func (m *members) directory(c *config) *directory {
	m.once.Do(func() { m.found = newDirectory(c, m.nodes) })
	return m.found
}
