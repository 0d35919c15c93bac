package longnames

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// layouts are ways in which objects can tell of the same pods.
var layouts = map[string]func(pod int) (object string){
	"one object":       func(int) string { return "a" },
	"two objects":      func(pod int) string { return fmt.Sprint("s", pod%2) },
	"objects for each": func(pod int) string { return fmt.Sprint("p", pod) },
}

// crew is a table of which a cluster web has numbered pods.
type crew struct {
	*table
	layout func(pod int) string
	have   map[string]*kubeapi.Object
}

func newCrew(t testing.TB, block string, layout func(pod int) string, pods ...int) *crew {
	t.Helper()
	c := &crew{table: tableOf(configOf(t, block)), layout: layout, have: map[string]*kubeapi.Object{}}
	c.become(pods...)
	return c
}

// become changes the objects so that they tell of pods, one event each.
func (c *crew) become(pods ...int) {
	next := make(map[string]*kubeapi.Object)
	for _, i := range pods {
		name := c.layout(i)
		if next[name] == nil {
			next[name] = web(c.config, named(name, slice("web")))[0]
		}
		pod := fmt.Sprint("web-", i)
		next[name].Members = append(next[name].Members, hosted(endpoint(pod, fmt.Sprintf("10.0.0.%d", i))))
	}
	for _, name := range c.names(next) {
		change := kubeapi.Change{Old: c.have[name], New: next[name]}
		if change.Old != nil && change.New != nil && slices.Equal(change.Old.Members, change.New.Members) {
			next[name] = change.Old
			continue
		}
		c.Apply([]kubeapi.Change{change}, 0)
	}
	c.have = next
}

func (c *crew) names(next map[string]*kubeapi.Object) []string {
	var all []string
	for _, objects := range []map[string]*kubeapi.Object{c.have, next} {
		for name := range objects {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestBurst(t *testing.T) {
	type step struct {
		wait time.Duration // before
		pods []int
		want []int // that are answered, if others
	}
	const soon = burstTime - 1
	five := []int{1, 2, 3, 4, 5}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"at once", []step{{0, five, nil}, {0, nil, five}, {0, five, nil}}},
		{"one after the other", []step{
			{0, five, nil},
			{0, []int{1, 2, 3, 4}, nil}, {0, []int{1, 2, 3}, nil}, {0, []int{1, 2}, nil}, {0, []int{1}, nil}, {0, nil, five},
			{0, []int{1, 2, 3}, five}, {0, five, nil},
		}},
		{"just fast enough", []step{
			{0, five, nil}, {time.Hour, []int{1, 3}, nil}, {soon, []int{1}, nil}, {soon, nil, five},
		}},
		{"just too slow", []step{
			{0, five, nil}, {0, []int{1, 3}, nil}, {burstTime, []int{1}, nil}, {burstTime, nil, []int{1}},
		}},
		{"scaled down slowly", []step{
			{0, []int{1, 2, 3}, nil}, {10 * time.Second, []int{1, 2}, nil}, {10 * time.Second, []int{1}, nil},
			{10 * time.Second, nil, []int{1}},
		}},
		{"a second burst", []step{
			{0, five, nil}, {0, []int{2, 3, 4}, nil}, {burstTime, []int{3, 4}, nil}, {soon, nil, []int{2, 3, 4}},
		}},
		{"as many come between", []step{
			{0, five, nil}, {0, []int{1, 2}, nil}, {0, []int{1, 2, 6, 7, 8}, nil}, {0, []int{7}, nil}, {0, nil, []int{1, 2, 6, 7, 8}},
		}},
		{"fewer come between", []step{
			{0, five, nil}, {0, []int{1, 2}, nil}, {0, []int{1, 2, 6}, nil}, {0, []int{2}, nil}, {0, nil, []int{1, 2, 3, 4, 5, 6}},
			{0, []int{1, 2, 3, 4, 5, 6}, nil},
		}},
		{"some come and go for long", []step{
			{0, five, nil}, {0, []int{1, 2, 3}, nil},
			{burstTime / 4, []int{1, 2, 3, 6}, nil}, {burstTime / 4, []int{1, 2, 6}, nil},
			{burstTime / 4, []int{1, 2, 6, 7}, nil}, {burstTime / 4, []int{1, 6, 7}, nil},
			{burstTime / 4, []int{1, 6, 7, 8}, nil}, {burstTime / 4, []int{6, 7, 8}, nil},
			{burstTime / 4, []int{6, 7, 8, 9}, nil}, {0, nil, []int{6, 7, 8, 9}},
		}},
		{"a rolling update with a surge", []step{
			{0, []int{1, 2, 3}, nil}, {0, []int{1, 2, 3, 4}, nil}, {0, []int{2, 3, 4}, nil}, {0, []int{2, 3, 4, 5}, nil},
			{0, []int{3, 4, 5}, nil}, {0, []int{3, 4, 5, 6}, nil}, {0, []int{4, 5, 6}, nil},
		}},
		{"a rolling update without", []step{
			{0, []int{1, 2, 3}, nil}, {0, []int{2, 3}, nil}, {0, []int{2, 3, 4}, nil}, {0, []int{3, 4}, nil},
			{0, []int{3, 4, 5}, nil}, {0, []int{4, 5}, nil}, {0, []int{4, 5, 6}, nil},
		}},
		{"a rolling update of two at a time", []step{
			{0, []int{1, 2, 3}, nil}, {0, []int{3}, nil}, {0, []int{3, 4}, nil}, {0, []int{4}, nil},
			{0, []int{4, 5}, nil}, {0, []int{4, 5, 6}, nil},
		}},
	} {
		for layout, of := range layouts {
			for _, runs := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, runs=%t", tc.name, layout, runs), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c := newCrew(t, groupedHosts, of)
						if runs {
							go c.run(t.Context())
						}
						for i, step := range tc.steps {
							time.Sleep(step.wait)
							synctest.Wait()
							c.become(step.pods...)
							want := step.want
							if want == nil {
								want = step.pods
							}
							equal(t, fmt.Sprint("step ", i), dump(t, c.table), dump(t, newCrew(t, groupedHosts, of, want...).table))
							if got := c.cluster("web.prod").hold.Load() != nil; got != (step.want != nil) {
								t.Errorf("step %d: held: got %t, want %t", i, got, step.want != nil)
							}
						}
					})
				})
			}
		}
	}
}

func TestBurstIsGivenUpAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, groupedHosts, layouts["objects for each"], 1, 2, 3)
		go c.run(t.Context())
		want := dump(t, c.table)
		c.become(1, 2)
		c.become()
		time.Sleep(defaultHold - 1)
		synctest.Wait()
		equal(t, "just before the end", dump(t, c.table), want)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		equal(t, "afterwards", dump(t, c.table), dump(t, tableOf(c.config)))
	})
}

func TestBurstWithoutHold(t *testing.T) {
	c := newCrew(t, withoutHold(groupedHosts), layouts["objects for each"], 1, 2, 3)
	c.become(1, 2)
	if c.bursts != nil {
		t.Errorf("got %d bursts, want none remembered", len(c.bursts))
	}
	c.become()
	equal(t, "all there is", dump(t, c.table), dump(t, tableOf(c.config)))
}

// One that is emptied leaves those of the other family, who have other names.
func TestBurstOfBothFamilies(t *testing.T) {
	c := configOf(t, ipBlock)
	four := named("four", slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2")))
	six := named("six", slice("web", endpoint("p1", "fd00::1"), endpoint("p2", "fd00::2")))
	for _, tc := range []struct {
		name          string
		first, second *kubeapi.Object
		between       []string
	}{
		{"IPv4 first", four, six, []string{"app@fd00::1", "app@fd00::2"}},
		{"IPv6 first", six, four, []string{"app@10.0.0.1", "app@10.0.0.2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := tableOf(c, four, six)
			want := dump(t, table)
			table.Apply([]kubeapi.Change{{Old: tc.first, New: named(tc.first.Name, slice("web"))}}, 0)
			equal(t, "between", txtOf(t, serving(table), "erl.internal."), tc.between)
			table.Apply([]kubeapi.Change{{Old: tc.second, New: named(tc.second.Name, slice("web"))}}, 0)
			equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2"})
			equal(t, "all there is", dump(t, table), want)
		})
	}
}

// What was before may be less than what there was at last, if that got names meanwhile.
func TestBurstInWhichMembersGetNames(t *testing.T) {
	c := configOf(t, hostnameBlock)
	before := slice("web", hosted(endpoint("web-0", "10.0.0.1")), endpoint("web-1", "10.0.0.2"), endpoint("web-2", "10.0.0.3"))
	after := slice("web", hosted(endpoint("web-1", "10.0.0.2")), hosted(endpoint("web-2", "10.0.0.3")))
	table := tableOf(c, before)
	table.Apply([]kubeapi.Change{{Old: before, New: after}}, 0)
	want := dump(t, table)
	table.Apply(gone(after), 0)
	equal(t, "all there is", dump(t, table), want)
}

func TestBurstIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, groupedHosts, layouts["objects for each"], 1, 2, 3, 4)
		go c.run(t.Context())
		remembered := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := len(c.bursts); got != want || want == 0 && c.bursts != nil {
				t.Errorf("%s: got %d bursts in %v, want %d", when, got, c.bursts, want)
			}
		}
		c.become(1, 2, 3)
		remembered("a loss", 1)
		time.Sleep(burstTime - 1)
		c.become(1, 2)
		remembered("another", 1)
		time.Sleep(time.Nanosecond)
		remembered("after the first", 1)
		time.Sleep(burstTime)
		remembered("after all", 0)

		c.become(1)
		remembered("the next", 1)
		c.become(1, 2)
		c.mu.Lock()
		if got := len(c.bursts); got != 0 {
			t.Errorf("as many have come: got %d bursts, want none", got)
		}
		c.mu.Unlock()
		time.Sleep(burstTime)
		remembered("after as many have come", 0)
		c.become(1)
		c.become()
		time.Sleep(burstTime)
		remembered("held", 0)
	})
}

