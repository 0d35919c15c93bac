package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/longnames/longnames/kubeapi"
)

// node is a member, or a candidate that is not listed, with its name.
type node struct {
	text   string // the longname and a dot, so that all its parts are slices of it
	member *kubeapi.Member
	ports  []kubeapi.Port
	at     uint8 // where the host part begins, which lies within maxLongname
	listed bool
	ending bool // every object that lists it says that it terminates
}

func (n *node) longname() string    { return n.text[:len(n.text)-1] }
func (n *node) target() string      { return n.text[n.at:] }
func (n *node) address() netip.Addr { return n.member.Address }

// rank orders nodes that have the same name, as a pod of a StatefulSet and the one that
// replaces it: the greater, the likelier it is alive.
func (n *node) rank() int {
	switch {
	case n.listed && !n.ending:
		return 2
	case n.listed:
		return 1
	}
	return 0
}

// declares gives the numbers of the ports that n declares under a name.
func (n *node) declares(name, protocol string) []uint16 {
	var numbers []uint16
	for _, p := range n.ports {
		if strings.EqualFold(p.Name, name) && strings.EqualFold(p.Protocol, protocol) {
			numbers = append(numbers, p.Number)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// of is the port of n's SRV record, and whether n declares it if it must.
func (p port) of(n *node) (number uint16, declared bool) {
	if p.name == "" {
		return p.number, true
	}
	if numbers := n.declares(p.name, "TCP"); len(numbers) > 0 {
		return numbers[0], true
	}
	return epmdPort, false
}

// epmd is the port of n's SRV record under _epmd._tcp.
func (p port) epmd(n *node) uint16 {
	if numbers := n.declares(epmdName, "TCP"); len(numbers) > 0 {
		return numbers[0]
	}
	number, _ := p.of(n)
	return number
}

// leftOut is a candidate that has no longname.
type leftOut struct {
	object  *kubeapi.Object
	what    string
	problem problem
}

// nameAll gives every candidate of a cluster its longname. If none passes, all are listed:
// a cluster that boots, or whose probes all fail at once, must still find itself.
func (c *config) nameAll(r *roster) (nodes []node, left []leftOut) {
	candidates := join(r.objects, c.include, c.source.Family)
	nodes = make([]node, 0, len(candidates))
	nobody := true
	for i := range candidates {
		n, e, p := c.nameOf(&candidates[i])
		if p != noProblem {
			left = append(left, leftOut{e.object, describe(e), p})
			continue
		}
		nobody = nobody && !n.listed
		n.listed = n.listed || r.doubted && candidates[i].stays
		nodes = append(nodes, n)
	}
	if nobody {
		for i := range nodes {
			nodes[i].listed = true
		}
	}
	slices.SortStableFunc(nodes, func(a, b node) int { return strings.Compare(a.text, b.text) })
	unitePorts(nodes)
	return nodes, left
}

// namesAny tells whether nameAll gives any candidate a longname, but mostly at the cost of
// one.
func (c *config) namesAny(objects []*kubeapi.Object) bool {
	return c.names(objects, func(*kubeapi.Member) bool { return true })
}

// passesAny tells whether any of those passes and is not about to end, likewise.
func (c *config) passesAny(objects []*kubeapi.Object) bool {
	return c.names(objects, func(m *kubeapi.Member) bool { return !m.Terminating && c.include.passes(m) })
}

// names tells whether any candidate that counts in one of its objects has a longname.
func (c *config) names(objects []*kubeapi.Object, counts func(*kubeapi.Member) bool) bool {
	has4, named6 := false, false
	for _, o := range objects {
		for at := range o.Members {
			m := &o.Members[at]
			is4 := m.Address.Is4()
			has4 = has4 || is4
			if !is4 && named6 || !counts(m) {
				continue
			}
			_, _, p := c.naming.longname(o, m)
			if p == noProblem && is4 {
				return true
			}
			named6 = named6 || p == noProblem
		}
	}
	if !has4 || !named6 {
		return named6
	}
	// One that has both addresses is known by the other.
	return slices.ContainsFunc(join(objects, c.include, c.source.Family), func(cand candidate) bool {
		_, _, p := c.nameOf(&cand)
		return p == noProblem && slices.ContainsFunc(cand.entries, func(e entry) bool { return counts(e.member) })
	})
}

// unitePorts lets nodes of one longname, which are next to each other, declare the same
// ports: hostNetwork pods that share an address are one node to the BEAM.
func unitePorts(nodes []node) {
	for len(nodes) > 0 {
		ports, same := nodes[0].ports, 1
		for ; same < len(nodes) && nodes[same].text == nodes[0].text; same++ {
			ports = unite(ports, nodes[same].ports)
		}
		for i := range same {
			nodes[i].ports = ports
		}
		nodes = nodes[same:]
	}
}

// nameOf tries what each object tells of a candidate until it makes a longname: only the
// slices of one service may know a pod's hostname. If none does, it gives the first
// problem.
func (c *config) nameOf(cand *candidate) (node, entry, problem) {
	first := noProblem
	for _, e := range cand.entries {
		text, at, p := c.naming.longname(e.object, e.member)
		if p == noProblem {
			return node{
				text:   text,
				member: cand.withHostname(e.member),
				ports:  cand.ports,
				at:     uint8(at), //nolint:gosec // no longname is longer than maxLongname
				listed: cand.passes,
				ending: !cand.stays,
			}, e, noProblem
		}
		if first == noProblem {
			first = p
		}
	}
	return node{}, cand.entries[0], first
}

func describe(e entry) string {
	if e.member.IsPod {
		return "pod " + e.member.ID + " at " + e.member.Address.String()
	}
	return "address " + e.member.Address.String()
}
