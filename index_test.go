package longnames

import "testing"

func TestIndexCounts(t *testing.T) {
	var x index[string]
	a, b := newView("a"), newView("b")
	add := func(v *view, delta int32, want bool) {
		t.Helper()
		if got := x.add("k", v, false, delta); got != want {
			t.Errorf("%+d in %s: came or went: got %t, want %t", delta, v.name, got, want)
		}
	}
	add(a, +1, true)
	add(a, +1, false)
	add(b, +1, false)
	before := x.in("k")
	add(a, -1, false)
	if got := x.in("k"); len(got) != 2 || got[0].view != a || got[0].nodes != 1 {
		t.Errorf("got %v, want a once and b once", got)
	}
	if before[0].nodes != 2 {
		t.Errorf("what was read before: got count %d, want 2", before[0].nodes)
	}
	add(a, -1, false)
	add(b, -1, true)
	if got := x.in("k"); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
	add(b, -1, false)
}
