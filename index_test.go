package longnames

import (
	"net/netip"
	"testing"
)

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

func TestAddressSet(t *testing.T) {
	var all index[netip.Addr]
	var set addressSet
	home := newCluster("")
	for _, text := range []string{"10.0.0.1", "10.2.0.1", "fd00::1"} {
		all.add(netip.MustParseAddr(text), home, +1)
	}
	check := func(want map[string]bool) {
		t.Helper()
		for prefix, want := range want {
			if got := set.overlaps(netip.MustParsePrefix(prefix), &all); got != want {
				t.Errorf("%s: got %t, want %t", prefix, got, want)
			}
		}
	}
	check(map[string]bool{
		"10.0.0.0/8": true, "10.0.0.0/16": true, "10.1.0.0/16": false, "10.2.0.0/24": true,
		"11.0.0.0/8": false, "0.0.0.0/0": true, "fd00::/8": true, "fe00::/8": false,
	})
	all.add(netip.MustParseAddr("10.1.0.1"), home, +1)
	set.reset()
	check(map[string]bool{"10.1.0.0/16": true, "10.3.0.0/16": false})
}
