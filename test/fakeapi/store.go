package fakeapi

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
)

// change is one write: created (no before), updated, or deleted (no after).
type change struct {
	version       uint64
	kind          *kind
	before, after object
}

// store holds the objects and how they came to be. It has no lock of its own. Stored objects are never written to, so
// that they can be encoded outside of the server's lock.
type store struct {
	version   uint64 // of the newest change
	compacted uint64 // changes up to here are forgotten
	objects   map[*kind]map[string]object
	history   []change // ascending versions
}

// newStore starts above 0, which in a request means "any version".
func newStore() *store {
	s := &store{version: 1, compacted: 1, objects: make(map[*kind]map[string]object)}
	for _, k := range kinds {
		s.objects[k] = make(map[string]object)
	}
	return s
}

func keyOf(o object) string { return o.GetNamespace() + "/" + o.GetName() }

func format(version uint64) string { return strconv.FormatUint(version, 10) }

func (s *store) put(k *kind, given object) change {
	s.version++
	o := given.DeepCopyObject().(object)
	o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	if o.GetNamespace() == "" && !k.global {
		o.SetNamespace("default")
	}
	o.SetResourceVersion(format(s.version))
	before := s.objects[k][keyOf(o)]
	if o.GetUID() == "" {
		if before != nil {
			o.SetUID(before.GetUID())
		} else {
			o.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", s.version)))
		}
	}
	s.objects[k][keyOf(o)] = o
	return s.remember(change{s.version, k, before, o})
}

func (s *store) remove(k *kind, given object) (change, bool) {
	key := keyOf(given)
	if given.GetNamespace() == "" && !k.global {
		key = "default" + key
	}
	before, ok := s.objects[k][key]
	if !ok {
		return change{}, false
	}
	s.version++
	delete(s.objects[k], key)
	return s.remember(change{s.version, k, before, nil}), true
}

func (s *store) remember(c change) change {
	s.history = append(s.history, c)
	return c
}

// since returns the changes after a version.
func (s *store) since(version uint64) []change {
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].version > version })
	return s.history[i:]
}

// at returns the objects as they were at a version, so that all pages of a list show the same moment.
func (s *store) at(k *kind, version uint64) map[string]object {
	then := maps.Clone(s.objects[k])
	for _, c := range slices.Backward(s.since(version)) {
		switch {
		case c.kind != k:
		case c.before == nil:
			delete(then, keyOf(c.after))
		default:
			then[keyOf(c.before)] = c.before
		}
	}
	return then
}

// compact counts as a change of something else: so every version that a client can have seen is too old.
func (s *store) compact() {
	s.version++
	s.compacted, s.history = s.version, nil
}

// rewind makes objects that are newer than the version as old as it.
func (s *store) rewind(version uint64) {
	version = max(version, 1)
	for _, objects := range s.objects {
		for key, o := range objects {
			if v, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64); v > version {
				o = o.DeepCopyObject().(object)
				o.SetResourceVersion(format(version))
				objects[key] = o
			}
		}
	}
	s.version, s.compacted, s.history = version, version, nil
}
