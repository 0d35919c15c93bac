package longnames

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// table knows the members of all clusters of a block. It is written by the watch and
// read by questions, which never wait for it.
type table struct {
	config *config

	clusters sync.Map      // name → *cluster
	spaces   names         // namespaces that have clusters, relative to the zone
	restored atomic.Bool   // what was last known before the start is known
	complete atomic.Bool   // that is all there was then
	synced   atomic.Bool   // all is known that there was at the start
	done     chan struct{} // closed when synced becomes true

	// With many clusters, these tell which one to look in. A single one needs none.
	hosts     index[string] // host parts, in lower case with a final dot
	hostNames names         // what lies above them
	addresses index[netip.Addr]
	prefixes  prefixes // that have addresses

	// reselects is whether a reload asks for something else than before: what its first list lacks has
	// been taken out by the operator.
	reselects bool

	mu      sync.Mutex // protects following; held by writers only
	misfits *cluster   // has the objects that belong to no cluster
	dirty   map[*cluster]struct{}
	changed chan struct{}         // has an element if there is something to audit
	pending map[*cluster]struct{} // that have suspects
	woken   chan struct{}         // has an element if a deadline may be sooner
	// suspects are those that are absent, and their addresses: either may turn up in another cluster.
	suspects    index[identity]
	unconfirmed []inheritance // until the first list

	serials []*serial // of the zones in which this is seen
	// changes is called when something has changed without the source.
	changes func()
}

var _ kubeapi.Sink = (*table)(nil)

func newTable(c *config) *table {
	t := &table{
		config:  c,
		misfits: newCluster(""),
		dirty:   make(map[*cluster]struct{}),
		changed: make(chan struct{}, 1),
		pending: make(map[*cluster]struct{}),
		woken:   make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	t.changes = func() {}
	if c.groupLabel < 0 {
		t.clusters.Store("", newCluster("")) // a zone's apex always exists
	}
	return t
}

// cluster gives the cluster of that name, nil if there is none.
func (t *table) cluster(name string) *cluster {
	c, _ := t.clusters.Load(name)
	found, _ := c.(*cluster)
	return found
}

// Restored implements kubeapi.Sink. To know of nobody is to know nothing.
func (t *table) Restored() {
	t.clusters.Range(func(_, v any) bool {
		r := v.(*cluster).roster.Load()
		somebody := len(r.suspects) > 0 || t.config.namesAny(r.objects)
		t.restored.Store(somebody)
		t.complete.Store(somebody)
		return !somebody
	})
	t.touch()
}

// Synced implements kubeapi.Sink.
func (t *table) Synced() {
	if !t.restored.Load() { // else, what has changed since is known
		defer t.count()
	}
	t.confirm()
	t.synced.Store(true)
	close(t.done)
	t.touch()
}

// touch lets the audit look.
func (t *table) touch() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// known reports whether there is anything to answer from, even if it is out of date.
func (t *table) known() bool { return t.synced.Load() || t.restored.Load() }

// whole reports whether all that there is, or was at some time, is known.
func (t *table) whole() bool { return t.synced.Load() || t.complete.Load() }

// state is a cluster at one time.
type state struct {
	cluster *cluster
	roster  *roster
	due     time.Time // when the next suspect is given up; zero if none is
}

// takeDirty gives the clusters that have changed since it was last called.
func (t *table) takeDirty() []state {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]state, 0, len(t.dirty))
	for c := range t.dirty {
		states = append(states, state{c, c.roster.Load(), c.due})
	}
	t.dirty = make(map[*cluster]struct{}) // and not one that only grows
	return states
}

// edit is what changes in the answers of one cluster.
type edit struct {
	removed, added []*kubeapi.Object
	roster         *roster     // without the former and with the latter
	changed        []time.Time // when that happened, as far as it is told
}

