package longnames

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// probed is a table of which the only cluster has numbered pods.
type probed struct {
	*table
	layout func(pod int) string
	have   map[string]*kubeapi.Object
}

func newProbed(t testing.TB, block string, layout func(pod int) string) *probed {
	t.Helper()
	return &probed{table: tableOf(configOf(t, block)), layout: layout, have: map[string]*kubeapi.Object{}}
}

// become changes the objects, one event each, so that they tell of pods: those of "1 2! 3~" are
// one that is ready, one whose probe fails, and one that is about to end.
func (p *probed) become(pods string) {
	for _, change := range p.changesTo(pods) {
		p.Apply([]kubeapi.Change{change}, 0)
	}
}

// becomeAtOnce does the same in one step.
func (p *probed) becomeAtOnce(pods string) { p.Apply(p.changesTo(pods), 0) }

func (p *probed) changesTo(pods string) []kubeapi.Change {
	next := make(map[string]*kubeapi.Object)
	for text := range strings.FieldsSeq(pods) {
		var number int
		if _, err := fmt.Sscan(strings.TrimRight(text, "!~"), &number); err != nil {
			panic(err)
		}
		m := endpoint(fmt.Sprint("web-", number), fmt.Sprintf("10.0.0.%d", number))
		switch text[len(text)-1] {
		case '!':
			m = unready(m)
		case '~':
			m = terminating(m)
		}
		name := p.layout(number)
		if next[name] == nil {
			next[name] = labelled(p.config, nil, named(name, slice("web")))
		}
		next[name].Members = append(next[name].Members, m)
	}
	c := &crew{table: p.table, have: p.have}
	var changes []kubeapi.Change
	for _, name := range c.names(next) {
		change := kubeapi.Change{Old: p.have[name], New: next[name]}
		if change.Old != nil && change.New != nil && slices.Equal(change.Old.Members, change.New.Members) {
			next[name] = change.Old
			continue
		}
		changes = append(changes, change)
	}
	p.have = next
	return changes
}

// listed gives the numbers of the pods that are.
func (p *probed) listed(t testing.TB) string {
	t.Helper()
	var numbers []string
	for _, longname := range txtOf(t, serving(p.table), "erl.internal.") {
		numbers = append(numbers, strings.TrimPrefix(longname, "app@10.0.0."))
	}
	slices.Sort(numbers)
	return strings.Join(numbers, " ")
}

