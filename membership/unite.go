package membership

import (
	"cmp"
	"slices"
	"strings"
)

// Unite returns the nodes of one cluster that several blocks have, given in the order of these, by longname. Of equal
// longnames, it keeps the nodes of one block: the first that lists them as alive, or else as suspect, or else at all.
func Unite(nodes []Node) []Node {
	slices.SortStableFunc(nodes, func(a, b Node) int { return strings.Compare(a.Longname(), b.Longname()) })
	united := nodes[:0]
	for len(nodes) > 0 {
		same := 1
		for same < len(nodes) && nodes[same].text == nodes[0].text {
			same++
		}
		block := slices.MinFunc(nodes[:same], func(a, b Node) int { return cmp.Compare(a.standing(), b.standing()) }).Block
		for i := range same {
			if nodes[i].Block == block {
				united = append(united, nodes[i])
			}
		}
		nodes = nodes[same:]
	}
	return slices.Clip(united)
}

// standing orders nodes of one longname: those first that are listed, as Doubt has it.
func (n *Node) standing() int {
	switch {
	case n.Listed:
		return n.Doubt()
	case n.ends:
		return 4
	}
	return 3
}
