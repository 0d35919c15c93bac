package longnames

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// table has the clusters of a block as questions see them. It is written by the source, and read by
// questions, which never wait for it.
type table struct {
	config *config

	views     sync.Map                             // name → *view
	spaces    names                                // namespaces that have clusters, relative to the zone
	serials   []*serial                            // of the zones in which this is seen
	restored  atomic.Bool                          // members are known from before the start
	hadNobody atomic.Bool                          // there were no members before the start
	unread    atomic.Pointer[map[string]time.Time] // see kubeapi.NamespaceSink; nil if nothing is said of single ones
	complete  atomic.Bool                          // the members last known before the start are all that there were
	synced    atomic.Bool                          // all is known that there was at the start
	done      chan struct{}                        // closed when synced becomes true

	// With many clusters, these tell which one to look in. A single one needs none.
	hosts     index[string] // host parts, in lower case with a final dot
	hostNames names         // what lies above them
	addresses index[netip.Addr]
	prefixes  prefixes // that have addresses

	mu        sync.Mutex // protects following; held by writers only
	state     *membership.State
	ungrouped *view // of objects that belong to no cluster
	observers []*observer
	woken     chan struct{} // has an element if a deadline may be sooner

	// expired is called after suspects have been given up.
	expired func()
}

var _ kubeapi.NamespaceSink = (*table)(nil)

func newTable(c *config) *table {
	t := &table{
		config:    c,
		state:     membership.New(&c.rules),
		ungrouped: newView(""),
		woken:     make(chan struct{}, 1),
		done:      make(chan struct{}),
		expired:   func() {},
	}
	if !t.indexed() {
		t.views.Store("", newView("")) // a zone's apex always exists
	}
	return t
}

// view is a cluster of the block. Questions read its roster without a lock; only the table, under its own, replaces it.
type view struct {
	name   string // relative to the zone, lower case; empty at the apex
	roster atomic.Pointer[membership.Roster]
	due    time.Time // when the next suspect is given up; zero if none is. For the table.
}

func newView(name string) *view {
	v := &view{name: name}
	v.roster.Store(&membership.Roster{})
	return v
}

// roster returns the members of a cluster as of now; nil if there is none of that name.
func (t *table) roster(name string) *membership.Roster {
	if v := t.view(name); v != nil {
		return v.roster.Load()
	}
	return nil
}

// view returns the view of the cluster of that name, nil if there is none.
func (t *table) view(name string) *view {
	v, _ := t.views.Load(name)
	found, _ := v.(*view)
	return found
}

// Apply implements kubeapi.Sink.
func (t *table) Apply(changes []kubeapi.Change) {
	defer t.count()
	t.edit(func() []*membership.Edit { return t.state.Apply(changes, time.Now()) })
}

// Unread implements kubeapi.NamespaceSink.
func (t *table) Unread(namespaces map[string]time.Time) {
	t.unread.Store(&namespaces)
	t.count()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notice(t.ungrouped)
}

// Restored implements kubeapi.Sink.
func (t *table) Restored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complete.Store(t.state.Restored())
	t.restored.Store(t.state.Remembers())
	t.hadNobody.Store(!t.state.Remembers())
	t.notice(t.ungrouped)
}

// Synced implements kubeapi.Sink.
func (t *table) Synced() {
	if !t.known() { // else, earlier changes have been counted
		defer t.count()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publish(t.state.Synced(time.Now()))
	t.synced.Store(true)
	close(t.done)
	t.notice(t.ungrouped)
}

// inherit takes over the suspects of the table that a reload replaces.
func (t *table) inherit(old *table) {
	old.mu.Lock() // both, for a source tells one table after the other
	defer old.mu.Unlock()
	t.edit(func() []*membership.Edit { return t.state.Inherit(old.state, time.Now()) })
}

// restore takes over the suspects of a snapshot.
func (t *table) restore(suspects []kubeapi.Suspects) {
	t.edit(func() []*membership.Edit { return t.state.Restore(suspects, time.Now()) })
}

// suspects returns those of all clusters as a snapshot keeps them.
func (t *table) suspects() []kubeapi.Suspects {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Suspects()
}

// run gives up suspects as their time comes.
func (t *table) run(ctx context.Context) {
	for {
		var due <-chan time.Time
		if at, ok := t.release(time.Now()); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.woken:
		case <-due:
		}
	}
}

