package longnames

import (
	"fmt"
	"io"
	"os"
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
	pack bool
}

func (w *discard) WriteMsg(m *dns.Msg) error {
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
	for _, clusters := range []int{1, 10_000} {
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
