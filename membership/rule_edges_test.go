package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// scene is a timeline whose objects are put and dropped one by one.
type scene struct {
	*timeline
	have map[string]*kubeapi.Object
}

func newScene(t testing.TB, rules string) *scene {
	t.Helper()
	return &scene{timeline: timelineOf(t, rulesOf(t, rules)), have: make(map[string]*kubeapi.Object)}
}

// put changes objects in one step.
func (s *scene) put(objects ...*kubeapi.Object) {
	var changes []kubeapi.Change
	for _, o := range objects {
		if o.Labels == nil {
			labelled(s.rules, nil, o)
		}
		changes = append(changes, kubeapi.Change{Old: s.have[o.Name], New: o})
		s.have[o.Name] = o
	}
	s.Apply(changes)
}

// drop removes objects in one step.
func (s *scene) drop(names ...string) {
	var changes []kubeapi.Change
	for _, name := range names {
		changes = append(changes, kubeapi.Change{Old: s.have[name]})
		delete(s.have, name)
	}
	s.Apply(changes)
}

// members returns the longnames of a cluster that are listed; suspects follow after a bar.
func (s *scene) members(cluster string) string {
	if s.rosters[cluster] == nil {
		return "none"
	}
	var alive, suspects []string
	for _, n := range s.listed(cluster) {
		if n.Suspect {
			suspects = append(suspects, n.Longname())
		} else {
			alive = append(alive, n.Longname())
		}
	}
	slices.Sort(alive)
	slices.Sort(suspects)
	alive = slices.Compact(alive)
	if len(suspects) > 0 {
		alive = append(append(alive, "|"), suspects...)
	}
	return strings.Join(alive, " ")
}

// sliceNamed is an object of the scenes.
func sliceNamed(name, service string, members ...kubeapi.Member) *kubeapi.Object {
	return named(name, slice(service, members...))
}

