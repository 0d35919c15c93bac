package longnames

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// discard takes messages, and packs them if it is asked to.
type discard struct {
	test.ResponseWriter
	remote    net.Addr // which a connection knows, and need not make at each question
	pack      bool
	answer    []dns.RR
	truncated bool
	rcode     int // -1 before the first message
}

// newDiscard makes one for messages that are written to "udp", to "tcp" or to "none". The last
// packs nothing, and gets answers as over TCP: over UDP, large ones are cut.
func newDiscard(write string) *discard {
	d := &discard{ResponseWriter: test.ResponseWriter{TCP: write != "udp"}, pack: write != "none", rcode: -1}
	d.remote = d.ResponseWriter.RemoteAddr()
	return d
}

func (w *discard) RemoteAddr() net.Addr { return w.remote }

func (w *discard) WriteMsg(m *dns.Msg) error {
	w.answer, w.truncated, w.rcode = m.Answer, m.Truncated, m.Rcode
	if !w.pack {
		return nil
	}
	_, err := m.Pack()
	return err
}

// wantWhole fails unless the last answer has all of so many records.
func (w *discard) wantWhole(b *testing.B, records int) {
	b.Helper()
	if len(w.answer) != records || w.truncated {
		b.Fatalf("got %d records, truncated %t; want all %d", len(w.answer), w.truncated, records)
	}
}

// wantCut fails unless the last answer has only some of so many records, and says so.
func (w *discard) wantCut(b *testing.B, records int) {
	b.Helper()
	if len(w.answer) == 0 || len(w.answer) >= records || !w.truncated {
		b.Fatalf("got %d records, truncated %t; want some of %d", len(w.answer), w.truncated, records)
	}
}

// BenchmarkServeDNS shows that a question costs the same in small and in large clusters, up
// to what CoreDNS does with the answer: it truncates and packs it, for UDP without EDNS or
// for TCP. The former has room for 10 members, the latter for 1000, and for 3000 addresses.
func BenchmarkServeDNS(b *testing.B) {
	end := useMetrics("erl.internal.") // questions are counted, as those of a block at work
	b.Cleanup(end)
	for _, members := range []int{3, 10, 100, 1000, 3000} {
		l := manyMembers(b, ipBlock, members)
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
			for _, write := range []string{"none", "udp", "tcp"} {
				b.Run(fmt.Sprintf("%s/members=%d/write=%s", dns.TypeToString[qtype], members, write), func(b *testing.B) {
					r := new(dns.Msg).SetQuestion("erl.internal.", qtype)
					d := newDiscard(write)
					ctx := context.WithValue(b.Context(), dnsserver.Key{}, &dnsserver.Server{Addr: "dns://:53"})
					b.ReportAllocs()
					for b.Loop() {
						var w dns.ResponseWriter = d
						if d.pack {
							w = request.NewScrubWriter(r, d)
						}
						if _, err := l.ServeDNS(ctx, w, r); err != nil {
							b.Fatal(err)
						}
					}
					if write == "udp" && members > 10 || write == "tcp" && members > 1000 && qtype != dns.TypeA {
						d.wantCut(b, members)
					} else {
						d.wantWhole(b, members)
					}
				})
			}
		}
	}
}

// A question costs two allocations, the message of the answer and its copy of the question.
func TestAQuestionAllocatesLittle(t *testing.T) {
	for _, members := range []int{3, 3000} {
		l := manyMembers(t, ipBlock, members)
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
			r, w := new(dns.Msg).SetQuestion("erl.internal.", qtype), newDiscard("none")
			if got := testing.AllocsPerRun(100, func() {
				if _, err := l.ServeDNS(t.Context(), w, r); err != nil || len(w.answer) != members {
					t.Fatalf("got %d records and error %v, want %d", len(w.answer), err, members)
				}
			}); got > 6 {
				t.Errorf("%s with %d members: got %.0f allocations, want 6 at most", dns.TypeToString[qtype], members, got)
			}
		}
	}
}

// BenchmarkServeDNSGrouped shows what it costs to find the cluster among others.
func BenchmarkServeDNSGrouped(b *testing.B) {
	const members = 3
	for _, clusters := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			c := configOf(b, "longnames erl.internal {\n group_by app\n}")
			changes := make([]kubeapi.Change, 0, clusters)
			for i := range clusters {
				app := fmt.Sprint("app", i)
				changes = append(changes, kubeapi.Change{New: labelled(c, labels{"app": app}, slice(app,
					endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3")))})
			}
			t := newTable(c)
			t.Apply(changes)
			t.Synced()
			l := serving(t)
			r := new(dns.Msg).SetQuestion("app0.prod.erl.internal.", dns.TypeSRV)
			w := newDiscard("none")
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.ServeDNS(ctx, w, r); err != nil {
					b.Fatal(err)
				}
			}
			w.wantWhole(b, members)
		})
	}
}

