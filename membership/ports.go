package membership

import (
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// uniter unites lists of ports. It does so once for all that have the same lists, for the members of some objects
// mostly have, and then share the result.
type uniter struct {
	first   []string // names of ports that are kept whatever else is left out
	known   map[step]*portLists
	scratch []kubeapi.Port
}

// portLists are one after the other: nil is none.
type portLists struct {
	before *portLists
	last   []kubeapi.Port
	united []kubeapi.Port // see uniter.unite
}

// step is that from some lists to one more.
type step struct {
	before *portLists
	list   *kubeapi.Port // its first
}

// with returns some lists and another one.
func (u *uniter) with(lists *portLists, ports []kubeapi.Port) *portLists {
	if len(ports) == 0 {
		return lists
	}
	to := step{lists, &ports[0]}
	next := u.known[to]
	if next == nil {
		if next = lists; lists == nil || !slices.Equal(lists.last, ports) {
			next = &portLists{before: lists, last: ports}
		}
		if u.known == nil {
			u.known = make(map[step]*portLists)
		}
		u.known[to] = next
	}
	return next
}

// unite joins lists of ports without duplicates, as many as one object may have. It changes none of them.
func (u *uniter) unite(lists *portLists) []kubeapi.Port {
	switch {
	case lists == nil:
		return nil
	case lists.before == nil:
		return lists.last
	case lists.united != nil:
		return lists.united
	}
	all, seen := u.scratch[:0], make(map[*kubeapi.Port]bool)
	for at := lists; at != nil; at = at.before {
		if seen[&at.last[0]] {
			continue
		}
		seen[&at.last[0]] = true
		if all = append(all, at.last...); len(all) > mostUnited {
			all = append(all[:0], u.few(all)...)
		}
	}
	lists.united = slices.Clone(u.few(all))
	u.scratch = all
	return lists.united
}

// mostUnited is how many ports are put in order at a time.
const mostUnited = 16 * kubeapi.MaxPorts

// few puts ports in order, and returns those that are kept of them.
func (u *uniter) few(ports []kubeapi.Port) []kubeapi.Port {
	slices.SortFunc(ports, kubeapi.ComparePorts)
	return kubeapi.KeepPorts(slices.Compact(ports), u.first)
}