func TestSuspectsAtTheEdges(t *testing.T) {
	const (
		ip       = "selector app=q\nbasename q"
		hostname = "selector app=q\nbasename q\nmode hostname"
		byPods   = "selector app=q\nbasename q\nlookup pods"
		byLabel  = "selector app=q\nbasename label name\nlookup pods"
		ofLabel  = "selector app=q\nbasename label name"
		readyPod = "selector app=q\nbasename label name\nlookup pods\ninclude ready"
		grouped  = "group_by app\nbasename q\nlookup pods"
		hosts    = "group_by app\nmode hostname"
	)
	q := func(n int, address string) kubeapi.Member { return hosted(endpoint(fmt.Sprint("q-", n), address)) }
	byHand := func(address string) kubeapi.Member {
		m := q(6, address)
		m.ID, m.IsPod = "", false
		return m
	}
	twin := q(5, "10.0.0.2")
	twin.Hostname = "q-0"
	others := []kubeapi.Member{q(1, "10.0.0.11"), q(2, "10.0.0.12")}
	with := func(members ...kubeapi.Member) *kubeapi.Object {
		return sliceNamed("s", "q", slices.Concat(others, members)...)
	}
	two := "q@10.0.0.11 q@10.0.0.12"
	twoHosts := "q@q-1.q.prod.svc.cluster.local q@q-2.q.prod.svc.cluster.local"
	// pod is an object that is a pod.
	pod := func(r *Rules, name, address string, set labels) *kubeapi.Object {
		return labelled(r, set, sliceNamed(name, "", endpoint(name, address)))
	}
	type step struct {
		do   func(s *scene)
		want string
	}
	put := func(objects ...*kubeapi.Object) func(*scene) { return func(s *scene) { s.put(objects...) } }
	drop := func(names ...string) func(*scene) { return func(s *scene) { s.drop(names...) } }
	labelledPod := func(name, address string, set labels) func(*scene) {
		return func(s *scene) { s.put(pod(s.rules, name, address, set)) }
	}
	crew := func(s *scene) { // so that a single loss does not make few of them
		for i := range 3 {
			s.put(pod(s.rules, fmt.Sprint("w-", i), fmt.Sprintf("10.0.1.%d", i+1), labels{"app": "web", "name": "q"}))
		}
	}
	const three = "q@10.0.1.1 q@10.0.1.2 q@10.0.1.3"
	for _, tc := range []struct {
		name, rules, cluster string
		steps                []step
	}{
		{"a pod of a StatefulSet is replaced, with notice", ip, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(terminating(q(0, "10.0.0.1")))), two},
			{put(with()), two},
			{put(with(unready(q(0, "10.0.0.2")))), two},
			{put(with(q(0, "10.0.0.2"))), two + " q@10.0.0.2"},
		}},
		{"a pod of a StatefulSet is replaced, without notice", ip, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(unready(q(0, "10.0.0.2")))), two},
			{put(with(q(0, "10.0.0.2"))), two + " q@10.0.0.2"},
		}},
		{"a pod of a StatefulSet vanishes, and is replaced later", ip, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with()), two + " | q@10.0.0.1"},
			{put(with(unready(q(0, "10.0.0.2")))), two},
		}},
		{"a pod of a StatefulSet is replaced without notice, in mode hostname", hostname, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local " + twoHosts},
			{put(with(unready(q(0, "10.0.0.2")))), twoHosts},
			{put(with(q(0, "10.0.0.2"))), "q@q-0.q.prod.svc.cluster.local " + twoHosts},
		}},
		{"a pod fails, in mode hostname", hostname, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local " + twoHosts},
			{put(with(unready(q(0, "10.0.0.1")))), twoHosts + " | q@q-0.q.prod.svc.cluster.local"},
		}},
		{"a pod gets an address of the other family", ip, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "fd00::1"))), two + " | q@10.0.0.1"}, // and no second name
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
		}},
		{"a pod is known by its IPv6 address first", ip, "", []step{
			{put(with(q(0, "fd00::1"))), two + " q@fd00::1"},
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"))), "q@10.0.0.1 " + two},
		}},
		{"a pod is known by its IPv6 address first, while another is suspect", ip, "", []step{
			{put(with(q(0, "fd00::1"), q(3, "10.0.0.13"))), two + " q@10.0.0.13 q@fd00::1"},
			{put(with(q(0, "fd00::1"))), two + " q@fd00::1 | q@10.0.0.13"},
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"))), "q@10.0.0.1 " + two + " | q@10.0.0.13"},
		}},
		{"all IPv4 addresses vanish, and few are alive", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"), q(1, "fd00::2"), q(2, "fd00::3"))), "q@10.0.0.1 " + two},
			{put(sliceNamed("s", "q", q(0, "fd00::1"), q(1, "fd00::2"), q(2, "fd00::3"))), "| q@10.0.0.1 " + two},
			{func(s *scene) { s.pass(9 * defaultHold) }, "| q@10.0.0.1 " + two},
			{func(s *scene) { s.pass(2 * defaultHold) }, "q@fd00::1 q@fd00::2 q@fd00::3"},
		}},
		{"an IPv6 address counts when its pod's IPv4 one is given up, and few are alive no longer", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "fd00::1"))), two + " | q@10.0.0.1"},
			{func(s *scene) {
				s.pass(20 * time.Second)
				s.put(sliceNamed("s", "q", q(2, "10.0.0.12"), q(0, "fd00::1")))
			}, "q@10.0.0.12 | q@10.0.0.1 q@10.0.0.11"},
			{func(s *scene) { s.pass(patience*defaultHold - 20*time.Second) }, "q@10.0.0.12 q@fd00::1 | q@10.0.0.11"},
			{func(s *scene) { s.pass(defaultHold - 1) }, "q@10.0.0.12 q@fd00::1 | q@10.0.0.11"},
			{func(s *scene) { s.pass(1) }, "q@10.0.0.12 q@fd00::1"},
		}},
		{"an endpoint that is made by hand gets another address: it need not be the same node", ip, "", []step{
			{put(with(byHand("10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(byHand("10.0.0.2"))), two + " q@10.0.0.2 | q@10.0.0.1"},
		}},
		{"an IPv6 address counts when its pod's IPv4 one is another's, while another is suspect", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(0, "fd00::1"), q(3, "10.0.0.13"))), "q@10.0.0.1 " + two + " q@10.0.0.13"},
			{put(with(q(0, "fd00::1"))), two + " | q@10.0.0.1 q@10.0.0.13"},
			{put(with(q(0, "fd00::1"), q(7, "10.0.0.1"))), "q@10.0.0.1 " + two + " q@fd00::1 | q@10.0.0.13"},
			{put(with(q(7, "10.0.0.1"))), "q@10.0.0.1 " + two + " | q@10.0.0.13 q@fd00::1"},
			{put(with(q(0, "fd00::1"), q(7, "10.0.0.1"))), "q@10.0.0.1 " + two + " q@fd00::1 | q@10.0.0.13"},
		}},
		{"its address becomes another pod's", ip, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with()), two + " | q@10.0.0.1"},
			{put(with(unready(q(7, "10.0.0.1")))), two},
		}},
		{"its address becomes another pod's in the same step", hostname, "", []step{
			{put(with(q(0, "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local " + twoHosts},
			{put(with(q(7, "10.0.0.1"))), twoHosts + " q@q-7.q.prod.svc.cluster.local"},
		}},
		{"its address becomes that of a pod of another cluster", grouped, "web.prod", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"app": "web"})) }, three + " q@10.0.1.9"},
			{drop("w-9"), three + " | q@10.0.1.9"},
			{labelledPod("x-1", "10.0.1.9", labels{"app": "other"}), three},
		}},
		{"of pods that share an address, one vanishes", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(5, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with()), two + " | q@10.0.0.1"},
		}},
		{"of pods that share an address but no name, one vanishes", hostname, "", []step{
			{put(with(q(0, "10.0.0.1"), q(5, "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local " + twoHosts + " q@q-5.q.prod.svc.cluster.local"},
			{put(with(q(5, "10.0.0.1"))), twoHosts + " q@q-5.q.prod.svc.cluster.local | q@q-0.q.prod.svc.cluster.local"},
		}},
		{"of pods that share an address, one ends", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(5, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "10.0.0.1"), terminating(q(5, "10.0.0.1")))), "q@10.0.0.1 " + two},
			{put(with(terminating(q(0, "10.0.0.1")))), two},
		}},
		{"of pods that share an address, one ends and one vanishes", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(5, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(terminating(q(0, "10.0.0.1")))), two + " | q@10.0.0.1"},
		}},
		{"of pods that share an address, one gets another and one vanishes", ip, "", []step{
			{put(with(q(0, "10.0.0.1"), q(5, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(q(0, "10.0.0.2"))), two + " q@10.0.0.2 | q@10.0.0.1"},
		}},
		{"of pods that share a hostname, one vanishes and one loses its address to another pod", hostname, "", []step{
			{put(with(q(0, "10.0.0.1"), twin)), "q@q-0.q.prod.svc.cluster.local " + twoHosts},
			{put(with(q(7, "10.0.0.1"))), twoHosts + " q@q-7.q.prod.svc.cluster.local | q@q-0.q.prod.svc.cluster.local"},
		}},
		{"an endpoint moves between slices, first out of one", ip, "", []step{
			{put(with(q(0, "10.0.0.1")), sliceNamed("t", "q")), "q@10.0.0.1 " + two},
			{put(with()), two + " | q@10.0.0.1"},
			{put(sliceNamed("t", "q", q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
		}},
		{"an endpoint moves between slices, first into the other", ip, "", []step{
			{put(with(q(0, "10.0.0.1")), sliceNamed("t", "q")), "q@10.0.0.1 " + two},
			{put(sliceNamed("t", "q", q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with()), "q@10.0.0.1 " + two},
		}},
		{"a cluster is split over two Services", ip, "", []step{
			{put(with(q(0, "10.0.0.1")), sliceNamed("t", "other", q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{put(with(unready(q(0, "10.0.0.1")))), "q@10.0.0.1 " + two},
			{put(sliceNamed("t", "other", unready(q(0, "10.0.0.1")))), two + " | q@10.0.0.1"},
			{put(with()), two + " | q@10.0.0.1"},
			{put(sliceNamed("t", "other", terminating(q(0, "10.0.0.1")))), two},
		}},
		{"of two slices, one that gives another basename comes first", ofLabel, "", []step{
			{func(s *scene) { s.put(labelled(s.rules, labels{"name": "b"}, sliceNamed("t", "t", q(0, "10.0.0.1")))) }, "b@10.0.0.1"},
			{func(s *scene) { s.put(labelled(s.rules, labels{"name": "a"}, sliceNamed("s", "s", q(0, "10.0.0.1")))) }, "a@10.0.0.1 | b@10.0.0.1"},
		}},
		{"of two slices, the one in which a member fails gets another Service", hostname, "", []step{
			{put(sliceNamed("s", "q", unready(q(0, "10.0.0.1"))), sliceNamed("t", "t", q(0, "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local"},
			{put(sliceNamed("s", "t", unready(q(0, "10.0.0.1")))), "q@q-0.t.prod.svc.cluster.local | q@q-0.q.prod.svc.cluster.local"},
		}},
		{"of two slices, one lacks the hostname of a member that only it says is ready", hostname, "", []step{
			{put(sliceNamed("s", "q", unready(q(0, "10.0.0.1")), unready(q(1, "10.0.0.2")))), "q@q-0.q.prod.svc.cluster.local q@q-1.q.prod.svc.cluster.local"},
			{put(sliceNamed("t", "t", endpoint("q-0", "10.0.0.1"))), "q@q-0.q.prod.svc.cluster.local | q@q-1.q.prod.svc.cluster.local"},
		}},
		{"nobody passes, and another slice says first that the last one ends", ip, "", []step{
			{put(sliceNamed("s", "q", unready(q(0, "10.0.0.1")))), "q@10.0.0.1"},
			{put(sliceNamed("t", "t", terminating(q(0, "10.0.0.1")))), "| q@10.0.0.1"},
		}},
		{"all IPv4 addresses vanish, in mode hostname", hostname, "", []step{
			{put(with(q(1, "fd00::1"), q(2, "fd00::2"))), twoHosts},
			{put(sliceNamed("s", "q", q(1, "fd00::1"), q(2, "fd00::2"))), twoHosts},
		}},
		{"a slice is deleted", ip, "", []step{
			{put(with(), sliceNamed("t", "q", q(0, "10.0.0.1"))), "q@10.0.0.1 " + two},
			{drop("t"), two + " | q@10.0.0.1"},
		}},
		{"a pod is evicted", byPods, "", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", nil)) }, three + " q@10.0.1.9"},
			{func(s *scene) { // as the source tells of a pod that is Failed
				last := sliceNamed("w-9", "", terminating(endpoint("w-9", "10.0.1.9")))
				last.Template = s.have["w-9"].Template
				delete(s.have, "w-9")
				s.Apply([]kubeapi.Change{{Old: last}})
			}, three},
		}},
		{"the only pod that is ready is evicted, then one that fails loses its basename's label", readyPod, "", []step{
			{func(s *scene) {
				s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"name": "q"}))
				for i := range 3 {
					o := pod(s.rules, fmt.Sprint("w-", i), fmt.Sprintf("10.0.1.%d", i+1), labels{"name": "q"})
					o.Members[0] = unready(o.Members[0])
					s.put(o)
				}
			}, "q@10.0.1.9"},
			{func(s *scene) {
				last := labelled(s.rules, labels{"name": "q"}, sliceNamed("w-9", "", terminating(endpoint("w-9", "10.0.1.9"))))
				delete(s.have, "w-9")
				s.Apply([]kubeapi.Change{{Old: last}})
			}, three},
			{labelledPod("w-0", "10.0.1.1", nil), "q@10.0.1.2 q@10.0.1.3 | q@10.0.1.1"},
		}},
		{"the last pod is evicted, which was not ready", readyPod, "", []step{
			{func(s *scene) {
				s.put(labelled(s.rules, labels{"name": "q"}, sliceNamed("w-9", "", unready(endpoint("w-9", "10.0.1.9")))))
			}, "q@10.0.1.9"},
			{func(s *scene) {
				last := labelled(s.rules, labels{"name": "q"}, sliceNamed("w-9", "", terminating(endpoint("w-9", "10.0.1.9"))))
				s.Apply([]kubeapi.Change{{Old: last}})
			}, "| q@10.0.1.9"},
		}},
		{"a pod loses its basename's label", byLabel, "", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"name": "q"})) }, three + " q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", nil), three + " | q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", labels{"name": "q"}), three + " q@10.0.1.9"},
		}},
		{"a pod gets another basename, and runs under the old one", byLabel, "", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"name": "q"})) }, three + " q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", labels{"name": "b"}), "b@10.0.1.9 " + three + " | q@10.0.1.9"},
		}},
		{"a pod loses its group's label", grouped, "web.prod", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"app": "web"})) }, three + " q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", nil), three + " | q@10.0.1.9"},
		}},
		{"a pod gets into another group", grouped, "web.prod", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"app": "web"})) }, three + " q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", labels{"app": "other"}), three + " | q@10.0.1.9"},
		}},
		{"a pod gets into another group, then another address", grouped, "web.prod", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"app": "web"})) }, three + " q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.9", labels{"app": "other"}), three + " | q@10.0.1.9"},
			{labelledPod("w-9", "10.0.1.8", labels{"app": "other"}), three},
		}},
		{"a pod that ends gets into another group", grouped, "web.prod", []step{
			{func(s *scene) { crew(s); s.put(pod(s.rules, "w-9", "10.0.1.9", labels{"app": "web"})) }, three + " q@10.0.1.9"},
			{func(s *scene) {
				o := pod(s.rules, "w-9", "10.0.1.9", labels{"app": "other"})
				o.Members[0] = terminating(o.Members[0])
				s.put(o)
			}, three},
		}},
		{"a cluster is all that a relist lacks", grouped, "web.prod", []step{
			{crew, three},
			{drop("w-0", "w-1", "w-2"), "| " + three},
			{crew, three},
		}},
		{"a longname is given back without its hostname", hosts, "web.prod", []step{
			{func(s *scene) { s.put(labelled(s.rules, labels{"app": "web"}, with(q(0, "10.0.0.1")))) }, "web@q-0.q.prod.svc.cluster.local " + strings.ReplaceAll(twoHosts, "q@", "web@")},
			{func(s *scene) { s.put(labelled(s.rules, labels{"app": "web"}, with(endpoint("q-0", "10.0.0.1")))) }, strings.ReplaceAll(twoHosts, "q@", "web@") + " | web@q-0.q.prod.svc.cluster.local"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, tc.rules)
			for i, step := range tc.steps {
				step.do(s)
				if got := s.members(tc.cluster); got != step.want {
					t.Fatalf("step %d: got %q, want %q", i+1, got, step.want)
				}
			}
		})
	}
}

