package longnames

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// lengthOf counts what a map has.
func lengthOf(m *sync.Map) (count int) {
	m.Range(func(_, _ any) bool { count++; return true })
	return count
}

// rewritten is the slice of a tenant in a state.
func rewritten(c *config, step, members int, group string) *kubeapi.Object {
	endpoints := make([]kubeapi.Member, members)
	for i := range endpoints {
		n := step*members + i
		endpoints[i] = hosted(endpoint(fmt.Sprintf("p%d", n), netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()))
	}
	return labelled(c, labels{"app": group}, named("stream", slice("web", endpoints...)))
}

// A tenant rewrites a slice ten times a second. The neighbours are answered first, in the log there are
// not many lines, and of all that nothing stays.
func TestAStreamOfRewritesLeavesLittleBehind(t *testing.T) {
	const (
		members, steps, pause = 30, 1200, 100 * time.Millisecond
		bound                 = 3 * (quotaLines + steps*pause/quotaPause) // lines of three kinds
	)
	for _, tc := range []struct {
		name   string
		object func(c *config, step int) *kubeapi.Object
	}{
		{"new addresses", func(c *config, step int) *kubeapi.Object { return rewritten(c, step, members, "web") }},
		{"new groups", func(c *config, step int) *kubeapi.Object {
			return rewritten(c, step, members, fmt.Sprint("web", step))
		}},
		{"nobody has a longname", func(c *config, step int) *kubeapi.Object {
			o := rewritten(c, step, members, "web")
			for i := range o.Members {
				o.Members[i].Hostname = ""
			}
			return o
		}},
		{"a cluster that comes and goes", func(c *config, step int) *kubeapi.Object {
			return rewritten(c, step, 1+members*(step/10%2), "web")
		}},
		{"no address", func(c *config, step int) *kubeapi.Object {
			o := rewritten(c, step, 0, "web")
			for i := range members {
				o.Invalid = append(o.Invalid, fmt.Sprint(step, "/", i))
			}
			return o
		}},
		{"no group", func(c *config, step int) *kubeapi.Object { return rewritten(c, step, members, fmt.Sprint("a b", step)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := configOf(t, groupedHosts)
				table := tableOf(c)
				for _, app := range []string{"web", "chat"} {
					o := slice(app, hosted(endpoint(app+"-0", fmt.Sprintf("192.168.0.%d", len(app)))))
					apply(table, labelled(c, labels{"app": app}, named(app, o)))
				}
				l := serving(table)
				a := auditOf(table)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { table.run(ctx) })
				wg.Go(func() { a.run(ctx) })
				sizes := func() [6]int {
					return [6]int{lengthOf(&table.views), lengthOf(&table.spaces.m), lengthOf(&table.hosts.m), lengthOf(&table.hostNames.m),
						lengthOf(&table.addresses.m), lengthOf(&table.prefixes.m)}
				}
				heap := func() int64 {
					runtime.GC()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return int64(m.HeapInuse)
				}
				begin, before := sizes(), heap()
				text := logged(t, func() {
					var last *kubeapi.Object
					for step := range steps {
						next := tc.object(c, step)
						table.Apply([]kubeapi.Change{{Old: last, New: next}})
						last = next
						time.Sleep(pause)
					}
					for _, app := range []string{"web", "chat"} {
						m := ask(t, l, app+".prod.erl.internal.", "SRV", client{tcp: true})
						if first := m.Answer[0].(*dns.SRV).Target; !strings.HasPrefix(first, app+"-0.") && app == "chat" {
							t.Errorf("%s: got %s first, want who lives", app, first)
						}
						if m := ask(t, l, app+"-0."+app+".prod.erl.internal.", "A", client{}); len(m.Answer) != 1 {
							t.Errorf("%s: got %v, want who lives", app, m)
						}
					}
					table.Apply([]kubeapi.Change{{Old: last}})
					time.Sleep(20 * c.rules.Hold)
					cancel()
					wg.Wait()
				})
				t.Logf("%d lines", strings.Count(text, "\n"))
				if got := strings.Count(text, "\n"); got > int(bound) {
					t.Errorf("got %d lines, want at most %d", got, bound)
				}
				if end := sizes(); end != begin {
					t.Errorf("in the end: got %v entries, want %v as in the beginning", end, begin)
				}
				if got := len(a.known); got > 2 {
					t.Errorf("in the end: the audit knows %d clusters, want 2", got)
				}
				if grown := heap() - before; grown > 1<<20 {
					t.Errorf("in the end: got %d bytes more than in the beginning", grown)
				}
			})
		})
	}
}
