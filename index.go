package longnames

import (
	"slices"
	"sync"
	"sync/atomic"
)

// index tells in which clusters something occurs. Readers need no lock; writers have the
// table's.
type index[K comparable] struct {
	m      sync.Map     // K → []occurrence, never written to
	shared atomic.Int64 // keys that occur in several clusters
}

type occurrence struct {
	view  *view
	count int
}

func (x *index[K]) in(k K) []occurrence {
	v, _ := x.m.Load(k)
	found, _ := v.([]occurrence)
	return found
}

// add counts k in or out, and reports whether it has come, or has gone with that.
func (x *index[K]) add(k K, v *view, delta int) (changed bool) {
	known := x.in(k)
	next := slices.Clone(known)
	at := slices.IndexFunc(next, func(o occurrence) bool { return o.view == v })
	if at < 0 {
		at = len(next)
		next = append(next, occurrence{view: v})
	}
	next[at].count += delta
	if next[at].count <= 0 {
		next = slices.Delete(next, at, at+1)
	}
	switch {
	case len(known) < 2 && len(next) > 1:
		x.shared.Add(1)
	case len(known) > 1 && len(next) < 2:
		x.shared.Add(-1)
	}
	if len(next) == 0 {
		x.m.Delete(k)
	} else {
		x.m.Store(k, next)
	}
	return len(known) == 0 != (len(next) == 0)
}