// release gives up the suspects whose time is up, and returns when the next one's will be, if ever.
func (t *table) release(now time.Time) (next time.Time, ok bool) {
	changed := false
	t.edit(func() []*membership.Edit {
		edits := t.state.Expire(now)
		changed = len(edits) > 0
		next, ok = t.state.Due()
		return edits
	})
	if changed {
		t.expired()
	}
	return next, ok
}

// edit publishes changes. Apply counts them for the serials.
func (t *table) edit(change func() []*membership.Edit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := change()
	t.publish(edits)
	t.restored.Store(t.state.Remembers())
	t.measure(edits)
}

// count gives the zones new serials once members are known. It comes after publishing: a secondary that
// asks for the serial first gets no less.
func (t *table) count() {
	if !t.known() {
		return
	}
	now := time.Now()
	for _, s := range t.serials {
		s.change(now)
	}
}

// publish replaces rosters. A node that stays in its cluster can be found all the while: the new is indexed
// before the old is taken out.
func (t *table) publish(edits []*membership.Edit) {
	views := make([]*view, len(edits))
	for i := range edits {
		views[i] = t.viewFor(edits[i].Cluster)
	}
	moves := t.moves(edits)
	for i, m := range moves {
		t.index(views[i].name, m.come, +1)
	}
	for i, v := range views {
		v.roster.Store(edits[i].After)
		if v.due = edits[i].Due; !v.due.IsZero() {
			wake(t.woken)
		}
	}
	for i, m := range moves {
		t.index(views[i].name, m.gone, -1)
	}
	for _, v := range views {
		if v.roster.Load().IsEmpty() {
			t.remove(v)
		}
		t.notice(v)
	}
}

// viewFor returns the view of a cluster, and makes it if there is none.
func (t *table) viewFor(c *membership.Cluster) *view {
	if c == t.state.Ungrouped() {
		return t.ungrouped
	}
	if v := t.view(c.Name); v != nil {
		return v
	}
	v := newView(c.Name)
	t.views.Store(v.name, v)
	t.spaces.add(v.namespace(), +1)
	return v
}

// remove forgets a cluster that has become empty. A zone's apex always exists.
func (t *table) remove(v *view) {
	if v.name == "" || t.view(v.name) != v {
		return
	}
	t.views.Delete(v.name)
	t.spaces.add(v.namespace(), -1)
}

// namespace returns the namespace of a group.
func (v *view) namespace() string { return namespaceOf(v.name) }

// observer is told of each cluster that has changed, by its name; of objects that belong to none, it has no name.
type observer struct{ changed func(cluster string) }

// observe adds an observer, and tells it of all clusters.
func (t *table) observe(o *observer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observers = append(t.observers, o)
	o.changed(t.ungrouped.name)
	t.views.Range(func(_, v any) bool {
		o.changed(v.(*view).name)
		return true
	})
}

// forget removes an observer.
func (t *table) forget(o *observer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observers = slices.DeleteFunc(t.observers, func(other *observer) bool { return other == o })
}

func (t *table) notice(v *view) {
	for _, o := range t.observers {
		o.changed(v.name)
	}
}

// next returns when the next suspect of a cluster is given up; zero if none is.
func (t *table) next(name string) (due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := t.view(name); v != nil {
		return v.due
	}
	return due
}

// indexed reports whether there can be many clusters.
func (t *table) indexed() bool { return t.config.rules.GroupLabel >= 0 }

// measure counts the ends of suspects, and how long changes took to reach questions.
func (t *table) measure(edits []*membership.Edit) {
	zone, now := t.config.name(), time.Now()
	for _, e := range edits {
		countEnds(zone, &e.Ends)
		if !t.synced.Load() || e.Cluster == t.state.Ungrouped() {
			continue
		}
		countPropagation(zone, e.Changed, now)
	}
}

// wake leaves an element in a channel that has room for one.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// freeze returns a copy of the table as questions see it now. A block with one cluster has no indexes.
func (t *table) freeze() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &table{config: t.config}
	t.views.Range(func(name, of any) bool {
		v := &view{name: name.(string)}
		v.roster.Store(of.(*view).roster.Load())
		f.views.Store(name, v)
		return true
	})
	if t.indexed() {
		t.hosts.copyTo(&f.hosts)
		t.addresses.copyTo(&f.addresses)
		copyTo(&t.spaces.m, &f.spaces.m)
		copyTo(&t.hostNames.m, &f.hostNames.m)
		copyTo(&t.prefixes.m, &f.prefixes.m)
	}
	return f
}
