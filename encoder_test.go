package longnames

import (
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

// The addresses that come with SRV records are those that a question for the target gets.
func TestGlueIsWhatAQuestionForTheTargetGets(t *testing.T) {
	const block = "longnames erl.internal {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}"
	const grouped = "longnames erl.internal {\n group_by app\n mode hostname\n cluster_domain erl.internal\n}"
	const host = "web-0.web.prod.svc.erl.internal."
	node := func(pod, address string) kubeapi.Member {
		m := endpoint(pod, address)
		m.Hostname = "web-0"
		return m
	}
	for _, tc := range []struct {
		name, block string
		objects     map[string][]kubeapi.Member // by the label app and the slice's name
		question    string
		from        string
		want        []string // addresses of the target
		without     bool     // glue
	}{
		{"one node", block, map[string][]kubeapi.Member{"web": {node("a", "10.0.0.1")}}, "erl.internal.", "", []string{"10.0.0.1"}, false},
		{"several", block, map[string][]kubeapi.Member{"web": {node("a", "10.0.0.1"), node("b", "10.0.0.2")}}, "erl.internal.", "", []string{"10.0.0.1", "10.0.0.2"}, false},
		{"of both families", block, map[string][]kubeapi.Member{"web": {node("a", "10.0.0.1"), node("b", "fd00::2")}}, "erl.internal.", "", []string{"10.0.0.1", "fd00::2"}, false},
		{"one that ends, and one that replaces it", block, map[string][]kubeapi.Member{"web": {terminating(node("a", "10.0.0.1")), node("b", "10.0.0.2")}},
			"erl.internal.", "", []string{"10.0.0.2"}, false},
		{"both listed, as with serving", block[:len(block)-1] + " include serving\n}", map[string][]kubeapi.Member{"web": {terminating(node("a", "10.0.0.1")), node("b", "10.0.0.2")}},
			"erl.internal.", "", []string{"10.0.0.2"}, false},
		{"of a port", block, map[string][]kubeapi.Member{"web": {node("a", "10.0.0.1"), node("b", "10.0.0.2")}}, "_epmd._tcp.erl.internal.", "", []string{"10.0.0.1", "10.0.0.2"}, false},
		{"of one node, of two that have the name", block, map[string][]kubeapi.Member{"web": {unready(node("a", "10.0.0.1")), node("b", "10.0.0.2")}},
			"a.erl.internal.", "", []string{"10.0.0.2"}, false},
		{"for one that is not listed, and whose name another has", block, map[string][]kubeapi.Member{"web": {unready(node("a", "10.0.0.1")), node("b", "10.0.0.2")}},
			"erl.internal.", "10.0.0.1", []string{"10.0.0.2"}, false},
		{"in two clusters", grouped, map[string][]kubeapi.Member{"web": {node("a", "10.0.0.1")}, "api": {node("b", "10.0.0.2")}},
			"web.prod.erl.internal.", "", []string{"10.0.0.1", "10.0.0.2"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, tc.block)
			var objects []*kubeapi.Object
			for app, members := range tc.objects {
				objects = append(objects, named(app, labelled(c, labels{"app": app}, slice("web", members...))))
			}
			l := serving(tableOf(c, objects...))
			got := append(data(ask(t, l, host, "A", client{}).Answer), data(ask(t, l, host, "AAAA", client{}).Answer)...)
			slices.Sort(got)
			equal(t, "addresses of the target", got, tc.want)
			m := ask(t, l, tc.question, "SRV", client{address: tc.from, tcp: true})
			equal(t, "targets", slices.Compact(data(m.Answer)), []string{host})
			if tc.without {
				tc.want = nil
			}
			glue := data(m.Extra)
			slices.Sort(glue)
			equal(t, "glue", glue, tc.want)
		})
	}
}
