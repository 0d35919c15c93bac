package longnames

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// repeated are questions that are asked in turn, again and again.
type repeated struct {
	l         *Longnames
	questions []*dns.Msg
	w         *discard
}

func (h *hostileData) serve(tb testing.TB, n int) *Longnames {
	tb.Helper()
	c := configOf(tb, h.block)
	var changes []kubeapi.Change
	for _, o := range h.objects(c, n) {
		if o.Labels == nil {
			labelled(c, nil, o)
		}
		changes = append(changes, kubeapi.Change{New: o})
	}
	t := newTable(c)
	t.Apply(changes)
	t.Synced()
	return serving(t)
}

// way is how a question comes: over "udp" or "tcp", and with EDNS of a size if that is not zero.
type way struct {
	network string
	size    uint16
}

// ways are with little room for the answer, and with as much as there can be.
var ways = []way{{"udp", 0}, {"udp", dns.MaxMsgSize - 1}, {"tcp", 0}}

func (h *hostileData) asks(l *Longnames, q hostileQuestion, by way) *repeated {
	a := &repeated{l, nil, newDiscard(by.network)}
	for i := range max(1, h.rotates) {
		r := new(dns.Msg).SetQuestion(strings.ReplaceAll(q.name, "#", strconv.Itoa(i)), dns.StringToType[q.qtype])
		if h.do || by.size > 0 {
			r.SetEdns0(max(by.size, 1232), h.do)
		}
		a.questions = append(a.questions, r)
	}
	if ip := net.ParseIP(h.client); ip != nil && by.network == "tcp" {
		a.w.remote = &net.TCPAddr{IP: ip, Port: 4711}
	} else if ip != nil {
		a.w.remote = &net.UDPAddr{IP: ip, Port: 4711}
	}
	return a
}

// ask asks all questions.
func (a *repeated) ask(tb testing.TB) {
	tb.Helper()
	for _, r := range a.questions {
		if _, err := a.l.ServeDNS(tb.Context(), a.w, r); err != nil {
			tb.Fatal(err)
		}
	}
}

// cost returns what something allocates each time: the least of some rounds, for others allocate too.
func cost(rounds int, runs uint64, do func()) (bytes, allocations float64) {
	bytes, allocations = math.Inf(1), math.Inf(1)
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			do()
		}
		runtime.ReadMemStats(&after)
		bytes = min(bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(runs))
		allocations = min(allocations, float64(after.Mallocs-before.Mallocs)/float64(runs))
	}
	return bytes, allocations
}

// growth is how much more a question may cost with ten times the data.
const growth = 1.2

// Whatever a tenant has, and how much of it, a question costs the same. Where there is room for more, the whole answer has
// all members. Even so it costs the same if it is kept. It costs as much as it has records if it is made for the question:
// that is spelt in another way, asks for many ports in turn, or comes from somebody who waits.
func TestCostOfAQuestionDoesNotGrow(t *testing.T) {
	for _, h := range hostileKinds {
		few, many := h.serve(t, h.few), h.serve(t, 10*h.few)
		for _, q := range h.questions {
			isKept := q.name == strings.ToLower(q.name) && h.rotates == 0 && h.client == ""
			for _, by := range ways {
				t.Run(fmt.Sprintf("%s/%s %s/%s, EDNS %d", h.kind, q.name, q.qtype, by.network, by.size), func(t *testing.T) {
					var bytes, allocations, records [2]float64
					for i, l := range []*Longnames{few, many} {
						a := h.asks(l, q, by)
						a.w.pack = false // that is CoreDNS' part
						a.ask(t)
						if a.w.rcode != q.rcode {
							t.Fatalf("got rcode %d, want %d", a.w.rcode, q.rcode)
						}
						records[i] = float64(len(a.w.answer))
						bytes[i], allocations[i] = cost(5, 20, func() { a.ask(t) })
					}
					most := growth
					if !isKept && by != ways[0] {
						most *= max(1, records[1]/max(1, records[0]))
					}
					if bytes[1] > most*bytes[0] || allocations[1] > most*allocations[0] {
						t.Errorf("got %.0f bytes in %.0f allocations with %d, and %.0f in %.0f with ten times as many; want %.1f times at most",
							bytes[0], allocations[0], h.few, bytes[1], allocations[1], most)
					}
				})
			}
		}
	}
}

