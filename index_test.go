package longnames

import "testing"

func TestIndexCounts(t *testing.T) {
	var x index[string]
	a, b := newCluster("a"), newCluster("b")
	x.add("k", a, +1)
	x.add("k", a, +1)
	x.add("k", b, +1)
	before := x.in("k")
	x.add("k", a, -1)
	if got := x.in("k"); len(got) != 2 || got[0].cluster != a || got[0].count != 1 {
		t.Errorf("got %v, want a once and b once", got)
	}
	if before[0].count != 2 {
		t.Errorf("what was read before: got count %d, want 2", before[0].count)
	}
	x.add("k", a, -1)
	x.add("k", b, -1)
	if got := x.in("k"); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
}
