package snapshot

import (
	"context"
	"fmt"
	"testing"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// BenchmarkSnapshot shows the costs of writing, of reading, and of a start with a sink.
func BenchmarkSnapshot(b *testing.B) {
	const members = 20_000
	for _, kind := range kubetest.BenchKinds {
		b.Run(kind.Name, func(b *testing.B) {
			c := configOf(b, &kubetest.Log{})
			c.Lookup = kubeapi.Lookup(kind.Name)
			f := fileOf(c)
			s := &contents{}
			for i := range members / kind.Members {
				o, err := f.shrinker.Shrink(kind.Made(i))
				if err != nil {
					b.Fatal(err)
				}
				s.objects = append(s.objects, o)
			}
			if err := f.write(b.Context(), s, nil); err != nil { // reading may be all that is measured
				b.Fatal(err)
			}
			b.Run("write", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f.write(b.Context(), s, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
			for _, start := range []bool{false, true} {
				b.Run(fmt.Sprintf("read/start=%t", start), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						read, err := f.read()
						if err != nil || len(read.objects) != len(s.objects) {
							b.Fatalf("got %v, want %d objects", err, len(s.objects))
						}
						if !start {
							continue
						}
						source, sink := kubeapi.NewSource(*c, "", idle), &countingSink{}
						source.Restore(read.objects)
						source.Join(sink)
						if sink.changes != len(s.objects) || !sink.restored {
							b.Fatalf("a sink was told of %d objects, restored %t, want %d restored ones", sink.changes, sink.restored, len(s.objects))
						}
						<-source.Leave(sink)
					}
				})
			}
		})
	}
}

func idle(ctx context.Context, _ func([]*kubeapi.Object)) { <-ctx.Done() }

// countingSink only counts.
type countingSink struct {
	changes  int
	restored bool
}

func (s *countingSink) Apply(changes []kubeapi.Change) { s.changes += len(changes) }
func (s *countingSink) Restored()                      { s.restored = true }
func (*countingSink) Synced()                          {}
