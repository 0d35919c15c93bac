package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func inNamespace(namespace string, o *kubeapi.Object) *kubeapi.Object {
	o.Namespace = namespace
	return o
}

func manual(hostname, address string) kubeapi.Member {
	return kubeapi.Member{Hostname: hostname, Address: netip.MustParseAddr(address), Ready: true, Serving: true}
}

func TestJoin(t *testing.T) {
	tests := []struct {
		name    string
		objects []*kubeapi.Object
		include Include
		family  kubeapi.Family
		want    []string // address, and + if it passes
	}{
		{
			name:    "every address of every slice",
			objects: []*kubeapi.Object{named("a", slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))), named("b", slice("web", endpoint("p3", "10.0.0.3")))},
			want:    []string{"10.0.0.1+", "10.0.0.2+", "10.0.0.3+"},
		},
		{
			name:    "one for the same target and address in two services",
			objects: []*kubeapi.Object{slice("api", endpoint("p1", "10.0.0.1")), slice("web", endpoint("p1", "10.0.0.1"))},
			want:    []string{"10.0.0.1+"},
		},
		{
			name:    "two targets at one address are two",
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.1"))},
			want:    []string{"10.0.0.1+", "10.0.0.1+"},
		},
		{
			name:    "without a target, one for each address",
			objects: []*kubeapi.Object{named("a", slice("web", manual("", "10.0.0.1"))), named("b", slice("web", manual("", "10.0.0.1"), manual("", "10.0.0.2")))},
			want:    []string{"10.0.0.1+", "10.0.0.2+"},
		},
		{
			name:    "the same address in two namespaces is two",
			objects: []*kubeapi.Object{slice("web", manual("", "10.0.0.1")), inNamespace("test", slice("web", manual("", "10.0.0.1")))},
			want:    []string{"10.0.0.1+", "10.0.0.1+"},
		},
		{
			name:    "an endpoint that has both families has its IPv4 address",
			objects: []*kubeapi.Object{named("web-4", slice("web", endpoint("p1", "10.0.0.1"))), named("web-6", slice("web", endpoint("p1", "fd00::1"), endpoint("p2", "fd00::2")))},
			want:    []string{"10.0.0.1+", "fd00::2+"},
		},
		{
			name:    "so has one made by hand that has a hostname",
			objects: []*kubeapi.Object{named("web-4", slice("web", manual("db", "10.0.0.1"))), named("web-6", slice("web", manual("db", "fd00::1")))},
			want:    []string{"10.0.0.1+"},
		},
		{
			name:    "without anything in common they are two",
			objects: []*kubeapi.Object{named("web-4", slice("web", manual("", "10.0.0.1"))), named("web-6", slice("web", manual("", "fd00::1")))},
			want:    []string{"10.0.0.1+", "fd00::1+"},
		},
		{
			name:    "family ipv6 keeps what it is given",
			objects: []*kubeapi.Object{named("web-6", slice("web", endpoint("p1", "fd00::1")))},
			family:  kubeapi.IPv6,
			want:    []string{"fd00::1+"},
		},
		{
			name: "ready: neither unready nor terminating",
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2")), terminating(endpoint("p3", "10.0.0.3")),
				kubeapi.Member{ID: "4", Address: netip.MustParseAddr("10.0.0.4"), Ready: true, Serving: true, Terminating: true})},
			want: []string{"10.0.0.1+", "10.0.0.2", "10.0.0.3", "10.0.0.4"},
		},
		{
			name:    "serving: even if it terminates, and whether it is called ready or not",
			include: IncludeServing,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2")), terminating(endpoint("p3", "10.0.0.3")),
				unready(terminating(endpoint("p4", "10.0.0.4"))),
				kubeapi.Member{ID: "5", Address: netip.MustParseAddr("10.0.0.5"), Serving: true},
				kubeapi.Member{ID: "6", Address: netip.MustParseAddr("10.0.0.6"), Ready: true})},
			want: []string{"10.0.0.1+", "10.0.0.2", "10.0.0.3+", "10.0.0.4", "10.0.0.5+", "10.0.0.6"},
		},
		{
			name:    "all: all",
			include: IncludeAll,
			objects: []*kubeapi.Object{slice("web", unready(endpoint("p2", "10.0.0.2")), terminating(endpoint("p3", "10.0.0.3")))},
			want:    []string{"10.0.0.2+", "10.0.0.3+"},
		},
		{
			name:    "passes if any slice lets it",
			objects: []*kubeapi.Object{slice("api", unready(endpoint("p1", "10.0.0.1"))), slice("web", endpoint("p1", "10.0.0.1"))},
			want:    []string{"10.0.0.1+"},
		},
		{
			name:    "so it does if that slice comes first",
			objects: []*kubeapi.Object{slice("api", endpoint("p1", "10.0.0.1")), slice("web", unready(endpoint("p1", "10.0.0.1")))},
			want:    []string{"10.0.0.1+"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			include := tc.include
			if include == "" {
				include = IncludeReady
			}
			var got []string
			for _, c := range join(tc.objects, include, knownByIPv4(tc.objects, tc.family, nil), nil) {
				text := c.entries[0].member.Address.String()
				if c.passes {
					text += "+"
				}
				got = append(got, text)
			}
			equal(t, "candidates", got, tc.want)
		})
	}
}