// dualStackCluster has n nodes with IPv6 addresses, and one with an IPv4 address that has no
// longname. Its zone has their host parts.
func dualStackCluster(tb testing.TB, n int) *Longnames {
	tb.Helper()
	c := configOf(tb, "longnames erl.internal {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}")
	six := bigSlice(n)
	for i := range six.Members {
		v4 := six.Members[i].Address.As4()
		six.Members[i].Address = netip.AddrFrom16([16]byte{0: 0xfd, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]})
	}
	return serving(tableOf(c, named("web-4", slice("web", endpoint("x", "10.9.9.9"))), named("web-6", six)))
}

// BenchmarkNegative shows that an answer without records costs the same in small and in large
// clusters.
func BenchmarkNegative(b *testing.B) {
	for _, members := range []int{10, 1000} {
		l := dualStackCluster(b, members)
		for _, q := range []struct {
			kind, name string
			rcode      int
		}{
			{"no data", "erl.internal.", dns.RcodeSuccess},
			{"no data of a port", "_epmd._tcp.erl.internal.", dns.RcodeSuccess},
			{"no data of a host", "web-0.web.prod.svc.erl.internal.", dns.RcodeSuccess},
			{"no such name", "nobody.erl.internal.", dns.RcodeNameError},
		} {
			b.Run(fmt.Sprintf("%s/members=%d", q.kind, members), func(b *testing.B) {
				r := new(dns.Msg).SetQuestion(q.name, dns.TypeMX)
				w := newDiscard("none")
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.ServeDNS(b.Context(), w, r); err != nil {
						b.Fatal(err)
					}
				}
				w.wantWhole(b, 0)
				if w.rcode != q.rcode {
					b.Fatalf("got rcode %d, want %d", w.rcode, q.rcode)
				}
			})
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
		t.Apply(added)
		t.Synced()
		b.StartTimer()
		t.Apply(removed)
		b.StopTimer()
		held := len(t.suspects()) > 0
		b.StartTimer()
		t.release(time.Now().Add(time.Hour))
		if !held || t.view("app0.prod") != nil {
			b.Fatalf("clusters held %t, given up %t; want both", held, t.view("app0.prod") == nil)
		}
	}
}

// BenchmarkProbesFail shows what it costs to look whether probes fail together, one after the
// other or all at once: with include all, nobody does.
func BenchmarkProbesFail(b *testing.B) {
	clog.SetOutput(io.Discard)
	b.Cleanup(func() { clog.SetOutput(os.Stdout) })
	const n = 4000
	for _, include := range []string{"ready", "all"} {
		c := configOf(b, "longnames erl.internal {\n selector app\n basename app\n lookup pods\n include "+include+"\n}")
		added, failed := make([]kubeapi.Change, 0, n), make([]kubeapi.Change, 0, n)
		for i := range n {
			name := fmt.Sprint("app-", i)
			pod := endpoint(name, fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
			before, after := labelled(c, nil, named(name, slice("", pod))), labelled(c, nil, named(name, slice("", unready(pod))))
			added, failed = append(added, kubeapi.Change{New: before}), append(failed, kubeapi.Change{Old: before, New: after})
		}
		for _, step := range []int{1, n} {
			b.Run(fmt.Sprintf("include=%s/at once=%d", include, step), func(b *testing.B) {
				var t *table
				for b.Loop() {
					b.StopTimer()
					t = newTable(c)
					t.Apply(added)
					t.Synced()
					b.StartTimer()
					for i := 0; i < n; i += step {
						t.Apply(failed[i : i+step])
					}
				}
				if got := len(membersOf(t, "").listed()); got != n {
					b.Fatalf("got %d members, want all %d", got, n)
				}
			})
		}
	}
}

// BenchmarkChange shows that a change costs its own cluster, however many others there are:
// a pod gets another address. With answered, there is a question after each.
func BenchmarkChange(b *testing.B) {
	for _, clusters := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			c := configOf(b, "longnames erl.internal {\n group_by app\n lookup pods\n}")
			t := newTable(c)
			// add has a cluster grow from so many members to others, and gives the last of these.
			add := func(app string, from, to int) (last *kubeapi.Object) {
				var changes []kubeapi.Change
				for i := from; i < to; i++ {
					name := fmt.Sprintf("%s-%d", app, i)
					last = labelled(c, labels{"app": app}, slice(name, endpoint(name, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))))
					last.Name = name
					changes = append(changes, kubeapi.Change{New: last})
				}
				t.Apply(changes)
				return last
			}
			for i := range clusters - 1 {
				add(fmt.Sprint("other", i), 0, 10)
			}
			t.Synced()
			had := 0
			for _, members := range []int{10, 1000} {
				old := add("web", had, members)
				had = members
				fresh := *old
				fresh.Members = []kubeapi.Member{endpoint(old.Name, "10.9.9.9")}
				states := []*kubeapi.Object{old, &fresh} // what is there is the first
				for _, answered := range []bool{false, true} {
					b.Run(fmt.Sprintf("members=%d/answered=%t", members, answered), func(b *testing.B) {
						changing(b, serving(t), t, states, "web.prod.erl.internal.", answered, members)
					})
				}
			}
		})
	}
}

