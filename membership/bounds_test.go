package membership

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

// allocated returns how many bytes something allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The ports of a node are united once for all that have the same lists, and not once for each slice that has it,
// in whichever order members of one slice are in others.
func TestCostOfUnitedPorts(t *testing.T) {
	const members, slicesOfAll = 1000, 20
	all := crowd(0, 0, members)
	rules := &Rules{Source: &kubeapi.Config{}, Naming: Naming{Mode: ModeIP, Basename: "app", BasenameLabel: -1}}
	odd := func(n int) bool { return n%2 == 1 }
	for _, tc := range []struct {
		name string
		has  func(slice, member int) bool
		most uint64 // bytes
	}{
		{"each slice has all", func(_, _ int) bool { return true }, 8 << 20},
		{"the first two have every other", func(slice, member int) bool { return slice > 1 || odd(slice) == odd(member) }, 8 << 20},
		{"each pod is in slices of its own choice", func(slice, member int) bool { return odd(member >> (slice % 10)) }, 24 << 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var objects []*kubeapi.Object
			for i := range slicesOfAll {
				var some []kubeapi.Member
				for m := range all {
					if tc.has(i, m) {
						some = append(some, all[m])
					}
				}
				objects = append(objects, ported(sliceNamed(fmt.Sprintf("s%02d", i), "web", some...), manyPorts(i)...))
			}
			if got := allocated(func() { rules.Nodes(&Roster{Objects: objects}) }); got > tc.most {
				t.Errorf("got %d bytes, want at most %d", got, tc.most)
			}
		})
	}
}

// Whoever writes a label decides how long it is, and it is each member's.
func TestLongLabelsAreNotCopied(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	for _, tc := range []struct {
		name, group, basename string
		problem               Problem
	}{
		{"a basename", "web", long, TooLong},
		{"a basename that is none", "web", long + "/", TooLong},
		{"a group", long, "web", InvalidGroup},
		{"a group with underscores", "_" + strings.ReplaceAll(long, "aa", "a_"), "web", InvalidGroup},
	} {
		rules := &Rules{Source: &kubeapi.Config{}, GroupLabel: 0, Naming: Naming{Mode: ModeIP, BasenameLabel: 1}}
		o := sliceNamed("s", "web", crowd(0, 0, 1000)...)
		o.Labels = []kubeapi.Label{{Value: tc.group, Set: true}, {Value: tc.basename, Set: true}}
		var left []LeftOut
		var problem Problem
		got := allocated(func() {
			_, problem = rules.ClusterOf(o)
			_, left = rules.Nodes(&Roster{Objects: []*kubeapi.Object{o}})
		})
		if len(left) > 0 {
			problem = left[0].Problem
		}
		if problem != tc.problem || got > 1<<20 {
			t.Errorf("%s: got problem %q and %d bytes, want %q and at most %d", tc.name, problem, got, tc.problem, 1<<20)
		}
	}
}

// A finding about a name is no longer than names are.
func TestQuotedNamesAreShort(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"web-0", "web-0"},
		{strings.Repeat("a", 253), strings.Repeat("a", 253)},
		{"", `""`},
		{"a b", `"a b"`},
		{strings.Repeat("a", 1<<20), `"` + strings.Repeat("a", 99) + "…"},
		{strings.Repeat("\x01", 1390), `"` + strings.Repeat(`\x01`, 24) + `\x0…`},
		{strings.Repeat("É", 80_000), `"` + strings.Repeat("É", 49) + "…"},
	} {
		if got := Quote(tc.name); got != tc.want {
			t.Errorf("%.20q: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Any number of members may have the name of one pod: what is known of it does not become more.
func TestNewsOfOnePod(t *testing.T) {
	a, b, c, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::1")
	of := func(addresses ...netip.Addr) *kubeapi.Object {
		var members []kubeapi.Member
		for _, a := range addresses {
			members = append(members, endpoint("x", a.String()))
		}
		return sliceNamed("s", "web", members...)
	}
	for _, tc := range []struct {
		name     string
		old, now []netip.Addr
		moved    []netip.Addr // from which the pod has gone
		gained   []netip.Addr
	}{
		{"nothing new", []netip.Addr{a, b}, []netip.Addr{b, a}, nil, nil},
		{"another address", []netip.Addr{a}, []netip.Addr{b}, []netip.Addr{a, c}, []netip.Addr{b}},
		{"two others", []netip.Addr{a}, []netip.Addr{b, c}, []netip.Addr{a, b, c}, []netip.Addr{b, c}},
		{"one of the other family", []netip.Addr{a}, []netip.Addr{six}, nil, []netip.Addr{six}},
	} {
		news := newsOf([]kubeapi.Change{{Old: of(tc.old...), New: of(tc.now...)}})
		who := identity{namespace: "prod", id: "x"}
		pod := news.pods[who]
		if pod != (podNews{four: pod.four, six: pod.six, ends: pod.ends}) { // it has nothing that grows
			t.Errorf("%s: got %+v", tc.name, pod)
		}
		var moved, gained []netip.Addr
		for _, address := range []netip.Addr{a, b, c, six} {
			if who.address = address; pod.moved(address) {
				moved = append(moved, address)
			}
			if news.gains[who] {
				gained = append(gained, address)
			}
		}
		if !slices.Equal(moved, tc.moved) || !slices.Equal(gained, tc.gained) {
			t.Errorf("%s: got moved from %v, gained %v, want %v, %v", tc.name, moved, gained, tc.moved, tc.gained)
		}
	}
}

// Missing suspects that have one name, or one address, are one entry of the index for each cluster.
func TestIndexOfMissingSuspectsOfOneName(t *testing.T) {
	s := newScene(t, "group_by app\nbasename app")
	members := crowd(0, 0, 500)
	for i := range members {
		members[i].ID = "x"
	}
	put := func(members ...kubeapi.Member) {
		s.put(labelled(s.rules, labels{"app": "a"}, sliceNamed("s", "web", members...)))
	}
	put(members...)
	put(members[:2]...)
	if got := s.suspectsInAll(); got < 400 {
		t.Fatalf("got %d suspects, want most of %d", got, len(members))
	}
	for who, clusters := range s.absent {
		if len(clusters) != 1 {
			t.Fatalf("%v: got %d entries, want one", who, len(clusters))
		}
	}
	put(members...)
	if len(s.absent) > 0 {
		t.Errorf("in the end: got %d entries, want none", len(s.absent))
	}
}
