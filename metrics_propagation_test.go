package longnames

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/kubeapi"
)

// propagations gives how many there were in a zone, and how long they took in all.
func propagations(t testing.TB, zone string) (count uint64, sum time.Duration) {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "coredns_longnames_propagation_duration_seconds" && m.GetLabel()[0].GetValue() == zone {
				h := m.GetHistogram()
				return h.GetSampleCount(), time.Duration(h.GetSampleSum() * float64(time.Second)).Round(time.Millisecond)
			}
		}
	}
	return 0, 0
}

func TestPropagationIsFromTheChangeToTheAnswer(t *testing.T) {
	const zone = "slow.internal."
	for _, tc := range []struct {
		name string
		ago  time.Duration
		want uint64
		took time.Duration
	}{
		{"at once", 0, 1, 0},
		{"a while", 1500 * time.Millisecond, 1, 1500 * time.Millisecond},
		{"a clock that is ahead", -time.Hour, 1, 0},
		{"just short of the limit", longestPropagation, 1, longestPropagation},
		{"what cannot be the time of this change", longestPropagation + time.Second, 0, 0},
		{"a Service's creation", 3 * 365 * 24 * time.Hour, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				measured(t, zone)
				table := tableOf(configOf(t, "longnames slow.internal {\n selector app=web\n basename app\n}"))
				change := kubeapi.Change{New: slice("web", endpoint("p1", "10.0.0.1")), At: new(time.Now().Add(-tc.ago))}
				table.Apply([]kubeapi.Change{change})
				if got, took := propagations(t, zone); got != tc.want || took != tc.took {
					t.Errorf("got %d that took %v, want %d and %v", got, took, tc.want, tc.took)
				}
			})
		})
	}
}

func TestOnlyChangesOfAnswersArePropagated(t *testing.T) {
	const zone = "shown.internal."
	member, other := endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2")
	nameless := func(m kubeapi.Member) *kubeapi.Object {
		o := slice("web", m)
		o.Labels = []kubeapi.Label{{Value: "web", Set: true}, {Value: "no basename", Set: true}}
		return o
	}
	in := func(group string, o *kubeapi.Object) *kubeapi.Object {
		o.Labels = []kubeapi.Label{{Value: group, Set: group != ""}, {Value: "app", Set: true}}
		return o
	}
	web := func(members ...kubeapi.Member) *kubeapi.Object { return in("web", slice("web", members...)) }
	for _, tc := range []struct {
		name     string
		options  string
		old, now *kubeapi.Object
		want     bool
	}{
		{"a new member", "", nil, web(member), true},
		{"an object without members", "", nil, web(), false},
		{"its first member", "", web(), web(member), true},
		{"another member", "", web(member), web(member, other), true},
		{"one member less", "", web(member, other), web(member), true},
		{"another address", "", web(member), web(endpoint("p1", "10.0.0.9")), true},
		{"not ready any more", "include ready", web(member), web(unready(member)), true},
		{"not ready any more, if all are listed", "include all", web(member), web(unready(member)), false},
		{"terminating", "include ready", web(member), web(terminating(member)), true},
		{"terminating, but serving", "include serving", web(member), web(terminating(member)), false},
		{"a hostname", "", web(member), web(hosted(member)), true},
		{"a port", "", web(member), in("web", ported(slice("web", member), httpPort)), true},
		{"a port of nobody", "", web(), in("web", ported(slice("web"), httpPort)), false},
		{"another service", "mode hostname", web(hosted(member)), in("web", slice("api", hosted(member))), true},
		{"an invalid address", "", web(member), func() *kubeapi.Object { o := web(member); o.Invalid = []string{"x"}; return o }(), false},
		{"another group", "", web(member), in("api", slice("web", member)), true},
		{"a group at last", "", in("", slice("web", member)), web(member), true},
		{"no group any more", "", web(member), in("", slice("web", member)), false},
		{"no group", "", in("", slice("web")), in("", slice("web", member)), false},
		{"a group that is no label", "", nil, in("we.b", slice("web", member)), false},
		{"a member without longname", "", nil, nameless(member), false},
		{"another one", "", nameless(member), nameless(other), false},
		{"it gets a longname", "", nameless(member), web(member), true},
		{"a member without host part", "mode hostname", web(), web(member), false},
		{"it gets a host part", "mode hostname", web(member), web(hosted(member)), true},
		{"another one gets ready", "mode hostname", web(unready(member)), web(member), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			measured(t, zone)
			c := configOf(t, withoutHold("longnames shown.internal {\n group_by app\n basename label name\n lookup endpoints\n "+tc.options+"\n}"))
			table := newTable(c)
			if tc.old != nil {
				apply(table, tc.old)
			}
			table.Synced()
			table.Apply([]kubeapi.Change{{Old: tc.old, New: tc.now, At: new(time.Now())}})
			if got, _ := propagations(t, zone); got != 0 != tc.want {
				t.Errorf("got %d, want any: %t", got, tc.want)
			}
		})
	}
}