// What is made once after a change grows with the data, and not with its square, which would be a hundred
// times as much.
func TestCostOfAChangeGrowsWithTheData(t *testing.T) {
	for _, h := range append(hostileKinds, sharedSlices, differentPorts) {
		for _, q := range h.questions {
			t.Run(fmt.Sprintf("%s/%s %s", h.kind, q.name, q.qtype), func(t *testing.T) {
				var bytes [2]float64
				for i, n := range []int{h.few, 10 * h.few} {
					bytes[i], _ = cost(1, 1, func() { h.asks(h.serve(t, n), q, ways[0]).ask(t) })
				}
				if bytes[1] > 20*bytes[0] {
					t.Errorf("got %.0f bytes with %d, and %.0f with ten times as many; want 20 times at most", bytes[0], h.few, bytes[1])
				}
			})
		}
	}
}

// However much changes in a cluster, and is asked about it, others pay nothing for it.
func TestAChangeCostsOtherClustersNothing(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n}")
	other, fresh := labelled(c, labels{"app": "other"}, bigSlice(1000)), labelled(c, labels{"app": "other"}, bigSlice(999))
	table := tableOf(c, other, labelled(c, labels{"app": "web"}, slice("web", endpoint("web", "10.9.9.9"))))
	l := serving(table)
	for _, q := range []hostileQuestion{
		{"web.prod.erl.internal.", "SRV", 0}, {"10-9-9-9.web.prod.erl.internal.", "A", 0}, {"nobody.web.prod.erl.internal.", "A", dns.RcodeNameError},
		{"nobody.prod.erl.internal.", "A", dns.RcodeNameError}, {"9.9.9.10.in-addr.arpa.", "PTR", 0}, {"8.8.8.10.in-addr.arpa.", "PTR", dns.RcodeNameError},
	} {
		a := (&hostileData{}).asks(l, q, ways[0])
		a.ask(t)
		if a.w.rcode != q.rcode {
			t.Errorf("%s %s: got rcode %d, want %d", q.name, q.qtype, a.w.rcode, q.rcode)
		}
		want, _ := cost(5, 1, func() { a.ask(t) })
		got := math.Inf(1)
		for range 5 {
			table.Apply([]kubeapi.Change{{Old: other, New: fresh}})
			other, fresh = fresh, other
			after, _ := cost(1, 1, func() { a.ask(t) })
			got = min(got, after)
		}
		if got > growth*want {
			t.Errorf("%s %s: got %.0f bytes after a change of another cluster, want the %.0f of before", q.name, q.qtype, got, want)
		}
	}
}

// replacing is a cluster of slices of 100 endpoints, the first of which is replaced again and again.
type replacing struct {
	table *table
	slice *kubeapi.Object // its last endpoint is about to end
	turns int
}

func newReplacing(tb testing.TB, slices int, byHand bool) *replacing {
	tb.Helper()
	c := configOf(tb, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n}")
	r := &replacing{table: newTable(c)}
	changes := make([]kubeapi.Change, slices)
	for s := range changes {
		var members []kubeapi.Member
		for i := range 100 {
			m := endpoint(fmt.Sprintf("web-%d-%d", s, i), fmt.Sprintf("10.%d.0.%d", s, i+1))
			if byHand {
				m.ID, m.IsPod = "", false
			}
			members = append(members, m)
		}
		if s == 0 {
			m := members[0]
			m.Address, m.Ready, m.Serving, m.Terminating = netip.MustParseAddr("10.255.255.255"), false, false, true
			members = append(members, m)
		}
		changes[s].New = labelled(c, labels{"app": "web"}, named(fmt.Sprint("web-", s), slice("web", members...)))
	}
	r.slice = changes[0].New
	r.table.Apply(changes)
	r.table.Synced()
	return r
}

func (r *replacing) turn() {
	fresh := *r.slice
	fresh.Members = slices.Clone(fresh.Members)
	r.turns++
	fresh.Members[len(fresh.Members)-1].Address = fresh.Members[0].Address
	fresh.Members[0].Address = netip.AddrFrom4([4]byte{10, 200, byte(r.turns >> 8), byte(r.turns)})
	r.table.Apply([]kubeapi.Change{{Old: r.slice, New: &fresh}})
	r.slice = &fresh
}

