package longnames

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longnames/longnames/kubeapi"
)

// cluster is the set of nodes that shall find each other. Questions read its roster
// without a lock; only the table, under its own, replaces it.
type cluster struct {
	name   string // relative to the zone, lower case; empty at the apex
	roster atomic.Pointer[roster]
	hold   atomic.Pointer[hold] // nil unless the roster is held
	// doubt is nil unless probes are doubted, which they are not while the roster is held, though
	// it may be one from before. It is for the table only.
	doubt *doubt
	// actual is what there really is, and the roster itself unless that is held. It is
	// for the table only.
	actual *roster
}

func newCluster(name string) *cluster {
	c := &cluster{name: name, actual: &roster{}}
	c.roster.Store(c.actual)
	return c
}

// members gives the named members as of now.
func (c *cluster) members(conf *config) *members {
	return c.roster.Load().members(conf, c.name)
}

// roster is what a cluster was made of at one time. It never changes; what follows from
// it is worked out at the first question.
type roster struct {
	objects []*kubeapi.Object // ordered by namespace and name
	doubted bool              // probes are not believed, see doubt
	once    sync.Once
	built   *members
}

// members gives the named members of a cluster that is or was made of r.
func (r *roster) members(conf *config, cluster string) *members {
	r.once.Do(func() { r.built = newMembers(conf, cluster, r) })
	return r.built
}

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
	return &roster{objects: append(objects, rest...), doubted: r.doubted}
}

// along gives a roster with the members of r, as they are there, and those of other objects,
// some of which may only now have names.
func (r *roster) along(others []*kubeapi.Object, namable func([]*kubeapi.Object) int) *roster {
	if len(others) == 0 {
		return r
	}
	objects := slices.Clone(r.objects)
	var missing []*kubeapi.Object
	for _, o := range others {
		at, found := slices.BinarySearchFunc(r.objects, o, compareObjects)
		if !found {
			missing = append(missing, o)
		} else if namable(r.objects[at:at+1]) == 0 && namable([]*kubeapi.Object{o}) > 0 {
			objects[at] = o
		} else if fresh := newMembersOf(o, r.objects[at]); len(fresh) > 0 {
			both := *r.objects[at]
			both.Members = slices.Concat(both.Members, fresh)
			objects[at] = &both
		}
	}
	return (&roster{objects: objects, doubted: r.doubted}).with(nil, missing)
}

// newMembersOf are those of o whose address the earlier state does not have.
func newMembersOf(o, earlier *kubeapi.Object) []kubeapi.Member {
	known := make(map[netip.Addr]bool, len(earlier.Members))
	for i := range earlier.Members {
		known[earlier.Members[i].Address] = true
	}
	var fresh []kubeapi.Member
	for _, m := range o.Members {
		if !known[m.Address] {
			fresh = append(fresh, m)
		}
	}
	return fresh
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

func newMembers(c *config, cluster string, r *roster) *members {
	m := &members{}
	m.nodes, _ = c.nameAll(r)
	m.count = listed(m.nodes)
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

// listed are the nodes that every question is answered with.
func (m *members) listed() []*node {
	nodes := make([]*node, 0, len(m.nodes))
	for i := range m.nodes {
		if n := &m.nodes[i]; n.listed {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// directory is for finding single nodes.
func (m *members) directory(c *config) *directory {
	m.once.Do(func() { m.found = newDirectory(c, m.nodes) })
	return m.found
}
