package kubeapi

import (
	"fmt"
	"slices"
	"testing"
)

// replica is a feed of some namespaces, with the version that a sink has been told last.
type replica struct {
	*feed
	stores map[string]*store
	sink   *recordingSink
}

func newReplica(t *testing.T, namespaces ...string) *replica {
	t.Helper()
	f, stores := fed(namespaces...)
	r := &replica{f, stores, newSink(t)}
	f.join(r.sink)
	return r
}

func (r *replica) version() uint64 {
	calls := r.sink.calls()
	if len(calls) == 0 {
		return 0
	}
	return calls[len(calls)-1].version
}

// list is a list of a namespace at a version, of pods NAME@VERSION.
func (r *replica) list(namespace string, version int, pods ...string) {
	var items []any
	for i, pod := range pods {
		var name, v string
		_, _ = fmt.Sscanf(pod, "%1s@%s", &name, &v)
		items = append(items, at(v, newPod(namespace+"/"+name, fmt.Sprintf("10.0.0.%d", i+1))))
	}
	_ = r.stores[namespace].Replace(items, fmt.Sprint(version))
}

// change gives a pod an address that nobody has had.
func (r *replica) change(namespace string, version int) {
	_ = r.stores[namespace].Update(at(fmt.Sprint(version), newPod(namespace+"/x", fmt.Sprintf("10.1.%d.%d", version/250, version%250))))
}

func (r *replica) remove(namespace, name string, version int) {
	_ = r.stores[namespace].Delete(at(fmt.Sprint(version), newPod(namespace+"/"+name, "")))
}

func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []func(*replica)
		want  []uint64 // after each step
	}{
		{"the first list counts as a whole, for something may have been deleted before",
			[]func(*replica){func(r *replica) { r.list("a", 20, "p@5") }, func(r *replica) { r.list("b", 21) }}, []uint64{20, 21}},
		{"namespaces that are read in any order",
			[]func(*replica){func(r *replica) { r.list("b", 21) }, func(r *replica) { r.list("a", 20, "p@5") }}, []uint64{21, 21}},
		{"changes", []func(*replica){
			func(r *replica) { r.list("a", 20); r.list("b", 21) },
			func(r *replica) { r.change("a", 25) },
			func(r *replica) { r.change("b", 26) },
			func(r *replica) { r.remove("a", "x", 30) },
		}, []uint64{21, 25, 26, 30}},
		{"what does not change", []func(*replica){
			func(r *replica) { r.list("a", 20, "p@5"); r.list("b", 21) },
			func(r *replica) { _ = r.stores["a"].Update(at("25", newPod("a/p", "10.0.0.1"))) },
			func(r *replica) { r.list("a", 30, "p@25") },
		}, []uint64{21, 21, 21}},
		{"namespaces that overtake each other", []func(*replica){
			func(r *replica) { r.list("a", 20); r.list("b", 21) },
			func(r *replica) { r.change("a", 25) },
			func(r *replica) { r.change("b", 24) },
			func(r *replica) { r.change("b", 25) },
			func(r *replica) { r.change("a", 26) },
			func(r *replica) { r.change("a", 40) },
		}, []uint64{21, 25, 26, 27, 28, 40}},
		{"a list that finds deletions", []func(*replica){
			func(r *replica) { r.list("a", 20, "p@5", "q@6"); r.list("b", 21) },
			func(r *replica) { r.list("a", 30, "p@5") },
		}, []uint64{21, 30}},
		{"a list that finds none", []func(*replica){
			func(r *replica) { r.list("a", 20, "p@5"); r.list("b", 21) },
			func(r *replica) { r.list("a", 30, "p@5", "q@27") },
		}, []uint64{21, 27}},
		{"an etcd that was restored", []func(*replica){
			func(r *replica) { r.list("a", 200, "p@5"); r.list("b", 201) },
			func(r *replica) { r.list("a", 100) },
			func(r *replica) { r.change("a", 101) },
			func(r *replica) { r.change("a", 300) },
		}, []uint64{201, 202, 203, 300}},
		{"no version", []func(*replica){
			func(r *replica) { r.list("a", 20); r.list("b", 21) },
			func(r *replica) { r.change("a", 0) },
		}, []uint64{21, 22}},
		{"nanoseconds since 1970", []func(*replica){
			func(r *replica) { r.list("a", 1753647547040015001); r.list("b", 1753647547040015001) },
			func(r *replica) { r.change("a", 1753647547140015001) },
			func(r *replica) { r.change("a", 1753647547140015002) },
			func(r *replica) { r.change("a", 1763596440927791001) },
			func(r *replica) { r.change("a", 1795183547040015001) }, // a year later
		}, []uint64{104525539102, 104525539108, 104525539109, 105118539388, 107001277627}},
		{"more changes elsewhere than a serial can tell", []func(*replica){
			func(r *replica) { r.list("a", 20); r.list("b", 21) },
			func(r *replica) { r.change("a", 1<<33) },
			func(r *replica) { r.change("a", 1<<33+1) },
			func(r *replica) { r.remove("a", "x", 1<<33+2) },
			func(r *replica) { r.change("a", 1<<33+3) },
			func(r *replica) { r.change("a", 1<<33+4) },
		}, []uint64{21, 21 + maxStep, 21 + 2*maxStep, 21 + 3*maxStep, 1<<33 + 3, 1<<33 + 4}},
		{"shown in another way", []func(*replica){
			func(r *replica) { r.list("a", 20); r.list("b", 21) },
			func(r *replica) { (&Source{feed: r.feed}).Advance() },
			func(r *replica) { r.change("a", 22) },
			func(r *replica) { r.change("a", 30) },
		}, []uint64{21, 22, 23, 30}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newReplica(t, "a", "b")
			var got []uint64
			for _, step := range tc.steps {
				step(r)
				got = append(got, r.version())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("want %d, got %d", tc.want, got)
			}
		})
	}
}

