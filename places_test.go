package longnames

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// With many clusters as with one, a name exists if it has records or if one below it does.
func TestNamesAboveNodesExistIfTheNodesDo(t *testing.T) {
	both := named("v4", slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
	for _, tc := range []struct {
		name    string
		objects []*kubeapi.Object // of one cluster
		exist   []string
		absent  []string
	}{
		{
			"a node", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			[]string{"0.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "web.prod.svc.cluster.local.", "web-0.web.prod.svc.cluster.local."},
			[]string{"1.10.in-addr.arpa.", "api.prod.svc.cluster.local."},
		},
		{
			"one without hostname has no longname", []*kubeapi.Object{slice("web", endpoint("web-0", "10.0.0.1"))},
			nil, []string{"0.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "1.0.0.10.in-addr.arpa.", "web.prod.svc.cluster.local."},
		},
		{
			"nor has one with a hostname that is no label", []*kubeapi.Object{slice("web", hosted(endpoint("web_0", "10.0.0.1")))},
			nil, []string{"0.10.in-addr.arpa.", "web.prod.svc.cluster.local."},
		},
		{
			"one that another slice gives a hostname", []*kubeapi.Object{named("a", slice("api", endpoint("web-0", "10.0.0.1"))), slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			[]string{"0.0.10.in-addr.arpa.", "web.prod.svc.cluster.local."}, []string{"api.prod.svc.cluster.local."},
		},
		{
			"one that two Services give a hostname is called by the first", []*kubeapi.Object{named("a", slice("api", hosted(endpoint("web-0", "10.0.0.1")))), slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			[]string{"0.0.10.in-addr.arpa.", "api.prod.svc.cluster.local."}, []string{"web.prod.svc.cluster.local.", "web-0.web.prod.svc.cluster.local."},
		},
		{
			"one of both families has its IPv4 address", []*kubeapi.Object{both, named("v6", slice("web", hosted(endpoint("web-0", "fd00::1"))))},
			[]string{"0.0.10.in-addr.arpa.", "web.prod.svc.cluster.local."}, []string{"d.f.ip6.arpa.", "0.0.d.f.ip6.arpa."},
		},
		{
			"one of IPv6 beside it has its own", []*kubeapi.Object{both, named("v6", slice("web", hosted(endpoint("web-0", "fd00::1")), hosted(endpoint("web-1", "fd01::1"))))},
			[]string{"0.0.10.in-addr.arpa.", "0.1.0.d.f.ip6.arpa."}, []string{"0.0.d.f.ip6.arpa."},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, "longnames cluster.local 10.in-addr.arpa ip6.arpa {\n group_by app\n mode hostname\n hold 0\n basename app\n}")
			for _, o := range tc.objects {
				labelled(c, labels{"app": "web"}, o)
			}
			wants := func(l *Longnames, when string, names []string, want int) {
				for _, name := range names {
					if got := ask(t, l, name, "MX", client{}).Rcode; got != want {
						t.Errorf("%s, %s: got %s, want %s", when, name, dns.RcodeToString[got], dns.RcodeToString[want])
					}
				}
			}
			// What comes first must make no difference, nor what has been there.
			for _, objects := range [][]*kubeapi.Object{tc.objects, reversed(tc.objects)} {
				table := tableOf(c, objects...)
				l := serving(table)
				wants(l, "all there", tc.exist, dns.RcodeSuccess)
				wants(l, "all there", tc.absent, dns.RcodeNameError)
				for _, o := range objects {
					table.Apply([]kubeapi.Change{{Old: o}})
				}
				wants(l, "all gone", slices.Concat(tc.exist, tc.absent), dns.RcodeNameError)
				for _, o := range objects {
					table.Apply([]kubeapi.Change{{New: o}})
				}
				wants(l, "all there again", tc.exist, dns.RcodeSuccess)
				wants(l, "all there again", tc.absent, dns.RcodeNameError)
			}
		})
	}
}

// checkPlaces wants a table to look for nodes in exactly those clusters that have them.
func checkPlaces(t *testing.T, got *table) {
	t.Helper()
	want := newTable(got.config)
	got.views.Range(func(_, v any) bool {
		home := v.(*view)
		nodes, _ := got.config.rules.Nodes(home.roster.Load())
		for i := range nodes {
			if n := &nodes[i]; want.indexed() {
				want.index(home.name, []place{placeOf(n)}, +1)
			}
		}
		return true
	})
	if got, want := counted(got), counted(want); !maps.Equal(got, want) {
		t.Fatalf("places:\ngot  %v\nwant %v", got, want)
	}
}

// counted gives how often everything occurs in the indexes of a table.
func counted(t *table) map[string]int {
	counts := make(map[string]int)
	occurrences := func(k, v any) bool {
		for _, o := range v.([]occurrence) {
			counts[fmt.Sprint(k, " in ", o.cluster)] = int(o.nodes)
			counts[fmt.Sprint(k, " of pods in ", o.cluster)] = int(o.pods)
		}
		return true
	}
	names := func(k, v any) bool {
		counts[fmt.Sprint("above ", k)] = v.(int)
		return true
	}
	t.hosts.m.Range(occurrences)
	t.addresses.m.Range(occurrences)
	t.hostNames.m.Range(names)
	t.prefixes.m.Range(names)
	counts["shared"] = int(t.hosts.shared.Load() + t.addresses.shared.Load())
	return counts
}

// Some hundred changes of a few objects, which clash in every way.
func TestPlacesFollowEveryChange(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa d.f.ip6.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n hold 20s\n}")
	r := rand.New(rand.NewPCG(1, 2))
	table := tableOf(c)
	have := make(map[string]*kubeapi.Object)
	for range 2000 {
		service := fmt.Sprint("s", r.IntN(4))
		change := kubeapi.Change{Old: have[service]}
		if r.IntN(4) > 0 {
			data := make(bits, 20)
			for i := range data {
				data[i] = byte(r.IntN(256))
			}
			change.New = anyObject(&data, c, service)
			if old := have[service]; old != nil && r.IntN(2) == 0 { // one thing is not as it was
				change.New.Template, change.New.Members = old.Template, append(slices.Clone(old.Members), change.New.Members...)
				if n := len(change.New.Members); n > 0 {
					m := &change.New.Members[r.IntN(n)]
					m.Hostname = []string{"", "h0", "H0"}[r.IntN(3)]
					change.New.Members = change.New.Members[max(0, n-5):]
				}
			}
		}
		if have[service] = change.New; change.Old != nil || change.New != nil {
			table.Apply([]kubeapi.Change{change})
			checkPlaces(t, table)
		}
	}
}

func reversed(objects []*kubeapi.Object) []*kubeapi.Object {
	objects = slices.Clone(objects)
	slices.Reverse(objects)
	return objects
}
