package membership

import (
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func TestDiffering(t *testing.T) {
	a, b, c, d := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3"), endpoint("d", "10.0.0.4")
	rules := rulesOf(t, "group_by app")
	of := func(service string, members ...kubeapi.Member) *kubeapi.Object {
		return named("web", labelled(rules, labels{"app": "web"}, slice(service, members...)))
	}
	web := func(members ...kubeapi.Member) *kubeapi.Object { return of("web", members...) }
	moved, other := of("api", a), labelled(rules, labels{"app": "Web"}, web(a))
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
		{"another pod at the address", web(a, b), web(endpoint("x", "10.0.0.1"), b), "a", "x"},
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
				slices.SortFunc(others, kubeapi.CompareObjects)
				var ids []string
				for _, m := range differing(o, others, rules.isNamedAs) {
					ids = append(ids, m.ID)
				}
				return strings.Join(ids, " ")
			}
			if got := differ(tc.before, tc.after); got != tc.out {
				t.Errorf("as it was: got %q, want %q", got, tc.out)
			}
			if got := differ(tc.after, tc.before); got != tc.in {
				t.Errorf("as it is: got %q, want %q", got, tc.in)
			}
		})
	}
}
