package membership

import (
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

func TestNewsOf(t *testing.T) {
	q, p, s, u, w := endpoint("q", "10.0.0.1"), endpoint("p", "10.0.0.2"), endpoint("s", "10.0.0.3"), endpoint("u", "10.0.0.4"), endpoint("w", "10.0.0.2")
	x := func(members ...kubeapi.Member) *kubeapi.Object { return sliceNamed("x", "web", members...) }
	y := func(members ...kubeapi.Member) *kubeapi.Object { return sliceNamed("y", "web", members...) }
	byHand := hosted(kubeapi.Member{Address: q.Address})
	likeByHand := endpoint("web/"+byHand.Hostname, q.Address.String())
	for _, tc := range []struct {
		name        string
		changes     []kubeapi.Change
		ends, gains []string
	}{
		{"a member that is about to end", []kubeapi.Change{{Old: x(q), New: x(terminating(q))}}, []string{"q"}, nil},
		{"one that was", []kubeapi.Change{{Old: x(terminating(q))}}, []string{"q"}, nil},
		{"one that is and was, between two that change",
			[]kubeapi.Change{{Old: x(q, terminating(p), s), New: x(unready(q), terminating(p), unready(s))}}, []string{"p"}, nil},
		{"a new one", []kubeapi.Change{{Old: x(q), New: x(q, p)}}, nil, []string{"p"}},
		{"one that another object had", []kubeapi.Change{{Old: x(q), New: x()}, {Old: y(u), New: y(u, q)}}, nil, nil},
		{"one that another object has, between two that change",
			[]kubeapi.Change{{Old: x(q, p, s), New: x(unready(q), p, unready(s))}, {Old: y(w, u), New: y(u, p)}}, nil, nil},
		{"one whose ID is like the Service and hostname of another one",
			[]kubeapi.Change{{Old: x(byHand), New: x(likeByHand, byHand)}}, nil, []string{likeByHand.ID}},
	} {
		news := newsOf(tc.changes)
		var ends, gains []string
		for who, pod := range news.pods {
			if pod.ends {
				ends = append(ends, who.id)
			}
		}
		for who := range news.gains {
			gains = append(gains, who.id)
		}
		if !slices.Equal(ends, tc.ends) || !slices.Equal(gains, tc.gains) {
			t.Errorf("%s: got ends of %q and addresses of %q, want %q and %q", tc.name, ends, gains, tc.ends, tc.gains)
		}
	}
}
