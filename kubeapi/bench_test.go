package kubeapi

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// BenchmarkRead shows what it costs to read a list, first and again, from the wire to the
// store, and the live heap that it takes.
func BenchmarkRead(b *testing.B) {
	for _, kind := range kubetest.BenchKinds {
		for _, members := range []int{20_000, 100_000} {
			b.Run(fmt.Sprintf("%s/members=%d", kind.Name, members), func(b *testing.B) {
				sent := make([][]byte, members/kind.Members)
				for i := range sent {
					data, err := kind.Made(i).Marshal()
					if err != nil {
						b.Fatal(err)
					}
					sent[i] = data
				}
				read := func(st *store) {
					list := make([]any, len(sent))
					for i, data := range sent {
						o := kind.Empty()
						if err := o.Unmarshal(data); err != nil {
							b.Fatal(err)
						}
						small, err := st.Transformer()(o)
						if err != nil {
							b.Fatal(err)
						}
						list[i] = small
					}
					if err := st.Replace(list, "2000000"); err != nil {
						b.Fatal(err)
					}
				}
				fresh := func() *store {
					return new(feed).newStore(NewShrinker(&Config{Labels: []string{"app"}}), "")
				}
				b.Run("first", func(b *testing.B) {
					before := liveHeap()
					var st *store
					b.ReportAllocs()
					for b.Loop() {
						st = fresh()
						read(st)
					}
					b.ReportMetric(float64(liveHeap()-before)/float64(members), "live-B/member")
					sink := &countingSink{}
					st.feed.join(sink)
					sink.want(b, len(sent), members)
				})
				b.Run("again", func(b *testing.B) {
					st, sink := fresh(), &countingSink{}
					read(st)
					st.feed.join(sink)
					b.ReportAllocs()
					for b.Loop() {
						read(st)
					}
					sink.want(b, len(sent), members) // of nothing since
				})
			})
		}
	}
}

// liveHeap returns the bytes that are reachable.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for finalizing or unlinked
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// countingSink only counts.
type countingSink struct{ changes, members int }

func (s *countingSink) Apply(changes []Change) {
	s.changes += len(changes)
	for _, c := range changes {
		s.members += len(c.New.Members)
	}
}

func (*countingSink) Restored() {}
func (*countingSink) Synced()   {}

// want fails unless a sink was told of that many objects with that many members.
func (s *countingSink) want(b *testing.B, objects, members int) {
	b.Helper()
	if s.changes != objects || s.members != members {
		b.Fatalf("a sink was told of %d objects with %d members, want %d with %d", s.changes, s.members, objects, members)
	}
}
