package membership

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// Node is a member, or a candidate that is not listed, with its name.
type Node struct {
	Member  *kubeapi.Member
	Ports   []kubeapi.Port
	object  *kubeapi.Object // that tells of the member
	text    string          // the longname and a dot, so that all its parts are slices of it
	at      uint8           // where the host part begins, which lies within maxLongname
	Listed  bool
	Suspect bool // it is listed, but not alive
	absent  bool // it is a suspect of which no object tells any more
	ends    bool // an object says that it terminates
	// Block is the block that has the node, of several that share a zone.
	Block uint16
}

// Longname returns the name that the node was started with.
func (n *Node) Longname() string { return n.text[:len(n.text)-1] }

// Host returns the part of the longname behind the @, with a final dot.
func (n *Node) Host() string { return n.text[n.at:] }

// Address returns the node's address.
func (n *Node) Address() netip.Addr { return n.Member.Address }

// Created returns when the object was created that tells of the node, in seconds since 1970; 0 if it does not tell.
func (n *Node) Created() uint32 { return n.object.Created }

// IsAlive reports whether the node is listed and is neither suspect nor about to end.
func (n *Node) IsAlive() bool { return n.Listed && !n.Suspect && !n.ends }

// Rank orders nodes that have the same name or address, as a pod of a StatefulSet and the one that
// replaces it: the greater, the likelier it is alive.
func (n *Node) Rank() int {
	switch {
	case n.absent:
		return 0
	case !n.Listed:
		return 1
	case n.Suspect:
		return 2
	case n.ends:
		return 3
	}
	return 4
}

// Doubt orders listed nodes: those that are alive come first, those that are gone last.
func (n *Node) Doubt() int {
	switch {
	case n.absent:
		return 2
	case n.Suspect:
		return 1
	}
	return 0
}

// identity returns the node's identity.
func (n *Node) identity() identity { return identityOf(n.object, n.Member) }

// alone returns an object that tells of the node alone.
func (n *Node) alone() *kubeapi.Object {
	o := *n.object
	o.Members = []kubeapi.Member{*n.Member}
	return &o
}

// LeftOut is a candidate that has no longname.
type LeftOut struct {
	Object  *kubeapi.Object
	What    string // what of the object
	Problem Problem
	Block   uint16 // see Node
}

// Rules say which members there are, and how they are named and grouped.
type Rules struct {
	Source     *kubeapi.Config // what is read
	Include    Include
	Naming     Naming
	GroupLabel int // index into Object.Labels; negative if all are one cluster
	// Reserved are names that no group's cluster has or lies in, in lower case: pods, Services or the name
	// server are called so.
	Reserved []string
	// ReservesAddresses is whether no group is called as an address is spelt: a host part is.
	ReservesAddresses bool
	Hold              time.Duration // of suspects; 0 if there are none
	// Edited is whether what vanishes has been taken out by a person.
	Edited bool
}

// ClusterOf returns the name of the cluster of an object that has the group's label, or why it is in none. Whoever
// writes an object decides how long its labels are: they are looked at before they are copied.
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

// name does the same, but skips the IPv6 addresses of pods in four, and returns the candidates without a
// longname, too.
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

// passesAny reports whether Include lets any of some candidates in.
func passesAny(nodes []Node) bool {
	return slices.ContainsFunc(nodes, func(n Node) bool { return n.Listed })
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

// arrange orders nodes by longname.
func (r *Rules) arrange(nodes []Node) []Node {
	slices.SortStableFunc(nodes, func(a, b Node) int { return strings.Compare(a.Longname(), b.Longname()) })
	r.unitePorts(nodes)
	return nodes
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

// nameOf tries what each object tells of a candidate until it makes a longname: only the
// slices of one service may know a pod's hostname. If none does, it returns the first
// problem.
func (n *Naming) nameOf(cand *candidate) (Node, entry, Problem) {
	if n.PodNames {
		byHostname := *n
		byHostname.PodNames = false
		if node, e, p := byHostname.nameOf(cand); p == NoProblem {
			return node, e, p
		}
	}
	first := NoProblem
	for _, e := range cand.entries {
		text, at, p := n.longname(e.object, e.member)
		if p == NoProblem {
			return Node{
				Member: cand.withHostname(e.member),
				Ports:  cand.ports,
				object: e.object,
				text:   text,
				at:     uint8(at), //nolint:gosec // no longname is longer than maxLongname
				Listed: cand.passes,
				ends:   cand.ends,
			}, e, NoProblem
		}
		if first == NoProblem {
			first = p
		}
	}
	return Node{}, cand.entries[0], first
}

func describe(e entry) string {
	if e.member.IsPod {
		return "pod " + Quote(e.member.ID) + " at " + e.member.Address.String()
	}
	return "address " + e.member.Address.String()
}

// mostQuoted is how many bytes there are of a quoted name: nothing that Kubernetes knows is called so.
const mostQuoted = 100

// Quote returns a name as it is if all its characters are common in names, and in quotes otherwise. Then it may be
// cut off.
func Quote(name string) string {
	if name != "" && len(name) <= maxLongname && strings.Trim(name, "-.0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" {
		return name
	}
	quoted := strconv.Quote(name[:min(len(name), mostQuoted)])
	if len(name) > mostQuoted || len(quoted) > mostQuoted {
		quoted = quoted[:min(len(quoted), mostQuoted)] + "…"
	}
	return strings.ToValidUTF8(quoted, "")
}