func TestDoubt(t *testing.T) {
	const (
		endpoints = "longnames erl.internal {\n selector app=web\n basename app\n MORE\n}"
		soon      = defaultHold - 1
	)
	type step struct {
		wait time.Duration // before
		pods string        // as become has it; empty for no change
		want string
	}
	for _, tc := range []struct {
		name  string
		more  string // options
		steps []step
	}{
		{"one fails", "", []step{{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {time.Hour, "1 2 3", "1 2 3"}}},
		{"one of two fails", "", []step{{0, "1 2", "1 2"}, {0, "1 2!", "1"}, {0, "1 2", "1 2"}}},
		{"the only one fails", "", []step{{0, "1", "1"}, {0, "1!", "1"}, {0, "1! 2", "1 2"}, {time.Hour, "", "2"}}},
		{"one fails again and again", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {0, "1 2 3", "1 2 3"},
		}},
		{"one fails after another has recovered", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {0, "1 2 3", "1 2 3"}, {0, "1 2! 3", "1 3"},
		}},
		{"one fails after another that has gone", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {0, "1 2", "1 2"}, {0, "1 2!", "1"},
		}},
		{"one fails long after another", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {defaultHold, "1 2! 3!", "1"},
		}},
		{"two fail together", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"}, {soon, "1 2! 3!", "1 2 3"}, {soon, "", "1 2 3"}, {1, "", "1"},
			{0, "1 2! 3", "1 3"}, {0, "1 2 3", "1 2 3"},
		}},
		{"two fail together, and recover", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2! 3!", "1 2 3"}, {soon, "1 2 3!", "1 2 3"}, {soon, "1 2 3", "1 2 3"}, {0, "1 2 3!", "1 2"},
		}},
		{"all fail, and recover", "", []step{
			{0, "1 2 3 4", "1 2 3 4"}, {0, "1! 2! 3! 4!", "1 2 3 4"}, {time.Hour, "1! 2! 3! 4", "1 2 3 4"}, {soon, "1! 2 3! 4", "1 2 3 4"},
			{soon, "1! 2 3 4", "1 2 3 4"}, {soon, "1 2 3 4", "1 2 3 4"}, {time.Hour, "1 2 3 4!", "1 2 3"},
		}},
		{"all fail and recover one after the other", "", []step{
			{0, "1 2 3 4", "1 2 3 4"}, {0, "1! 2 3 4", "2 3 4"}, {soon, "1! 2! 3 4", "1 2 3 4"}, {soon, "1! 2! 3! 4", "1 2 3 4"},
			{soon, "1! 2! 3! 4!", "1 2 3 4"}, {soon, "1! 2! 3! 4", "1 2 3 4"}, {soon, "1! 2! 3 4", "1 2 3 4"}, {soon, "1! 2 3 4", "1 2 3 4"},
			{soon, "", "1 2 3 4"}, {1, "", "2 3 4"},
		}},
		{"one after the other, but slowly", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1! 2 3", "2 3"}, {defaultHold, "1! 2! 3", "3"}, {defaultHold, "1! 2! 3!", "1 2 3"},
			{time.Hour, "1! 2! 3", "1 2 3"}, {defaultHold, "", "3"},
		}},
		{"some flap for ever", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1! 2! 3", "1 2 3"}, {soon / 3, "1 2! 3", "1 2 3"}, {soon / 3, "1! 2! 3", "1 2 3"},
			{soon / 3, "1 2! 3", "1 2 3"}, {soon / 3, "1! 2! 3", "1 2 3"}, {soon / 3, "1 2! 3", "1 3"},
		}},
		{"boots", "", []step{
			{0, "1! 2! 3!", "1 2 3"}, {time.Hour, "1! 2 3!", "1 2 3"}, {soon, "1 2 3!", "1 2 3"}, {soon, "1 2 3", "1 2 3"}, {0, "1! 2 3", "2 3"},
		}},
		{"boots in part", "", []step{{0, "1! 2! 3!", "1 2 3"}, {0, "1! 2 3!", "1 2 3"}, {defaultHold, "", "2"}}},
		{"is known when some fail", "", []step{{0, "1! 2 3!", "2"}, {0, "1! 2 3", "2 3"}}},
		{"grows", "", []step{{0, "1 2", "1 2"}, {0, "1 2 3! 4! 5!", "1 2"}, {0, "1 2 3 4! 5!", "1 2 3"}}},
		{"grows while in doubt", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2! 3!", "1 2 3"}, {0, "1 2! 3! 4!", "1 2 3 4"}, {defaultHold, "", "1"},
		}},
		{"shrinks", "", []step{{0, "1 2 3 4", "1 2 3 4"}, {0, "1 2~ 3~ 4~", "1"}, {0, "1", "1"}}},
		{"shrinks while in doubt", "", []step{
			{0, "1 2 3 4", "1 2 3 4"}, {0, "1! 2! 3 4", "1 2 3 4"}, {0, "1! 2~ 3 4", "1 3 4"}, {0, "1! 3 4~", "1 3"}, {0, "3", "3"}, {0, "3 4!", "3"},
		}},
		{"about to end while nobody passes", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1! 2! 3!", "1 2 3"}, {0, "1! 2! 3~", "1 2 3"}, {0, "1! 2 3~", "1 2"},
		}},
		{"vanishes while in doubt", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1 2! 3!", "1 2 3"}, {0, " ", "1 2 3"}, {0, "1 2! 3!", "1 2 3"}, {settleTime, "", "1 2 3"}, {soon, "", "1 2 3"}, {1, "", "1"},
		}},
		{"is updated one by one", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1~ 2 3 4!", "2 3"}, {0, "2 3 4", "2 3 4"}, {0, "2~ 3 4 5!", "3 4"}, {0, "3 4 5", "3 4 5"},
		}},
		{"those who serve", "include serving", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1~ 2~ 3", "1 2 3"}, {0, "1~ 2! 3", "1 3"}, {0, "1~ 2! 3!", "1 2 3"}, {time.Hour, "", "1 2 3"},
			{0, "1~ 2! 3", "1 2 3"}, {0, "2! 3", "2 3"}, {defaultHold, "", "3"},
		}},
		{"a second wave", "", []step{
			{0, "1 2 3 4 5 6", "1 2 3 4 5 6"}, {0, "1! 2! 3! 4! 5! 6!", "1 2 3 4 5 6"}, {10 * time.Second, "1 2 3 4 5 6!", "1 2 3 4 5 6"},
			{5 * time.Second, "1! 2! 3! 4! 5! 6!", "1 2 3 4 5 6"}, {50 * time.Second, "1 2! 3! 4! 5! 6!", "1 2 3 4 5 6"},
			{soon, "1 2 3! 4! 5! 6!", "1 2 3 4 5 6"}, {soon, "1 2 3 4! 5! 6!", "1 2 3 4 5 6"}, {soon, "1 2 3 4 5 6", "1 2 3 4 5 6"},
		}},
		{"a second wave that is smaller", "", []step{
			{0, "1 2 3 4 5 6", "1 2 3 4 5 6"}, {0, "1! 2! 3! 4! 5! 6", "1 2 3 4 5 6"}, {5 * time.Second, "1 2 3 4 5! 6", "1 2 3 4 5 6"},
			{15 * time.Second, "1! 2! 3 4 5! 6", "1 2 3 4 5 6"}, {soon, "1! 2 3 4 5! 6", "1 2 3 4 5 6"}, {soon, "1 2 3 4 5! 6", "1 2 3 4 5 6"},
			{defaultHold, "", "1 2 3 4 6"},
		}},
		{"several flap for ever", "", []step{
			{0, "1 2 3 4", "1 2 3 4"}, {0, "1! 2! 3 4", "1 2 3 4"}, {soon, "1 2 3! 4!", "1 2 3 4"}, {soon, "1! 2! 3 4", "1 2 3 4"},
			{soon, "1 2 3! 4!", "1 2 3 4"}, {soon, "1! 2! 3 4", "1 2 3 4"},
		}},
		{"comes back one by one", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, " ", "1 2 3"}, {0, "4!", "1 2 3"}, {settleTime / 2, "4! 5! ", "1 2 3"}, {settleTime/2 - 1, "4 5!", "1 2 3"},
			{1, "", "4 5"}, {soon, "4 5", "4 5"},
		}},
		{"comes back at the end of the hold", "", []step{
			{0, "1 2 3", "1 2 3"}, {0, " ", "1 2 3"}, {soon, "4 5!", "1 2 3"}, {1, "", "4 5"}, {soon, "", "4 5"}, {1, "", "4"},
		}},
		{"all", "include all", []step{{0, "1 2 3", "1 2 3"}, {0, "1! 2! 3~", "1 2 3"}, {0, "1! 2 3~", "1 2 3"}, {time.Hour, "", "1 2 3"}}},
		{"without hold", "hold 0", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1! 2! 3", "3"}, {0, "1! 2! 3!", "1 2 3"}, {0, "1! 2! 3", "3"}, {0, "1 2 3", "1 2 3"},
		}},
		{"with a longer hold", "hold 10m", []step{
			{0, "1 2 3", "1 2 3"}, {0, "1! 2 3", "2 3"}, {9 * time.Minute, "1! 2! 3", "1 2 3"}, {10*time.Minute - 1, "", "1 2 3"}, {1, "", "3"},
		}},
	} {
		for layout, of := range layouts {
			t.Run(tc.name+", "+layout, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newProbed(t, strings.Replace(endpoints, "MORE", tc.more, 1), of)
					go p.run(t.Context())
					for i, step := range tc.steps {
						time.Sleep(step.wait)
						synctest.Wait()
						if i == 0 {
							p.becomeAtOnce(step.pods)
						} else if step.pods != "" {
							p.become(step.pods)
						}
						if got := p.listed(t); got != step.want {
							t.Errorf("step %d: got %q, want %q", i, got, step.want)
						}
					}
				})
			})
		}
	}
}

