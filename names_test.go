package longnames

import "testing"

func TestNamesHaveTheirAncestors(t *testing.T) {
	var n names
	n.add("a.b.c.", +1)
	n.add("x.b.c.", +1)
	n.add("a.b.c.", -1)
	for name, want := range map[string]bool{
		"x.b.c.": true, "b.c.": true, "c.": true,
		"a.b.c.": false, ".": false, "": false, "x.b": false,
	} {
		if got := n.has(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
}