func TestNothingIsPropagatedBeforeAllIsRead(t *testing.T) {
	const zone = "early.internal."
	measured(t, zone)
	table := newTable(configOf(t, "longnames early.internal {\n selector app=web\n basename app\n hold 0\n}"))
	first, second := slice("web", endpoint("p1", "10.0.0.1")), slice("web", endpoint("p2", "10.0.0.2"))
	table.Apply([]kubeapi.Change{{New: first, At: new(time.Now())}})
	if got, _ := propagations(t, zone); got != 0 {
		t.Errorf("before: got %d, want none", got)
	}
	table.Synced()
	table.Apply([]kubeapi.Change{{Old: first, New: second}})
	if got, _ := propagations(t, zone); got != 0 {
		t.Errorf("without a time: got %d, want none", got)
	}
	table.Apply([]kubeapi.Change{{Old: second, New: first, At: new(time.Now())}})
	if got, _ := propagations(t, zone); got != 1 {
		t.Errorf("afterwards: got %d, want 1", got)
	}
}

// As long as a cluster is held, nobody sees how it changes.
func TestWhatAHoldHidesIsNotPropagated(t *testing.T) {
	const zone = "hidden.internal."
	synctest.Test(t, func(t *testing.T) {
		measured(t, zone)
		table := tableOf(configOf(t, "longnames hidden.internal {\n selector app=web\n basename app\n hold 1m\n}"))
		states := []*kubeapi.Object{
			slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2")),
			slice("web"), // all vanish, and stay
			slice("web", endpoint("p3", "10.0.0.3")),
			slice("web", endpoint("p3", "10.0.0.3"), endpoint("p4", "10.0.0.4")),
		}
		want := []uint64{1, 1, 2, 3}
		var old *kubeapi.Object
		for i, now := range states {
			table.Apply([]kubeapi.Change{{Old: old, New: now, At: new(time.Now())}})
			if got, _ := propagations(t, zone); got != want[i] {
				t.Errorf("change %d: got %d, want %d", i+1, got, want[i])
			}
			old = now
		}
	})
}

// Nor that a probe fails.
func TestWhatMakesASuspectIsNotPropagated(t *testing.T) {
	const zone = "suspects.internal."
	measured(t, zone)
	c := configOf(t, "longnames suspects.internal {\n selector app=web\n basename app\n}")
	table := tableOf(c)
	one, two, three, four := endpoint("web-1", "10.0.0.1"), endpoint("web-2", "10.0.0.2"), endpoint("web-3", "10.0.0.3"), endpoint("web-4", "10.0.0.4")
	var old *kubeapi.Object
	for _, step := range []struct {
		name    string
		members []kubeapi.Member
		want    uint64 // in all
	}{
		{"all are there", []kubeapi.Member{one, two, three, four}, 1},
		{"one fails", []kubeapi.Member{one, two, three, unready(four)}, 1},
		{"two fail", []kubeapi.Member{one, two, unready(three), unready(four)}, 1},
		{"most fail", []kubeapi.Member{one, unready(two), unready(three), unready(four)}, 1},
		{"all recover", []kubeapi.Member{one, two, three, four}, 2},
		{"one ends", []kubeapi.Member{one, two, three, terminating(four)}, 3},
	} {
		now := labelled(c, nil, slice("web", step.members...))
		if old != nil {
			now.Template = old.Template
		}
		table.Apply([]kubeapi.Change{{Old: old, New: now, At: new(time.Now())}})
		if got, _ := propagations(t, zone); got != step.want {
			t.Errorf("%s: got %d, want %d", step.name, got, step.want)
		}
		old = now
	}
}

// The last bucket has all that is observed, so that no quantile is told to be infinite.
func TestPropagationBucketsReachTheLimit(t *testing.T) {
	const zone = "buckets.internal."
	measured(t, zone)
	propagation.WithLabelValues(zone).Observe(longestPropagation.Seconds())
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasSuffix(family.GetName(), "_propagation_duration_seconds") {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() != zone {
				continue
			}
			buckets := m.GetHistogram().GetBucket()
			last := buckets[len(buckets)-1]
			if last.GetCumulativeCount() != 1 || last.GetUpperBound() < longestPropagation.Seconds() {
				t.Errorf("got %d up to %v s, want 1 up to %v", last.GetCumulativeCount(), last.GetUpperBound(), longestPropagation)
			}
			return
		}
	}
	t.Error("got no histogram")
}