// A Service may publish those who are not ready, too: they are listed whatever another one says.
func TestThoseWhoPassElsewhereDoNotFail(t *testing.T) {
	c := configOf(t, ipBlock)
	state := func(object, service string, fails bool) *kubeapi.Object {
		o := labelled(c, nil, named(object, slice(service)))
		for i := range 3 {
			m := endpoint(fmt.Sprint("web-", i+1), fmt.Sprint("10.0.0.", i+1))
			if fails && i > 0 {
				m = unready(m)
			}
			o.Members = append(o.Members, m)
		}
		return o
	}
	plain, all := state("plain", "web", false), state("all", "web-nodes", false)
	table := tableOf(c, plain, all)
	log := logged(t, func() {
		table.Apply([]kubeapi.Change{{Old: plain, New: state("plain", "web", true)}}, 2)
		table.release(time.Now().Add(time.Hour))
	})
	equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"})
	if got := table.version.Load(); log != "" || got != 2 {
		t.Errorf("got log %q and version %d, want none and 2", log, got)
	}
}

// A Service that was made anew has other slices.
func TestThoseWhoFailInAnotherObject(t *testing.T) {
	c := configOf(t, ipBlock)
	before := labelled(c, nil, named("a", slice("web", endpoint("web-1", "10.0.0.1"), endpoint("web-2", "10.0.0.2"), endpoint("web-3", "10.0.0.3"))))
	after := labelled(c, nil, named("b", slice("web", endpoint("web-1", "10.0.0.1"), unready(endpoint("web-2", "10.0.0.2")), unready(endpoint("web-3", "10.0.0.3")))))
	table := tableOf(c, before)
	table.Apply([]kubeapi.Change{{Old: before}, {New: after}}, 2)
	equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"})
}

