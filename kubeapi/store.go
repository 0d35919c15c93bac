package kubeapi

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

// store takes what a reflector reads, shrinks it at once and tells the feed what has
// changed. It is the only index by name. A reflector calls it from one goroutine.
type store struct {
	shrinker  shrinker
	feed      *feed
	namespace string  // of all objects; empty for all namespaces
	objects   catalog // written to under the feed's lock
	isFilled  bool
}

// entry is an object that sinks have been told of, and the version at which it was last
// seen to be like that.
type entry struct {
	*Object
	seen uint64
}

var (
	_ cache.TransformingStore   = (*store)(nil)
	_ metav1.ObjectMetaAccessor = (*shrunk)(nil)
	_ runtime.Object            = (*shrunk)(nil)
)

type key struct{ namespace, name string }

// shrunk is an Object in the hands of the reflector, which asks for its name.
type shrunk struct {
	object *Object
	ends   bool // see announcesEnd
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (s *shrunk) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: s.object.Namespace, Name: s.object.Name}
}

// GetObjectKind implements runtime.Object.
func (*shrunk) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Objects do not change.
func (s *shrunk) DeepCopyObject() runtime.Object { return &shrunk{s.object, s.ends} }

// Transformer lets the reflector shrink objects while a list streams in.
func (s *store) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		o, err := s.shrinker.shrink(obj)
		if err != nil {
			return nil, err
		}
		return &shrunk{o, announcesEnd(obj)}, nil
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
	if announcesEnd(obj) && len(o.Members) == 0 {
		s.remove(o, true) // it never has any again
		return nil
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	old, known := s.objects.get(o)
	switch {
	case known && old.newerThan(o):
	case known && old.same(o):
		s.objects.put(entry{old.Object, o.Version})
	default:
		s.objects.put(entry{o, o.Version})
		s.feed.apply([]Change{{Old: old.Object, New: o, At: changedAt(obj, old.Object, o)}})
	}
	return nil
}

// Delete takes an object's last state, whose version is that of its deletion.
func (s *store) Delete(obj any) error {
	o, err := s.shrinker.shrink(obj)
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

// announcesEnd reports whether a state of an object says that the pod ends, or has ended.
func announcesEnd(obj any) bool {
	switch obj := obj.(type) {
	case *shrunk:
		return obj.ends
	case *corev1.Pod:
		return obj.DeletionTimestamp != nil || slices.Contains(terminalPhases, obj.Status.Phase)
	}
	return false
}

// removal is the change that removes an object, whose members have said that they end, or have not.
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

// newerThan reports whether o comes by an event out of order.
func (e entry) newerThan(o *Object) bool { return o.Version != 0 && o.Version < e.seen }

// Replace takes the complete set. What is in it as before is no change.
func (s *store) Replace(list []any, _ string) error {
	objects, ended := make(catalog), make(catalog)
	for _, obj := range list {
		o, err := s.shrinker.shrink(obj)
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

// fill makes objects what the store holds, besides which there are some that have ended.
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
		s.feed.filled()
	}
}

// diff returns the changes from before to after. In after, objects that did not change are replaced by
// those of before, but not their versions: these may even go back, as after an etcd was restored, and
// what follows would look out of order.
func diff(before, after, ended catalog) (changes []Change) {
	for old := range before.all {
		if _, stays := after.get(old.Object); !stays {
			_, announced := ended.get(old.Object)
			changes = append(changes, removal(old.Object, announced))
		}
	}
	for now := range after.all {
		old, known := before.get(now.Object)
		if known && old.same(now.Object) {
			after.put(entry{old.Object, now.seen})
			continue
		}
		changes = append(changes, Change{Old: old.Object, New: now.Object})
	}
	return changes
}

// Resync has nothing to do: a sink never misses a change.
func (s *store) Resync() error { return nil }