// TestStateForgets has all of a cluster go, and wants nothing left of it.
func TestStateForgets(t *testing.T) {
	for _, tc := range []struct {
		name, rules string
		before      func(s *scene)
	}{
		{"without suspects", "hold 0", func(*scene) {}},
		{"with suspects", "", func(*scene) {}},
		{"the last of which ended", "", func(s *scene) {
			o := sliceNamed("x", "web", terminating(endpoint("a", "10.0.0.1")))
			s.put(labelled(s.rules, labels{"app": "a"}, o))
		}},
		{"which a reload takes over", "", func(s *scene) {
			o := s.have["x"]
			s.timeline = reload(s.timeline, []*kubeapi.Object{o})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, "group_by app\n"+tc.rules)
			s.put(labelled(s.rules, labels{"app": "a"}, sliceNamed("x", "web", endpoint("a", "10.0.0.1"))))
			tc.before(s)
			s.drop("x")
			s.pass(patience * defaultHold)
			if n := len(s.clusters) + len(s.pending) + len(s.absent) + len(s.rosters) + len(s.namespaces); n > 0 {
				t.Errorf("got clusters %v, of which %d have suspects, %d traces of these and rosters %v, want none", s.clusters, len(s.pending), len(s.absent), s.rosters)
			}
		})
	}
}