// A pod whose probe fails may be told of by several objects, one after the other.
func TestOneThatFailsIsOne(t *testing.T) {
	for name, other := range map[string]struct{ service, prefix string }{
		"in two Services": {"api", "10.0.0."}, "with both addresses": {"web", "fd00::"},
	} {
		t.Run(name, func(t *testing.T) {
			c := configOf(t, ipBlock)
			state := func(object, service, prefix string, fails bool) *kubeapi.Object {
				o := labelled(c, nil, named(object, slice(service)))
				for i := range 3 {
					o.Members = append(o.Members, endpoint(fmt.Sprint("web-", i+1), fmt.Sprint(prefix, i+1)))
				}
				if fails {
					o.Members[2] = unready(o.Members[2])
				}
				return o
			}
			a, b := state("a", "web", "10.0.0.", false), state("b", other.service, other.prefix, false)
			table := tableOf(c, a, b)
			table.Apply([]kubeapi.Change{{Old: a, New: state("a", "web", "10.0.0.", true)}}, 0)
			table.Apply([]kubeapi.Change{{Old: b, New: state("b", other.service, other.prefix, true)}}, 0)
			equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2"})
		})
	}
}

// They do so whichever of two slices tells it first.
func TestThoseWhoHaveBothAddressesFailTogether(t *testing.T) {
	c := configOf(t, ipBlock)
	state := func(object, prefix string, fails bool) *kubeapi.Object {
		o := labelled(c, nil, named(object, slice("web")))
		for i := range 4 {
			m := endpoint(fmt.Sprint("web-", i+1), fmt.Sprint(prefix, i+1))
			if fails && i > 0 {
				m = unready(m)
			}
			o.Members = append(o.Members, m)
		}
		return o
	}
	want := []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3", "app@10.0.0.4"}
	prefixes := map[string]string{"four": "10.0.0.", "six": "fd00::"}
	for _, order := range [][]string{{"four", "six"}, {"six", "four"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			table := tableOf(c, state("four", "10.0.0.", false), state("six", "fd00::", false))
			for _, object := range order {
				prefix := prefixes[object]
				table.Apply([]kubeapi.Change{{Old: state(object, prefix, false), New: state(object, prefix, true)}}, 0)
				equal(t, object, txtOf(t, serving(table), "erl.internal."), want)
			}
		})
	}
}

