package longnames

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestIndexCounts(t *testing.T) {
	var x index[string]
	const a, b = "a", "b"
	add := func(cluster string, delta int32, want bool) {
		t.Helper()
		if got := x.add("k", cluster, false, delta); got != want {
			t.Errorf("%+d in %s: came or went: got %t, want %t", delta, cluster, got, want)
		}
	}
	add(a, +1, true)
	add(a, +1, false)
	add(b, +1, false)
	before := x.in("k")
	add(a, -1, false)
	if got := x.in("k"); len(got) != 2 || got[0].cluster != a || got[0].nodes != 1 {
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

// Whoever claims in many clusters what others have does not keep questions from finding those.
func TestIndexHasFewOccurrences(t *testing.T) {
	pods, others := clusterNames("pod", "a"), clusterNames("other", "a")
	podsOfB, othersOfB, othersOfC := clusterNames("pod", "b"), clusterNames("other", "b"), clusterNames("other", "c")
	const few = fewOccurrences
	for _, tc := range []struct {
		name       string
		come, gone []string
		want       []string
	}{
		{"the oldest stay", others, nil, others[:few]},
		{"pods come before others", slices.Concat(others, pods[:2]), nil, slices.Concat(others[:few-2], pods[:2])},
		{"of pods, the oldest", slices.Concat(others, pods), nil, pods[:few]},
		{"one that goes makes room for the next", others, others[2:4], slices.Concat(others[:2], others[4:few+2])},
		{"for a pod first", slices.Concat(pods, others), pods[:1], pods[1 : few+1]},
		{"for others if no pod is left", slices.Concat(pods[:2], others), pods[:1], slices.Concat(pods[1:2], others[:few-1])},
		{"one that made room for a pod is the next", slices.Concat(others, pods[:1]), pods[:1], others[:few]},
		{"one that is not seen goes", others, others[few:], others[:few]},
		{"each namespace has one before another has its second", slices.Concat(others, othersOfB[:1], othersOfC[:1]), nil,
			slices.Concat(others[:few-2], othersOfB[:1], othersOfC[:1])},
		{"then its second", slices.Concat(others, othersOfB), nil, slices.Concat(others[:few/2], othersOfB[:few/2])},
		{"pods of a namespace have each their turn", slices.Concat(pods, podsOfB[:1]), nil, slices.Concat(pods[:few-1], podsOfB[:1])},
		{"before others of another one", slices.Concat(othersOfB, pods), nil, pods[:few]},
		{"the last of a namespace makes room", slices.Concat(others, othersOfB[:1]), othersOfB[:1], others[:few]},
		{"none is left", slices.Concat(others, pods), slices.Concat(others, pods), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var x index[string]
			for _, c := range tc.come {
				x.add("k", c, c[:3] == "pod", +1)
			}
			for _, c := range tc.gone {
				x.add("k", c, c[:3] == "pod", -1)
			}
			var got []string
			for _, o := range x.in("k") {
				got = append(got, o.cluster)
			}
			slices.Sort(got)
			equal(t, "clusters", got, slices.Sorted(slices.Values(tc.want)))
			if left := len(tc.come) - len(tc.gone) - len(tc.want); left == 0 && len(x.crowds) > 0 {
				t.Errorf("got crowds %v, want none", x.crowds)
			}
		})
	}
}

func clusterNames(kind, namespace string) (all []string) {
	for i := range 3 * fewOccurrences {
		all = append(all, fmt.Sprintf("%s-%02d.%s", kind, i, namespace))
	}
	return all
}

// In whichever order nodes come and go, questions look in as many clusters as they may, in none without
// pods as long as there is another with some, and in as many namespaces as they can.
func TestIndexLosesNoOccurrence(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x index[string]
	all := make([]string, 3*fewOccurrences)
	want := make(map[string]*occurrence)
	for i := range all {
		all[i] = fmt.Sprintf("%d.%d", i, i*i%5)
		want[all[i]] = &occurrence{cluster: all[i]}
	}
	for step := range 20_000 {
		at, isPod := all[r.IntN(len(all))], r.IntN(3) == 0
		w := want[at]
		have, delta := w.nodes-w.pods, int32(1)
		if isPod {
			have = w.pods
		}
		if have > 0 && r.IntN(3) > 0 {
			delta = -1
		}
		w.count(isPod, delta)
		x.add("k", at, isPod, delta)
		claims, pods := 0, 0
		ofPods := make(map[string]bool) // namespaces
		for _, w := range want {
			if w.nodes > 0 {
				claims++
			}
			if w.pods > 0 {
				pods++
				ofPods[w.namespace()] = true
			}
		}
		seen, seenPods, seenOfPods := x.in("k"), 0, make(map[string]bool)
		for _, o := range seen {
			if o != *want[o.cluster] {
				t.Fatalf("step %d: got %v, want %v", step, o, *want[o.cluster])
			}
			if o.pods > 0 {
				seenPods++
				seenOfPods[o.namespace()] = true
			}
		}
		if len(seen) != min(claims, fewOccurrences) || seenPods != min(pods, fewOccurrences) || len(seenOfPods) != len(ofPods) {
			t.Fatalf("step %d: got %d claims, %d of pods, those of %d namespaces; want of %d, %d and %d", step,
				len(seen), seenPods, len(seenOfPods), claims, pods, len(ofPods))
		}
		if got := x.shared.Load(); (got == 1) != (claims > 1) {
			t.Fatalf("step %d: got %d shared keys with %d clusters", step, got, claims)
		}
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

func TestPrefixesThatHaveAddresses(t *testing.T) {
	var p prefixes
	for _, step := range []struct {
		name    string
		address string
		delta   int
		want    map[string]bool
	}{
		{"the first", "10.0.0.1", +1, map[string]bool{
			"10.0.0.0/24": true, "10.0.0.0/16": true, "10.0.0.0/8": true, "0.0.0.0/0": true,
			"10.0.1.0/24": false, "10.1.0.0/16": false, "11.0.0.0/8": false, "::/0": false,
		}},
		{"one beside it", "10.0.0.2", +1, map[string]bool{"10.0.0.0/24": true, "0.0.0.0/0": true}},
		{"one elsewhere", "10.1.0.1", +1, map[string]bool{"10.1.0.0/24": true, "10.1.0.0/16": true, "10.0.0.0/16": true}},
		{"the first has gone", "10.0.0.1", -1, map[string]bool{"10.0.0.0/24": true, "10.0.0.0/16": true, "10.0.0.0/8": true}},
		{"the one beside it has gone", "10.0.0.2", -1, map[string]bool{
			"10.0.0.0/24": false, "10.0.0.0/16": false, "10.1.0.0/24": true, "10.0.0.0/8": true, "0.0.0.0/0": true,
		}},
		{"the last one has gone", "10.1.0.1", -1, map[string]bool{
			"10.1.0.0/24": false, "10.1.0.0/16": false, "10.0.0.0/8": false, "0.0.0.0/0": false,
		}},
		{"IPv6", "fd00::1f", +1, map[string]bool{
			"fd00::10/124": true, "fd00::/124": false, "fd00::/120": true, "fd00::/16": true, "fd00::/8": true, "f000::/4": true, "::/0": true,
			"0.0.0.0/0": false,
		}},
	} {
		p.add(netip.MustParseAddr(step.address), step.delta)
		for prefix, want := range step.want {
			if got := p.has(netip.MustParsePrefix(prefix)); got != want {
				t.Errorf("%s: %s: got %t, want %t", step.name, prefix, got, want)
			}
		}
	}
}

// TestPrefixesOfAnyAddresses compares with looking for an address in each prefix.
func TestPrefixesOfAnyAddresses(t *testing.T) {
	var p prefixes
	var all []netip.Addr
	r := rand.New(rand.NewPCG(1, 1))
	some := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(3)), byte(r.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(4)), 15: byte(r.IntN(40))})
	}
	for range 2000 {
		a := some()
		if at := slices.Index(all, a); at >= 0 {
			all = slices.Delete(all, at, at+1)
			p.add(a, -1)
		} else {
			all = append(all, a)
			p.add(a, +1)
		}
		other := some()
		bits := r.IntN(4) * 8
		if other.Is6() {
			bits = r.IntN(32) * 4
		}
		prefix := netip.PrefixFrom(other, bits).Masked()
		if got, want := p.has(prefix), slices.ContainsFunc(all, prefix.Contains); got != want {
			t.Fatalf("%s with %d addresses: got %t, want %t", prefix, len(all), got, want)
		}
	}
	for _, a := range all {
		p.add(a, -1)
	}
	p.m.Range(func(prefix, count any) bool {
		t.Errorf("without any address: got %d in %s, want none", count, prefix)
		return true
	})
}
