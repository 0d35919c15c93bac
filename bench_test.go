package longnames

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// discard takes a message, and packs it if it is asked to.
type discard struct {
	test.ResponseWriter
	pack    bool
	answers int
}

func (w *discard) WriteMsg(m *dns.Msg) error {
	w.answers = len(m.Answer)
	if w.pack {
		m.Compress = true
		_, err := m.Pack()
		return err
	}
	return nil
}

// BenchmarkServeDNS shows that a question costs the same in small and in large clusters, up
// to packing.
func BenchmarkServeDNS(b *testing.B) {
	for _, members := range []int{3, 10, 100, 1000, 3000} {
		l := manyMembers(b, ipBlock, members)
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
			for _, pack := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/members=%d/pack=%t", dns.TypeToString[qtype], members, pack), func(b *testing.B) {
					r := new(dns.Msg).SetQuestion("erl.internal.", qtype)
					w := &discard{pack: pack}
					ctx := b.Context()
					b.ReportAllocs()
					for b.Loop() {
						if _, err := l.ServeDNS(ctx, w, r); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkVanish shows that so many clusters can end at once, and be given up at once.
func BenchmarkVanish(b *testing.B) {
	clog.SetOutput(io.Discard)
	b.Cleanup(func() { clog.SetOutput(os.Stdout) })
	const n = 100_000
	c := configOf(b, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n lookup pods\n}")
	added, removed := make([]kubeapi.Change, 0, n), make([]kubeapi.Change, 0, n)
	for i := range n {
		name := fmt.Sprint("app", i)
		o := labelled(c, labels{"app": name}, slice(name, endpoint(name, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))))
		added, removed = append(added, kubeapi.Change{New: o}), append(removed, kubeapi.Change{Old: o})
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		t := newTable(c)
		t.Apply(added, 1)
		b.StartTimer()
		t.Apply(removed, 2)
		t.release(time.Now().Add(time.Hour))
	}
}

// BenchmarkChange shows that a change costs its own cluster, however many others there are.
func BenchmarkChange(b *testing.B) {
	for _, clusters := range []int{1, 100_000} {
		for _, members := range []int{10, 1000} {
			b.Run(fmt.Sprintf("clusters=%d/members=%d", clusters, members), func(b *testing.B) {
				c := configOf(b, "longnames erl.internal {\n group_by app\n lookup pods\n}")
				t := newTable(c)
				add := func(app string, n int) (last *kubeapi.Object) {
					var changes []kubeapi.Change
					for i := range n {
						name := fmt.Sprintf("%s-%d", app, i)
						last = labelled(c, labels{"app": app}, slice(name, endpoint(name, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))))
						changes = append(changes, kubeapi.Change{New: last})
					}
					t.Apply(changes, 1)
					return last
				}
				for i := range clusters - 1 {
					add(fmt.Sprint("other", i), 10)
				}
				old := add("web", members)
				fresh := *old
				states := []*kubeapi.Object{old, &fresh}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					t.Apply([]kubeapi.Change{{Old: states[i%2], New: states[(i+1)%2]}}, uint64(i))
					i++
				}
			})
		}
	}
}

// BenchmarkMemory shows what the table takes for a member beside the objects themselves,
// and what each kind of question adds for good.
func BenchmarkMemory(b *testing.B) {
	const clusters, members = 10_000, 10
	for _, kind := range []struct {
		name  string
		types []uint16
		below bool // a member's own name is asked for, too
	}{
		{"unasked", nil, false},
		{"SRV", []uint16{dns.TypeSRV}, false},
		{"TXT", []uint16{dns.TypeTXT}, false},
		{"A", []uint16{dns.TypeA}, false},
		{"SRV+TXT+A", []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA}, false},
		{"SRV+member", []uint16{dns.TypeSRV}, true},
	} {
		b.Run(kind.name, func(b *testing.B) {
			c := configOf(b, "longnames erl.internal {\n group_by app\n lookup pods\n}")
			var changes []kubeapi.Change
			for i := range clusters * members {
				app := fmt.Sprint("app-", i/members)
				name := fmt.Sprintf("%s-%d", app, i%members)
				o := labelled(c, labels{"app": app}, slice(name, endpoint(name, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))))
				changes = append(changes, kubeapi.Change{New: o})
			}
			var added uint64
			for b.Loop() {
				before := liveHeap()
				t := newTable(c)
				t.Apply(changes, 1)
				t.Synced()
				t.takeDirty() // as is done all the time
				l := serving(t)
				for i := range clusters {
					name := fmt.Sprintf("app-%d.prod.erl.internal.", i)
					for _, qtype := range kind.types {
						must(b, l, name, qtype)
					}
					if kind.below {
						must(b, l, fmt.Sprintf("app-%d-0.", i)+name, dns.TypeA)
					}
				}
				added = liveHeap() - before
				runtime.KeepAlive(t)
			}
			b.ReportMetric(float64(added)/(clusters*members), "B/member")
			runtime.KeepAlive(changes)
		})
	}
}

func must(b *testing.B, l *Longnames, name string, qtype uint16) {
	b.Helper()
	w := &discard{}
	if _, err := l.ServeDNS(b.Context(), w, new(dns.Msg).SetQuestion(name, qtype)); err != nil || w.answers == 0 {
		b.Fatalf("%s %s: got %d records and %v, want some", name, dns.TypeToString[qtype], w.answers, err)
	}
}

// liveHeap gives the bytes that are reachable.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // the first may only have found what it can free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