func TestTooManySuspects(t *testing.T) {
	for _, tc := range []struct{ alive, suspects, want int }{{1, 100, minSuspects}, {100, 200, 100}} {
		s := newScene(t, "selector app=q\nbasename q\nhold 1h")
		member := func(i int) kubeapi.Member {
			return endpoint(fmt.Sprint("q-", i), netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i%250 + 1)}).String())
		}
		var alive []kubeapi.Member
		for i := range tc.alive {
			alive = append(alive, member(i))
		}
		for i := range tc.suspects { // come and vanish one by one
			s.pass(time.Second)
			s.put(sliceNamed("s", "q", append(slices.Clone(alive), member(1000+i))...))
			s.put(sliceNamed("s", "q", alive...))
		}
		suspects := s.suspectsIn("")
		if got := len(suspects); got < tc.want || got > tc.want+1 {
			t.Errorf("%d alive: got %d suspects, want %d", tc.alive, got, tc.want)
		}
		if got, want := s.ends[Dropped], tc.suspects-len(suspects); got != want {
			t.Errorf("%d alive: got %d dropped, want %d", tc.alive, got, want)
		}
		if got, want := suspects[len(suspects)-1].Longname(), "q@"+member(1000+tc.suspects-1).Address.String(); got != want {
			t.Errorf("%d alive: got %s as the newest, want %s", tc.alive, got, want)
		}
	}
}

