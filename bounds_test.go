package longnames

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// hostileData is a kind of data that a tenant can have as much of as it likes.
type hostileData struct {
	kind      string
	block     string
	few       int // and ten times as many
	objects   func(c *config, n int) []*kubeapi.Object
	client    string // who asks; default: one that is nobody
	questions []hostileQuestion
}

type hostileQuestion struct {
	name, qtype string
	rcode       int
}

var hostileKinds = []hostileData{
	{
		kind: "members", few: 100, block: "longnames erl.internal 10.in-addr.arpa {\n selector app\n basename app\n}",
		objects: func(_ *config, n int) []*kubeapi.Object {
			return []*kubeapi.Object{ported(bigSlice(n), kubeapi.Port{Name: "http", Protocol: "TCP", Number: 80})}
		},
		questions: []hostileQuestion{
			{"erl.internal.", "SRV", 0}, {"eRl.internal.", "SRV", 0}, {"erl.internal.", "TXT", 0}, {"eRl.internal.", "TXT", 0},
			{"erl.internal.", "A", 0}, {"erl.internal.", "MX", 0}, {"_epmd._tcp.erl.internal.", "SRV", 0},
			{"_http._tcp.erl.internal.", "SRV", 0}, {"_nothing._tcp.erl.internal.", "SRV", dns.RcodeNameError},
			{"_tcp.erl.internal.", "SRV", 0}, {"web-7.erl.internal.", "SRV", 0}, {"10-0-0-8.erl.internal.", "A", 0},
			{"nobody.erl.internal.", "A", dns.RcodeNameError}, {"8.0.0.10.in-addr.arpa.", "PTR", 0},
			{"9.9.9.10.in-addr.arpa.", "PTR", dns.RcodeNameError},
		},
	},
	{
		kind: "ports of one that is not listed", few: 1500, client: "10.9.9.9",
		block: "longnames erl.internal {\n selector app\n basename app\n lookup pods\n include ready\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			return append(podsOf(20), labelled(c, nil, podWithPorts(c, n)))
		},
		questions: []hostileQuestion{
			{"_epmd._tcp.erl.internal.", "SRV", 0}, {"_p00001._tcp.erl.internal.", "SRV", 0}, {"_p00001._tcp.erl.internal.", "A", 0},
			{"_nothing._tcp.erl.internal.", "SRV", dns.RcodeNameError}, {"_tcp.erl.internal.", "SRV", 0},
			{"_udp.erl.internal.", "SRV", dns.RcodeNameError}, {"erl.internal.", "SRV", 0}, {"nobody.erl.internal.", "A", dns.RcodeNameError},
		},
	},
	{
		kind: "names at the asker's address that are not listed", few: 100, client: "10.9.9.9",
		block: "longnames erl.internal {\n selector app\n basename label role\n lookup pods\n include ready\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			all := podsOf(200)
			for _, o := range all {
				labelled(c, labels{"role": "app"}, o)
			}
			for i := range n {
				pod := fmt.Sprintf("x-%05d", i)
				all = append(all, labelled(c, labels{"role": pod}, named(pod, slice("", unready(endpoint(pod, "10.9.9.9"))))))
			}
			return all
		},
		questions: []hostileQuestion{
			{"erl.internal.", "SRV", 0}, {"eRl.internal.", "TXT", 0}, {"erl.internal.", "TXT", 0}, {"erl.internal.", "A", 0},
			{"_epmd._tcp.erl.internal.", "SRV", 0}, {"nobody.erl.internal.", "A", dns.RcodeNameError}, {"x-00007.erl.internal.", "TXT", 0},
		},
	},
	{
		kind: "clusters that claim one address", few: 100,
		block: "longnames erl.internal cluster.local 10.in-addr.arpa {\n group_by app\n mode dns\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			var all []*kubeapi.Object
			for i := range n {
				app := fmt.Sprint("app-", i)
				all = append(all, labelled(c, labels{"app": app}, slice(app, endpoint(app, "10.0.0.1"))))
			}
			return all
		},
		questions: []hostileQuestion{
			{"1.0.0.10.in-addr.arpa.", "PTR", 0}, {"10-0-0-1.prod.pod.cluster.local.", "A", 0}, {"10-0-0-1.prod.pod.cluster.local.", "MX", 0},
			{"app-7.prod.erl.internal.", "SRV", 0}, {"10-0-0-1.app-7.prod.erl.internal.", "A", 0},
			{"2.0.0.10.in-addr.arpa.", "PTR", dns.RcodeNameError}, {"nobody.prod.pod.cluster.local.", "A", dns.RcodeNameError},
		},
	},
	{
		kind: "pods of one hostname", few: 100,
		block: "longnames erl.internal {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n port dist\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			all := podsOf(n)
			for i, o := range all {
				o.Service, o.Members[0].Hostname = "web", "web"
				o.Ports = []kubeapi.Port{{Name: "dist", Protocol: "TCP", Number: uint16(9000 + i%kubeapi.MaxPorts)}}
			}
			return all
		},
		questions: []hostileQuestion{
			{"erl.internal.", "SRV", 0}, {"web.erl.internal.", "A", 0}, {"web.erl.internal.", "SRV", 0}, {"web.erl.internal.", "MX", 0},
			{"pod-7.erl.internal.", "SRV", 0}, {"wEb.erl.internal.", "A", 0}, {"web.web.prod.svc.erl.internal.", "A", 0},
			{"web.web.prod.svc.erl.internal.", "AAAA", 0}, {"_dist._tcp.erl.internal.", "SRV", 0},
		},
	},
	{
		kind: "pods at one address", few: 100,
		block: "longnames erl.internal 10.in-addr.arpa {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			all := podsOf(n)
			for _, o := range all {
				m := &o.Members[0]
				o.Service, m.Hostname, m.Address = "web", m.ID, netip.MustParseAddr("10.0.0.1")
			}
			return all
		},
		questions: []hostileQuestion{
			{"erl.internal.", "SRV", 0}, {"erl.internal.", "A", 0}, {"1.0.0.10.in-addr.arpa.", "PTR", 0}, {"10-0-0-1.erl.internal.", "A", 0},
			{"10-0-0-1.erl.internal.", "TXT", 0}, {"10-0-0-1.erl.internal.", "SRV", 0}, {"pod-7.web.prod.svc.erl.internal.", "A", 0},
		},
	},
}

