package longnames

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

// Several slices may tell of one node. Together they count, in whichever order they come.
func TestSlicesOfOneNodeAreTakenTogether(t *testing.T) {
	pod := endpoint("web-x1", "10.0.0.1")
	withHostname, ends := pod, terminating(pod)
	withHostname.Hostname = "web-0"
	other := endpoint("web-x2", "10.0.0.2")
	other.Hostname = "web-0"
	for _, tc := range []struct {
		name, first, second string
		members             [2]kubeapi.Member
		question            string
		want                []string
	}{
		{"a hostname that only one knows", "api", "web", [2]kubeapi.Member{pod, withHostname}, "web-0.erl.internal.", []string{"10.0.0.1", "10.0.0.2"}},
		{"an end that only one knows", "api", "web", [2]kubeapi.Member{ends, withHostname}, "web-0.erl.internal.", []string{"10.0.0.2"}},
		{"an end that both know", "api", "web", [2]kubeapi.Member{ends, terminating(withHostname)}, "web-0.erl.internal.", []string{"10.0.0.2"}},
	} {
		for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
			t.Run(tc.name+" "+names[0], func(t *testing.T) {
				c := configOf(t, "longnames erl.internal {\n selector app\n basename app\n include all\n}")
				l := serving(tableOf(c, named(names[0], slice(tc.first, tc.members[0])), named(names[1], slice(tc.second, tc.members[1])), named("c", slice("web", other))))
				got := data(ask(t, l, tc.question, "A", client{}).Answer)
				slices.Sort(got)
				equal(t, "addresses", got, tc.want)
			})
		}
	}
}

// Whatever else has an address, the one that is alive has its names.
func TestAliveBeforeSuspect(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n}")
	of := func(app string, members ...kubeapi.Member) *kubeapi.Object {
		return labelled(c, labels{"app": app}, slice(app, members...))
	}
	a := hosted(endpoint("a", "10.0.0.1"))
	one := of("one", a)
	table := tableOf(c, one, of("two", a))
	table.Apply([]kubeapi.Change{{Old: one, New: of("one")}})
	l := serving(table)
	equal(t, "the suspect", txtOf(t, l, "one.prod.erl.internal."), []string{"one@a.one.prod.svc.erl.internal"})
	if nodes := membersOf(table, "one.prod").listed(); len(nodes) != 1 || !nodes[0].Suspect {
		t.Fatalf("got %v, want one suspect", nodes)
	}
	for _, q := range []struct{ name, qtype, want string }{
		{"1.0.0.10.in-addr.arpa.", "PTR", "a.two.prod.svc.erl.internal."},
		{"a.one.prod.erl.internal.", "A", "10.0.0.1"},
		{"a.one.prod.svc.erl.internal.", "A", "10.0.0.1"},
	} {
		equal(t, q.name, data(ask(t, l, q.name, q.qtype, client{}).Answer), []string{q.want})
	}
}

func TestAddressesInAPrefix(t *testing.T) {
	a := addresses{all: slices.Values([]netip.Addr{
		netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("10.0.0.1"),
	})}
	for prefix, want := range map[string]bool{
		"10.0.0.0/8": true, "10.0.0.0/16": true, "10.1.0.0/16": false, "10.2.0.0/24": true,
		"11.0.0.0/8": false, "0.0.0.0/0": true, "fd00::/8": true, "fe00::/8": false,
	} {
		if got := a.overlaps(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s: got %t, want %t", prefix, got, want)
		}
	}
}