// Apply implements kubeapi.Sink. A change costs what it changes, and what those of its clusters
// cost that have suspects.
func (t *table) Apply(changes []kubeapi.Change) {
	defer t.count()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	about := sync.OnceValue(func() *news { return newsOf(changes) })
	edits := make(map[*cluster]*edit)
	t.collect(changes, edits)
	if len(t.pending) > 0 {
		for who := range about().suspects {
			for _, o := range t.suspects.in(who) {
				if edits[o.cluster] == nil {
					edits[o.cluster] = &edit{} // it may not be its member's any more
				}
			}
		}
	}
	for home, e := range edits {
		t.dirty[home] = struct{}{}
		had := home.roster.Load()
		e.roster = had.with(e.removed, e.added)
		t.review(home, had, e, about, now)
	}
	t.replace(edits)
	t.propagated(edits)
}

// count lets the zones have new serials, unless nobody is told yet what they have. What has changed is
// there before that: a secondary that asks for the serial first gets no less.
func (t *table) count() {
	if !t.known() {
		return
	}
	now := time.Now()
	for _, s := range t.serials {
		s.change(now)
	}
}

// collect adds up the changes of each cluster.
func (t *table) collect(changes []kubeapi.Change, edits map[*cluster]*edit) {
	of := func(o *kubeapi.Object) *edit {
		home := t.home(o)
		if home == nil {
			return &edit{} // of an object that belongs nowhere
		}
		if edits[home] == nil {
			edits[home] = &edit{}
		}
		return edits[home]
	}
	for _, change := range changes {
		if change.Old != nil {
			e := of(change.Old)
			e.removed = append(e.removed, change.Old)
		}
		if change.New != nil {
			e := of(change.New)
			e.added = append(e.added, change.New)
			if change.At != nil && t.config.shows(&change) {
				e.changed = append(e.changed, *change.At)
			}
		}
	}
}

// replace lets clusters be answered from other rosters. What stays in its cluster can be
// found all the while: the new is indexed before the old is taken out.
func (t *table) replace(edits map[*cluster]*edit) {
	moves := t.moves(edits)
	for home, m := range moves {
		t.index(home, m.come, +1)
	}
	for home, e := range edits {
		t.watchFor(home, e.roster.suspects, +1)
		t.watchFor(home, home.roster.Swap(e.roster).suspects, -1)
	}
	for home, m := range moves {
		t.index(home, m.gone, -1)
	}
	for home, e := range edits {
		if e.roster.isEmpty() {
			t.remove(home)
		}
	}
	t.touch()
}

// watchFor counts absent suspects and their addresses in or out.
func (t *table) watchFor(home *cluster, suspects []*suspect, delta int) {
	for _, s := range suspects {
		if s.absent {
			t.suspects.add(s.who().anywhere(), home, delta)
			t.suspects.add(identity{address: s.address()}, home, delta)
		}
	}
}

// home gives the cluster that o belongs to, and makes it if there is none; nil for an
// object without the group's label.
func (t *table) home(o *kubeapi.Object) *cluster {
	if t.config.groupLabel < 0 {
		return t.cluster("")
	}
	group := o.Labels[t.config.groupLabel]
	if !group.Set {
		return nil
	}
	if !isLabel(group.Value) || !isLabel(o.Namespace) {
		return t.misfits
	}
	name := strings.ToLower(group.Value + "." + o.Namespace)
	if c := t.cluster(name); c != nil {
		return c
	}
	c := newCluster(name)
	t.clusters.Store(name, c)
	t.spaces.add(strings.ToLower(o.Namespace), +1)
	return c
}

// remove forgets a cluster that has become empty. A zone's apex always exists.
func (t *table) remove(c *cluster) {
	if c.name == "" {
		return
	}
	t.clusters.Delete(c.name)
	_, namespace, _ := strings.Cut(c.name, ".")
	t.spaces.add(namespace, -1)
}

// indexed reports whether there can be many clusters.
func (t *table) indexed() bool { return t.config.groupLabel >= 0 }
