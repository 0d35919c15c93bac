package kubeapi

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// namespaceSink keeps what it is told of namespaces that have not been read.
type namespaceSink struct {
	*recordingSink
	unread []string
	told   int
}

func (s *namespaceSink) Unread(namespaces map[string]time.Time) {
	s.told++
	s.unread = nil
	for name, forbidden := range namespaces {
		if !forbidden.IsZero() {
			name = fmt.Sprintf("%s forbidden for %s", name, time.Since(forbidden))
		}
		s.unread = append(s.unread, name)
	}
	slices.Sort(s.unread)
}

func TestNamespacesAreReadOneByOne(t *testing.T) {
	read := func(namespace string) func(map[string]*store) {
		return func(stores map[string]*store) {
			_ = stores[namespace].Replace([]any{at("5", kubetest.NewPod(namespace+"/p", "10.0.0.1"))}, "7")
		}
	}
	forbid := func(namespace string) func(map[string]*store) {
		return func(stores map[string]*store) { stores[namespace].forbid(true) }
	}
	fail := func(namespace string) func(map[string]*store) {
		return func(stores map[string]*store) { stores[namespace].forbid(false) }
	}
	wait := func(d time.Duration) func(map[string]*store) {
		return func(map[string]*store) { time.Sleep(d) }
	}
	for _, tc := range []struct {
		name    string
		partial bool
		steps   []func(map[string]*store)
		unread  []string
		synced  int
	}{
		{"none is read", true, nil, []string{"a", "b"}, 0},
		{"one is read", true, []func(map[string]*store){read("a")}, []string{"b"}, 0},
		{"both are read", true, []func(map[string]*store){read("a"), read("b")}, nil, 1},
		{"one is forbidden once, as when an API server starts", true, []func(map[string]*store){read("a"), forbid("b"), wait(time.Minute)}, []string{"b"}, 0},
		{"one is forbidden when an API server starts, and starts again", true,
			[]func(map[string]*store){read("a"), forbid("b"), wait(time.Hour), fail("b"), forbid("b")}, []string{"b"}, 0},
		{"one is forbidden for a while", true, []func(map[string]*store){read("a"), forbid("b"), wait(deniedAfter), forbid("b")}, []string{"b forbidden for 5s"}, 1},
		{"one was forbidden for a while, then the API server was away", true,
			[]func(map[string]*store){forbid("b"), wait(deniedAfter), forbid("b"), fail("b"), wait(time.Hour), fail("b"), read("a")}, []string{"b"}, 0},
		{"one is forbidden before the other is read", true, []func(map[string]*store){forbid("b"), wait(deniedAfter), forbid("b"), read("a")}, []string{"b forbidden for 5s"}, 1},
		{"one is forbidden, and then read", true, []func(map[string]*store){read("a"), forbid("b"), wait(deniedAfter), forbid("b"), read("b")}, nil, 1},
		{"both are forbidden", true, []func(map[string]*store){forbid("a"), forbid("b"), wait(time.Minute), forbid("a"), forbid("b")}, []string{"a forbidden for 1m0s", "b forbidden for 1m0s"}, 0},
		{"one is forbidden that has been read", true, []func(map[string]*store){read("a"), read("b"), forbid("b"), wait(time.Minute), forbid("b")}, nil, 1},
		{"one is forbidden, but all belong together", false, []func(map[string]*store){read("a"), forbid("b"), wait(time.Minute), forbid("b")}, nil, 0},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, joined late: %t", tc.name, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, stores := fed("a", "b")
					f.partial = tc.partial
					sink := &namespaceSink{recordingSink: newSink(t)}
					if !late {
						f.join(sink)
					}
					for _, step := range tc.steps {
						step(stores)
					}
					if late {
						f.join(sink)
					}
					if !slices.Equal(sink.unread, tc.unread) {
						t.Errorf("unread: got %q, want %q", sink.unread, tc.unread)
					}
					sink.wantSynced(t, tc.synced)
					if !tc.partial && sink.told > 0 {
						t.Errorf("got told %d times, want not at all", sink.told)
					}
					if _, known := f.all(); known != (tc.synced > 0) {
						t.Errorf("known: got %t, want %t", known, tc.synced > 0)
					}
				})
			})
		}
	}
}

func TestSourceSaysOfWhichNamespacesNothingIsKnown(t *testing.T) {
	if one, other := newIdentity(&Config{Partial: true}, "", nil), newIdentity(&Config{}, "", nil); one.same(other) {
		t.Error("a source that tells of single namespaces is taken for one that does not")
	}
	f, stores := fed("a", "b")
	f.partial = true
	_ = stores["a"].Replace(nil, "1")
	if got := slices.Sorted(maps.Keys(f.unread())); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %q, want b", got)
	}
}
