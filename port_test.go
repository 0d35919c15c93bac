package longnames

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

func TestPortOfNode(t *testing.T) {
	n := &membership.Node{Ports: []kubeapi.Port{
		{Name: "dist", Protocol: "TCP", Number: 9101},
		{Name: "dist", Protocol: "TCP", Number: 9100},
		{Name: "dist", Protocol: "UDP", Number: 1},
		{Name: "epmd", Protocol: "TCP", Number: 4370},
	}}
	tests := []struct {
		name     string
		port     port
		node     *membership.Node
		want     uint16
		declared bool
		epmd     uint16
	}{
		{"a number is everybody's", port{number: 4711}, n, 4711, true, 4370},
		{"a named TCP port, the lowest", port{name: "dist"}, n, 9100, true, 4370},
		{"one that is not declared is epmd's", port{name: "http"}, n, 4369, false, 4370},
		{"without epmd, the port option's", port{number: 4711}, &membership.Node{}, 4711, true, 4711},
		{"without both, 4369", port{name: "dist"}, &membership.Node{}, 4369, false, 4369},
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
	nodes, _ := c.rules.Nodes(&membership.Roster{Objects: objects})
	for i := range nodes {
		if got, _ := c.port.of(&nodes[i]); got != 9100 {
			t.Errorf("port of %s: got %d, want 9100", nodes[i].Member.ID, got)
		}
	}
	equal(t, "SRV", texts(newResolver([]*table{newTable(c)}).rrset(dns.TypeSRV, "erl.internal.", pointers(nodes), nil).answer),
		[]string{"erl.internal. 5 IN SRV 0 0 9100 10.0.0.1."})
}

func pointers(nodes []membership.Node) []*membership.Node {
	var all []*membership.Node
	for i := range nodes {
		all = append(all, &nodes[i])
	}
	return all
}