func TestTheLastOfAGreatClusterStay(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	marks := make(map[int]string)
	for _, mark := range []string{"", "~"} {
		for pod := range 2 * minSuspects {
			marks[pod] = mark
		}
		f.Apply(f.changesToMarks(marks))
	}
	for range 2 { // the second time, the pods go
		if got, want := len(f.suspectsIn("")), 2*minSuspects; got != want {
			t.Errorf("got %d suspects, want %d", got, want)
		}
		f.Apply(f.changesToMarks(nil))
	}
}

// TestOnlyLongnamesCount has all fail but one whose longname would be too long: nobody is suspect.
func TestOnlyLongnamesCount(t *testing.T) {
	s := newScene(t, "selector app=q\nbasename q\nmode hostname\ncluster_domain "+strings.Repeat("x.", 90)+"local")
	long := hosted(endpoint(strings.Repeat("b", 60), "10.0.0.2"))
	s.put(sliceNamed("s", "q", hosted(endpoint("a", "10.0.0.1")), long))
	s.put(sliceNamed("s", "q", hosted(unready(endpoint("a", "10.0.0.1"))), long))
	if got := s.suspectsIn(""); len(got) > 0 {
		t.Errorf("got suspect %s, want none", got[0].Longname())
	}
}

func TestManifestsAreBelieved(t *testing.T) {
	for _, tc := range []struct{ name, hold, failing, removed, emptied string }{
		{"by default", "", "q@10.0.0.1 | q@10.0.0.2", "q@10.0.0.1", "| q@10.0.0.1"},
		{"unless hold is set", "hold 30s", "q@10.0.0.1 | q@10.0.0.2", "q@10.0.0.1 | q@10.0.0.2", "| q@10.0.0.1 q@10.0.0.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, "manifests /nowhere\nselector app=q\nbasename q\n"+tc.hold)
			one, two := endpoint("q-1", "10.0.0.1"), endpoint("q-2", "10.0.0.2")
			s.put(sliceNamed("s", "q", one, two))
			s.put(sliceNamed("s", "q", one, unready(two)))
			if got := s.members(""); got != tc.failing {
				t.Errorf("one that fails: got %q, want %q", got, tc.failing)
			}
			s.put(sliceNamed("s", "q", one))
			if got := s.members(""); got != tc.removed {
				t.Errorf("one taken out: got %q, want %q", got, tc.removed)
			}
			s.drop("s")
			if got := s.members(""); got != tc.emptied {
				t.Errorf("the last taken out: got %q, want %q", got, tc.emptied)
			}
		})
	}
}

