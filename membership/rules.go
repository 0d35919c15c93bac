package membership

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// Rules say which members there are, and how they are named and grouped.
type Rules struct {
	Source     *kubeapi.Config // what is read
	Include    Include
	Naming     Naming
	GroupLabel int // index into Object.Labels; negative if all are one cluster
	// Reserved are names that no group's cluster has or lies in, in lower case: pods, Services or the name
	// server are called so.
	Reserved []string
	// ReservesAddresses is true if no group may be called as an address is spelt: a host part is.
	ReservesAddresses bool
	Hold              time.Duration // of suspects; 0 if there are none
	// Edited is true if a person has taken out what vanishes.
	Edited bool
}

// ClusterOf returns the name of the cluster of an object that has the group's label, or why it is in none. Labels
// may be of any length, so they are checked before they are copied.
func (r *Rules) ClusterOf(o *kubeapi.Object) (name string, p Problem) {
	group := o.Labels[r.GroupLabel].Value
	switch {
	case !isGroup(group):
		return "", InvalidGroup
	case !isNamespace(o.Namespace):
		return "", InvalidNamespace
	}
	name = strings.ToLower(group + "." + o.Namespace)
	switch {
	case r.isReserved(name), r.ReservesAddresses && isDashed(strings.ToLower(group)):
		return name, ReservedName
	}
	return name, NoProblem
}

func (r *Rules) isReserved(name string) bool {
	return slices.ContainsFunc(r.Reserved, func(other string) bool { return name == other || strings.HasSuffix(name, "."+other) })
}

// Nodes returns every candidate of a roster that has a longname, its suspects too, ordered by longname.
// If none passes Include, all are listed that do not end: a cluster that boots, or whose probes all fail
// at once, must still find itself.
func (r *Rules) Nodes(of *Roster) (nodes []Node, left []LeftOut) {
	nodes, left = r.name(of.Objects, r.knownByIPv4(of.Objects, of.Suspects))
	if !passesAny(nodes) {
		for i := range nodes {
			nodes[i].Listed = !nodes[i].ends
		}
	}
	return r.arrange(withSuspects(nodes, of.Suspects)), left
}

// candidates returns the nodes that objects tell of, in no order. Those are listed that pass Include.
func (r *Rules) candidates(objects []*kubeapi.Object, suspects []*Suspect) []Node {
	nodes, _ := r.name(objects, r.knownByIPv4(objects, suspects))
	return nodes
}

// name returns the nodes that objects tell of, but for the IPv6 addresses of pods in four, and the candidates
// without a longname.
func (r *Rules) name(objects []*kubeapi.Object, four map[identity]bool) (nodes []Node, left []LeftOut) {
	candidates := join(objects, r.Include, four, r.Source.Ports)
	nodes = make([]Node, 0, len(candidates))
	for i := range candidates {
		n, e, p := r.Naming.nameOf(&candidates[i])
		if p != NoProblem {
			left = append(left, LeftOut{Object: e.object, What: describe(e), Problem: p})
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, left
}

func (r *Rules) knownByIPv4(objects []*kubeapi.Object, suspects []*Suspect) map[identity]bool {
	if r.Naming.Mode == ModeHostname {
		suspects = nil // its name is the same by each address
	}
	return knownByIPv4(objects, r.Source.Family, suspects)
}

// withSuspects lists suspects among the nodes of a cluster.
func withSuspects(nodes []Node, suspects []*Suspect) []Node {
	if len(suspects) == 0 {
		return nodes
	}
	at := make(map[string][]int, len(nodes))
	for i := range nodes {
		at[nodes[i].text] = append(at[nodes[i].text], i)
	}
	for _, s := range suspects {
		if s.absent {
			nodes = append(nodes, s.Node)
			continue
		}
		for _, i := range at[s.text] {
			if n := &nodes[i]; !n.Listed && !n.ends {
				n.Listed, n.Suspect = true, true
			}
		}
	}
	return nodes
}

// arrange orders nodes by longname. It sorts their places, for nodes are large.
func (r *Rules) arrange(nodes []Node) []Node {
	places := make([]int32, len(nodes))
	for i := range places {
		places[i] = int32(i)
	}
	slices.SortFunc(places, func(a, b int32) int {
		return cmp.Or(strings.Compare(nodes[a].Longname(), nodes[b].Longname()), cmp.Compare(a, b))
	})
	sorted := make([]Node, len(nodes))
	for i, at := range places {
		sorted[i] = nodes[at]
	}
	r.unitePorts(sorted)
	return sorted
}

// passesAny reports whether Include lets any of some candidates in.
func passesAny(nodes []Node) bool {
	return slices.ContainsFunc(nodes, func(n Node) bool { return n.Listed })
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
			of.sharePorts(nodes[:same])
		}
		nodes = nodes[same:]
	}
}

// sharePorts gives the nodes of one longname the ports that those of the owner's namespace declare.
func (u *uniter) sharePorts(nodes []Node) {
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
