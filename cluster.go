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
}

// roster is what a cluster was made of at one time. It never changes; what follows from
// it is worked out at the first question.
type roster struct {
	objects []*kubeapi.Object // ordered by namespace and name
	once    sync.Once
	built   *members
}

// members are the named candidates of a roster, and records made of them.
type members struct {
	nodes []node // ordered by longname
	// waiting are those that are not listed, by address.
	waiting map[netip.Addr][]*node
	zones   []zoneRecords

	directory func() *directory
}

func (r *roster) members(c *config, cluster string) *members {
	r.once.Do(func() {
		nodes, _ := c.nameAll(r.objects)
		m := &members{nodes: nodes, zones: make([]zoneRecords, len(c.zones))}
		for i := range nodes {
			if n := &nodes[i]; !n.listed {
				if m.waiting == nil {
					m.waiting = make(map[netip.Addr][]*node)
				}
				m.waiting[n.address] = append(m.waiting[n.address], n)
			}
		}
		for i := range m.zones {
			m.zones[i] = newZoneRecords(c, m, c.zones[i].absolute(cluster))
		}
		m.directory = sync.OnceValue(func() *directory { return newDirectory(m.nodes) })
		r.built = m
	})
	return r.built
}

// listed are the nodes that a question from this address is answered with: the members,
// and the asker itself even if it is not one of them.
func (m *members) listed(client netip.Addr) []*node {
	nodes := make([]*node, 0, len(m.nodes))
	for i := range m.nodes {
		if n := &m.nodes[i]; n.listed || n.address == client {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// isWaiting tells whether the members alone would leave out the asker.
func (m *members) isWaiting(client netip.Addr) bool {
	return m.waiting != nil && len(m.waiting[client]) > 0
}

// with gives a roster without some objects and with others, which may be newer states of
// the former. r itself stays as it is.
func (r *roster) with(removed, added []*kubeapi.Object) *roster {
	slices.SortFunc(removed, compareObjects)
	slices.SortFunc(added, compareObjects)
	objects := make([]*kubeapi.Object, 0, max(0, len(r.objects)-len(removed)+len(added)))
	for _, o := range r.objects {
		for len(added) > 0 && compareObjects(added[0], o) < 0 {
			objects, added = append(objects, added[0]), added[1:]
		}
		if len(removed) > 0 && compareObjects(removed[0], o) == 0 {
			removed = removed[1:]
			continue
		}
		objects = append(objects, o)
	}
	return &roster{objects: append(objects, added...)}
}

func compareObjects(a, b *kubeapi.Object) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// directory finds single nodes of a cluster, listed or not: who is listed is a matter of
// probes, but a name belongs to its node as long as that is there. Where several have the
// same name, those that are most likely alive have it.
type directory struct {
	// byName has hostnames, pod names and dashed addresses, in lower case.
	byName map[string][]*node
	// below has the names that only exist because there are names below them, since a
	// pod's name may have dots.
	below map[string]bool
	// byHost has host parts, in lower case with a final dot.
	byHost    map[string][]*node
	byAddress map[netip.Addr][]*node
}

func newDirectory(nodes []node) *directory {
	d := &directory{
		byName:    make(map[string][]*node, 2*len(nodes)),
		below:     make(map[string]bool),
		byHost:    make(map[string][]*node, len(nodes)),
		byAddress: make(map[netip.Addr][]*node, len(nodes)),
	}
	for i := range nodes {
		n := &nodes[i]
		for _, name := range []string{n.host, n.pod, dashed(n.address)} {
			name = strings.ToLower(name)
			if name == "" {
				continue
			}
			d.byName[name] = best(d.byName[name], n)
			for parent := name; ; {
				_, rest, ok := strings.Cut(parent, ".")
				if !ok {
					break
				}
				parent = rest
				d.below[parent] = true
			}
		}
		host := strings.ToLower(n.target())
		d.byHost[host] = best(d.byHost[host], n)
		d.byAddress[n.address] = best(d.byAddress[n.address], n)
	}
	return d
}

// best adds n to nodes of the same name, and keeps those of the highest rank.
func best(nodes []*node, n *node) []*node {
	switch {
	case len(nodes) == 0 || n.rank() > nodes[0].rank():
		return []*node{n}
	case n.rank() < nodes[0].rank() || slices.Contains(nodes, n):
		return nodes
	}
	return append(nodes, n)
}
