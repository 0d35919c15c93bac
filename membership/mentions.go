package membership

import (
	"cmp"
	"iter"
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// mentions are members that objects tell of, by what sets them apart from others: all that have it may be one node.
type mentions struct {
	ids       map[string]bool // or hostnames, of endpoints without ID
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

// of returns an object with those members alone, nil if it has none of them.
func (who mentions) of(o *kubeapi.Object) *kubeapi.Object {
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

// nearby is how far from each other diff finds members that are the same.
const nearby = 4

// diff returns the members that are in one of two lists alone. It may take some for such that have changed places.
func diff(before, after []kubeapi.Member, same func(m, n *kubeapi.Member) bool) (gone, come []*kubeapi.Member) {
	for i := range before {
		m, at := &before[i], -1
		for j := range after[:min(len(after), nearby)] {
			if same(m, &after[j]) {
				at = j
				break
			}
		}
		if at < 0 {
			gone = append(gone, m)
			continue
		}
		for j := range at {
			come = append(come, &after[j])
		}
		after = after[at+1:]
	}
	for j := range after {
		come = append(come, &after[j])
	}
	return gone, come
}

// sameness compares a member of an object with one of its other state.
type sameness func(o, p *kubeapi.Object, m, n *kubeapi.Member) bool

// differ returns the members that may differ between two states of an object. Either may be nil.
func (same sameness) differ(o, p *kubeapi.Object) (gone, come []*kubeapi.Member) {
	o, p = cmp.Or(o, &kubeapi.Object{}), cmp.Or(p, &kubeapi.Object{})
	return diff(o.Members, p.Members, func(m, n *kubeapi.Member) bool { return same(o, p, m, n) })
}

// states pairs the states of objects before and after a change, both in order. Where there is only one, the other is
// nil.
func states(before, after []*kubeapi.Object) iter.Seq2[*kubeapi.Object, *kubeapi.Object] {
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

// isNamedAs reports whether a member has the address and the names that it had in another state of its
// object.
func (r *Rules) isNamedAs(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return p.Service == o.Service && r.Naming.basenameOf(p) == r.Naming.basenameOf(o) &&
		m.Address == n.Address && m.Hostname == n.Hostname && m.ID == n.ID && m.IsPod == n.IsPod
}

// isAs reports whether all of a member is as in another state of its object.
func (r *Rules) isAs(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return *m == *n && r.isNamedAs(o, p, m, n)
}