// Of a pod that has both addresses, the IPv6 one is not looked at, and may be told of first.
func TestFirstToRecoverIsToldOfByItsOtherAddress(t *testing.T) {
	c := configOf(t, ipBlock)
	state := func(object, prefix string, passes bool) *kubeapi.Object {
		o := labelled(c, nil, named(object, slice("web")))
		for i := range 3 {
			o.Members = append(o.Members, unready(endpoint(fmt.Sprint("web-", i+1), fmt.Sprint(prefix, i+1))))
		}
		o.Members[0].Ready = passes
		return o
	}
	four, six := state("four", "10.0.0.", false), state("six", "fd00::", false)
	table := tableOf(c, four, six)
	for _, change := range []kubeapi.Change{{Old: six, New: state("six", "fd00::", true)}, {Old: four, New: state("four", "10.0.0.", true)}} {
		table.Apply([]kubeapi.Change{change}, 0)
		equal(t, change.Old.Name, txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"})
	}
}

func TestVersionChangesWhenADoubtEnds(t *testing.T) {
	p := newProbed(t, ipBlock, layouts["one object"])
	p.become("1 2 3")
	for _, step := range []struct {
		name string
		do   func()
		want uint64
	}{
		{"begin", func() { p.Apply(p.changesTo("1 2! 3!"), 10) }, 10},
		{"end", func() { p.release(time.Now().Add(time.Hour)) }, 11},
		{"nothing to end", func() { p.release(time.Now().Add(2 * time.Hour)) }, 11},
		{"nobody passes", func() { p.Apply(p.changesTo("1! 2! 3!"), 12) }, 12},
		{"still nobody", func() { p.release(time.Now().Add(time.Hour)) }, 12},
	} {
		step.do()
		if got := p.version.Load(); got != step.want {
			t.Errorf("%s: got %d, want %d", step.name, got, step.want)
		}
	}
}

func TestInheritDoubts(t *testing.T) {
	const half = defaultHold / 2
	block := func(more string) string {
		return "longnames erl.internal {\n selector app=web\n basename app\n " + more + "\n}"
	}
	for _, tc := range []struct {
		name           string
		old, new       string // options
		pods, replayed string // in the end, and to the new one
		want           string
		until          time.Duration // from the reload, 0 if for ever
		afterwards     string
	}{
		{"the same", "", "", "1 2! 3!", "1 2! 3!", "1 2 3", half, "1"},
		{"nobody passes", "", "", "1! 2! 3!", "1! 2! 3!", "1 2 3", 0, ""},
		{"recovered meanwhile", "", "", "1 2! 3!", "1 2 3", "1 2 3", 0, ""},
		{"gone meanwhile", "", "", "1 2! 3!", " ", "", 0, ""},
		{"for longer now", "", "hold 1m", "1 2! 3!", "1 2! 3!", "1 2 3", half, "1"},
		{"for less long now", "hold 1m", "hold 20s", "1 2! 3!", "1 2! 3!", "1 2 3", 20 * time.Second, "1"},
		{"believed now", "", "hold 0", "1 2! 3!", "1 2! 3!", "1", 0, ""},
		{"not looked at any more", "", "include all", "1 2! 3!", "1 2! 3!", "1 2 3", 0, ""},
		{"one that fails", "", "", "1 2 3!", "1 2 3!", "1 2", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := newProbed(t, block(tc.old), layouts["objects for each"])
				go old.run(t.Context())
				old.become("1 2 3")
				old.become(tc.pods)
				time.Sleep(half)
				synctest.Wait()
				p := newProbed(t, block(tc.new), layouts["objects for each"])
				p.becomeAtOnce(tc.replayed)
				p.inherit(old.table)
				go p.run(t.Context())
				if got := p.listed(t); got != tc.want {
					t.Errorf("at once: got %q, want %q", got, tc.want)
				}
				if tc.until == 0 {
					time.Sleep(time.Hour)
					synctest.Wait()
					if got := p.listed(t); got != tc.want {
						t.Errorf("for ever: got %q, want %q", got, tc.want)
					}
					return
				}
				time.Sleep(tc.until - 1)
				synctest.Wait()
				if got := p.listed(t); got != tc.want {
					t.Errorf("just before the end: got %q, want %q", got, tc.want)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if got := p.listed(t); got != tc.afterwards {
					t.Errorf("afterwards: got %q, want %q", got, tc.afterwards)
				}
			})
		})
	}
}

