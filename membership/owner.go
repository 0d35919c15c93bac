package membership

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Several nodes may claim one name: pods of two namespaces can be called alike, and a pod as another's
// address is spelt. A name has one owner, so that no pod takes the place of another.

// claim is the ground of a node's claim to a name. A greater one is better.
type claim uint8

const (
	byPod      claim = iota // its pod is called so
	byHostname              // it is its hostname
	byAddress               // it spells its address
)

// names yields the names that a node has below its cluster's unless they are another's: in lower case, each
// with its best claim. A name is one label, or it could spell a host part; and one that spells an address is
// that address's alone.
func (n *Node) names(yield func(name string, by claim) bool) {
	if !yield(Dashed(n.Address()), byAddress) {
		return
	}
	hostname, pod := asName(n.Member.Hostname), asName(n.Member.Pod())
	if isName(hostname) && !yield(hostname, byHostname) {
		return
	}
	if pod != hostname && isName(pod) {
		yield(pod, byPod)
	}
}

// IsNamed reports whether a name is one of those that the node has below its cluster's unless they are another's.
func (n *Node) IsNamed(name string) bool {
	_, ok := n.claimTo(name)
	return ok
}

// asName returns a text in lower case, or nothing if it is too long for a name: it may be of any length.
func asName(text string) string {
	if len(text) > maxLabel {
		return ""
	}
	return strings.ToLower(text)
}

// isName reports whether a node can be called so below its cluster's name, where ports have names that begin
// with an underscore.
func isName(text string) bool {
	return len(text) <= maxLabel && IsBasename(text) && text[0] != '_' && !isDashed(text)
}

// isDashed reports whether a text is what Dashed makes of an address.
func isDashed(text string) bool {
	if strings.Trim(text, "0123456789abcdef-") != "" || strings.Count(text, "-") < 2 {
		return false
	}
	for _, separator := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(text, "-", separator)); err == nil && Dashed(a) == text {
			return true
		}
	}
	return false
}

// claimTo returns the node's claim to a name, the least if it has none.
func (n *Node) claimTo(name string) (by claim, ok bool) {
	if name == "" {
		return byPod, false
	}
	for own, by := range n.names {
		if own == name {
			return by, true
		}
	}
	return byPod, false
}

// betweenNamespaces orders nodes of several namespaces that claim a name. Nothing counts that a tenant can choose,
// nor a probe that fails for a moment: a name stays whose it is as long as that is there.
func betweenNamespaces(a, b *Node) int {
	return cmp.Or(
		first(!a.absent && !a.ends, !b.absent && !b.ends),
		first(a.Member.IsPod, b.Member.IsPod), // anybody may write down any address
		cmp.Compare(a.object.Created, b.object.Created),
		strings.Compare(a.Namespace(), b.Namespace()),
	)
}

// withinNamespace orders nodes of one namespace that claim a name, the best claim first: nodes that are alive come
// before suspects. All claim a host part or an address alike, and the name is empty.
func withinNamespace(name string, a, b *Node) int {
	one, _ := a.claimTo(name)
	other, _ := b.claimTo(name)
	return cmp.Or(
		cmp.Compare(b.rank(), a.rank()),
		cmp.Compare(other, one),
		first(a.Member.IsPod, b.Member.IsPod),
	)
}

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// Owner returns the one of several nodes that has a name which all of them claim.
func Owner(name string, nodes []*Node) *Node {
	namespace := slices.MinFunc(nodes, betweenNamespaces).Namespace()
	return slices.MinFunc(nodes, func(a, b *Node) int {
		return cmp.Or(
			first(a.Namespace() == namespace, b.Namespace() == namespace),
			withinNamespace(name, a, b),
			cmp.Compare(a.object.Created, b.object.Created),
			strings.Compare(a.Host(), b.Host()),
			strings.Compare(a.text, b.text),
		)
	})
}

// Owners returns the one that has the name, and those of its namespace with as good a claim: pods that share a
// hostname share its addresses. It may change the slice.
func Owners(name string, nodes []*Node) []*Node {
	if len(nodes) < 2 {
		return nodes
	}
	owner := Owner(name, nodes)
	return slices.DeleteFunc(nodes, func(n *Node) bool {
		return n.Namespace() != owner.Namespace() || withinNamespace(name, n, owner) != 0
	})
}

// Loss is a name that a node claims and another one has.
type Loss struct {
	Name        string
	Node, Owner *Node
}

// Namespace returns the namespace of the node's object.
func (n *Node) Namespace() string { return n.object.Namespace }

// Object returns the name of the object that tells of the node.
func (n *Node) Object() string { return n.object.Name }

// ByName finds the owners of all names that nodes of one cluster claim, and the nodes that claim one in vain. A
// node that shares a name once it is alive has lost nothing.
func ByName(nodes []Node) (owners map[string][]*Node, lost []Loss) {
	owners = make(map[string][]*Node, 2*len(nodes))
	single := make([]*Node, len(nodes)) // the first claimants, so that most names need no slice of their own
	var contested []string
	for i := range nodes {
		single[i] = &nodes[i]
		for name := range nodes[i].names {
			known := owners[name]
			if len(known) == 1 {
				contested = append(contested, name)
			}
			if len(known) == 0 {
				owners[name] = single[i : i+1 : i+1]
			} else {
				owners[name] = append(known, &nodes[i])
			}
		}
	}
	for _, name := range contested {
		all := owners[name]
		owners[name] = Owners(name, slices.Clone(all))
		owner := Owner(name, all)
		best, _ := owner.claimTo(name)
		for _, n := range all {
			if by, _ := n.claimTo(name); n.Namespace() != owner.Namespace() || by != best && n.Member.ID != owner.Member.ID {
				lost = append(lost, Loss{name, n, owner})
			}
		}
	}
	return owners, lost
}
