package kubeapi

import (
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// fed is a feed with a store for each namespace.
func fed(namespaces ...string) (*feed, map[string]*store) {
	f, stores := &feed{}, make(map[string]*store)
	for _, namespace := range namespaces {
		stores[namespace] = f.newStore(NewShrinker(&Config{}), namespace)
	}
	return f, stores
}

func TestJoiningSinkIsToldWhatThereIs(t *testing.T) {
	pod := func(name, address string) any { return at("5", kubetest.NewPod(name, address)) }
	for _, tc := range []struct {
		name             string
		prepare          func(f *feed, stores map[string]*store)
		want             []string
		restored, synced int
	}{
		{name: "nothing yet", prepare: func(*feed, map[string]*store) {}},
		{
			name: "some of it", want: []string{"a/p 10.0.0.1"},
			prepare: func(_ *feed, stores map[string]*store) { _ = stores["a"].Replace([]any{pod("a/p", "10.0.0.1")}, "7") },
		},
		{
			name: "all of it", want: []string{"a/p 10.0.0.1", "b/p 10.0.0.2"}, synced: 1,
			prepare: func(_ *feed, stores map[string]*store) {
				_ = stores["a"].Replace([]any{pod("a/p", "10.0.0.1")}, "7")
				_ = stores["b"].Replace([]any{pod("b/p", "10.0.0.2")}, "7")
			},
		},
		{
			name: "nothing any more", synced: 1,
			prepare: func(_ *feed, stores map[string]*store) {
				_ = stores["a"].Replace([]any{pod("a/p", "10.0.0.1")}, "7")
				_ = stores["b"].Replace(nil, "7")
				_ = stores["a"].Delete(at("9", kubetest.NewPod("a/p", "")))
			},
		},
		{
			name: "what was known earlier", want: []string{"a/p 10.0.0.1"}, restored: 1,
			prepare: func(f *feed, _ map[string]*store) {
				f.restore([]*Object{shrinkPod("a/p", "10.0.0.1"), shrinkPod("elsewhere/p", "10.0.0.3")})
			},
		},
		{
			name: "what was known earlier of one namespace", want: []string{"a/q 10.0.0.9", "b/p 10.0.0.2"}, restored: 1,
			prepare: func(f *feed, stores map[string]*store) {
				f.restore([]*Object{shrinkPod("a/p", "10.0.0.1"), shrinkPod("b/p", "10.0.0.2")})
				_ = stores["a"].Replace([]any{pod("a/q", "10.0.0.9")}, "7")
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, stores := fed("a", "b")
			tc.prepare(f, stores)
			sink := newSink(t)
			f.join(sink)
			sink.want(t, tc.want...)
			sink.wantRestored(t, tc.restored)
			sink.wantSynced(t, tc.synced)
			if got, want := len(sink.calls()), min(1, len(tc.want)); got != want {
				t.Errorf("want %d calls, got %d", want, got)
			}
		})
	}
}

func shrinkPod(name, address string) *Object {
	return Shrinker{}.pod(at("5", kubetest.NewPod(name, address)))
}

func TestAllSinksAreToldOfChanges(t *testing.T) {
	f, stores := fed("a")
	first, second := newSink(t), newSink(t)
	f.join(first)
	_ = stores["a"].Replace([]any{kubetest.NewPod("a/p", "10.0.0.1")}, "1")
	f.join(second)
	_ = stores["a"].Update(kubetest.NewPod("a/p", "10.0.0.2"))
	first.want(t, "a/p 10.0.0.2")
	second.want(t, "a/p 10.0.0.2")

	if left := f.leave(first); left != 1 {
		t.Errorf("want 1 sink left, got %d", left)
	}
	_ = stores["a"].Update(kubetest.NewPod("a/p", "10.0.0.3"))
	first.want(t, "a/p 10.0.0.2")
	second.want(t, "a/p 10.0.0.3")
	if left := f.leave(second); left != 0 {
		t.Errorf("want no sink left, got %d", left)
	}
}

func TestRestoredObjectsHoldUntilTheirNamespaceIsRead(t *testing.T) {
	f, stores := fed("a", "b")
	known := []*Object{shrinkPod("a/gone", "10.0.0.1"), shrinkPod("a/stays", "10.0.0.2"), shrinkPod("b/p", "10.0.0.3")}
	f.restore(known)
	sink := newSink(t)
	f.join(sink)

	_ = stores["a"].Replace([]any{at("5", kubetest.NewPod("a/stays", "10.0.0.2")), at("9", kubetest.NewPod("a/new", "10.0.0.4"))}, "10")
	sink.want(t, "a/new 10.0.0.4", "a/stays 10.0.0.2", "b/p 10.0.0.3")
	sink.wantSynced(t, 0)
	calls := sink.calls()
	if got, want := describe(calls[len(calls)-1].changes), []string{"+a/new", "-a/gone"}; !slices.Equal(got, want) {
		t.Errorf("want only what differs, %q, got %q", want, got)
	}
	_ = stores["b"].Replace(nil, "10")
	sink.want(t, "a/new 10.0.0.4", "a/stays 10.0.0.2")
	sink.wantSynced(t, 1)
}
