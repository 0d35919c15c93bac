package membership

import (
	"strconv"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func TestDiffering(t *testing.T) {
	a, b, c, d := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3"), endpoint("d", "10.0.0.4")
	e, f := endpoint("e", "10.0.0.5"), endpoint("f", "10.0.0.6")
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
		{"two replaced", web(a, b, c, d), web(b, b, c, c), "a d", "b c"},
		{"one replaced by another behind the others", web(a, b, c), web(b, c, d), "a", "d"},
		{"changed places", web(a, b), web(b, a), "b", "b"},
		{"nine replaced", web(append(many("x", 9), a, b)...), web(append(many("y", 9), a, b)...), ids("x", 9), ids("y", 9)},
		{"nine replaced, and the last one", web(append(many("x", 9), a, b)...), web(append(many("y", 9), a, c)...), ids("x", 9) + " b", ids("y", 9) + " c"},
		{"nine more at the begin", web(a, b), web(append(many("x", 9), a, b)...), "", ids("x", 9)},
		{"changed places with one far away", web(a, b, c, d, e, f), web(f, a, b, c, d, e), "f", "f"},
		{"first one last", web(a, b, c, d, e, f), web(b, c, d, e, f, a), "a", "a"},
		{"one twice", web(a, a), web(a), "a", ""},
		{"one with a hostname now", web(a, b), web(a, hosted(b)), "b", "b"},
		{"another pod at the address", web(a, b), web(endpoint("x", "10.0.0.1"), b), "a", "x"},
		{"of another Service", web(a), moved, "a", "a"},
		{"of another basename", web(a), other, "a", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gone, come := differing(tc.before, tc.after, rules.namesAlike, isNamedAs)
			if got := idsOf(gone); got != tc.out {
				t.Errorf("gone: got %q, want %q", got, tc.out)
			}
			if got := idsOf(come); got != tc.in {
				t.Errorf("come: got %q, want %q", got, tc.in)
			}
		})
	}
}

// many returns so many members, each with its place in its ID.
func many(id string, n int) (members []kubeapi.Member) {
	for i := range n {
		members = append(members, endpoint(id+strconv.Itoa(i), "10.0.1."+strconv.Itoa(i)))
	}
	return members
}

func ids(id string, n int) string {
	members := many(id, n)
	var all []*kubeapi.Member
	for i := range members {
		all = append(all, &members[i])
	}
	return idsOf(all)
}

func idsOf(members []*kubeapi.Member) string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

func TestPairs(t *testing.T) {
	of := func(names string) (objects []*kubeapi.Object) {
		for name := range strings.FieldsSeq(names) {
			objects = append(objects, named(name, slice("web")))
		}
		return objects
	}
	for _, tc := range []struct{ before, after, want string }{
		{"", "", ""},
		{"a b", "", "a- b-"},
		{"", "a b", "-a -b"},
		{"a b d", "b c d", "a- bb -c dd"},
		{"b", "a c", "-a b- -c"},
	} {
		var got []string
		for o, p := range pairs(of(tc.before), of(tc.after)) {
			pair := [2]string{"-", "-"}
			for i, o := range []*kubeapi.Object{o, p} {
				if o != nil {
					pair[i] = o.Name
				}
			}
			got = append(got, pair[0]+pair[1])
		}
		if got := strings.Join(got, " "); got != tc.want {
			t.Errorf("%q, %q: got %q, want %q", tc.before, tc.after, got, tc.want)
		}
	}
}
