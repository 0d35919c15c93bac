package membership

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// Somebody rewrites what is theirs ten times a second, and announces nothing.
const rewrites = 100 * time.Millisecond

// streams are what is written: the slice of one state after the other.
var streams = []struct {
	name, rules string
	members     int
	slices      int // that are written at once; default: one
	write       func(r *Rules, step, members int) *kubeapi.Object
}{
	{"new addresses", "group_by app\nbasename app", 1000, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", crowd(step, step, members)...))
	}},
	{"new addresses of pods that stay", "group_by app\nbasename app", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", crowd(0, step, members)...))
	}},
	{"new addresses of what one pod is called", "group_by app\nbasename app", 200, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", namesakes(crowd(step, step, members))...))
	}},
	{"many slices at once of what one pod is called", "group_by app\nbasename app", 50, 8, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", namesakes(crowd(step, step, members))...))
	}},
	{"many slices at once of new groups", "group_by app\nbasename app", 20, 8, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": fmt.Sprint("g", step)}, sliceNamed("stream", "web", namesakes(crowd(step, step, members))...))
	}},
	{"new hostnames", "group_by app\nbasename app\nmode hostname", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		endpoints := crowd(step, 0, members)
		for i := range endpoints {
			endpoints[i] = hosted(endpoints[i])
		}
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", endpoints...))
	}},
	{"failing in turns", "group_by app\nbasename app", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		endpoints := crowd(step/2, step/2, members)
		for i := range endpoints {
			if (i+step)%2 == 0 {
				endpoints[i] = unready(endpoints[i])
			}
		}
		return labelled(r, labels{"app": "a"}, sliceNamed("stream", "web", endpoints...))
	}},
	{"new basenames", "group_by app\nbasename label name", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": "a", "name": fmt.Sprint("n", step)}, sliceNamed("stream", "web", crowd(0, 0, members)...))
	}},
	{"new groups", "group_by app\nbasename app", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": fmt.Sprint("g", step)}, sliceNamed("stream", "web", crowd(0, 0, members)...))
	}},
	{"new groups of new addresses", "group_by app\nbasename app", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": fmt.Sprint("g", step)}, sliceNamed("stream", "web", crowd(step, step, members)...))
	}},
	{"new groups after those that end", "group_by app\nbasename app\nhold 1000h", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		endpoints := crowd(step/2, step/2, members)
		for i := range endpoints {
			if step%2 == 1 {
				endpoints[i] = terminating(endpoints[i])
			}
		}
		return labelled(r, labels{"app": fmt.Sprint("g", step/2)}, sliceNamed("stream", "web", endpoints...))
	}},
	{"new groups without an end", "group_by app\nbasename app\nhold 1000h", 100, 1, func(r *Rules, step, members int) *kubeapi.Object {
		return labelled(r, labels{"app": fmt.Sprint("g", step)}, sliceNamed("stream", "web", crowd(step, step, members)...))
	}},
}

// crowd are endpoints of pods and addresses that differ from step to step.
func crowd(pods, addresses, members int) []kubeapi.Member {
	endpoints := make([]kubeapi.Member, members)
	for i := range endpoints {
		n := addresses*members + i
		endpoints[i] = endpoint(fmt.Sprintf("p%d-%d", pods, i), netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String())
	}
	return endpoints
}

// namesakes have the name of one pod, as who writes slices can have it.
func namesakes(endpoints []kubeapi.Member) []kubeapi.Member {
	for i := range endpoints {
		endpoints[i].ID = "x"
	}
	return endpoints
}

func (s *scene) suspectsInAll() (count int) {
	for _, r := range s.rosters {
		count += len(r.Suspects)
	}
	return count
}

