package membership

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// TestClusters has objects come, change and go, and wants the clusters that there are, each with the
// longnames that it lists.
func TestClusters(t *testing.T) {
	type step struct {
		do   func(s *scene)
		want string
	}
	in := func(s *scene, name, group, namespace string, members ...kubeapi.Member) *kubeapi.Object {
		o := labelled(s.rules, labels{"app": group}, sliceNamed(name, "web", members...))
		o.Namespace = namespace
		return o
	}
	a, b := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")
	put := func(name, group string, members ...kubeapi.Member) func(*scene) {
		return func(s *scene) { s.put(in(s, name, group, "prod", members...)) }
	}
	drop := func(names ...string) func(*scene) { return func(s *scene) { s.drop(names...) } }
	bad := func(groups ...string) func(*scene) {
		return func(s *scene) {
			for _, group := range groups {
				s.put(in(s, "of "+group, group, "prod", b))
			}
		}
	}
	for _, tc := range []struct {
		name, rules string
		steps       []step
	}{
		{"one cluster has all", "selector app\nbasename q\nhold 0", []step{
			{put("x", "a", a), ": q@10.0.0.1"}, {put("y", "b", b), ": q@10.0.0.1 q@10.0.0.2"}, {drop("x", "y"), ""}, {put("x", "a", a), ": q@10.0.0.1"},
		}},
		{"a cluster ends with its last object, and comes back", "group_by app\nhold 0", []step{
			{put("x", "a", a), "a.prod: a@10.0.0.1"}, {drop("x"), ""}, {put("x", "a", b), "a.prod: a@10.0.0.2"},
		}},
		{"a cluster ends with its last suspect, and comes back", "group_by app", []step{
			{put("x", "a", a), "a.prod: a@10.0.0.1"}, {drop("x"), "a.prod: | a@10.0.0.1"},
			{func(s *scene) { s.pass(patience * defaultHold) }, ""}, {put("x", "a", b), "a.prod: a@10.0.0.2"},
		}},
		{"a cluster comes back while it has suspects", "group_by app", []step{
			{put("x", "a", a), "a.prod: a@10.0.0.1"}, {drop("x"), "a.prod: | a@10.0.0.1"}, {put("y", "a", b), "a.prod: a@10.0.0.2 | a@10.0.0.1"},
			{put("y", "a", a, b), "a.prod: a@10.0.0.1 a@10.0.0.2"},
		}},
		{"an object that changes its group moves", "group_by app\nhold 0", []step{
			{put("x", "a", a), "a.prod: a@10.0.0.1"}, {put("x", "b", a), "b.prod: b@10.0.0.1"},
		}},
		{"a namespace has clusters of its own", "group_by app\nhold 0", []step{
			{func(s *scene) { s.put(in(s, "x", "a", "prod", a), in(s, "y", "a", "test", b)) }, "a.prod: a@10.0.0.1; a.test: a@10.0.0.2"},
		}},
		{"groups that differ in case are one cluster", "group_by app\nhold 0", []step{
			{put("x", "Shop", a), "shop.prod: Shop@10.0.0.1"}, {put("y", "shop", b), "shop.prod: Shop@10.0.0.1 shop@10.0.0.2"},
		}},
		{"groups that are no label are none", "group_by app", []step{
			{put("x", "a", a), "a.prod: a@10.0.0.1"},
			{bad("", "a.b", "_a", "-", "ä", strings.Repeat("a", 64)), "6 ungrouped; a.prod: a@10.0.0.1"},
			{func(s *scene) { s.put(labelled(s.rules, nil, sliceNamed("none", "web", b))) }, "6 ungrouped; a.prod: a@10.0.0.1"},
			{put("of -", "a", a), "5 ungrouped; a.prod: a@10.0.0.1"},
		}},
		{"groups may have underscores", "group_by app", []step{
			{put("x", "a_b", a), "a_b.prod: a_b@10.0.0.1"},
			{put("y", "a_", b), "a_.prod: a_@10.0.0.2; a_b.prod: a_b@10.0.0.1"},
		}},
		{"nor are namespaces that are no label", "group_by app", []step{
			{func(s *scene) {
				for i, namespace := range []string{"", "a.b", "a_b", "-"} {
					s.put(in(s, strings.Repeat("x", i+1), "a", namespace, a))
				}
			}, "4 ungrouped"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, tc.rules)
			for i, step := range tc.steps {
				step.do(s)
				var got []string
				for _, name := range slices.Sorted(maps.Keys(s.rosters)) {
					if name == ungroupedName {
						got = append(got, fmt.Sprint(len(s.rosters[name].Objects), " ungrouped"))
						continue
					}
					got = append(got, name+": "+s.members(name))
				}
				if got := strings.Join(got, "; "); got != step.want {
					t.Fatalf("step %d: got %q, want %q", i+1, got, step.want)
				}
			}
		})
	}
}

// TestEditsSayWhatHasHappened has each edit say how suspects ceased to be, and when what questions see
// has changed.
func TestEditsSayWhatHasHappened(t *testing.T) {
	one, two, three := endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3")
	with := func(members ...kubeapi.Member) *kubeapi.Object { return sliceNamed("s", "web", members...) }
	for _, tc := range []struct {
		name          string
		before, after []kubeapi.Member
		passes        time.Duration // after that
		ends          Ends
		shows         bool
	}{
		{"nothing", []kubeapi.Member{one, two, three}, []kubeapi.Member{one, two, three}, 0, Ends{}, false},
		{"one comes", []kubeapi.Member{one, two}, []kubeapi.Member{one, two, three}, 0, Ends{}, true},
		{"one terminates", []kubeapi.Member{one, two, three}, []kubeapi.Member{one, two, terminating(three)}, 0, Ends{}, true},
		{"one becomes suspect", []kubeapi.Member{one, two, three}, []kubeapi.Member{one, two}, 0, Ends{}, false},
		{"one that fails recovers", []kubeapi.Member{one, two, unready(three)}, []kubeapi.Member{one, two, three}, 0, Ends{Returned: 1}, true},
		{"one that fails terminates", []kubeapi.Member{one, two, unready(three)}, []kubeapi.Member{one, two, terminating(three)}, 0, Ends{Gone: 1}, false},
		{"one that fails is given up", []kubeapi.Member{one, two, unready(three)}, []kubeapi.Member{one, two, unready(three)}, defaultHold, Ends{GivenUp: 1}, false},
		{"one that has vanished is given up", []kubeapi.Member{one, two}, []kubeapi.Member{one, two}, defaultHold, Ends{GivenUp: 1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := timelineOf(t, rulesOf(t, "selector app\nbasename q"))
			all, before, after := with(one, two, three), with(tc.before...), with(tc.after...)
			if tc.passes == 0 && len(tc.before) < 3 {
				all = with(tc.before...) // who comes has not been there
			}
			l.add(all)
			l.Apply([]kubeapi.Change{{Old: all, New: before}})
			l.ends, l.changed = Ends{}, nil
			at := l.now.Add(-time.Second)
			l.Apply([]kubeapi.Change{{Old: before, New: after, At: &at}})
			l.pass(tc.passes)
			if l.ends != tc.ends {
				t.Errorf("ends: got %v, want %v", l.ends, tc.ends)
			}
			if got := slices.Equal(l.changed, []time.Time{at}); got != tc.shows || !got && len(l.changed) > 0 {
				t.Errorf("changed at: got %v, want that of the change %t", l.changed, tc.shows)
			}
		})
	}
}
