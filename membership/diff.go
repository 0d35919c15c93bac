package membership

import (
	"cmp"
	"iter"
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// mentions are members that an edit tells of. Those that have an ID, or a hostname or else an address if they have no
// ID, in common may be one node.
type mentions struct {
	ids       map[string]bool // or hostnames
	addresses map[netip.Addr]bool
}

func newMentions() mentions {
	return mentions{ids: make(map[string]bool), addresses: make(map[netip.Addr]bool)}
}

func (who mentions) isEmpty() bool { return len(who.ids)+len(who.addresses) == 0 }

func (who mentions) add(m *kubeapi.Member) {
	if id := cmp.Or(m.ID, m.Hostname); id != "" {
		who.ids[id] = true
	} else {
		who.addresses[m.Address] = true
	}
}

func (who mentions) has(m *kubeapi.Member) bool {
	if id := cmp.Or(m.ID, m.Hostname); id != "" {
		return who.ids[id]
	}
	return who.addresses[m.Address]
}

// part returns an object with those members alone, nil if it has none of them.
func (who mentions) part(o *kubeapi.Object) *kubeapi.Object {
	var members []kubeapi.Member
	for i := range o.Members {
		if m := &o.Members[i]; who.has(m) {
			members = append(members, *m)
		}
	}
	if len(members) == 0 {
		return nil
	}
	part := *o
	part.Members = members
	return &part
}

// pairs yields the states of objects before and after a change, both in order. Where there is only one, the other is
// nil.
func pairs(before, after []*kubeapi.Object) iter.Seq2[*kubeapi.Object, *kubeapi.Object] {
	return func(yield func(o, p *kubeapi.Object) bool) {
		for len(before)+len(after) > 0 {
			var order int
			switch {
			case len(after) == 0:
				order = -1
			case len(before) == 0:
				order = 1
			default:
				order = kubeapi.CompareObjects(before[0], after[0])
			}
			var o, p *kubeapi.Object
			if order <= 0 {
				o, before = before[0], before[1:]
			}
			if order >= 0 {
				p, after = after[0], after[1:]
			}
			if !yield(o, p) {
				return
			}
		}
	}
}

// differing returns the members that may differ between two states of an object, either of which may be nil: all, unless
// what the objects say of each of them is alike.
func differing(o, p *kubeapi.Object, alike func(o, p *kubeapi.Object) bool, same func(m, n *kubeapi.Member) bool) (gone, come []*kubeapi.Member) {
	if o == nil || p == nil || !alike(o, p) {
		return membersOf(o), membersOf(p)
	}
	return diff(o.Members, p.Members, same)
}

// membersOf returns the members of an object, which may be nil.
func membersOf(o *kubeapi.Object) []*kubeapi.Member {
	if o == nil {
		return nil
	}
	members := make([]*kubeapi.Member, len(o.Members))
	for i := range members {
		members[i] = &o.Members[i]
	}
	return members
}

// isNamedAs reports whether a member has the address and the names of another one.
func isNamedAs(m, n *kubeapi.Member) bool {
	return m.Address == n.Address && m.Hostname == n.Hostname && m.ID == n.ID && m.IsPod == n.IsPod
}

// isEqual reports whether all of a member is as of another one.
func isEqual(m, n *kubeapi.Member) bool { return *m == *n }

// nearby is how many members ahead diff looks for one that is the same.
const nearby = 8

// diff returns the members that only one of two lists has. Members that have changed places may be among them.
func diff(before, after []kubeapi.Member, same func(m, n *kubeapi.Member) bool) (gone, come []*kubeapi.Member) {
	for len(before) > 0 && len(after) > 0 && same(&before[len(before)-1], &after[len(after)-1]) {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	for len(before) > 0 && len(after) > 0 {
		added, skipped := index(after, &before[0], same), index(before, &after[0], same)
		step := 1 // past the two that are the same
		switch {
		case added < 0 && skipped < 0:
			added, skipped, step = 1, 1, 0 // one came in place of the other
		case skipped < 0 || added >= 0 && added <= skipped:
			skipped = 0
		default:
			added = 0
		}
		for i := range skipped {
			gone = append(gone, &before[i])
		}
		for i := range added {
			come = append(come, &after[i])
		}
		before, after = before[skipped+step:], after[added+step:]
	}
	for i := range before {
		gone = append(gone, &before[i])
	}
	for i := range after {
		come = append(come, &after[i])
	}
	return gone, come
}

// index returns the place of a member nearby, -1 if it is not there.
func index(members []kubeapi.Member, m *kubeapi.Member, same func(m, n *kubeapi.Member) bool) int {
	for i := range members[:min(len(members), nearby)] {
		if same(m, &members[i]) {
			return i
		}
	}
	return -1
}
