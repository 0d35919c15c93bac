package kubeapi

import (
	"slices"
	"sync"
	"time"
)

// feed tells sinks the objects of a source.
type feed struct {
	partial bool // see Config

	mu     sync.Mutex // held while sinks are told, so that each hears of every change in order
	stores []*store
	sinks  []Sink

	restored bool
	synced   bool // all stores have been filled once, or may not be read
}

// newStore adds a store for the objects of a namespace, or of all of them.
func (f *feed) newStore(s Shrinker, namespace string) *store {
	st := &store{shrinker: s, feed: f, namespace: namespace, objects: make(catalog)}
	f.stores = append(f.stores, st)
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
	if unread := f.unread(); len(unread) > 0 {
		f.tellUnread(sink, unread)
	}
	switch {
	case f.synced:
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

// all returns the objects of all stores. Known reports whether they are complete, or were at some time.
func (f *feed) all() (objects []*Object, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stores {
		for e := range s.objects.all {
			objects = append(objects, e.Object)
		}
	}
	return objects, f.restored || f.synced
}

// apply tells all sinks of changes. The caller holds mu.
func (f *feed) apply(changes []Change) {
	for _, s := range f.sinks {
		s.Apply(changes)
	}
}

// progress tells sinks that a store has been filled for the first time, or may not be read. The caller holds mu.
func (f *feed) progress() {
	unread := f.unread()
	for _, s := range f.sinks {
		f.tellUnread(s, unread)
	}
	if f.synced || !f.isSynced(unread) {
		return
	}
	f.synced = true
	for _, s := range f.sinks {
		s.Synced()
	}
}

// unread returns the namespaces of the stores that have not been filled, and since when they may not be read.
func (f *feed) unread() map[string]time.Time {
	unread := make(map[string]time.Time)
	for _, s := range f.stores {
		switch {
		case s.isFilled:
		case s.isDenied:
			unread[s.namespace] = s.forbidden
		default:
			unread[s.namespace] = time.Time{}
		}
	}
	return unread
}

func (f *feed) tellUnread(sink Sink, unread map[string]time.Time) {
	if n, ok := sink.(NamespaceSink); ok && f.partial {
		n.Unread(unread)
	}
}

// isSynced reports whether all is read that may be, and not nothing.
func (f *feed) isSynced(unread map[string]time.Time) bool {
	for _, forbidden := range unread {
		if !f.partial || forbidden.IsZero() {
			return false
		}
	}
	return len(unread) < len(f.stores)
}
