package membership

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func TestLongname(t *testing.T) {
	statefulset := Naming{Mode: ModeHostname, Basename: "app", BasenameLabel: -1, Domain: "cluster.local"}
	dnsMode := Naming{Mode: ModeDNS, Basename: "app", BasenameLabel: -1, Domain: "cluster.local"}
	ipMode := Naming{Mode: ModeIP, Basename: "app", BasenameLabel: -1}
	tests := []struct {
		name      string
		naming    Naming
		namespace string
		service   string
		labels    []kubeapi.Label
		hostname  string
		address   string
		want      string
		problem   Problem
	}{
		{name: "ip IPv4", naming: ipMode, address: "10.0.0.1", want: "app@10.0.0.1"},
		{name: "ip IPv6 is canonical", naming: ipMode, address: "FD00:0:0:0:0:0:0:0001", want: "app@fd00::1"},
		{name: "ip needs no namespace", naming: ipMode, namespace: "-", address: "10.0.0.1", want: "app@10.0.0.1"},
		{name: "dns IPv4", naming: dnsMode, address: "10.0.0.1", want: "app@10-0-0-1.prod.pod.cluster.local"},
		{name: "dns IPv6", naming: dnsMode, address: "fd00::1", want: "app@fd00--1.prod.pod.cluster.local"},
		{name: "dns IPv6 with a trailing dash", naming: dnsMode, address: "fd00::", want: "app@fd00--0.prod.pod.cluster.local"},
		{name: "dns needs a namespace", naming: dnsMode, namespace: "a.b", address: "10.0.0.1", problem: InvalidNamespace},
		{name: "hostname", naming: statefulset, service: "web", hostname: "web-0", address: "10.0.0.1",
			want: "app@web-0.web.prod.svc.cluster.local"},
		{name: "hostname keeps its case", naming: statefulset, service: "Web", hostname: "WEB-0", address: "10.0.0.1",
			want: "app@WEB-0.Web.prod.svc.cluster.local"},
		{name: "hostname missing", naming: statefulset, service: "web", address: "10.0.0.1", problem: InvalidHostname},
		{name: "hostname with a dot", naming: statefulset, service: "web", hostname: "web.0", address: "10.0.0.1", problem: InvalidHostname},
		{name: "hostname with an underscore", naming: statefulset, service: "web", hostname: "web_0", address: "10.0.0.1", problem: InvalidHostname},
		{name: "hostname of 64 characters", naming: statefulset, service: "web", hostname: strings.Repeat("a", 64), address: "10.0.0.1", problem: InvalidHostname},
		{name: "hostname that ends in a dash", naming: statefulset, service: "web", hostname: "web-", address: "10.0.0.1", problem: InvalidHostname},
		{name: "service missing", naming: statefulset, hostname: "web-0", address: "10.0.0.1", problem: InvalidService},
		{name: "service that is no label", naming: statefulset, service: "we b", hostname: "web-0", address: "10.0.0.1", problem: InvalidService},
		{name: "service given", naming: Naming{Mode: ModeHostname, Basename: "app", BasenameLabel: -1, Service: "nodes", Domain: "erl.internal"},
			service: "web", hostname: "web-0", address: "10.0.0.1", want: "app@web-0.nodes.prod.svc.erl.internal"},
		{name: "basename from a label, case kept", naming: Naming{Mode: ModeIP, BasenameLabel: 0},
			labels: []kubeapi.Label{{Value: "My_App-2", Set: true}}, address: "10.0.0.1", want: "My_App-2@10.0.0.1"},
		{name: "basename label missing", naming: Naming{Mode: ModeIP, BasenameLabel: 0},
			labels: []kubeapi.Label{{}}, address: "10.0.0.1", problem: InvalidBasename},
		{name: "basename label with a dot", naming: Naming{Mode: ModeIP, BasenameLabel: 0},
			labels: []kubeapi.Label{{Value: "my.app", Set: true}}, address: "10.0.0.1", problem: InvalidBasename},
		{name: "255 characters are an atom", naming: Naming{Mode: ModeIP, Basename: strings.Repeat("a", 246), BasenameLabel: -1},
			address: "10.0.0.1", want: strings.Repeat("a", 246) + "@10.0.0.1"},
		{name: "256 characters are none", naming: Naming{Mode: ModeIP, Basename: strings.Repeat("a", 247), BasenameLabel: -1},
			address: "10.0.0.1", problem: TooLong},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			o := &kubeapi.Object{Template: &kubeapi.Template{Namespace: "prod", Service: tc.service, Labels: tc.labels}}
			if tc.namespace != "" {
				o.Namespace = tc.namespace
			}
			m := &kubeapi.Member{Hostname: tc.hostname, Address: netip.MustParseAddr(tc.address)}
			got, at, p := tc.naming.longname(o, m)
			want := tc.want
			if tc.problem == NoProblem {
				want += "."
			}
			if got != want || p != tc.problem {
				t.Fatalf("got %q, problem %q; want %q, problem %q", got, p, want, tc.problem)
			}
			if p == NoProblem && got[at-1] != '@' {
				t.Errorf("host part at %d of %q does not follow the @", at, got)
			}
		})
	}
}

func TestIsBasename(t *testing.T) {
	for text, want := range map[string]bool{
		"app": true, "App_1-2": true, "-": true, "0": true,
		"": false, "a b": false, "a.b": false, "a@b": false, "ä": false, "a\x00": false,
	} {
		if got := IsBasename(text); got != want {
			t.Errorf("IsBasename(%q): got %t, want %t", text, got, want)
		}
	}
}

func TestIsLabel(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "A-1": true, "0": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "a.b": false, "a_b": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if got := IsLabel(text); got != want {
			t.Errorf("IsLabel(%q): got %t, want %t", text, got, want)
		}
	}
}

// TestExpectsSaysMore makes sure that no problem is logged as a bare word.
func TestExpectsSaysMore(t *testing.T) {
	n := Naming{}
	for _, p := range []Problem{InvalidBasename, InvalidHostname, InvalidService, InvalidNamespace, TooLong} {
		if got := n.Expects(p); got == string(p) {
			t.Errorf("problem %q: got no more than its name", p)
		}
	}
}
