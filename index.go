package longnames

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// index tells in which clusters something occurs. Readers need no lock; writers have the
// table's.
type index[K comparable] struct{ m sync.Map } // K → []occurrence, never written to

type occurrence struct {
	cluster *cluster
	count   int
}

func (x *index[K]) in(k K) []occurrence {
	v, _ := x.m.Load(k)
	found, _ := v.([]occurrence)
	return found
}

func (x *index[K]) add(k K, c *cluster, delta int) {
	next := slices.Clone(x.in(k))
	at := slices.IndexFunc(next, func(o occurrence) bool { return o.cluster == c })
	if at < 0 {
		at = len(next)
		next = append(next, occurrence{cluster: c})
	}
	next[at].count += delta
	if next[at].count <= 0 {
		next = slices.Delete(next, at, at+1)
	}
	if len(next) == 0 {
		x.m.Delete(k)
		return
	}
	x.m.Store(k, next)
}

// names counts the names that lie at or below a name: one that has any below it exists,
// though it may have no records (RFC 8020).
type names struct{ m sync.Map } // string → int

func (n *names) has(name string) bool {
	_, ok := n.m.Load(name)
	return ok
}

// add counts name and all its ancestors.
func (n *names) add(name string, delta int) {
	for more := true; more && name != ""; _, name, more = strings.Cut(name, ".") {
		count := delta
		if v, ok := n.m.Load(name); ok {
			count += v.(int)
		}
		if count > 0 {
			n.m.Store(name, count)
		} else {
			n.m.Delete(name)
		}
	}
}

// addressSet answers whether there is an address in a prefix. It is ordered anew at the
// first question after a change, for such questions are rare.
type addressSet struct{ sorted atomic.Pointer[[]netip.Addr] }

func (s *addressSet) reset() { s.sorted.Store(nil) }

func (s *addressSet) overlaps(prefix netip.Prefix, all *index[netip.Addr]) bool {
	sorted := s.sorted.Load()
	if sorted == nil {
		var fresh []netip.Addr
		all.m.Range(func(k, _ any) bool {
			fresh = append(fresh, k.(netip.Addr))
			return true
		})
		slices.SortFunc(fresh, netip.Addr.Compare)
		sorted = &fresh
		s.sorted.Store(sorted)
	}
	at, _ := slices.BinarySearchFunc(*sorted, prefix.Addr(), netip.Addr.Compare)
	return at < len(*sorted) && prefix.Contains((*sorted)[at])
}
