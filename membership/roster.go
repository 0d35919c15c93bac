package membership

import (
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// Roster has the objects and suspects of a cluster at one time. It does not change, but for the times of its
// suspects.
type Roster struct {
	Objects  []*kubeapi.Object // ordered by namespace and name
	Suspects []*Suspect        // the oldest first
}

// IsEmpty reports whether the cluster has neither objects nor suspects.
func (r *Roster) IsEmpty() bool { return len(r.Objects)+len(r.Suspects) == 0 }

// with returns a roster without some objects and with others, which may be newer states of the former,
// and puts both in order. It has no suspects yet. r itself stays as it is.
func (r *Roster) with(removed, added []*kubeapi.Object) *Roster {
	slices.SortFunc(removed, kubeapi.CompareObjects)
	slices.SortFunc(added, kubeapi.CompareObjects)
	objects, rest := make([]*kubeapi.Object, 0, max(0, len(r.Objects)-len(removed)+len(added))), r.Objects
	upTo := func(o *kubeapi.Object) (found bool) {
		at, found := slices.BinarySearchFunc(rest, o, kubeapi.CompareObjects)
		objects, rest = append(objects, rest[:at]...), rest[at:]
		return found
	}
	for len(removed) > 0 || len(added) > 0 {
		if len(added) == 0 || len(removed) > 0 && kubeapi.CompareObjects(removed[0], added[0]) <= 0 {
			if upTo(removed[0]) {
				rest = rest[1:]
			}
			removed = removed[1:]
			continue
		}
		upTo(added[0])
		objects, added = append(objects, added[0]), added[1:]
	}
	return &Roster{Objects: append(objects, rest...)}
}

// states returns objects as the roster has them: one that is removed may be another state, the last.
func (r *Roster) states(objects []*kubeapi.Object) []*kubeapi.Object {
	known := make([]*kubeapi.Object, 0, len(objects))
	for _, o := range objects {
		if at, found := slices.BinarySearchFunc(r.Objects, o, kubeapi.CompareObjects); found {
			known = append(known, r.Objects[at])
		}
	}
	return known
}

// finder returns a function that reports whether a pod has an address. To ask for many costs no more than to ask for some.
func finder(objects []*kubeapi.Object) func(identity) bool {
	const some = 8
	var known map[identity]bool
	asked := 0
	return func(who identity) bool {
		if asked++; asked <= some {
			return has(objects, who)
		}
		if known == nil {
			members := 0
			for _, o := range objects {
				members += len(o.Members)
			}
			known = make(map[identity]bool, members)
			for _, o := range objects {
				for i := range o.Members {
					known[identityOf(o, &o.Members[i])] = true
				}
			}
		}
		return known[who]
	}
}

func has(objects []*kubeapi.Object, who identity) bool {
	return slices.ContainsFunc(objects, func(o *kubeapi.Object) bool {
		return slices.ContainsFunc(o.Members, func(m kubeapi.Member) bool { return m.Address == who.address && identityOf(o, &m) == who })
	})
}
