package longnames

import (
	"slices"
	"strings"
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
					table.Apply([]kubeapi.Change{{Old: o}}, 2)
				}
				wants(l, "all gone", slices.Concat(tc.exist, tc.absent), dns.RcodeNameError)
				for _, o := range objects {
					table.Apply([]kubeapi.Change{{New: o}}, 3)
				}
				wants(l, "all there again", tc.exist, dns.RcodeSuccess)
				wants(l, "all there again", tc.absent, dns.RcodeNameError)
			}
		})
	}
}

func reversed(objects []*kubeapi.Object) []*kubeapi.Object {
	objects = slices.Clone(objects)
	slices.Reverse(objects)
	return objects
}

func TestOnlyWhatDiffersIsIndexed(t *testing.T) {
	a, b, c, d := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3"), endpoint("d", "10.0.0.4")
	conf := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n group_by app\n}")
	of := func(service string, members ...kubeapi.Member) *kubeapi.Object {
		return named("web", labelled(conf, labels{"app": "web"}, slice(service, members...)))
	}
	web := func(members ...kubeapi.Member) *kubeapi.Object { return of("web", members...) }
	moved, other := of("api", a), labelled(conf, labels{"app": "Web"}, web(a))
	for _, tc := range []struct {
		name          string
		before, after *kubeapi.Object
		out, in       string
	}{
		{"new", nil, web(a, b), "", "a b"},
		{"gone", web(a, b), nil, "a b", ""},
		{"the same", web(a, b), web(a, b), "", ""},
		{"no longer ready", web(a, b), web(unready(a), terminating(b)), "", ""},
		{"grown at the end", web(a, b), web(a, b, c), "", "c"},
		{"grown at the begin", web(b, c), web(a, b, c), "", "a"},
		{"grown in the middle", web(a, d), web(a, b, c, d), "", "b c"},
		{"smaller", web(a, b, c, d), web(a, d), "b c", ""},
		{"one replaced", web(a, b, c), web(a, d, c), "b", "d"},
		{"two replaced", web(a, b, c, d), web(b, b, c, c), "a b c d", "b b c c"},
		{"one twice", web(a, a), web(a), "a", ""},
		{"one with a hostname now", web(a, b), web(a, hosted(b)), "b", "b"},
		{"of another Service", web(a), moved, "a", "a"},
		{"of another basename", web(a), other, "a", "a"},
		{"another one", web(a), named("other", web(a)), "a", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			differ := func(o, other *kubeapi.Object) string {
				if o == nil {
					return ""
				}
				others := []*kubeapi.Object{named("x", slice("x")), named("a", slice("a"))}
				if other != nil {
					others = append(others, other)
				}
				slices.SortFunc(others, compareObjects)
				var ids []string
				for _, m := range conf.differing(o, others) {
					ids = append(ids, m.ID)
				}
				return strings.Join(ids, " ")
			}
			if got := differ(tc.before, tc.after); got != tc.out {
				t.Errorf("counted out: got %q, want %q", got, tc.out)
			}
			if got := differ(tc.after, tc.before); got != tc.in {
				t.Errorf("counted in: got %q, want %q", got, tc.in)
			}
		})
	}
}
