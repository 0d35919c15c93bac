package longnames

import (
	"net/netip"
	"slices"
	"sync"
)

// addresses answers whether there is an address in a prefix. It does not change; it is put
// in order at the first question, for such questions are rare.
type addresses struct {
	all    func(yield func(netip.Addr) bool)
	once   sync.Once
	sorted []netip.Addr
}

func (a *addresses) overlaps(prefix netip.Prefix) bool {
	a.once.Do(func() {
		a.sorted = slices.SortedFunc(a.all, netip.Addr.Compare)
	})
	at, _ := slices.BinarySearchFunc(a.sorted, prefix.Addr(), netip.Addr.Compare)
	return at < len(a.sorted) && prefix.Contains(a.sorted[at])
}