// TestQuestionsDuringBursts is for the race detector too.
func TestQuestionsDuringBursts(t *testing.T) {
	for name, block := range map[string]string{"many clusters": groupedHosts, "one cluster": hostnameBlock} {
		t.Run(name, func(t *testing.T) {
			cluster := "erl.internal."
			if strings.Contains(block, "group_by") {
				cluster = "web.prod.erl.internal."
			}
			all := []int{1, 2, 3, 4, 5}
			c := newCrew(t, block, layouts["objects for each"], all...)
			l := serving(c.table)
			questions := []struct {
				name, qtype string
				least, most int
			}{
				{cluster, "SRV", 1, 5}, {cluster, "TXT", 1, 5}, {cluster, "A", 1, 5}, {"web-1." + cluster, "A", 1, 1},
				{"web-1.web.prod.svc.erl.internal.", "A", 1, 1}, {"1.0.0.10.in-addr.arpa.", "PTR", 1, 1},
				{"web-5.web.prod.svc.erl.internal.", "A", 0, 1}, {"5.0.0.10.in-addr.arpa.", "PTR", 0, 1},
			}
			done := make(chan struct{})
			var wg sync.WaitGroup
			for _, q := range questions {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if m := ask(t, l, q.name, q.qtype, client{}); len(m.Answer) < q.least || len(m.Answer) > q.most {
							t.Errorf("%s %s: got %s and %q, want %d to %d", q.name, q.qtype, dns.RcodeToString[m.Rcode], texts(m.Answer), q.least, q.most)
							return
						}
					}
				})
			}
			logged(t, func() {
				for range 100 {
					for i := range all {
						c.become(all[:len(all)-i-1]...)
					}
					for _, q := range questions {
						if m := ask(t, l, q.name, q.qtype, client{}); len(m.Answer) != q.most {
							t.Errorf("after a burst: %s %s: got %s and %q, want %d", q.name, q.qtype, dns.RcodeToString[m.Rcode], texts(m.Answer), q.most)
						}
					}
					c.become(all...)
				}
			})
			close(done)
			wg.Wait()
		})
	}
}

// Pods that lose a label do so one by one, and keep their addresses.
func TestBurstOfMembersThatLoseTheirNames(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n selector app=web\n lookup pods\n basename label beam\n}")
	pod := func(i int, set labels) *kubeapi.Object {
		name := fmt.Sprint("p", i)
		return labelled(c, set, named(name, slice(name, endpoint(name, fmt.Sprintf("10.0.0.%d", i)))))
	}
	beam := labels{"beam": "app"}
	table := tableOf(c, pod(1, beam), pod(2, beam), pod(3, beam), pod(4, nil))
	for _, step := range []kubeapi.Change{
		{Old: pod(1, beam), New: pod(1, nil)},
		{Old: pod(2, beam), New: pod(2, nil)},
		{Old: pod(4, nil), New: pod(4, beam)}, // meanwhile, one gets its name
		{Old: pod(3, beam), New: pod(3, nil)},
		{Old: pod(4, beam), New: pod(4, nil)},
	} {
		table.Apply([]kubeapi.Change{step}, 0)
	}
	equal(t, "held", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3", "app@10.0.0.4"})
}
