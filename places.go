package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/longnames/longnames/kubeapi"
)

// place is where a node is found with group_by: its address and its host part.
type place struct {
	address netip.Addr
	host    string // lower case, with a final dot
}

// move is how the places of a cluster's nodes change.
type move struct{ come, gone []place }

// moves returns how the places of each edited cluster change; nil if no zone needs an index.
func (t *table) moves(edits map[*cluster]*edit) map[*cluster]move {
	c := t.config
	if !t.indexed() || !c.reverse && c.hosts == outside {
		return nil
	}
	moves := make(map[*cluster]move, len(edits))
	for home, e := range edits {
		if home != t.misfits {
			moves[home] = c.move(home.roster.Load(), e)
		}
	}
	return moves
}

// index counts places in or out.
func (t *table) index(home *cluster, places []place, delta int) {
	c := t.config
	for _, p := range places {
		if c.reverse && t.addresses.add(p.address, home, delta) {
			t.prefixes.add(p.address, delta)
		}
		if c.hosts != outside && t.hosts.add(p.host, home, delta) {
			_, above, _ := strings.Cut(p.host, ".")
			t.hostNames.add(above, delta)
		}
	}
}

// move gives how places change with an edit of a roster. It looks only for members with the IDs of
// which the edit tells, but in all objects: a node may have its name, or its address, from others.
func (c *config) move(had *roster, e *edit) move {
	ids := e.ids(c.hasPlaceOf)
	for _, pair := range [][2][]*suspect{{had.suspects, e.roster.suspects}, {e.roster.suspects, had.suspects}} {
		known := make(map[*suspect]bool, len(pair[1]))
		for _, s := range pair[1] {
			known[s] = true
		}
		for _, s := range pair[0] {
			if !known[s] {
				ids[s.member.ID] = true
			}
		}
	}
	if len(ids) == 0 {
		return move{}
	}
	before, after := e.removed, e.added
	if c.source.Lookup == kubeapi.Endpoints && len(had.objects) > 0 { // of a pod, one object tells
		before, after = of(had.objects, ids), of(e.roster.objects, ids)
	}
	gone, come := c.places(before, had.suspects), c.places(after, e.roster.suspects)
	return move{come: without(come, gone), gone: without(gone, come)}
}

// sameness compares a member of an object with one of its other state.
type sameness func(o, p *kubeapi.Object, m, n *kubeapi.Member) bool

// ids returns those of the members of which an edit tells, but for those that are the same as before.
func (e *edit) ids(same sameness) map[string]bool {
	ids := make(map[string]bool)
	for _, pair := range [][2][]*kubeapi.Object{{e.removed, e.added}, {e.added, e.removed}} {
		for _, o := range pair[0] {
			members := differing(o, pair[1], same)
			for i := range members {
				ids[members[i].ID] = true
			}
		}
	}
	return ids
}

// differing returns the members of o that may differ in its other state, which may be among others, in
// order: the same ones are cut off at both ends.
func differing(o *kubeapi.Object, others []*kubeapi.Object, same sameness) []kubeapi.Member {
	at, found := slices.BinarySearchFunc(others, o, compareObjects)
	if !found {
		return o.Members
	}
	p := others[at]
	return apart(o.Members, p.Members, func(m, n *kubeapi.Member) bool { return same(o, p, m, n) })
}

// hasPlaceOf reports whether a member has the place that it had in another state of its object.
func (c *config) hasPlaceOf(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return p.Service == o.Service && c.naming.basenameOf(p) == c.naming.basenameOf(o) &&
		m.Address == n.Address && m.Hostname == n.Hostname && m.ID == n.ID
}

// isAs reports whether all of a member is as in another state of its object.
func (c *config) isAs(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return *m == *n && c.hasPlaceOf(o, p, m, n)
}

// apart gives members without those that are the same in another list at its begin and its end.
func apart(members, other []kubeapi.Member, same func(m, n *kubeapi.Member) bool) []kubeapi.Member {
	for len(members) > 0 && len(other) > 0 && same(&members[0], &other[0]) {
		members, other = members[1:], other[1:]
	}
	for len(members) > 0 && len(other) > 0 && same(&members[len(members)-1], &other[len(other)-1]) {
		members, other = members[:len(members)-1], other[:len(other)-1]
	}
	return members
}

// of returns the objects, each with only the members that have one of some IDs.
func of(objects []*kubeapi.Object, ids map[string]bool) []*kubeapi.Object {
	some := make([]*kubeapi.Object, 0, len(objects))
	for _, o := range objects {
		var members []kubeapi.Member
		for i := range o.Members {
			if m := &o.Members[i]; ids[m.ID] {
				members = append(members, *m)
			}
		}
		if len(members) > 0 {
			part := *o
			part.Members = members
			some = append(some, &part)
		}
	}
	return some
}

// places gives those of all nodes in objects, and of suspects.
func (c *config) places(objects []*kubeapi.Object, suspects []*suspect) []place {
	nodes, _ := c.named(objects, c.knownByIPv4(objects, suspects))
	nodes = withSuspects(nodes, suspects)
	places := make([]place, 0, len(nodes))
	for i := range nodes {
		places = append(places, nodes[i].place())
	}
	return places
}

func (n *node) place() place { return place{n.address(), strings.ToLower(n.target())} }

// without returns places less others, counting duplicates.
func without(places, others []place) []place {
	if len(others) == 0 {
		return places
	}
	count := make(map[place]int, len(others))
	for _, p := range others {
		count[p]++
	}
	return slices.DeleteFunc(slices.Clone(places), func(p place) bool {
		count[p]--
		return count[p] >= 0
	})
}