// TestSuspectsOfAClockThatWasAhead has a snapshot with times that are yet to come.
func TestSuspectsOfAClockThatWasAhead(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	f.become("1 2 3")
	f.become("1 2")
	suspects := f.Suspects()
	ahead := f.now.Add(time.Hour)
	suspects[0].Members[0].Since, suspects[0].Members[0].From, suspects[0].Returns = ahead, ahead, ahead
	next := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	next.become("1 2")
	next.restore(suspects)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{defaultHold - time.Second, "1 2 | 3"}, {2 * time.Second, "1 2"}} {
		next.pass(step.after)
		if got := next.listed(); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.after, got, step.want)
		}
	}
}

func TestSuspectsOfASnapshotAreInUTC(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	f.now = f.now.In(time.FixedZone("", 3600))
	f.become("1 2 3 4")
	f.become("1")
	f.become("1 2")
	all := f.Suspects()
	if len(all) != 1 || len(all[0].Members) != 2 {
		t.Fatalf("got %+v, want two suspects of one cluster", all)
	}
	m := &all[0].Members[0]
	for _, tc := range []struct {
		name string
		got  time.Time
	}{{"few", all[0].Few}, {"enough", all[0].Enough}, {"probes", all[0].Probes}, {"returns", all[0].Returns}, {"since", m.Since}, {"from", m.From}} {
		if _, offset := tc.got.Zone(); offset != 0 {
			t.Errorf("%s: got %s, want it in UTC", tc.name, tc.got)
		}
	}
}

// TestReloadInheritsSuspects has 2 fail and 3 vanish before a reload. What the new rules read first is
// known only after it has begun, unless both ask for the same.
func TestReloadInheritsSuspects(t *testing.T) {
	const old = "selector app=web\nbasename app"
	for _, tc := range []struct {
		name, rules string
		reselects   bool
		pods, want  string
	}{
		{"the same rules", old, false, "1 2! 4 5", "1 4 5 | 2 3"},
		{"one that is there fails still, one comes back", old, false, "1 2! 3 4 5", "1 3 4 5 | 2"},
		{"one that is there has vanished, and one is there that had", old, false, "1 3! 4 5", "1 4 5 | 2 3"},
		{"one that failed ends", old, false, "1 2~ 4 5", "1 4 5 | 3"},
		{"another include", strings.Replace(old, "basename", "include serving\nbasename", 1), false, "1 2! 4 5", "1 4 5 | 3"},
		{"a selector that it matches", strings.Replace(old, "app=web", "team=a", 1), true, "1 2! 4 5", "1 4 5 | 2"},
		{"a selector that it does not match", strings.Replace(old, "app=web", "team=a", 1), true, "1 4 5", "1 4 5"},
		{"other namespaces", strings.Replace(old, "basename", "namespaces test\nbasename", 1), true, "1 2! 4 5", "1 4 5"},
		{"hold 0", strings.Replace(old, "basename", "hold 0\nbasename", 1), false, "1 2! 4 5", "1 4 5"},
	} {
		for name, layout := range layouts {
			for _, synced := range []bool{false, true} {
				t.Run(fmt.Sprint(tc.name, "/", name, "/", synced), func(t *testing.T) {
					f := newFleet(t, old, layout)
					f.become("1 2 3 4 5")
					f.becomeAtOnce("1 2! 4 5")
					if got, want := f.listed(), "1 4 5 | 2 3"; got != want {
						t.Fatalf("before: got %q, want %q", got, want)
					}
					next := newFleet(t, tc.rules, layout)
					next.timeline = newTimeline(t, next.rules)
					next.pods = f.pods
					if tc.reselects {
						next.Reselect()
					}
					if tc.reselects && !synced {
						next.inherit(f.timeline)
					}
					next.becomeAtOnce(tc.pods)
					if synced {
						next.Synced()
					}
					if !tc.reselects || synced {
						next.inherit(f.timeline)
					}
					if !synced {
						next.Synced()
					}
					if got := next.listed(); got != tc.want {
						t.Errorf("got %q, want %q", got, tc.want)
					}
					for _, s := range next.suspectsIn("") {
						fails := slices.Contains(strings.Fields(tc.pods), fmt.Sprint(podAt(s.Address()), "!"))
						if fails != (s.Reason == Failing) {
							t.Errorf("%s is %s", s.Longname(), s.Reason)
						}
					}
				})
			}
		}
	}
}