// A change costs as much as its object has, however many others its cluster has.
func TestAChangeCostsItsObject(t *testing.T) {
	for _, byHand := range []bool{false, true} {
		t.Run(fmt.Sprintf("by hand=%t", byHand), func(t *testing.T) {
			var bytes, allocations [2]float64
			for i, slices := range []int{10, 100} {
				r := newReplacing(t, slices, byHand)
				bytes[i], allocations[i] = cost(5, 20, r.turn)
				if got := r.table.roster("web.prod"); len(got.Objects) != slices || len(got.Suspects) > 0 {
					t.Fatalf("got %d objects and %d suspects, want %d and none", len(got.Objects), len(got.Suspects), slices)
				}
			}
			if bytes[1] > growth*bytes[0] || allocations[1] > growth*allocations[0] {
				t.Errorf("got %.0f bytes in %.0f allocations, and %.0f in %.0f with ten times the slices; want %.1f times at most",
					bytes[0], allocations[0], bytes[1], allocations[1], growth)
			}
		})
	}
}

// BenchmarkReplace shows what it costs to replace one endpoint of 1 000, and the first question after that.
func BenchmarkReplace(b *testing.B) {
	for _, byHand := range []bool{false, true} {
		for _, answered := range []bool{false, true} {
			b.Run(fmt.Sprintf("byhand=%t/answered=%t", byHand, answered), func(b *testing.B) {
				r := newReplacing(b, 10, byHand)
				a := (&hostileData{}).asks(serving(r.table), hostileQuestion{"web.prod.erl.internal.", "A", 0}, way{"tcp", 0})
				b.ReportAllocs()
				for b.Loop() {
					if r.turn(); answered {
						a.ask(b)
					}
				}
				if a.ask(b); len(a.w.answer) != 1000 {
					b.Fatalf("got %d addresses, want 1000", len(a.w.answer))
				}
			})
		}
	}
}

// BenchmarkChangeAndQuestion shows what the first question about a cluster costs that has changed: who has it
// change all the time can have each question cost that.
func BenchmarkChangeAndQuestion(b *testing.B) {
	for _, members := range []int{1000, 10_000} {
		for _, q := range []hostileQuestion{
			{"web.prod.erl.internal.", "SRV", 0}, {"_epmd._tcp.web.prod.erl.internal.", "SRV", 0},
			{"web-7.web.prod.erl.internal.", "A", 0}, {"nobody.web.prod.erl.internal.", "A", dns.RcodeNameError},
			{"8.0.0.10.in-addr.arpa.", "PTR", 0},
		} {
			b.Run(fmt.Sprintf("members=%d/%s %s", members, q.name, q.qtype), func(b *testing.B) {
				c := configOf(b, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n lookup pods\n}")
				var changes []kubeapi.Change
				for i, m := range bigSlice(members).Members {
					changes = append(changes, kubeapi.Change{New: labelled(c, labels{"app": "web"}, named(fmt.Sprint("web-", i), slice("", m)))})
				}
				table := newTable(c)
				table.Apply(changes)
				table.Synced()
				l := serving(table)
				a := (&hostileData{}).asks(l, q, ways[0])
				old := changes[0].New
				fresh := labelled(c, labels{"app": "web"}, named(old.Name, slice("", endpoint(old.Name, "10.9.9.9"))))
				b.ReportAllocs()
				for b.Loop() {
					table.Apply([]kubeapi.Change{{Old: old, New: fresh}})
					old, fresh = fresh, old
					a.ask(b)
				}
				if a.w.rcode != q.rcode {
					b.Fatalf("got rcode %d, want %d", a.w.rcode, q.rcode)
				}
			})
		}
	}
}

// BenchmarkHostile shows what TestCostOfAQuestionDoesNotGrow asserts, and the time, with CoreDNS' part.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostileKinds {
		for _, n := range []int{h.few, 10 * h.few} {
			l := h.serve(b, n)
			for _, q := range h.questions {
				b.Run(fmt.Sprintf("%s=%d/%s %s", h.kind, n, q.name, q.qtype), func(b *testing.B) {
					a := h.asks(l, q, ways[0])
					a.ask(b)
					b.ReportAllocs()
					for b.Loop() {
						for _, r := range a.questions {
							if _, err := l.ServeDNS(b.Context(), request.NewScrubWriter(r, a.w), r); err != nil {
								b.Fatal(err)
							}
						}
					}
				})
			}
		}
	}
}