// BenchmarkChangeOfSlice shows what one endpoint of the 100 in a slice costs, with zones that
// need no index, with a reverse zone, and where host parts lie in our zones.
func BenchmarkChangeOfSlice(b *testing.B) {
	const members = 100
	for _, kind := range []struct{ name, zones, mode string }{
		{"indexes=none", "erl.internal", "ip"},
		{"indexes=reverse", "erl.internal 10.in-addr.arpa", "ip"},
		{"indexes=hosts", "erl.internal cluster.local", "dns"},
	} {
		for _, answered := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/answered=%t", kind.name, answered), func(b *testing.B) {
				c := configOf(b, fmt.Sprintf("longnames %s {\n group_by app\n mode %s\n}", kind.zones, kind.mode))
				states := make([]*kubeapi.Object, 2)
				for i := range states {
					states[i] = labelled(c, labels{"app": "web"}, bigSlice(members))
					states[i].Members[0].Address = netip.AddrFrom4([4]byte{10, 9, 9, byte(i)})
				}
				t := tableOf(c, states[0])
				changing(b, serving(t), t, states, "web.prod.erl.internal.", answered, members)
			})
		}
	}
}

// changing switches an object between two states, and asks for its
// cluster: after each change, or at the end. What is there is states[0], and will be.
func changing(b *testing.B, l *Longnames, t *table, states []*kubeapi.Object, name string, answered bool, members int) {
	b.Helper()
	r := new(dns.Msg).SetQuestion(name, dns.TypeSRV)
	w := newDiscard("none")
	ask := func() {
		if _, err := l.ServeDNS(b.Context(), w, r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	turn := func() {
		t.Apply([]kubeapi.Change{{Old: states[i%2], New: states[(i+1)%2]}})
		i++
	}
	for b.Loop() {
		turn()
		if answered {
			ask()
		}
	}
	for range 2 + i%2 {
		before := w.answer
		turn()
		ask()
		w.wantWhole(b, members)
		if slices.Equal(data(before), data(w.answer)) {
			b.Fatal("got the same answer after a change, want another")
		}
	}
}

// BenchmarkStart shows what it costs to have a table follow a source that knows pods already,
// as from a snapshot, until the first answer.
func BenchmarkStart(b *testing.B) {
	const members = 10
	for _, clusters := range []int{2000, 100_000} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			c := configOf(b, "longnames erl.internal {\n group_by app\n lookup pods\n}")
			changes := manyClusters(c, clusters, members, 1)
			before := liveHeap()
			var t *table
			b.ReportAllocs()
			for b.Loop() {
				t = newTable(c)
				t.Apply(changes)
				t.Restored()
				must(b, serving(t), "app-0.prod.erl.internal.", dns.TypeSRV, members)
			}
			b.ReportMetric(float64(liveHeap()-before)/float64(clusters*members), "live-B/member")
			runtime.KeepAlive(t)
		})
	}
}

// manyClusters are app-0 and so on, with so many members each, some of them in one object.
func manyClusters(c *config, clusters, members, together int) (changes []kubeapi.Change) {
	for first := 0; first < clusters*members; first += together {
		app := fmt.Sprint("app-", first/members)
		var all []kubeapi.Member
		for i := first; i < first+together; i++ {
			all = append(all, endpoint(fmt.Sprintf("%s-%d", app, i%members), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)))
		}
		changes = append(changes, kubeapi.Change{New: labelled(c, labels{"app": app}, slice(fmt.Sprintf("%s-%d", app, first%members), all...))})
	}
	return changes
}

