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

// unitePorts lets nodes of one longname, which are next to each other, declare the same
// ports: hostNetwork pods that share an address are one node to the BEAM. Those of other namespaces
// than the owner's have no say.
func (r *Rules) unitePorts(nodes []Node) {
	of := uniter{first: r.Source.Ports}
	for len(nodes) > 0 {
		same := 1
		for same < len(nodes) && nodes[same].text == nodes[0].text {
			same++
		}
		if same > 1 {
			of.shareOwners(nodes[:same])
		}
		nodes = nodes[same:]
	}
}

// shareOwners does so for the nodes of one longname.
func (u *uniter) shareOwners(nodes []Node) {
	claimants := make([]*Node, len(nodes))
	for i := range nodes {
		claimants[i] = &nodes[i]
	}
	owner := Owner("", claimants)
	lists := u.with(nil, owner.Ports)
	for _, n := range claimants {
		if n.Namespace() == owner.Namespace() {
			lists = u.with(lists, n.Ports)
		}
	}
	ports := u.unite(lists)
	for _, n := range claimants {
		n.Ports = ports
	}
}
