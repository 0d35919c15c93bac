package kubeapi

import (
	"slices"
	"sync"
)

// feed tells the sinks that follow a source what its stores hold.
type feed struct {
	mu     sync.Mutex // held while sinks are told, so that each hears of every change in order
	stores []*store
	sinks  []Sink

	versions *Versions
	version  uint64 // that sinks have been told last
	begun    bool   // somebody may have seen what there is at an earlier version
	restored bool
	missing  int // stores that have not been filled yet
}

func newFeed() *feed { return &feed{versions: &Versions{}} }

// newStore adds a store for what a namespace holds, or all of them.
func (f *feed) newStore(s shrinker, namespace string) *store {
	st := &store{shrinker: s, feed: f, namespace: namespace, objects: make(catalog)}
	f.stores = append(f.stores, st)
	f.missing++
	return st
}

// join lets a sink follow, after it has been told what there is.
func (f *feed) join(sink Sink) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var changes []Change
	for _, s := range f.stores {
		for e := range s.objects.all {
			changes = append(changes, Change{New: e.Object})
		}
	}
	if len(changes) > 0 || f.version != 0 {
		sink.Apply(changes, f.version)
	}
	switch {
	case f.missing == 0:
		sink.Synced()
	case f.restored:
		sink.Restored()
	}
	f.sinks = append(f.sinks, sink)
}

// leave ends what join began; sink is told nothing more. It gives how many are left.
func (f *feed) leave(sink Sink) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sinks = slices.DeleteFunc(f.sinks, func(s Sink) bool { return s == sink })
	return len(f.sinks)
}

// restore fills the stores, before anything has been read, with what was known earlier.
func (f *feed) restore(objects []*Object, version uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range objects {
		for _, s := range f.stores {
			if s.namespace == "" || s.namespace == o.Namespace {
				s.objects.put(entry{o, o.Version})
			}
		}
	}
	f.restored = true
	f.begin(version)
}

// begin goes on from a version that somebody may have seen. The caller holds mu.
func (f *feed) begin(version uint64) {
	f.version = max(f.version, version)
	f.versions.AtLeast(f.version)
	f.begun = f.begun || version > 0
}

// all gives what the stores hold, and whether that is all there is, or was.
func (f *feed) all() (objects []*Object, version uint64, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stores {
		for e := range s.objects.all {
			objects = append(objects, e.Object)
		}
	}
	return objects, f.version, f.restored || f.missing == 0
}

// apply tells all sinks of changes that have led to a version of the source's. As long as nobody
// can have seen anything, the greatest version is good enough, for the order in which namespaces
// are read is chance. The caller holds mu.
func (f *feed) apply(changes []Change, version uint64) {
	counted := ordinal(version)
	if f.begun {
		f.version = f.versions.next(counted)
	} else {
		f.version = max(f.version, counted)
		f.versions.AtLeast(f.version)
	}
	for _, s := range f.sinks {
		s.Apply(changes, f.version)
	}
}

// filled counts a store that has been filled for the first time. The caller holds mu.
func (f *feed) filled() {
	if f.missing--; f.missing > 0 {
		return
	}
	f.begun = true
	for _, s := range f.sinks {
		s.Synced()
	}
}
