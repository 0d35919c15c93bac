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

	restored bool
	missing  int // stores that have not been filled yet
}

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
	if len(changes) > 0 {
		sink.Apply(changes)
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
func (f *feed) restore(objects []*Object) {
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
}

// all gives what the stores hold, and whether that is all there is, or was.
func (f *feed) all() (objects []*Object, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stores {
		for e := range s.objects.all {
			objects = append(objects, e.Object)
		}
	}
	return objects, f.restored || f.missing == 0
}

// apply tells all sinks of changes. The caller holds mu.
func (f *feed) apply(changes []Change) {
	for _, s := range f.sinks {
		s.Apply(changes)
	}
}

// filled counts a store that has been filled for the first time. The caller holds mu.
func (f *feed) filled() {
	if f.missing--; f.missing > 0 {
		return
	}
	for _, s := range f.sinks {
		s.Synced()
	}
}
