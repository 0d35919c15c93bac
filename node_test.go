package longnames

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

func TestNameAll(t *testing.T) {
	hostname := "longnames erl.internal {\n selector app=web\n basename app\n mode hostname\n}"
	ip := "longnames erl.internal {\n selector app=web\n basename app\n}"
	all := "longnames erl.internal {\n selector app=web\n basename app\n include all\n}"
	tests := []struct {
		name    string
		block   string
		objects []*kubeapi.Object
		want    []string // listed
		left    []string // the problems of those that are left out
	}{
		{
			name: "only ready ones are listed", block: ip,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2")))},
			want:    []string{"app@10.0.0.1"},
		},
		{
			name: "never nobody: if none is ready, all are listed that do not end", block: ip,
			objects: []*kubeapi.Object{slice("web", unready(endpoint("p1", "10.0.0.1")), unready(endpoint("p2", "10.0.0.2")), terminating(endpoint("p3", "10.0.0.3")))},
			want:    []string{"app@10.0.0.1", "app@10.0.0.2"},
		},
		{
			name: "never nobody: one that is ready but has no name does not count", block: hostname,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(hosted(endpoint("p2", "10.0.0.2"))))},
			want:    []string{"app@p2.web.prod.svc.cluster.local"},
			left:    []string{"hostname"},
		},
		{
			name: "a hostname that only one of two services knows", block: hostname,
			objects: []*kubeapi.Object{slice("api", endpoint("web-0", "10.0.0.1")), slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			want:    []string{"app@web-0.web.prod.svc.cluster.local"},
		},
		{
			name: "one without a hostname is never in the way of others", block: hostname,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), hosted(endpoint("web-0", "10.0.0.2")))},
			want:    []string{"app@web-0.web.prod.svc.cluster.local"},
			left:    []string{"hostname"},
		},
		{
			name: "in the order of their longnames", block: all,
			objects: []*kubeapi.Object{slice("web", endpoint("p3", "10.0.0.3"), endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))},
			want:    []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			nodes, left := configOf(t, tc.block).nameAll(&roster{objects: tc.objects})
			var got, problems []string
			for i := range nodes {
				if nodes[i].listed {
					got = append(got, nodes[i].longname())
				}
			}
			for _, l := range left {
				problems = append(problems, string(l.problem))
			}
			equal(t, "listed", got, tc.want)
			equal(t, "left out", problems, tc.left)
		})
	}
}

func TestPortOfNode(t *testing.T) {
	n := &node{ports: []kubeapi.Port{
		{Name: "dist", Protocol: "TCP", Number: 9101},
		{Name: "dist", Protocol: "TCP", Number: 9100},
		{Name: "dist", Protocol: "UDP", Number: 1},
		{Name: "epmd", Protocol: "TCP", Number: 4370},
	}}
	tests := []struct {
		name     string
		port     port
		node     *node
		want     uint16
		declared bool
		epmd     uint16
	}{
		{"a number is everybody's", port{number: 4711}, n, 4711, true, 4370},
		{"a named TCP port, the lowest", port{name: "dist"}, n, 9100, true, 4370},
		{"one that is not declared is epmd's", port{name: "http"}, n, 4369, false, 4370},
		{"without epmd, the port option's", port{number: 4711}, &node{}, 4711, true, 4711},
		{"without both, 4369", port{name: "dist"}, &node{}, 4369, false, 4369},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, declared := tc.port.of(tc.node)
			if got != tc.want || declared != tc.declared {
				t.Errorf("port: got %d, %t; want %d, %t", got, declared, tc.want, tc.declared)
			}
			if got := tc.port.epmd(tc.node); got != tc.epmd {
				t.Errorf("epmd: got %d, want %d", got, tc.epmd)
			}
		})
	}
}

func TestNodesOfOneLongnameDeclareTheSamePorts(t *testing.T) {
	dist := kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100}
	c := configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n lookup pods\n port dist\n}")
	var objects []*kubeapi.Object
	for _, pod := range []string{"p1", "p2", "p3"} {
		o := slice(pod, endpoint(pod, "10.0.0.1"))
		if pod == "p3" {
			o.Ports = []kubeapi.Port{dist}
		}
		objects = append(objects, o)
	}
	nodes, _ := c.nameAll(&roster{objects: objects})
	for i := range nodes {
		if got, _ := c.port.of(&nodes[i]); got != 9100 {
			t.Errorf("port of %s: got %d, want 9100", nodes[i].member.ID, got)
		}
	}
	equal(t, "SRV", texts(c.rrset(dns.TypeSRV, "erl.internal.", pointers(nodes), nil).answer),
		[]string{"erl.internal. 5 IN SRV 0 0 9100 10.0.0.1."})
}

func pointers(nodes []node) []*node {
	var all []*node
	for i := range nodes {
		all = append(all, &nodes[i])
	}
	return all
}