// TestReloadFindsAnotherReason has 2 fail and 3 vanish, 20 s before a reload that finds the reverse: their
// own time begins anew.
func TestReloadFindsAnotherReason(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	f.become("1 2 3 4 5")
	f.becomeAtOnce("1 2! 4 5")
	f.pass(20 * time.Second)
	next := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	next.now = f.now
	next.becomeAtOnce("1 3! 4 5")
	next.inherit(f.timeline)
	for _, step := range []struct {
		wait time.Duration
		want string
	}{{0, "1 4 5 | 2 3"}, {defaultHold - 1, "1 4 5 | 2 3"}, {1, "1 4 5"}} {
		next.pass(step.wait)
		if got := next.listed(); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.wait, got, step.want)
		}
	}
}

// TestReloadKeepsTheTimesOfItsOwn has 6 fail after a reload has begun and before it knows the first list,
// and 7 fail 20 s before: both stay for hold after 6 failed.
func TestReloadKeepsTheTimesOfItsOwn(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	f.become("1 2 3 4 5 6 7")
	f.become("1 2 3 4 5 6 7!")
	f.pass(20 * time.Second)
	next := newFleet(t, "selector team=a\nbasename app", layouts["one slice"])
	next.timeline = newTimeline(t, next.rules)
	next.now = f.now
	next.Reselect()
	next.become("1 2 3 4 5 6 7!")
	next.Restored()
	next.inherit(f.timeline)
	next.become("1 2 3 4 5 6! 7!")
	next.Synced()
	next.pass(defaultHold - 1)
	if got, want := next.listed(), "1 2 3 4 5 | 6 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	next.pass(1)
	if got, want := next.listed(), "1 2 3 4 5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReloadHasSuspectsOfItsOwn has a new state get more suspects before it takes over another one: few of
// as many as it had are alive.
func TestReloadHasSuspectsOfItsOwn(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	f.become("1 2 3")
	f.become("1 2")
	next := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	next.become("1 2 4 5 6 7 8")
	next.becomeAtOnce("1 2")
	next.inherit(f.timeline)
	next.pass(patience*defaultHold - 1)
	if got, want := next.listed(), "1 2 | 3 4 5 6 7 8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	next.pass(1)
	if got, want := next.listed(), "1 2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReloadBelievesWhatTheFirstListLacks has a reload take over members, of which those that its first
// list lacks have been taken out by the operator if it asks for something else.
func TestReloadBelievesWhatTheFirstListLacks(t *testing.T) {
	for _, tc := range []struct {
		name             string
		reselects        bool
		first, none, now string
	}{
		{"it asks for the same", false, "1 2 | 3", "| 1 2 3", "1 | 2 3"},
		{"it asks for something else", true, "1 2", "| 1 2", "1 | 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, later := range []struct{ synced, pods, want string }{{"1 2", "1", tc.now}, {"", "", tc.none}} {
				f := newFleet(t, "selector app=web\nbasename app", layouts["objects each"])
				f.timeline = newTimeline(t, f.rules)
				if tc.reselects {
					f.Reselect()
				}
				f.becomeAtOnce("1 2 3")
				f.Restored()
				f.becomeAtOnce("1 2")
				if got := f.listed(); got != tc.first {
					t.Errorf("the first list: got %q, want %q", got, tc.first)
				}
				f.becomeAtOnce(later.synced)
				f.Synced()
				f.becomeAtOnce(later.pods)
				if got := f.listed(); got != later.want {
					t.Errorf("then %q: got %q, want %q", later.pods, got, later.want)
				}
			}
		})
	}
}

// TestReloadThatLeavesNobody has a reload ask for something else, which nobody matches: those that were
// listed stay for hold, or until it finds somebody.
func TestReloadThatLeavesNobody(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, after string // what the new state reads before it takes over the old one, and then
		want, later   string
	}{
		{"nobody is there", "", "", "| 1 2 3", ""},
		{"somebody is there later", "", "4", "4", "4"},
		{"somebody is there", "4", "4", "4", "4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
			f.become("1 2 3")
			f.become("1 2 3!")
			next := newFleet(t, "selector team=a\nbasename app", layouts["one slice"])
			next.timeline = newTimeline(t, next.rules)
			next.Reselect()
			next.becomeAtOnce(tc.before)
			next.inherit(f.timeline)
			next.becomeAtOnce(tc.after)
			next.Synced()
			if got := next.listed(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			next.pass(defaultHold)
			if got := next.listed(); got != tc.later {
				t.Errorf("after hold: got %q, want %q", got, tc.later)
			}
		})
	}
}

