package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/longnames/longnames/membership"
)

// place is where a node is found with group_by: its address and its host part.
type place struct {
	address netip.Addr
	host    string // lower case, with a final dot
}

// move is how the places of a cluster's nodes change.
type move struct{ come, gone []place }

// moves returns how the places of each edited cluster change; nil if no zone needs an index.
func (t *table) moves(edits []*membership.Edit) []move {
	c := t.config
	if !t.indexed() || !c.reverse && c.hosts == outside {
		return nil
	}
	moves := make([]move, len(edits))
	for i, e := range edits {
		if e.Cluster != t.state.Ungrouped() {
			was, is := e.Nodes(&c.rules)
			gone, come := placesOf(was), placesOf(is)
			moves[i] = move{come: without(come, gone), gone: without(gone, come)}
		}
	}
	return moves
}

// index counts places in or out.
func (t *table) index(v *view, places []place, delta int) {
	c := t.config
	for _, p := range places {
		if c.reverse && t.addresses.add(p.address, v, delta) {
			t.prefixes.add(p.address, delta)
		}
		if c.hosts != outside && t.hosts.add(p.host, v, delta) {
			_, above, _ := strings.Cut(p.host, ".")
			t.hostNames.add(above, delta)
		}
	}
}

// placesOf returns those of nodes.
func placesOf(nodes []membership.Node) []place {
	places := make([]place, 0, len(nodes))
	for i := range nodes {
		places = append(places, place{nodes[i].Address(), strings.ToLower(nodes[i].Host())})
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
