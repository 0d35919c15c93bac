package longnames

import (
	"fmt"
	"math/rand/v2"
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
	pods, others := clusterNames("pod"), clusterNames("other")
	for _, tc := range []struct {
		name       string
		come, gone []string
		want       []string
	}{
		{"the oldest stay", others, nil, others[:fewOccurrences]},
		{"pods come before others", slices.Concat(others, pods[:2]), nil, slices.Concat(others[:fewOccurrences-2], pods[:2])},
		{"of pods, the oldest", slices.Concat(others, pods), nil, pods[:fewOccurrences]},
		{"one that goes makes room for the next", others, others[2:4], slices.Concat(others[:2], others[4:fewOccurrences+2])},
		{"for a pod first", slices.Concat(pods, others), pods[:1], pods[1 : fewOccurrences+1]},
		{"for others if no pod is left", slices.Concat(pods[:2], others), pods[:1], slices.Concat(pods[1:2], others[:fewOccurrences-1])},
		{"one that made room for a pod is the next", slices.Concat(others, pods[:1]), pods[:1], others[:fewOccurrences]},
		{"one that is not seen goes", others, others[fewOccurrences:], others[:fewOccurrences]},
		{"none is left", slices.Concat(others, pods), slices.Concat(others, pods), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var x index[string]
			for _, name := range tc.come {
				x.add("k", name, name[:3] == "pod", +1)
			}
			for _, name := range tc.gone {
				x.add("k", name, name[:3] == "pod", -1)
			}
			var got []string
			for _, o := range x.in("k") {
				got = append(got, o.cluster)
			}
			slices.Sort(got)
			equal(t, "clusters", got, slices.Sorted(slices.Values(tc.want)))
			if left := len(tc.come) - len(tc.gone) - len(tc.want); left == 0 && len(x.others) > 0 {
				t.Errorf("got others %v, want none", x.others)
			}
		})
	}
}

func clusterNames(kind string) (names []string) {
	for i := range 3 * fewOccurrences {
		names = append(names, fmt.Sprintf("%s-%02d", kind, i))
	}
	return names
}

// In whichever order nodes come and go, questions look in as many clusters as they may, and in none without
// pods as long as there is another with some.
func TestIndexLosesNoOccurrence(t *testing.T) {
	type claim struct{ pods, others int32 }
	r := rand.New(rand.NewPCG(1, 2))
	var x index[string]
	clusters, want := make([]string, 3*fewOccurrences), make(map[string]*claim)
	for i := range clusters {
		clusters[i] = fmt.Sprint(i)
		want[clusters[i]] = &claim{}
	}
	for step := range 20_000 {
		cluster, isPod := clusters[r.IntN(len(clusters))], r.IntN(3) == 0
		count := &want[cluster].others
		if isPod {
			count = &want[cluster].pods
		}
		delta := int32(1)
		if *count > 0 && r.IntN(3) > 0 {
			delta = -1
		}
		*count += delta
		x.add("k", cluster, isPod, delta)
		have, withPods := 0, 0
		for _, c := range want {
			if c.pods+c.others > 0 {
				have++
			}
			if c.pods > 0 {
				withPods++
			}
		}
		seen, seenPods := x.in("k"), 0
		for _, o := range seen {
			if c := want[o.cluster]; o.pods != c.pods || o.nodes != c.pods+c.others {
				t.Fatalf("step %d: %s: got %d nodes, %d of them pods; want %d and %d", step, o.cluster, o.nodes, o.pods, c.pods+c.others, c.pods)
			}
			if o.pods > 0 {
				seenPods++
			}
		}
		if len(seen) != min(have, fewOccurrences) || seenPods != min(withPods, fewOccurrences) {
			t.Fatalf("step %d: got %d clusters, %d of them with pods; want of %d and %d", step, len(seen), seenPods, have, withPods)
		}
		if got := x.shared.Load(); (got == 1) != (have > 1) {
			t.Fatalf("step %d: got %d shared keys with %d clusters", step, got, have)
		}
	}
}
