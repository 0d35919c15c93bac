package longnames

import (
	"strings"
	"sync"
)

// names counts the names that lie at or below a name: one that has any below it exists,
// though it may have no records (RFC 8020). Readers need no lock; writers have the table's.
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