// Of many ports that are asked for, the sets of few are kept, and each answer is right.
func TestFewSetsOfPortsAreKept(t *testing.T) {
	l := serving(tableOf(configOf(t, ipBlock), ported(bigSlice(3), manyPorts(0)...)))
	for range 2 {
		for i, p := range manyPorts(0) {
			got := texts(ask(t, l, "_"+p.Name+"._tcp.erl.internal.", "SRV", client{}).Answer)
			if want := fmt.Sprintf("_%s._tcp.erl.internal. 5 IN SRV 0 0 %d 10.0.0.1.", p.Name, i+1); len(got) != 3 || !slices.Contains(got, want) {
				t.Errorf("%s: got %q, want 3 with %q", p.Name, got, want)
			}
		}
	}
	r := l.zones["erl.internal."].resolver
	if got := len(*r.cluster("").members(r).records[0].ports.Load()); got != mostPortSets {
		t.Errorf("got %d sets kept, want %d", got, mostPortSets)
	}
}

// Of many names that wait at one address, an asker finds few: pods that do not end, the oldest, the first by name.
func TestFewOfThoseWhoWaitAreAdded(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n selector app\n basename label role\n include ready\n}")
	objects := []*kubeapi.Object{labelled(c, labels{"role": "app"}, slice("app", endpoint("app", "10.0.0.1"), endpoint("both", "10.0.0.9")))}
	add := func(role string, m kubeapi.Member) {
		objects = append(objects, labelled(c, labels{"role": role}, slice(role, m)))
	}
	handMade := unready(endpoint("", "10.0.0.9"))
	handMade.IsPod = false
	want := []string{"app@10.0.0.1", "app@10.0.0.9"}
	for i := range 3 * mostWaiting {
		add(fmt.Sprintf("a%02d", i), handMade)
		add(fmt.Sprintf("b%02d", i), unready(terminating(endpoint(fmt.Sprint("b", i), "10.0.0.9"))))
		pod := fmt.Sprintf("c%02d", i)
		add(pod, unready(endpoint(pod, "10.0.0.9")))
		if i < mostWaiting {
			want = append(want, pod+"@10.0.0.9")
		}
	}
	oldest := labelled(c, labels{"role": "z"}, slice("z", unready(endpoint("z", "10.0.0.9"))))
	for _, o := range objects[1:] {
		o.Created = 2
	}
	oldest.Created = 1
	objects = append(objects, oldest)
	want = append(want[:len(want)-1], "z@10.0.0.9")
	l := serving(tableOf(c, objects...))
	from := client{address: "10.0.0.9", tcp: true}
	equal(t, "TXT", data(ask(t, l, "erl.internal.", "TXT", from).Answer), want)
	equal(t, "SRV", data(ask(t, l, "erl.internal.", "SRV", from).Answer), []string{"10.0.0.1.", "10.0.0.9."})
	equal(t, "A", data(ask(t, l, "erl.internal.", "A", from).Answer), []string{"10.0.0.1", "10.0.0.9"})
	equal(t, "another client's TXT", data(ask(t, l, "erl.internal.", "TXT", client{tcp: true}).Answer), want[:2])
}

// Many records may have one target, and many nodes one host part: their product is never made.
func TestGlueLooksForEachTargetOnce(t *testing.T) {
	e := encoder{ttl: 5, blocks: []*config{{port: port{name: "dist"}, hosts: inside}}, hosts: inside}
	node := func(host string, i int) *membership.Node {
		return nodeOf(t, host, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1), uint16(i+1))
	}
	var nodes []*membership.Node
	for i := range 1000 {
		nodes = append(nodes, node("web", i))
	}
	nodes = append(nodes, node("one", 1000), node("two", 1001), node("two", 1002))
	calls, at := 0, hostsOf(nodes)
	set := e.rrset(dns.TypeSRV, "erl.internal.", nodes, func(target string) []*membership.Node {
		calls++
		return at(target)
	})
	if len(set.answer) != len(nodes) || calls != 3 {
		t.Errorf("got %d records and %d looks, want %d and 3", len(set.answer), calls, len(nodes))
	}
	equal(t, "glue", data(set.glue), []string{"10.1.4.1", "10.1.4.2", "10.1.4.3"})
}

// nodeOf is a node of mode hostname that declares a port called dist.
func nodeOf(t *testing.T, hostname, address string, number uint16) *membership.Node {
	t.Helper()
	c := configOf(t, "longnames erl.internal {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}")
	m := endpoint(hostname, address)
	m.Hostname = hostname
	nodes, _ := c.rules.Nodes(&membership.Roster{Objects: []*kubeapi.Object{
		ported(slice("web", m), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: number}),
	}})
	return &nodes[0]
}
