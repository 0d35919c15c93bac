package kubeapi

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

// store takes what a reflector reads, shrinks it at once and tells the sink what has
// changed. It is the only index by name. A reflector calls it from one goroutine.
type store struct {
	shrinker shrinker
	sink     Sink
	objects  map[key]*Object
	// synced is called after the first full list, replaced after each; they may be nil.
	synced, replaced func()
}

var (
	_ cache.TransformingStore   = (*store)(nil)
	_ metav1.ObjectMetaAccessor = (*shrunk)(nil)
	_ runtime.Object            = (*shrunk)(nil)
)

type key struct{ namespace, name string }

func newStore(s shrinker, sink Sink, synced func()) *store {
	return &store{shrinker: s, sink: sink, objects: make(map[key]*Object), synced: synced}
}

// shrunk is an Object in the hands of the reflector, which asks for its name.
type shrunk struct{ object *Object }

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (s *shrunk) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: s.object.Namespace, Name: s.object.Name}
}

// GetObjectKind implements runtime.Object.
func (*shrunk) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Objects do not change.
func (s *shrunk) DeepCopyObject() runtime.Object { return &shrunk{s.object} }

// Transformer lets the reflector shrink objects while a list streams in.
func (s *store) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		o, err := s.shrinker.shrink(obj)
		if err != nil {
			return nil, err
		}
		return &shrunk{o}, nil
	}
}

// Add takes a new object.
func (s *store) Add(obj any) error { return s.set(obj) }

// Update takes a changed object.
func (s *store) Update(obj any) error { return s.set(obj) }

func (s *store) set(obj any) error {
	o, err := s.shrinker.shrink(obj)
	if err != nil {
		return err
	}
	k := key{o.Namespace, o.Name}
	old := s.objects[k]
	if old != nil && o.Version != 0 && o.Version < old.Version {
		return nil // an event out of order: what is known is newer
	}
	if old != nil && old.same(o) {
		return nil
	}
	s.objects[k] = o
	s.sink.Apply([]Change{{Old: old, New: o}}, o.Version)
	return nil
}

// Delete takes an object's last state, whose version is that of its deletion.
func (s *store) Delete(obj any) error {
	o, err := s.shrinker.shrink(obj)
	if err != nil {
		return err
	}
	k := key{o.Namespace, o.Name}
	if old := s.objects[k]; old != nil {
		delete(s.objects, k)
		s.sink.Apply([]Change{{Old: old}}, o.Version)
	}
	return nil
}

// Replace takes the complete set. What is in it as before is no change.
func (s *store) Replace(list []any, at string) error {
	objects := make(map[key]*Object, len(list))
	for _, obj := range list {
		o, err := s.shrinker.shrink(obj)
		if err != nil {
			return err
		}
		objects[key{o.Namespace, o.Name}] = o
	}
	if changes, newest := diff(s.objects, objects); len(changes) > 0 {
		if slices.ContainsFunc(changes, func(c Change) bool { return c.New == nil }) {
			newest = max(newest, version(at)) // there is no telling when something was deleted
		}
		s.sink.Apply(changes, newest)
	}
	s.objects = objects
	if s.replaced != nil {
		s.replaced()
	}
	if s.synced != nil {
		s.synced()
		s.synced = nil
	}
	return nil
}

// diff tells how to come from before to after, and the newest version in that. Objects
// that did not change are taken over into after, so that they are kept only once.
func diff(before, after map[key]*Object) (changes []Change, newest uint64) {
	for k, old := range before {
		if after[k] == nil {
			changes = append(changes, Change{Old: old})
		}
	}
	for k, o := range after {
		old := before[k]
		// A version that went back, as after an etcd was restored, has to be known: by the
		// old one, what follows would look out of order.
		if old != nil && old.same(o) && o.Version >= old.Version {
			after[k] = old
			continue
		}
		changes = append(changes, Change{Old: old, New: o})
		newest = max(newest, o.Version)
	}
	return changes, newest
}

// Resync has nothing to do: a sink never misses a change.
func (s *store) Resync() error { return nil }