func TestJoinUnitesPorts(t *testing.T) {
	http := kubeapi.Port{Name: "http", Protocol: "TCP", Number: 4000}
	dist := kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100}
	a := ported(slice("api", endpoint("p1", "10.0.0.1")), http)
	b := ported(slice("web", endpoint("p1", "10.0.0.1")), dist, http)
	got := join([]*kubeapi.Object{a, b}, IncludeReady, nil, nil)
	if len(got) != 1 {
		t.Fatalf("candidates: got %d, want 1", len(got))
	}
	equal(t, "ports", portTexts(got[0].ports), []string{"dist/TCP 9100", "http/TCP 4000"})
	equal(t, "ports of the first slice", portTexts(a.Ports), []string{"http/TCP 4000"})
	equal(t, "ports of the second slice", portTexts(b.Ports), []string{"dist/TCP 9100", "http/TCP 4000"})
}

func portTexts(ports []kubeapi.Port) []string {
	var texts []string
	for _, p := range ports {
		texts = append(texts, fmt.Sprintf("%s/%s %d", p.Name, p.Protocol, p.Number))
	}
	return texts
}

func TestJoinDoesNotDependOnOrderOfMembers(t *testing.T) {
	members := []kubeapi.Member{endpoint("p1", "10.0.0.1"), endpoint("p1", "fd00::1"), unready(endpoint("p2", "10.0.0.2"))}
	count := func() int {
		objects := []*kubeapi.Object{slice("web", members...)}
		return len(join(objects, IncludeReady, knownByIPv4(objects, kubeapi.AnyFamily, nil), nil))
	}
	want := count()
	slices.Reverse(members)
	if got := count(); got != want {
		t.Errorf("candidates: got %d, want %d", got, want)
	}
}

// However many objects tell of one node, and however many nodes have one longname, few ports of it are
// kept, in whichever order the objects come.
func TestPortsOfOneNodeAreFew(t *testing.T) {
	dist := kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100}
	var objects, pods []*kubeapi.Object
	for i := range 50 {
		var ports []kubeapi.Port
		for p := range kubeapi.MaxPorts {
			ports = append(ports, kubeapi.Port{Name: fmt.Sprintf("a%d-%d", i, p), Protocol: "TCP", Number: 1})
		}
		if i == 20 {
			ports[0] = dist
		}
		service, pod := fmt.Sprintf("s%02d", i), fmt.Sprintf("p%02d", i)
		objects = append(objects, ported(slice(service, endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2")), ports...))
		pods = append(pods, ported(slice(pod, endpoint(pod, "10.0.0.1")), ports...))
	}
	rules := &Rules{Source: &kubeapi.Config{Ports: []string{"dist"}}, Naming: Naming{Mode: ModeIP, Basename: "app", BasenameLabel: -1}}
	for name, objects := range map[string][]*kubeapi.Object{"many slices": objects, "many pods": pods} {
		forth, _ := rules.Nodes(&Roster{Objects: objects})
		slices.Reverse(objects)
		back, _ := rules.Nodes(&Roster{Objects: objects})
		for i := range forth {
			got := portTexts(forth[i].Ports)
			if len(got) != kubeapi.MaxPorts || !slices.Contains(got, "dist/TCP 9100") {
				t.Errorf("%s: got %d ports, want %d with dist: %q", name, len(got), kubeapi.MaxPorts, got)
			}
			equal(t, name+": ports in reverse order", portTexts(back[i].Ports), got)
			if &forth[i].Ports[0] != &forth[0].Ports[0] {
				t.Errorf("%s: node %d has a list of its own, want that of the others", name, i)
			}
		}
	}
}