// Whatever is written, there are not many suspects, whoever lives is listed as alive, no rewrite costs more than those
// before it, and nothing stays in the end.
func TestAStreamOfRewritesIsBounded(t *testing.T) {
	const neighbours, steps = 20, 240
	for _, tc := range streams {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, tc.rules)
			tc.slices = max(1, tc.slices)
			living := make(map[string][]string)
			for _, app := range []string{"a", "b"} {
				endpoints := make([]kubeapi.Member, neighbours)
				for i := range endpoints {
					endpoints[i] = hosted(endpoint(fmt.Sprintf("%s-%d", app, i), fmt.Sprintf("192.168.%d.%d", app[0], i+1)))
				}
				s.put(labelled(s.rules, labels{"app": app, "name": app}, sliceNamed(app, app, endpoints...)))
				for _, n := range s.listed(app + ".prod") {
					living[app+".prod"] = append(living[app+".prod"], n.Longname())
				}
			}
			var most int
			cost := func(from, to int) uint64 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for step := from; step < to; step++ {
					var batch []*kubeapi.Object
					for i := range tc.slices {
						o := tc.write(s.rules, tc.slices*step+i, tc.members)
						o.Name += fmt.Sprint(i)
						batch = append(batch, o)
					}
					s.put(batch...)
					s.pass(rewrites)
					most = max(most, s.suspectsInAll())
				}
				runtime.ReadMemStats(&after)
				return (after.Mallocs - before.Mallocs) / uint64(to-from)
			}
			cost(0, steps/4)
			first := cost(steps/4, steps/2)
			last := cost(3*steps/4, steps)
			t.Logf("%d allocations a rewrite, at most %d suspects", last, most)
			if last > first+first/5 {
				t.Errorf("got %d allocations a rewrite at first and %d at last, want no more", first, last)
			}
			if limit := tc.slices*tc.members + neighbours + 2*minSuspects; most > limit {
				t.Errorf("got %d suspects, want at most %d", most, limit)
			}
			for cluster, names := range living {
				listed := make(map[string]bool)
				for _, n := range s.listed(cluster) {
					listed[n.Longname()] = listed[n.Longname()] || !n.Suspect
				}
				for _, name := range names {
					if !listed[name] {
						t.Errorf("%s: got %s not listed, or suspect", cluster, name)
					}
				}
			}
			for i := range tc.slices {
				s.drop(fmt.Sprint("stream", i))
			}
			s.pass(2 * patience * s.rules.Hold)
			if n := s.namespaces["prod"]; n == nil || n.members != 2*neighbours || n.most != n.members || len(n.clusters) > 0 {
				t.Errorf("in the end: got the namespace %+v, want %d members and no suspects", n, 2*neighbours)
			}
			if n := s.suspectsInAll() + len(s.pending) + len(s.absent); n > 0 || len(s.clusters) != 2 || len(s.namespaces) != 1 {
				t.Errorf("in the end: got %d suspects or traces of some, and %d clusters, want none, and 2", n, len(s.clusters))
			}
		})
	}
}

// To ask for each pod of a slice with as many does not scan the slice each time.
func TestManyPodsAreFoundByFewScans(t *testing.T) {
	o := sliceNamed("web", "web", crowd(0, 0, 100)...)
	members, find := o.Members, finder([]*kubeapi.Object{o})
	for i := range members {
		for address, want := range map[netip.Addr]bool{members[i].Address: true, netip.MustParseAddr("10.9.9.9"): false} {
			who := identityOf(o, &members[i])
			who.address = address
			if got := find(who); got != want {
				t.Errorf("%v: got %t, want %t", who, got, want)
			}
		}
		if i == len(members)/2 {
			o.Members = nil // which is not seen any more
		}
	}
}

// BenchmarkRewrites shows what a rewrite of a slice takes, with new addresses for all of its pods, which stay.
func BenchmarkRewrites(b *testing.B) {
	for _, members := range []int{100, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			s := newScene(b, "group_by app\nbasename app")
			b.ReportAllocs()
			for step := 0; b.Loop(); step++ {
				s.put(labelled(s.rules, labels{"app": "a"}, sliceNamed("stream", "web", crowd(0, step%200, members)...)))
			}
		})
	}
}