// Whoever has seen one of these has to find the next one newer, as RFC 1982 compares them.
func TestVersionsGrowAsSerialsDo(t *testing.T) {
	for _, tc := range []struct {
		name         string
		first, later uint64
	}{
		{"a count", 1000, 1001},
		{"a count that does not fit", 1<<32 - 1, 1 << 32},
		{"seconds", 1753647547, 1753647548},
		{"microseconds", 1753647547040015, 1753647547060015},
		{"microseconds, a year apart", 1753647547040015, 1785183547040015},
		{"nanoseconds", 1753647547040015001, 1753647547060015001},
		{"nanoseconds, four seconds apart", 1753647547040015001, 1753647551440015001},
		{"nanoseconds, a year apart", 1753647547040015001, 1785183547040015001},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := ordinal(tc.first), ordinal(tc.later)
			if int32(uint32(b)-uint32(a)) <= 0 {
				t.Errorf("got serial %d after %d, want a newer one", uint32(b), uint32(a))
			}
		})
	}
}

// Two replicas that have started at different times are at the same version after each change
// that both have seen.
func TestVersionsAreTheSameOnAllReplicas(t *testing.T) {
	first, second := newReplica(t, "a", "b"), newReplica(t, "a", "b")
	first.list("a", 20, "p@5")
	first.list("b", 20)
	second.list("b", 300)
	second.list("a", 301, "p@5")
	for i, change := range []func(*replica){
		func(r *replica) { r.change("a", 310) },
		func(r *replica) { r.change("b", 320) },
		func(r *replica) { r.remove("a", "p", 330) },
		func(r *replica) { r.remove("b", "x", 340) },
	} {
		change(first)
		change(second)
		if first.version() != second.version() {
			t.Errorf("change %d: want the same version, got %d and %d", i+1, first.version(), second.version())
		}
	}
}

func TestVersionsGoOnOverARestart(t *testing.T) {
	known := func(versions ...int) []*Object {
		var objects []*Object
		for i, v := range versions {
			objects = append(objects, shrinker{}.pod(at(fmt.Sprint(v), newPod("a/"+string(rune('p'+i)), fmt.Sprintf("10.0.0.%d", i+1)))))
		}
		return objects
	}
	for _, tc := range []struct {
		name  string
		start func(r *replica) // nil for a start without knowledge
		list  func(r *replica)
		want  uint64
	}{
		{"nothing known, something deleted meanwhile", nil, func(r *replica) { r.list("a", 150, "p@5") }, 150},
		{"known, and nothing has changed", func(r *replica) { r.restore(known(5, 100), 107) }, func(r *replica) { r.list("a", 150, "p@5", "q@100") }, 107},
		{"known, and something has changed", func(r *replica) { r.restore(known(5), 107) }, func(r *replica) { r.list("a", 150, "p@5", "q@120") }, 120},
		{"known, and something was deleted", func(r *replica) { r.restore(known(5, 100), 107) }, func(r *replica) { r.list("a", 150, "p@5") }, 150},
		{"known, and something has changed that others have seen before", func(r *replica) { r.restore(known(5), 107) }, func(r *replica) { r.list("a", 150, "p@5", "q@102") }, 108},
		{"known, and versions have gone back", func(r *replica) { r.restore(known(5, 100), 107) }, func(r *replica) { r.list("a", 50, "p@5") }, 108},
		{"in the place of another", func(r *replica) { (&Source{feed: r.feed}).StartAfter(107) }, func(r *replica) { r.list("a", 150, "p@5") }, 150},
		{"in the place of one that has had greater versions", func(r *replica) { (&Source{feed: r.feed}).StartAfter(1000) }, func(r *replica) { r.list("a", 150, "p@5") }, 1001},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, stores := fed("a")
			r := &replica{f, stores, newSink(t)}
			if tc.start != nil {
				tc.start(r)
			}
			f.join(r.sink)
			tc.list(r)
			if got := r.version(); got != tc.want {
				t.Errorf("want %d, got %d", tc.want, got)
			}
		})
	}
}

// Of what is shown together, each change has to be told by the greatest version.
func TestFeedsThatCountTogether(t *testing.T) {
	one, other := newReplica(t, "a"), newReplica(t, "a")
	all := &Versions{}
	one.list("a", 20)
	for _, r := range []*replica{one, other} {
		(&Source{feed: r.feed}).CountWith(all)
	}
	other.list("a", 21)
	last := max(one.version(), other.version())
	for _, step := range []struct {
		replica *replica
		version int
		want    uint64
	}{{one, 25, 25}, {other, 24, 26}, {other, 27, 27}, {one, 27, 28}, {one, 40, 40}} {
		step.replica.change("a", step.version)
		got := max(one.version(), other.version())
		if got != step.want || got <= last {
			t.Errorf("change at %d: want %d after %d, got %d", step.version, step.want, last, got)
		}
		last = got
	}
}

func TestSnapshotThatWasShownInAnotherForm(t *testing.T) {
	c := snapshotConfig(t, &recordingLog{})
	f := snapshotFileOf(c)
	if err := f.write(t.Context(), &snapshot{objects: knownPods("a"), version: 7, form: "mode ip", written: writtenAt}); err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]uint64{"mode ip": 7, "mode dns": 8, "": 8} {
		f.form = func() string { return form }
		if got, ok := f.load(); !ok || got.version != want {
			t.Errorf("form %q: want version %d, got %+v, %t", form, want, got, ok)
		}
	}
}
