package kubeapi

import (
	"slices"
	"sync"
)

// feed tells sinks what the stores of a source hold.
type feed struct {
	mu     sync.Mutex // held while sinks are told, so that each hears of every change in order
	stores []*store
	sinks  []Sink

	restored bool
	missing  int // stores that have not been filled yet
}

// newStore adds a store for the objects of a namespace, or of all of them.
func (f *feed) newStore(s Shrinker, namespace string) *store {
	st := &store{shrinker: s, feed: f, namespace: namespace, objects: make(catalog)}
	f.stores = append(f.stores, st)
	f.missing++
	return st
}

// join adds a sink, after it has been told of all objects.
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

// leave removes a sink, which is told nothing more. It returns how many are left.
func (f *feed) leave(sink Sink) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sinks = slices.DeleteFunc(f.sinks, func(s Sink) bool { return s == sink })
	return len(f.sinks)
}

// restore fills the stores, before anything has been read, with objects that were known earlier.
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

// all returns what the stores hold. Known reports whether that is all there is, or was.
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
