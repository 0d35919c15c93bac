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

// index has a few of the clusters in which something occurs: those where it is a pod's first, then those that
// had it first. Readers need no lock; writers have the table's.
type index[K comparable] struct {
	m      sync.Map           // K → []occurrence, fewOccurrences at most, never written to
	shared atomic.Int64       // keys that occur in several clusters
	others map[K]*occurrences // that readers do not see; nil if there are none
}

// fewOccurrences is how many clusters a question looks in. An address or a host part should be in one, but
// whoever writes EndpointSlices can claim it in any number.
const fewOccurrences = 8

// occurrence is that of a key in one cluster.
type occurrence struct {
	cluster     string // its name
	nodes, pods int32  // how many, and how many of them are pods
}

func (x *index[K]) in(k K) []occurrence {
	v, _ := x.m.Load(k)
	found, _ := v.([]occurrence)
	return found
}

// add counts k in or out, of a pod or of another node, and reports whether it appeared or disappeared.
func (x *index[K]) add(k K, cluster string, isPod bool, delta int32) (changed bool) {
	known, others := x.in(k), x.others[k]
	next := slices.Clone(known)
	at := slices.IndexFunc(next, func(o occurrence) bool { return o.cluster == cluster })
	switch {
	case at < 0 && others.has(cluster):
		others.count(cluster, isPod, delta)
	case at < 0:
		at = len(next)
		next = append(next, occurrence{cluster: cluster})
		fallthrough
	default:
		if next[at].count(isPod, delta); next[at].nodes <= 0 {
			next = slices.Delete(next, at, at+1)
		}
	}
	next = x.choose(k, next)
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

func (o *occurrence) count(isPod bool, delta int32) {
	if o.nodes += delta; isPod {
		o.pods += delta
	}
}

// choose returns those of some occurrences, of which the last may be one too many, and of the others that
// readers see. The rest are the others from then on.
func (x *index[K]) choose(k K, seen []occurrence) []occurrence {
	others := x.others[k]
	if len(seen) > fewOccurrences {
		if others == nil {
			others = newOccurrences()
			if x.others == nil {
				x.others = make(map[K]*occurrences)
			}
			x.others[k] = others
		}
		last := len(seen) - 1
		others.push(seen[last])
		seen = seen[:last]
	}
	if others == nil {
		return seen
	}
	if len(seen) < fewOccurrences {
		seen = append(seen, others.pop())
	}
	if at := lastOther(seen); at >= 0 && others.pods.Len() > 0 {
		other := seen[at]
		seen = append(slices.Delete(seen, at, at+1), others.pop())
		others.unpop(other)
	}
	if len(others.at) == 0 {
		delete(x.others, k)
	}
	return seen
}

// lastOther returns the index of the last occurrence that is of no pod, negative if there is none.
func lastOther(of []occurrence) int {
	at := len(of) - 1
	for ; at >= 0 && of[at].pods > 0; at-- {
	}
	return at
}

// occurrences are two queues: those of pods, and the rest.
type occurrences struct {
	pods, rest list.List                // of occurrence
	at         map[string]*list.Element // by cluster
}

func newOccurrences() *occurrences { return &occurrences{at: make(map[string]*list.Element)} }

func (q *occurrences) has(cluster string) bool { return q != nil && q.at[cluster] != nil }

// of returns the queue of an occurrence.
func (q *occurrences) of(o occurrence) *list.List {
	if o.pods > 0 {
		return &q.pods
	}
	return &q.rest
}

func (q *occurrences) push(o occurrence)  { q.at[o.cluster] = q.of(o).PushBack(o) }
func (q *occurrences) unpop(o occurrence) { q.at[o.cluster] = q.of(o).PushFront(o) }

// pop removes the first: of pods, if there are any.
func (q *occurrences) pop() occurrence {
	from := &q.pods
	if from.Len() == 0 {
		from = &q.rest
	}
	o := from.Remove(from.Front()).(occurrence)
	delete(q.at, o.cluster)
	return o
}

// count counts nodes of an occurrence in or out.
func (q *occurrences) count(cluster string, isPod bool, delta int32) {
	e := q.at[cluster]
	o := e.Value.(occurrence)
	was := q.of(o)
	if o.count(isPod, delta); o.nodes > 0 && q.of(o) == was {
		e.Value = o
		return
	}
	was.Remove(e)
	if delete(q.at, cluster); o.nodes > 0 {
		q.push(o)
	}
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
		places = append(places, place{nodes[i].Address(), strings.ToLower(nodes[i].Host()), nodes[i].Member.IsPod})
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
