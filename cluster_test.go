package longnames

import (
	"testing"

	"github.com/longnames/longnames/kubeapi"
)

// Clients connect to one after the other: whoever is alive comes first, whoever is gone last, as long
// as they are suspect.
func TestSuspectsComeLast(t *testing.T) {
	c := configOf(t, ipBlock)
	one, two, three, four := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3"), endpoint("d", "10.0.0.4")
	var old *kubeapi.Object
	table := tableOf(c)
	l := serving(table)
	for _, step := range []struct {
		name    string
		members []kubeapi.Member
		want    []string
	}{
		{"all are alive", []kubeapi.Member{one, two, three, four}, []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3", "app@10.0.0.4"}},
		{"one is gone", []kubeapi.Member{two, three, four}, []string{"app@10.0.0.2", "app@10.0.0.3", "app@10.0.0.4", "app@10.0.0.1"}},
		{"and one fails", []kubeapi.Member{unready(two), three, four}, []string{"app@10.0.0.3", "app@10.0.0.4", "app@10.0.0.2", "app@10.0.0.1"}},
		{"both are back", []kubeapi.Member{one, two, three, four}, []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3", "app@10.0.0.4"}},
	} {
		now := labelled(c, nil, slice("web", step.members...))
		table.Apply([]kubeapi.Change{{Old: old, New: now}})
		old = now
		equal(t, step.name, txtOf(t, l, "erl.internal."), step.want)
	}
}