// TestNamespacesReadOneByOne has a start read first a namespace where nobody is ready, who has never
// been in an answer.
func TestNamespacesReadOneByOne(t *testing.T) {
	s := &scene{timeline: newTimeline(t, rulesOf(t, "selector app=q\nbasename q")), have: map[string]*kubeapi.Object{}}
	s.put(sliceNamed("a", "a", unready(endpoint("a", "10.0.0.1"))))
	s.put(sliceNamed("b", "b", endpoint("b", "10.0.0.2")))
	s.Synced()
	if got, want := s.members(""), "q@10.0.0.2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSuspectsAreSomebody has a snapshot of which nothing is left but suspects: there is something to
// answer from.
func TestSuspectsAreSomebody(t *testing.T) {
	old := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	old.become("1 2")
	old.become("")
	next := old.after()
	if next.Restored() || next.Remembers() {
		t.Error("known before anything has been restored")
	}
	next.restore(old.Suspects())
	if !next.Remembers() {
		t.Error("not known with suspects")
	}
	if got, want := len(next.suspectsIn("")), 2; got != want {
		t.Errorf("got %d suspects, want %d", got, want)
	}
	none := newFleet(t, "selector app=web\nbasename app\nhold 0", layouts["one slice"])
	none.restore(old.Suspects())
	if got := none.listed(); got != "" {
		t.Errorf("with hold 0: got %q, want none", got)
	}
}

// TestTheLastOutliveStates has the last ones be there still, about to end, when a reload or a restart
// comes.
func TestTheLastOutliveStates(t *testing.T) {
	for name, next := range map[string]func(*timeline, []*kubeapi.Object) *timeline{"reload": reload, "restart": restart} {
		s := newScene(t, "selector app=q\nbasename q")
		s.put(sliceNamed("s", "q", endpoint("q-1", "10.0.0.1")))
		s.put(sliceNamed("s", "q", terminating(endpoint("q-1", "10.0.0.1"))))
		s.timeline = next(s.timeline, []*kubeapi.Object{s.have["s"]})
		if got, want := s.members(""), "| q@10.0.0.1"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestSuspectsOutliveOthersOfTheirName has a restart while a suspect's address is that of another pod,
// too, which ends.
func TestSuspectsOutliveOthersOfTheirName(t *testing.T) {
	s := newScene(t, "selector app=q\nbasename q")
	ends, alive := terminating(endpoint("q-1", "10.0.0.1")), endpoint("q-2", "10.0.0.2")
	s.put(sliceNamed("s", "q", ends, endpoint("q-3", "10.0.0.1"), alive))
	s.put(sliceNamed("s", "q", ends, alive))
	s.timeline = restart(s.timeline, []*kubeapi.Object{s.have["s"]})
	if got, want := s.members(""), "q@10.0.0.2 | q@10.0.0.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTheLastGiveWayToOthersOfAReload has a reload read somebody before the state that it replaces.
func TestTheLastGiveWayToOthersOfAReload(t *testing.T) {
	f := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	for _, pods := range []string{"1", "1~", ""} {
		f.become(pods)
	}
	if got, want := f.listed(), "| 1"; got != want {
		t.Fatalf("before: got %q, want %q", got, want)
	}
	next := newFleet(t, "selector app=web\nbasename app", layouts["one slice"])
	next.timeline = f.after()
	next.become("2")
	next.inherit(f.timeline)
	if got, want := next.listed(), "2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOneGivenUpHasOthersFail has nobody pass but by an IPv6 address, which does not count until the IPv4
// one of its pod is given up. Then the others are not alive any longer.
func TestOneGivenUpHasOthersFail(t *testing.T) {
	s := newScene(t, "selector app=q\nbasename q")
	four, six, other := endpoint("q-0", "10.0.0.1"), endpoint("q-0", "fd00::1"), endpoint("q-1", "10.0.0.2")
	for _, step := range []struct {
		members []kubeapi.Member
		wait    time.Duration
		want    string
	}{
		{[]kubeapi.Member{four, six, other}, 0, "q@10.0.0.1 q@10.0.0.2"},
		{[]kubeapi.Member{six, unready(other)}, 0, "q@10.0.0.2 | q@10.0.0.1"},
		{[]kubeapi.Member{six, unready(other)}, defaultHold, "q@fd00::1 | q@10.0.0.2"},
		{[]kubeapi.Member{six, unready(other)}, defaultHold, "q@fd00::1"},
	} {
		s.pass(step.wait)
		if step.wait == 0 {
			s.put(sliceNamed("s", "q", step.members...))
		}
		if got := s.members(""); got != step.want {
			t.Fatalf("after %s: got %q, want %q", step.wait, got, step.want)
		}
	}
}