// podsOf are so many ready pods.
func podsOf(n int) []*kubeapi.Object {
	all := make([]*kubeapi.Object, 0, n)
	for i := range n {
		pod := fmt.Sprint("pod-", i)
		all = append(all, named(pod, slice("", endpoint(pod, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)))))
	}
	return all
}

// podWithPorts is a pod that is not ready, with so many named ports, as it is read.
func podWithPorts(c *config, n int) *kubeapi.Object {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "hostile"}, Status: corev1.PodStatus{PodIP: "10.9.9.9"}}
	p.Spec.Containers = make([]corev1.Container, 1)
	for i := range n {
		p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{Name: fmt.Sprintf("p%05d", i), ContainerPort: int32(i + 1)})
	}
	o, err := kubeapi.NewShrinker(&c.source).Shrink(p)
	if err != nil {
		panic(err)
	}
	return o
}

// repeated is a question that is asked again and again.
type repeated struct {
	l *Longnames
	r *dns.Msg
	w *discard
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

func (h *hostileData) asks(l *Longnames, q hostileQuestion) *repeated {
	a := &repeated{l, new(dns.Msg).SetQuestion(q.name, dns.StringToType[q.qtype]), newDiscard("udp")}
	if h.client != "" {
		a.w.remote = &net.UDPAddr{IP: net.ParseIP(h.client), Port: 4711}
	}
	return a
}

func (a *repeated) ask(tb testing.TB) {
	if _, err := a.l.ServeDNS(tb.Context(), a.w, a.r); err != nil {
		tb.Fatal(err)
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

// Whatever a tenant has, and how much of it, a question costs the same.
func TestCostOfAQuestionDoesNotGrow(t *testing.T) {
	for _, h := range hostileKinds {
		few, many := h.serve(t, h.few), h.serve(t, 10*h.few)
		for _, q := range h.questions {
			t.Run(fmt.Sprintf("%s/%s %s", h.kind, q.name, q.qtype), func(t *testing.T) {
				var bytes, allocations [2]float64
				for i, l := range []*Longnames{few, many} {
					a := h.asks(l, q)
					a.w.pack = false // that is CoreDNS' part
					a.ask(t)
					if a.w.rcode != q.rcode {
						t.Fatalf("got rcode %d, want %d", a.w.rcode, q.rcode)
					}
					bytes[i], allocations[i] = cost(5, 20, func() { a.ask(t) })
				}
				if bytes[1] > growth*bytes[0] || allocations[1] > growth*allocations[0] {
					t.Errorf("got %.0f bytes in %.0f allocations with %d, and %.0f in %.0f with ten times as many; want %.1f times at most",
						bytes[0], allocations[0], h.few, bytes[1], allocations[1], growth)
				}
			})
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
					bytes[i], _ = cost(1, 1, func() { h.asks(h.serve(t, n), q).ask(t) })
				}
				if bytes[1] > 20*bytes[0] {
					t.Errorf("got %.0f bytes with %d, and %.0f with ten times as many; want 20 times at most", bytes[0], h.few, bytes[1])
				}
			})
		}
	}
}

