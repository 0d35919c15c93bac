package membership

import (
	"fmt"
	"slices"
	"testing"
)

// uniting is a node as one block has it.
type uniting struct {
	block    uint16
	longname string
	address  string
	state    string
}

// node makes it.
func (u uniting) node() Node {
	m := endpoint("", u.address)
	n := Node{Member: &m, text: u.longname + ".", Block: u.block}
	switch u.state {
	case "alive":
		n.Listed = true
	case "alive and ending":
		n.Listed, n.ends = true, true
	case "failing":
		n.Listed, n.Suspect = true, true
	case "missing":
		n.Listed, n.Suspect, n.absent = true, true, true
	case "waiting":
	case "ending":
		n.ends = true
	default:
		panic(u.state)
	}
	return n
}

func TestUnite(t *testing.T) {
	for _, tc := range []struct {
		name  string
		nodes []uniting
		want  []string // longname, address and block
	}{
		{"nobody", nil, nil},
		{"in order of their longnames", []uniting{{0, "b@x", "10.0.0.2", "alive"}, {0, "d@x", "10.0.0.4", "alive"}, {1, "a@x", "10.0.0.1", "alive"}, {1, "c@x", "10.0.0.3", "waiting"}},
			[]string{"a@x 10.0.0.1 1", "b@x 10.0.0.2 0", "c@x 10.0.0.3 1", "d@x 10.0.0.4 0"}},
		{"a longname of one block that several nodes have", []uniting{{0, "a@x", "10.0.0.2", "alive"}, {0, "a@x", "10.0.0.1", "waiting"}},
			[]string{"a@x 10.0.0.2 0", "a@x 10.0.0.1 0"}},
		{"alive in both: the first", []uniting{{0, "a@x", "10.0.0.1", "alive"}, {1, "a@x", "10.0.0.2", "alive"}}, []string{"a@x 10.0.0.1 0"}},
		{"all nodes of the first, none of the second", []uniting{{0, "a@x", "10.0.0.1", "waiting"}, {0, "a@x", "10.0.0.2", "alive"}, {1, "a@x", "10.0.0.3", "alive"}},
			[]string{"a@x 10.0.0.1 0", "a@x 10.0.0.2 0"}},
		{"one alive of several counts", []uniting{{0, "a@x", "10.0.0.1", "failing"}, {1, "a@x", "10.0.0.2", "waiting"}, {1, "a@x", "10.0.0.3", "alive"}},
			[]string{"a@x 10.0.0.2 1", "a@x 10.0.0.3 1"}},
		{"alive before failing", []uniting{{0, "a@x", "10.0.0.1", "failing"}, {1, "a@x", "10.0.0.2", "alive"}}, []string{"a@x 10.0.0.2 1"}},
		{"one that is listed while it ends is alive", []uniting{{0, "a@x", "10.0.0.1", "failing"}, {1, "a@x", "10.0.0.2", "alive and ending"}}, []string{"a@x 10.0.0.2 1"}},
		{"failing before missing", []uniting{{0, "a@x", "10.0.0.1", "missing"}, {1, "a@x", "10.0.0.2", "failing"}}, []string{"a@x 10.0.0.2 1"}},
		{"missing before one that is not listed", []uniting{{0, "a@x", "10.0.0.1", "waiting"}, {1, "a@x", "10.0.0.2", "missing"}}, []string{"a@x 10.0.0.2 1"}},
		{"waiting before ending", []uniting{{0, "a@x", "10.0.0.1", "ending"}, {1, "a@x", "10.0.0.2", "waiting"}}, []string{"a@x 10.0.0.2 1"}},
		{"the first of equals, of three blocks", []uniting{{0, "a@x", "10.0.0.1", "waiting"}, {1, "a@x", "10.0.0.2", "missing"}, {2, "a@x", "10.0.0.3", "missing"}}, []string{"a@x 10.0.0.2 1"}},
		{"names that differ in case are two", []uniting{{0, "A@x", "10.0.0.1", "alive"}, {1, "a@x", "10.0.0.2", "alive"}}, []string{"A@x 10.0.0.1 0", "a@x 10.0.0.2 1"}},
		{"a name that begins as another", []uniting{{0, "a@x", "10.0.0.1", "alive"}, {1, "a@x-1", "10.0.0.2", "alive"}, {1, "a@x.y", "10.0.0.3", "alive"}},
			[]string{"a@x 10.0.0.1 0", "a@x-1 10.0.0.2 1", "a@x.y 10.0.0.3 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var nodes []Node
			for _, u := range tc.nodes {
				nodes = append(nodes, u.node())
			}
			united := Unite(nodes)
			var got []string
			for i := range united {
				n := &united[i]
				got = append(got, fmt.Sprintf("%s %s %d", n.Longname(), n.Address(), n.Block))
			}
			equal(t, "united", got, tc.want)
		})
	}
}

// No longname is lost or comes of two blocks, whatever blocks say of it; a longname that somebody lists stays listed.
func FuzzUnite(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte{1, 0, 0, 0, 0, 1})
	states := []string{"alive", "alive and ending", "failing", "missing", "waiting", "ending"}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bits(data)
		var nodes []Node
		for block := range uint16(3) {
			for range b.Next(6) {
				nodes = append(nodes, uniting{block, fmt.Sprintf("n%d@x", b.Next(4)), fmt.Sprintf("10.%d.0.%d", block, b.Next(5)), states[b.Next(len(states))]}.node())
			}
		}
		names, listed := make(map[string]bool), make(map[string]bool)
		for _, n := range nodes {
			names[n.Longname()] = true
			listed[n.Longname()] = listed[n.Longname()] || n.Listed
		}
		united := Unite(slices.Clone(nodes))
		of, still := make(map[string]uint16), make(map[string]bool)
		for i, n := range united {
			if i > 0 && united[i-1].Longname() > n.Longname() {
				t.Errorf("got %s after %s", n.Longname(), united[i-1].Longname())
			}
			if block, seen := of[n.Longname()]; seen && block != n.Block {
				t.Errorf("got %s of block %d and of %d", n.Longname(), block, n.Block)
			}
			of[n.Longname()] = n.Block
			still[n.Longname()] = still[n.Longname()] || n.Listed
		}
		for name := range names {
			if _, ok := of[name]; !ok || listed[name] != still[name] {
				t.Errorf("%s: got it %t, listed %t, want it listed %t", name, ok, still[name], listed[name])
			}
		}
		if len(of) != len(names) {
			t.Errorf("got %d longnames, want %d", len(of), len(names))
		}
	})
}