// BenchmarkMemory shows what there is for a member beside the objects themselves: the table
// and the audit, with several options, and what each kind of question adds for good.
func BenchmarkMemory(b *testing.B) {
	const clusters, members = 10_000, 10
	const zone = "erl.internal"
	for _, kind := range []struct {
		name, zones, options string
		types                []uint16
		below, unaudited     bool // a member's own name is asked for, too; there is no audit
		ports                int  // of each object, whose names no other object has
	}{
		{name: "no questions yet, audit left out", unaudited: true},
		{name: "no questions yet"},
		{name: "asked for SRV", types: []uint16{dns.TypeSRV}},
		{name: "asked for TXT", types: []uint16{dns.TypeTXT}},
		{name: "asked for A", types: []uint16{dns.TypeA}},
		{name: "asked for SRV, TXT and A", types: []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA}},
		{name: "asked for SRV and a name below", types: []uint16{dns.TypeSRV}, below: true},
		{name: "`lookup endpoints`, no questions yet", options: "lookup endpoints"},
		{name: "`lookup endpoints`, asked for SRV", options: "lookup endpoints", types: []uint16{dns.TypeSRV}},
		{name: "`lookup endpoints`, 10 ports of its own for each object, no questions yet", options: "lookup endpoints", ports: 10},
		{name: "`lookup endpoints`, 10 ports of its own for each object, asked for one", options: "lookup endpoints", ports: 10, below: true},
		{name: "reverse zone, no questions yet", zones: " 10.in-addr.arpa"},
		{name: "reverse zone, asked for SRV", zones: " 10.in-addr.arpa", types: []uint16{dns.TypeSRV}},
		{name: "`mode dns`, hosts in our zones, no questions yet", zones: " cluster.local", options: "mode dns"},
		{name: "`mode dns`, hosts in our zones, asked for SRV", zones: " cluster.local", options: "mode dns", types: []uint16{dns.TypeSRV}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			options, together := kind.options, members
			if options != "lookup endpoints" {
				options, together = options+"\n lookup pods", 1
			}
			c := configOf(b, fmt.Sprintf("longnames %s%s {\n group_by app\n %s\n}", zone, kind.zones, options))
			changes := manyClusters(c, clusters, members, together)
			var added uint64
			for b.Loop() {
				before := liveHeap()
				for i := range changes {
					withPorts(&changes[i], kind.ports, i)
				}
				t := newTable(c)
				t.Apply(changes)
				t.Synced()
				a := auditOf(t)
				if kind.unaudited {
					a.changed.take()
				} else {
					a.scan()
				}
				l := serving(t)
				for i := range clusters {
					name := fmt.Sprintf("app-%d.prod.%s.", i, zone)
					for _, qtype := range kind.types {
						must(b, l, name, qtype, members)
					}
					switch {
					case kind.ports > 0 && kind.below:
						must(b, l, "_"+portName(i, 0)+"._tcp."+name, dns.TypeSRV, members)
					case kind.below:
						must(b, l, fmt.Sprintf("app-%d-0.", i)+name, dns.TypeA, 1)
					}
				}
				added = liveHeap() - before
				a.close()
				runtime.KeepAlive(t)
				runtime.KeepAlive(l)
			}
			b.ReportMetric(float64(added)/(clusters*members), "B/member")
			runtime.KeepAlive(changes)
		})
	}
}

// withPorts gives an object ports, which count as what there is for its members.
func withPorts(change *kubeapi.Change, ports, of int) {
	if ports > 0 {
		change.New.Ports = make([]kubeapi.Port, ports)
	}
	for i := range change.New.Ports {
		change.New.Ports[i] = kubeapi.Port{Name: portName(of, i), Protocol: "TCP", Number: uint16(i)}
	}
}

func portName(of, i int) string { return fmt.Sprintf("port-%015d-of-object-%028d", i, of) }

func must(b *testing.B, l *Longnames, name string, qtype uint16, want int) {
	b.Helper()
	w := newDiscard("none")
	if _, err := l.ServeDNS(b.Context(), w, new(dns.Msg).SetQuestion(name, qtype)); err != nil {
		b.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	w.wantWhole(b, want)
}

// liveHeap gives the bytes that are reachable.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // the first may only have found what it can free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