// sharedSlices are Services that select the same pods, and declare different ports.
var sharedSlices = hostileData{
	kind: "slices of the same pods", few: 50, block: ipBlock,
	objects: func(_ *config, n int) []*kubeapi.Object {
		var members []kubeapi.Member
		for _, o := range podsOf(20) {
			members = append(members, o.Members...)
		}
		var all []*kubeapi.Object
		for i := range n {
			all = append(all, ported(slice(fmt.Sprint("s", i), members...), somePorts(i)...))
		}
		return all
	},
	questions: []hostileQuestion{{"erl.internal.", "TXT", 0}, {"_epmd._tcp.erl.internal.", "SRV", 0}},
}

// differentPorts are pods that share a longname, and declare different ports.
var differentPorts = hostileData{
	kind: "pods of one longname", few: 50, block: "longnames erl.internal {\n selector app\n basename app\n lookup pods\n}",
	objects: func(_ *config, n int) []*kubeapi.Object {
		all := podsOf(n)
		for i, o := range all {
			o.Members[0].Address, o.Ports = netip.MustParseAddr("10.0.0.1"), somePorts(i)
		}
		return all
	},
	questions: []hostileQuestion{{"erl.internal.", "TXT", 0}, {"_epmd._tcp.erl.internal.", "SRV", 0}},
}

// somePorts are as many as an object may have, with names of their own.
func somePorts(of int) []kubeapi.Port {
	ports := make([]kubeapi.Port, kubeapi.MaxPorts)
	for i := range ports {
		ports[i] = kubeapi.Port{Name: fmt.Sprintf("p%d-%d", of, i), Protocol: "TCP", Number: uint16(i + 1)}
	}
	return ports
}

// BenchmarkHostile shows what TestCostOfAQuestionDoesNotGrow asserts, and the time, with CoreDNS' part.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostileKinds {
		for _, n := range []int{h.few, 10 * h.few} {
			l := h.serve(b, n)
			for _, q := range h.questions {
				b.Run(fmt.Sprintf("%s=%d/%s %s", h.kind, n, q.name, q.qtype), func(b *testing.B) {
					a := h.asks(l, q)
					b.ReportAllocs()
					for b.Loop() {
						if _, err := l.ServeDNS(b.Context(), request.NewScrubWriter(a.r, a.w), a.r); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// Of many ports that are asked for, the sets of few are kept, and each answer is right.
func TestFewSetsOfPortsAreKept(t *testing.T) {
	l := serving(tableOf(configOf(t, ipBlock), ported(bigSlice(3), somePorts(0)...)))
	for range 2 {
		for i, p := range somePorts(0) {
			got := texts(ask(t, l, "_"+p.Name+"._tcp.erl.internal.", "SRV", client{}).Answer)
			if want := fmt.Sprintf("_%s._tcp.erl.internal. 5 IN SRV 0 0 %d 10.0.0.1.", p.Name, i+1); len(got) != 3 || !slices.Contains(got, want) {
				t.Errorf("%s: got %q, want 3 with %q", p.Name, got, want)
			}
		}
	}
	b := l.blocks[0]
	if got := len(*b.table.view("").members(b.config).records[0].ports.Load()); got != mostPortSets {
		t.Errorf("got %d sets kept, want %d", got, mostPortSets)
	}
}

// Of many names that wait at one address, an asker finds few: pods that do not end, the first by name.
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
	l := serving(tableOf(c, objects...))
	from := client{address: "10.0.0.9", tcp: true}
	equal(t, "TXT", data(ask(t, l, "erl.internal.", "TXT", from).Answer), want)
	equal(t, "SRV", data(ask(t, l, "erl.internal.", "SRV", from).Answer), []string{"10.0.0.1.", "10.0.0.9."})
	equal(t, "A", data(ask(t, l, "erl.internal.", "A", from).Answer), []string{"10.0.0.1", "10.0.0.9"})
	equal(t, "another client's TXT", data(ask(t, l, "erl.internal.", "TXT", client{tcp: true}).Answer), want[:2])
}

// Many records may have one target, and many nodes one host part: their product is never made.
func TestGlueLooksForEachTargetOnce(t *testing.T) {
	e := encoder{ttl: 5, port: port{name: "dist"}, hosts: inside}
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
