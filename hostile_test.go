package longnames

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi"
)

// hostileData is a kind of data that a tenant can have as much of as it likes.
type hostileData struct {
	kind      string
	block     string
	few       int // and ten times as many
	objects   func(c *config, n int) []*kubeapi.Object
	client    string // who asks; default: one that is nobody
	do        bool   // it wants signatures
	rotates   int    // how many questions each is, with a number for #; default: 1
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
		kind: "members, for a client that takes signatures", few: 500, block: "longnames erl.internal {\n selector app\n basename app\n}", do: true,
		objects:   func(_ *config, n int) []*kubeapi.Object { return []*kubeapi.Object{bigSlice(n)} },
		questions: []hostileQuestion{{"erl.internal.", "SRV", 0}, {"eRl.internal.", "TXT", 0}, {"erl.internal.", "A", 0}},
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
		kind: "members with many ports that are asked for in turn", few: 100, rotates: kubeapi.MaxPorts,
		block: "longnames erl.internal {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n}",
		objects: func(_ *config, n int) []*kubeapi.Object {
			return []*kubeapi.Object{ported(bigSlice(n), manyPorts(0)...)}
		},
		questions: []hostileQuestion{{"_p0-#._tcp.erl.internal.", "SRV", 0}},
	},
	{
		kind: "ports of one member that are asked for in turn", few: 100, rotates: kubeapi.MaxPorts,
		block: "longnames erl.internal {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n}",
		objects: func(_ *config, n int) []*kubeapi.Object {
			return []*kubeapi.Object{bigSlice(n), ported(named("hostile", slice("hostile", endpoint("hostile", "10.9.9.9"))), manyPorts(0)...)}
		},
		questions: []hostileQuestion{{"_p0-#._tcp.erl.internal.", "SRV", 0}},
	},
	{
		kind: "ports in turn, for a client that takes signatures", few: 500, rotates: 2 * mostPortSets, do: true,
		block: "longnames erl.internal {\n selector app\n basename app\n}",
		objects: func(_ *config, n int) []*kubeapi.Object {
			return []*kubeapi.Object{ported(bigSlice(n), manyPorts(0)...)}
		},
		questions: []hostileQuestion{{"_p0-#._tcp.erl.internal.", "SRV", 0}},
	},
	{
		kind: "bytes of names", few: 60, client: "10.9.9.9",
		block: "longnames erl.internal 10.in-addr.arpa {\n selector app\n basename label role\n mode hostname\n cluster_domain erl.internal\n include ready\n}",
		objects: func(c *config, n int) []*kubeapi.Object {
			text := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 10*n) }
			all := []*kubeapi.Object{labelled(c, labels{"role": "app"}, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))}
			for i := range 8 {
				ready := i%2 == 0
				s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: text(i), Labels: map[string]string{
					"app": "web", "role": text(i), discoveryv1.LabelServiceName: text(i),
				}}}
				for j := range 20 {
					s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
						Addresses: []string{"10.9.9.9"}, Hostname: new(text(j)), Conditions: discoveryv1.EndpointConditions{Ready: &ready},
						TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: text(j) + strconv.Itoa(j)},
					})
				}
				for j := range 20 {
					s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: new(text(j) + strconv.Itoa(j)), Protocol: new(corev1.Protocol(text(j))), Port: new(int32(j + 1))})
				}
				o, err := kubeapi.NewShrinker(&c.source).Shrink(s)
				if err != nil {
					panic(err)
				}
				all = append(all, o)
			}
			return all
		},
		questions: []hostileQuestion{
			{"erl.internal.", "SRV", 0}, {"erl.internal.", "TXT", 0}, {"_epmd._tcp.erl.internal.", "SRV", 0}, {"web-0.erl.internal.", "A", 0},
			{"_nothing._tcp.erl.internal.", "SRV", dns.RcodeNameError}, {"9.9.9.10.in-addr.arpa.", "PTR", dns.RcodeNameError},
			{"nobody.erl.internal.", "A", dns.RcodeNameError},
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
		objects: func(_ *config, n int) []*kubeapi.Object {
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
		objects: func(_ *config, n int) []*kubeapi.Object {
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
			all = append(all, ported(slice(fmt.Sprint("s", i), members...), manyPorts(i)...))
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
			o.Members[0].Address, o.Ports = netip.MustParseAddr("10.0.0.1"), manyPorts(i)
		}
		return all
	},
	questions: []hostileQuestion{{"erl.internal.", "TXT", 0}, {"_epmd._tcp.erl.internal.", "SRV", 0}},
}
