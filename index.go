package longnames

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longnames/longnames/membership"
)

// index has the clusters in which something occurs. Readers need no lock; writers have the
// table's.
type index[K comparable] struct {
	m      sync.Map     // K → []occurrence, never written to
	shared atomic.Int64 // keys that occur in several clusters
}

type occurrence struct {
	view  *view
	count int
}

func (x *index[K]) in(k K) []occurrence {
	v, _ := x.m.Load(k)
	found, _ := v.([]occurrence)
	return found
}

// add counts k in or out, and reports whether it has come, or has gone with that.
func (x *index[K]) add(k K, v *view, delta int) (changed bool) {
	known := x.in(k)
	next := slices.Clone(known)
	at := slices.IndexFunc(next, func(o occurrence) bool { return o.view == v })
	if at < 0 {
		at = len(next)
		next = append(next, occurrence{view: v})
	}
	next[at].count += delta
	if next[at].count <= 0 {
		next = slices.Delete(next, at, at+1)
	}
	switch {
	case len(known) < 2 && len(next) > 1:
		x.shared.Add(1)
	case len(known) > 1 && len(next) < 2:
		x.shared.Add(-1)
	}
	if len(next) == 0 {
		x.m.Delete(k)
	} else {
		x.m.Store(k, next)
	}
	return len(known) == 0 != (len(next) == 0)
}

// copyTo fills an index of other views, which stand for those of this one.
func (x *index[K]) copyTo(other *index[K], views map[*view]*view) {
	x.m.Range(func(k, v any) bool {
		var found []occurrence
		for _, o := range v.([]occurrence) {
			if of := views[o.view]; of != nil {
				found = append(found, occurrence{of, o.count})
			}
		}
		other.m.Store(k, found)
		return true
	})
	other.shared.Store(x.shared.Load())
}

// names counts the names that lie at or below a name: one that has any below it exists,
// though it may have no records (RFC 8020). Readers need no lock; writers have the table's.
type names struct{ m sync.Map } // string → int

func (n *names) has(name string) bool {
	_, ok := n.m.Load(name)
	return ok
}

// add counts name and all its ancestors.
func (n *names) add(name string, delta int) {
	for more := true; more && name != ""; _, name, more = strings.Cut(name, ".") {
		count := delta
		if v, ok := n.m.Load(name); ok {
			count += v.(int)
		}
		if count > 0 {
			n.m.Store(name, count)
		} else {
			n.m.Delete(name)
		}
	}
}

// prefixes has the prefixes that have an address in them, of those that a name below in-addr.arpa
// or ip6.arpa can stand for. Readers need no lock; writers have the table's.
type prefixes struct{ m sync.Map } // netip.Prefix → int: how many there are that are one label longer

func (p *prefixes) has(prefix netip.Prefix) bool {
	_, ok := p.m.Load(prefix)
	return ok
}

// add counts an address that has come, or one out that has gone. Most have others near by, so
// that nothing changes in the prefixes above.
func (p *prefixes) add(a netip.Addr, delta int) {
	label := 8 // bits
	if a.Is6() {
		label = 4
	}
	for bits := a.BitLen() - label; bits >= 0; bits -= label {
		prefix := netip.PrefixFrom(a, bits).Masked()
		v, known := p.m.Load(prefix)
		count, _ := v.(int)
		if count += delta; count > 0 {
			p.m.Store(prefix, count)
		} else {
			p.m.Delete(prefix)
		}
		if known && count > 0 {
			return
		}
	}
}

// addresses answers whether there is an address in a prefix. It does not change; it is put
// in order at the first question, for such questions are rare.
type addresses struct {
	all    func(yield func(netip.Addr) bool)
	once   sync.Once
	sorted []netip.Addr
}

func (a *addresses) overlaps(prefix netip.Prefix) bool {
	a.once.Do(func() {
		a.sorted = slices.SortedFunc(a.all, netip.Addr.Compare)
	})
	at, _ := slices.BinarySearchFunc(a.sorted, prefix.Addr(), netip.Addr.Compare)
	return at < len(a.sorted) && prefix.Contains(a.sorted[at])
}

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
