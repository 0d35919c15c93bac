package membership

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func TestNodes(t *testing.T) {
	hostname := "selector app=web\nbasename app\nmode hostname"
	ip := "selector app=web\nbasename app"
	all := "selector app=web\nbasename app\ninclude all"
	tests := []struct {
		name    string
		rules   string
		objects []*kubeapi.Object
		want    []string // listed
		left    []string // the problems of those that are left out
	}{
		{
			name: "only ready ones are listed", rules: ip,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2")))},
			want:    []string{"app@10.0.0.1"},
		},
		{
			name: "never nobody: if none is ready, all are listed that do not end", rules: ip,
			objects: []*kubeapi.Object{slice("web", unready(endpoint("p1", "10.0.0.1")), unready(endpoint("p2", "10.0.0.2")), terminating(endpoint("p3", "10.0.0.3")))},
			want:    []string{"app@10.0.0.1", "app@10.0.0.2"},
		},
		{
			name: "never nobody: one that is ready but has no name does not count", rules: hostname,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), unready(hosted(endpoint("p2", "10.0.0.2"))))},
			want:    []string{"app@p2.web.prod.svc.cluster.local"},
			left:    []string{"hostname"},
		},
		{
			name: "a hostname that only one of two services knows", rules: hostname,
			objects: []*kubeapi.Object{slice("api", endpoint("web-0", "10.0.0.1")), slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			want:    []string{"app@web-0.web.prod.svc.cluster.local"},
		},
		{
			name: "endpoint_pod_names: pods without a hostname have their own name", rules: hostname + "\nendpoint_pod_names",
			objects: []*kubeapi.Object{slice("web", endpoint("web-7d9f", "10.0.0.1"), hosted(endpoint("web-0", "10.0.0.2")), endpoint("web.1", "10.0.0.3"), kubeapi.Member{Address: netip.MustParseAddr("10.0.0.4"), Ready: true})},
			want:    []string{"app@web-0.web.prod.svc.cluster.local", "app@web-7d9f.web.prod.svc.cluster.local"},
			left:    []string{"hostname", "hostname"},
		},
		{
			name: "endpoint_pod_names: a hostname that only one of two services knows comes first", rules: hostname + "\nendpoint_pod_names",
			objects: []*kubeapi.Object{slice("api", endpoint("web-0", "10.0.0.1")), slice("web", hosted(endpoint("web-0", "10.0.0.1")))},
			want:    []string{"app@web-0.web.prod.svc.cluster.local"},
		},
		{
			name: "one without a hostname is never in the way of others", rules: hostname,
			objects: []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), hosted(endpoint("web-0", "10.0.0.2")))},
			want:    []string{"app@web-0.web.prod.svc.cluster.local"},
			left:    []string{"hostname"},
		},
		{
			name: "in the order of their longnames", rules: all,
			objects: []*kubeapi.Object{slice("web", endpoint("p3", "10.0.0.3"), endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))},
			want:    []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			nodes, left := rulesOf(t, tc.rules).Nodes(&Roster{Objects: tc.objects})
			var got, problems []string
			for i := range nodes {
				if nodes[i].Listed {
					got = append(got, nodes[i].Longname())
				}
			}
			for _, l := range left {
				problems = append(problems, string(l.Problem))
			}
			equal(t, "listed", got, tc.want)
			equal(t, "left out", problems, tc.left)
		})
	}
}

// TestOrderOfNodes has nodes of each kind, whom rank orders by how likely they are alive, and Doubt by
// where they stand in answers.
func TestOrderOfNodes(t *testing.T) {
	alive, ends, fails := endpoint("q-5", "10.0.0.5"), endpoint("q-4", "10.0.0.4"), endpoint("q-3", "10.0.0.3")
	unlisted, vanishes := unready(endpoint("q-2", "10.0.0.2")), endpoint("q-1", "10.0.0.1")
	s := newScene(t, "selector app=q\nbasename q\ninclude serving")
	s.put(sliceNamed("s", "q", alive, ends, fails, vanishes, unlisted))
	ends.Terminating, ends.Serving = true, true
	s.put(sliceNamed("s", "q", alive, ends, unready(fails), unlisted))
	nodes, _ := s.rules.Nodes(s.rosters[""])
	for _, tc := range []struct {
		name  string
		order func(a, b Node) int
		want  []string
	}{
		{"rank", func(a, b Node) int { return cmp.Compare(b.rank(), a.rank()) }, []string{"q@10.0.0.5", "q@10.0.0.4", "q@10.0.0.3", "q@10.0.0.2", "q@10.0.0.1"}},
		{"Doubt", func(a, b Node) int { return cmp.Compare(a.Doubt(), b.Doubt()) }, []string{"q@10.0.0.2", "q@10.0.0.4", "q@10.0.0.5", "q@10.0.0.3", "q@10.0.0.1"}},
	} {
		sorted := slices.Clone(nodes)
		slices.SortFunc(sorted, func(a, b Node) int { return cmp.Or(tc.order(a, b), cmp.Compare(a.text, b.text)) })
		var got []string
		for i := range sorted {
			got = append(got, sorted[i].Longname())
		}
		equal(t, tc.name, got, tc.want)
	}
}