func TestInheritOneThatFails(t *testing.T) {
	old := newProbed(t, ipBlock, layouts["one object"])
	old.become("1 2 3")
	old.become("1 2 3!")
	p := newProbed(t, ipBlock, layouts["one object"])
	p.become("1 2 3!")
	p.inherit(old.table)
	p.become("1 2! 3!")
	if got, want := p.listed(t), "1 2 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is held is what was answered, and so it is for the next one.
func TestInheritWhatIsHeldInDoubt(t *testing.T) {
	old := newProbed(t, ipBlock, layouts["one object"])
	for _, pods := range []string{"1 2 3", "1 2! 3!", ""} {
		old.become(pods)
	}
	p := newProbed(t, ipBlock, layouts["one object"])
	p.inherit(old.table)
	if got, want := p.listed(t), "1 2 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.release(time.Now().Add(time.Hour))
	p.become("1 2!")
	if got, want := p.listed(t), "1"; got != want {
		t.Errorf("afterwards: got %q, want %q", got, want)
	}
}

func TestDoubtIsToldAndCounted(t *testing.T) {
	p := newProbed(t, ipBlock, layouts["one object"])
	p.become("1! 2! 3!")
	a := newAudit(p.config, p.table)
	defer a.close()
	for _, step := range []struct {
		name  string
		do    func()
		want  string // in the log
		count float64
	}{
		{"the first is ready", func() { p.become("1 2! 3!") }, "", 1},
		{"the second is ready", func() { p.become("1 2 3!") }, "", 1},
		{"all are ready", func() { p.become("1 2 3") }, "", 0},
		{"two fail", func() { p.become("1 2! 3!") },
			"Cluster erl.internal. has members whose probes fail together: all (3) stay in answers until these succeed, or nothing gets better or worse for 30s", 1},
		{"one recovers", func() { p.become("1 2 3!") }, "", 1},
		{"the other recovers", func() { p.become("1 2 3") }, "Cluster erl.internal. has no members any more whose probes fail (3)", 0},
		{"two fail again", func() { p.become("1 2! 3!") }, "Cluster erl.internal. has members whose probes fail together", 1},
		{"that is the truth", func() { p.release(time.Now().Add(time.Hour)) }, "Cluster erl.internal. has members whose probes still fail: only the others (1) stay in answers", 0},
	} {
		log := logged(t, step.do)
		a.look()
		if !strings.Contains(log, step.want) || (log == "") != (step.want == "") {
			t.Errorf("%s: log: got %q, want %q", step.name, log, step.want)
		}
		if got := testutil.ToFloat64(doubtedClusters.WithLabelValues("erl.internal.")); got != step.count {
			t.Errorf("%s: count: got %v, want %v", step.name, got, step.count)
		}
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbed(t, ipBlock, layouts["one object"])
		go p.run(t.Context())
		p.become("1 2 3")
		remembered := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := len(p.failures); got != want || want == 0 && p.failures != nil {
				t.Errorf("%s: got %d in %v, want %d", when, got, p.failures, want)
			}
		}
		p.become("1 2 3!")
		remembered("one fails", 1)
		time.Sleep(defaultHold - 1)
		remembered("just before the end", 1)
		time.Sleep(burstTime)
		remembered("afterwards", 0)
		p.become("1 2! 3!")
		remembered("another fails", 1)
		p.become("1! 2! 3!")
		remembered("in doubt", 0)
	})
}
