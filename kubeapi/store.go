package kubeapi

import (
	"slices"
	"time"

	"k8s.io/client-go/tools/cache"
)

// store takes the objects of a reflector, shrinks them at once and tells the feed their changes. It
// is the only index by name. A reflector calls it from one goroutine.
type store struct {
	shrinker  Shrinker
	feed      *feed
	namespace string  // of all objects; empty for all namespaces
	objects   catalog // written to under the feed's lock
	isFilled  bool
	forbidden time.Time // since when the API server says nothing but that it may not be read; zero if it does not
	isDenied  bool      // it has said so for a while
}

var _ cache.TransformingStore = (*store)(nil)

// Transformer lets the reflector shrink objects while a list streams in.
func (s *store) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.shrinker.shrunk(obj) }
}

// Add takes a new object.
func (s *store) Add(obj any) error { return s.set(obj) }

// Update takes a changed object.
func (s *store) Update(obj any) error { return s.set(obj) }

func (s *store) set(obj any) error {
	o, err := s.shrinker.Shrink(obj)
	if err != nil {
		return err
	}
	if announcesEnd(obj) && len(o.Members) == 0 {
		s.remove(o, true) // it never has any again
		return nil
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	old, known := s.objects.get(o)
	switch {
	case known && old.newerThan(o):
	case known && old.Same(o):
		s.objects.put(entry{old.Object, o.Version})
	default:
		s.objects.put(entry{o, o.Version})
		s.feed.apply([]Change{{Old: old.Object, New: o, At: changedAt(obj, old.Object, o)}})
	}
	return nil
}

// Delete takes an object's last state, whose version is that of its deletion.
func (s *store) Delete(obj any) error {
	o, err := s.shrinker.Shrink(obj)
	if err != nil {
		return err
	}
	s.remove(o, announcesEnd(obj))
	return nil
}

func (s *store) remove(o *Object, announced bool) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if old, known := s.objects.get(o); known && !old.newerThan(o) {
		s.objects.remove(o)
		s.feed.apply([]Change{removal(old.Object, announced)})
	}
}

// removal returns the change that removes an object. Announced is true if its members said that they end.
func removal(old *Object, announced bool) Change {
	if announced {
		ended := *old
		ended.Members = slices.Clone(old.Members)
		for i := range ended.Members {
			ended.Members[i].Terminating = true
		}
		old = &ended
	}
	return Change{Old: old}
}

// Replace takes the complete set. Objects that are in it as before are no change.
func (s *store) Replace(list []any, _ string) error {
	objects, ended := make(catalog), make(catalog)
	for _, obj := range list {
		o, err := s.shrinker.Shrink(obj)
		if err != nil {
			return err
		}
		if announcesEnd(obj) && len(o.Members) == 0 {
			ended.put(entry{o, o.Version})
			continue
		}
		objects.put(entry{o, o.Version})
	}
	s.fill(objects, ended)
	return nil
}

// fill replaces all that the store holds. Ended are objects that no longer have members.
func (s *store) fill(objects, ended catalog) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	changes := diff(s.objects, objects, ended)
	s.objects = objects
	if len(changes) > 0 {
		s.feed.apply(changes)
	}
	if !s.isFilled {
		s.isFilled = true
		s.feed.progress()
	}
}

// deniedAfter is how long an API server has to forbid something until that is believed: one that starts forbids all
// until it knows the roles.
const deniedAfter = 5 * time.Second

// forbid notes whether the API server forbids reading the store's objects. A reflector asks again and again.
func (s *store) forbid(is bool) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	switch {
	case s.isFilled:
	case !is:
		s.forbidden = time.Time{}
		if s.isDenied {
			s.isDenied = false
			s.feed.progress()
		}
	case s.forbidden.IsZero():
		s.forbidden = time.Now()
	case !s.isDenied && time.Since(s.forbidden) >= deniedAfter:
		s.isDenied = true
		s.feed.progress()
	}
}

// diff returns the changes from before to after. In after, it replaces objects that did not change by
// those of before, but keeps the versions that were seen: these may even go back, as after an etcd was
// restored, and later events would look out of order.
func diff(before, after, ended catalog) (changes []Change) {
	for old := range before.all {
		if _, stays := after.get(old.Object); !stays {
			_, announced := ended.get(old.Object)
			changes = append(changes, removal(old.Object, announced))
		}
	}
	for now := range after.all {
		old, known := before.get(now.Object)
		if known && old.Same(now.Object) {
			after.put(entry{old.Object, now.seen})
			continue
		}
		changes = append(changes, Change{Old: old.Object, New: now.Object})
	}
	return changes
}

// Resync does nothing: a sink never misses a change.
func (s *store) Resync() error { return nil }

// entry is an object that sinks have been told of, and the version at which it was last
// seen to be like that.
type entry struct {
	*Object
	seen uint64
}

// newerThan reports whether o comes by an event out of order.
func (e entry) newerThan(o *Object) bool { return o.Version != 0 && o.Version < e.seen }

// catalog has entries by namespace and name: namespaces are few, so that a name alone is
// what an entry costs.
type catalog map[string]map[string]entry

func (c catalog) get(o *Object) (entry, bool) {
	e, ok := c[o.Namespace][o.Name]
	return e, ok
}

func (c catalog) put(e entry) {
	in := c[e.Namespace]
	if in == nil {
		in = make(map[string]entry)
		c[e.Namespace] = in
	}
	in[e.Name] = e
}

func (c catalog) remove(o *Object) {
	in := c[o.Namespace]
	if delete(in, o.Name); len(in) == 0 {
		delete(c, o.Namespace)
	}
}

// all yields every entry, in no order.
func (c catalog) all(yield func(entry) bool) {
	for _, in := range c {
		for _, e := range in {
			if !yield(e) {
				return
			}
		}
	}
}
