package longnames

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/longnames/longnames/kubeapi"
)

// node is a member, or a candidate that is not listed, with its name.
type node struct {
	text    string // the longname and a dot, so that all its parts are slices of it
	member  *kubeapi.Member
	ports   []kubeapi.Port
	object  *kubeapi.Object // that tells of the member
	at      uint8           // where the host part begins, which lies within maxLongname
	listed  bool
	ends    bool // an object says that it terminates
	suspect bool // it is listed, but not alive
	absent  bool // it is a suspect of which no object tells any more
}

func (n *node) longname() string    { return n.text[:len(n.text)-1] }
func (n *node) target() string      { return n.text[n.at:] }
func (n *node) address() netip.Addr { return n.member.Address }

// rank orders nodes that have the same name or address, as a pod of a StatefulSet and the one that
// replaces it: the greater, the likelier it is alive.
func (n *node) rank() int {
	switch {
	case n.absent:
		return 0
	case !n.listed:
		return 1
	case n.suspect:
		return 2
	case n.ends:
		return 3
	}
	return 4
}

// doubt orders listed nodes: those that are alive come first.
func (n *node) doubt() int {
	switch {
	case n.absent:
		return 2
	case n.suspect:
		return 1
	}
	return 0
}

// who returns the node's identity.
func (n *node) who() identity { return whoIs(n.object, n.member) }

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

// nameAll gives every candidate of a cluster its longname, and adds its suspects. If none passes
// include, all are listed that do not end: a cluster that boots, or whose probes all fail at once,
// must still find itself.
func (c *config) nameAll(r *roster) (nodes []node, left []leftOut) {
	nodes, left = c.named(r.objects, c.knownByIPv4(r.objects, r.suspects))
	if !passesAny(nodes, left) {
		for i := range nodes {
			nodes[i].listed = !nodes[i].ends
		}
	}
	return arrange(withSuspects(nodes, r.suspects)), left
}

// named gives candidates their longnames, in no order. Those are listed that pass include.
func (c *config) named(objects []*kubeapi.Object, four map[identity]bool) (nodes []node, left []leftOut) {
	candidates := join(objects, c.include, four)
	nodes = make([]node, 0, len(candidates))
	for i := range candidates {
		n, e, p := c.nameOf(&candidates[i])
		if p != noProblem {
			left = append(left, leftOut{e.object, describe(e), p})
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, left
}

func (c *config) knownByIPv4(objects []*kubeapi.Object, suspects []*suspect) map[identity]bool {
	if c.naming.mode == modeHostname {
		suspects = nil // its name is the same by each address
	}
	return knownByIPv4(objects, c.source.Family, suspects)
}

// withSuspects lists suspects among the nodes of a cluster.
func withSuspects(nodes []node, suspects []*suspect) []node {
	if len(suspects) == 0 {
		return nodes
	}
	at := make(map[string][]int, len(nodes))
	for i := range nodes {
		at[nodes[i].text] = append(at[nodes[i].text], i)
	}
	for _, s := range suspects {
		if s.absent {
			nodes = append(nodes, s.node)
			continue
		}
		for _, i := range at[s.text] {
			if n := &nodes[i]; !n.listed && !n.ends {
				n.listed, n.suspect = true, true
			}
		}
	}
	return nodes
}

// arrange orders nodes by longname.
func arrange(nodes []node) []node {
	slices.SortStableFunc(nodes, func(a, b node) int { return strings.Compare(a.text, b.text) })
	unitePorts(nodes)
	return nodes
}

// namesAny reports whether any member has a longname, mostly at the cost of one.
func (c *config) namesAny(objects []*kubeapi.Object) bool {
	for _, o := range objects {
		for i := range o.Members {
			if c.naming.problemOf(o, &o.Members[i]) == noProblem {
				return true
			}
		}
	}
	return false
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
				object: e.object,
				ports:  cand.ports,
				at:     uint8(at), //nolint:gosec // no longname is longer than maxLongname
				listed: cand.passes,
				ends:   cand.ends,
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
