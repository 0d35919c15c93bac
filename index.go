package longnames

import (
	"container/list"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longnames/longnames/membership"
)

// index has a few of the clusters in which something occurs: those where it is a pod's first, one of each namespace
// before a second, then those that had it first. Readers need no lock; writers have the table's.
type index[K comparable] struct {
	m      sync.Map     // K → []occurrence, fewOccurrences at most, never written to
	shared atomic.Int64 // keys that occur in several clusters
	crowds map[K]*crowd // of keys that occur more often; nil if there are none
}

// fewOccurrences is how many clusters a question looks in. An address or a host part should be in one, but
// a hand-made EndpointSlice can claim it in any number of them.
const fewOccurrences = 8

// occurrence is that of a key in one cluster.
type occurrence struct {
	cluster     string // its name, which ends in its namespace
	nodes, pods int32  // how many, and how many of them are pods
}

func (o *occurrence) namespace() string { return namespaceOf(o.cluster) }

// namespaceOf returns the namespace in the name of a group's cluster.
func namespaceOf(cluster string) string {
	_, namespace, _ := strings.Cut(cluster, ".")
	return namespace
}

func (x *index[K]) in(k K) []occurrence {
	v, _ := x.m.Load(k)
	found, _ := v.([]occurrence)
	return found
}

// add counts k in or out, of a pod or of another node, and reports whether it appeared or disappeared.
func (x *index[K]) add(k K, cluster string, isPod bool, delta int32) (changed bool) {
	known, all := x.in(k), x.crowds[k]
	var next []occurrence
	if all == nil {
		if next = withCount(known, cluster, isPod, delta); len(next) > fewOccurrences {
			all = crowdOf(next)
			if x.crowds == nil {
				x.crowds = make(map[K]*crowd)
			}
			x.crowds[k] = all
		}
	} else if all.count(cluster, isPod, delta); len(all.at) <= fewOccurrences {
		delete(x.crowds, k)
	}
	if all != nil {
		next = all.first(fewOccurrences)
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

// withCount returns a copy of occurrences with nodes counted in or out.
func withCount(known []occurrence, cluster string, isPod bool, delta int32) []occurrence {
	next := slices.Clone(known)
	i := slices.IndexFunc(next, func(o occurrence) bool { return o.cluster == cluster })
	if i < 0 {
		i = len(next)
		next = append(next, occurrence{cluster: cluster})
	}
	if next[i].count(isPod, delta); next[i].nodes <= 0 {
		next = slices.Delete(next, i, i+1)
	}
	return next
}

func (o *occurrence) count(isPod bool, delta int32) {
	if o.nodes += delta; isPod {
		o.pods += delta
	}
}

// crowd has the occurrences of a key that is claimed by more than a question looks at. Anybody can make any
// number of them in a namespace: so that they do not hide those of other namespaces, namespaces take turns.
type crowd struct {
	pods, rest turns
	at         map[string]*list.Element // by cluster, in the queue of its namespace
}

// turns are queues of namespaces.
type turns struct {
	order  list.List                // of *queue
	queues map[string]*list.Element // by namespace; none is empty
}

// queue has the occurrences of a namespace, the oldest first.
type queue struct{ list.List }

func crowdOf(all []occurrence) *crowd {
	c := &crowd{at: make(map[string]*list.Element)}
	for _, o := range all {
		c.push(o)
	}
	return c
}

// turnsOf returns the queues for an occurrence.
func (c *crowd) turnsOf(o occurrence) *turns {
	if o.pods > 0 {
		return &c.pods
	}
	return &c.rest
}

func (c *crowd) push(o occurrence) { c.at[o.cluster] = c.turnsOf(o).push(o) }

// count counts nodes of a cluster in or out.
func (c *crowd) count(cluster string, isPod bool, delta int32) {
	o, e := occurrence{cluster: cluster}, c.at[cluster]
	if e != nil {
		o = e.Value.(occurrence)
	}
	was := c.turnsOf(o)
	if o.count(isPod, delta); e != nil && o.nodes > 0 && c.turnsOf(o) == was {
		e.Value = o
		return
	}
	if e != nil {
		was.remove(o.namespace(), e)
		delete(c.at, cluster)
	}
	if o.nodes > 0 {
		c.push(o)
	}
}

// first returns so many at most: of pods before others, and of each namespace one before a second.
func (c *crowd) first(most int) []occurrence {
	return c.rest.first(c.pods.first(make([]occurrence, 0, most)))
}

func (t *turns) push(o occurrence) *list.Element {
	namespace := o.namespace()
	e := t.queues[namespace]
	if e == nil {
		if t.queues == nil {
			t.queues = make(map[string]*list.Element)
		}
		e = t.order.PushBack(&queue{})
		t.queues[namespace] = e
	}
	return e.Value.(*queue).PushBack(o)
}

func (t *turns) remove(namespace string, o *list.Element) {
	e := t.queues[namespace]
	q := e.Value.(*queue)
	if q.Remove(o); q.Len() == 0 {
		t.order.Remove(e)
		delete(t.queues, namespace)
	}
}

// first appends occurrences to some, up to their capacity.
func (t *turns) first(found []occurrence) []occurrence {
	var next []*list.Element // one of each namespace
	for e := t.order.Front(); e != nil && len(found)+len(next) < cap(found); e = e.Next() {
		next = append(next, e.Value.(*queue).Front())
	}
	for ; len(next) > 0 && len(found) < cap(found); next = next[1:] {
		found = append(found, next[0].Value.(occurrence))
		if more := next[0].Next(); more != nil {
			next = append(next, more)
		}
	}
	return found
}

// copyTo fills another index with what readers see of this one.
func (x *index[K]) copyTo(other *index[K]) {
	copyTo(&x.m, &other.m)
	other.shared.Store(x.shared.Load())
}

// copyTo stores all that one map has in another.
func copyTo(from, to *sync.Map) {
	from.Range(func(k, v any) bool {
		to.Store(k, v)
		return true
	})
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

// place is where a node is found with group_by: its address and its host part.
type place struct {
	address netip.Addr
	host    string // lower case, with a final dot
	isPod   bool
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
func (t *table) index(cluster string, places []place, delta int32) {
	c := t.config
	for _, p := range places {
		if c.reverse && t.addresses.add(p.address, cluster, p.isPod, delta) {
			t.prefixes.add(p.address, int(delta))
		}
		if c.hosts != outside && t.hosts.add(p.host, cluster, p.isPod, delta) {
			_, above, _ := strings.Cut(p.host, ".")
			t.hostNames.add(above, int(delta))
		}
	}
}

// placesOf returns those of nodes.
func placesOf(nodes []membership.Node) []place {
	places := make([]place, 0, len(nodes))
	for i := range nodes {
		places = append(places, placeOf(&nodes[i]))
	}
	return places
}

func placeOf(n *membership.Node) place {
	return place{n.Address(), strings.ToLower(n.Host()), n.Member.IsPod}
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
