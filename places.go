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
	ids := make(map[string]bool)
	for _, pair := range [][2][]*kubeapi.Object{{e.removed, e.added}, {e.added, e.removed}} {
		for _, o := range pair[0] {
			members := c.differing(o, pair[1])
			for i := range members {
				ids[members[i].ID] = true
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
	gone, come := c.places(before), c.places(after)
	return move{come: without(come, gone), gone: without(gone, come)}
}

// differing returns the members of o whose place may differ in its other state, which may be among
// others, in order: equal ones are cut off at both ends.
func (c *config) differing(o *kubeapi.Object, others []*kubeapi.Object) []kubeapi.Member {
	at, found := slices.BinarySearchFunc(others, o, compareObjects)
	if !found || others[at].Service != o.Service || c.naming.basenameOf(others[at]) != c.naming.basenameOf(o) {
		return o.Members
	}
	return apart(o.Members, others[at].Members, func(m, n *kubeapi.Member) bool {
		return m.Address == n.Address && m.Hostname == n.Hostname && m.ID == n.ID
	})
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

// places gives those of all nodes in objects.
func (c *config) places(objects []*kubeapi.Object) []place {
	candidates := join(objects, c.include, c.source.Family)
	places := make([]place, 0, len(candidates))
	for i := range candidates {
		if n, _, p := c.nameOf(&candidates[i]); p == noProblem {
			places = append(places, place{n.address(), strings.ToLower(n.target())})
		}
	}
	return places
}

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
