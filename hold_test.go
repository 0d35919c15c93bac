package longnames

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// groupedHosts is a block of which everything can be asked that is indexed.
const groupedHosts = "longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n}"

// web are objects of a cluster web in namespace prod, for a block that groups by app.
func web(c *config, objects ...*kubeapi.Object) []*kubeapi.Object {
	for _, o := range objects {
		labelled(c, labels{"app": "web"}, o)
	}
	return objects
}

// gone are the changes that remove objects.
func gone(objects ...*kubeapi.Object) []kubeapi.Change {
	changes := make([]kubeapi.Change, 0, len(objects))
	for _, o := range objects {
		changes = append(changes, kubeapi.Change{Old: o})
	}
	return changes
}

// rcodes asks for names, and gives the kinds of answers without repetition.
func rcodes(t testing.TB, table *table, questions map[string]string) []string {
	t.Helper()
	var all []string
	for name, qtype := range questions {
		all = append(all, dns.RcodeToString[ask(t, serving(table), name, qtype, client{}).Rcode])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestHoldOfOneOfManyClusters(t *testing.T) {
	before := slice("web", hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2")))
	with := func(edit func(*kubeapi.Object)) *kubeapi.Object {
		after, template := *before, *before.Template
		after.Template = &template
		after.Members, after.Labels = slices.Clone(before.Members), slices.Clone(before.Labels)
		edit(&after)
		return &after
	}
	for name, after := range map[string]func(c *config) *kubeapi.Object{
		"deleted":        func(*config) *kubeapi.Object { return nil },
		"without member": func(*config) *kubeapi.Object { return with(func(o *kubeapi.Object) { o.Members = nil }) },
		"without hostname": func(*config) *kubeapi.Object {
			return with(func(o *kubeapi.Object) {
				for i := range o.Members {
					o.Members[i].Hostname = ""
				}
			})
		},
		"without service": func(*config) *kubeapi.Object { return with(func(o *kubeapi.Object) { o.Service = "" }) },
		"without group": func(c *config) *kubeapi.Object {
			return with(func(o *kubeapi.Object) { labelled(c, nil, o) })
		},
		"in a group that is no label": func(c *config) *kubeapi.Object {
			return with(func(o *kubeapi.Object) { labelled(c, labels{"app": "we_b"}, o) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := configOf(t, groupedHosts)
				table := tableOf(c, web(c, before)...)
				go table.run(t.Context())
				questions, want := everyName(table), dump(t, table)
				// Beside clusters, namespaces, host parts, what is above them, and addresses:
				questions["web-0.web.prod.erl.internal."], questions["0.10.in-addr.arpa."] = "A", "PTR"

				change := kubeapi.Change{Old: before, New: after(c)}
				table.Apply([]kubeapi.Change{change}, 2)
				equal(t, "at once", dump(t, table), want)
				equal(t, "at once, all names", rcodes(t, table, questions), []string{"NOERROR", "YXDOMAIN"})
				time.Sleep(defaultHold - 1)
				synctest.Wait()
				equal(t, "just before the end", dump(t, table), want)

				time.Sleep(time.Nanosecond)
				synctest.Wait()
				delete(questions, "erl.internal.") // is above host parts, and the zone
				if change.New != nil && change.New.Labels[0].Value == "web" {
					delete(questions, "web.prod.erl.internal.") // still an object, if without members
					delete(questions, "prod.erl.internal.")
					for name := range questions {
						if strings.HasSuffix(name, ".arpa.") {
							delete(questions, name)
						}
					}
					if got := ask(t, serving(table), "web.prod.erl.internal.", "TXT", client{}); len(got.Answer) > 0 || got.Rcode != dns.RcodeSuccess {
						t.Errorf("afterwards: got %s and %q, want no records", dns.RcodeToString[got.Rcode], texts(got.Answer))
					}
				}
				equal(t, "afterwards", rcodes(t, table, questions), []string{"NXDOMAIN", "YXDOMAIN"})
				equal(t, "all there is afterwards", dump(t, table), dump(t, tableWith(c, change.New)))
			})
		})
	}
}

// tableWith is a table that has seen one object, if any.
func tableWith(c *config, o *kubeapi.Object) *table {
	if o == nil {
		return tableOf(c)
	}
	return tableOf(c, o)
}

func TestHoldOfTheOnlyCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := configOf(t, strings.Replace(hostnameBlock, "mode", "hold 2m\n mode", 1))
		o := slice("web", hosted(endpoint("web-0", "10.0.0.1")), unready(hosted(endpoint("web-1", "10.0.0.2"))))
		table := tableOf(c, o)
		go table.run(t.Context())
		l := serving(table)
		check := func(when string, want ...string) {
			t.Helper()
			equal(t, when+", members", txtOf(t, l, "erl.internal."), want)
			// Of those that are not listed, too.
			addresses := []string{"10.0.0.1", "10.0.0.2"}
			if want == nil {
				addresses = nil
			}
			var single, ptr []string
			for i := range 2 {
				single = append(single, data(ask(t, l, fmt.Sprintf("web-%d.erl.internal.", i), "A", client{}).Answer)...)
				ptr = append(ptr, data(ask(t, l, fmt.Sprintf("%d.0.0.10.in-addr.arpa.", i+1), "PTR", client{}).Answer)...)
			}
			equal(t, when+", single nodes", single, addresses)
			if len(ptr) != len(addresses) {
				t.Errorf("%s, addresses: got %q, want names of %q", when, ptr, addresses)
			}
		}
		want := "app@web-0.web.prod.svc.Erl.internal"
		check("before", want)
		table.Apply(gone(o), 2)
		check("at once", want)
		time.Sleep(2*time.Minute - 1)
		synctest.Wait()
		check("just before the end", want)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		check("afterwards")
		if m := ask(t, l, "erl.internal.", "TXT", client{}); m.Rcode != dns.RcodeSuccess || len(m.Ns) != 1 {
			t.Errorf("afterwards: got %s, want NOERROR without records", dns.RcodeToString[m.Rcode])
		}
	})
}

func TestHoldEndsOnceThereAreMembers(t *testing.T) {
	for name, block := range map[string]string{"one cluster": hostnameBlock, "many clusters": groupedHosts} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := configOf(t, block)
				before := web(c, slice("web", hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2"))))[0]
				empty := web(c, slice("web"))[0]
				unnamed := web(c, named("other", slice("web", endpoint("web-2", "10.0.0.3"))))[0]
				after := web(c, slice("web", hosted(endpoint("web-3", "10.0.0.4"))))[0]
				table := tableOf(c, before)
				go table.run(t.Context())
				want := dump(t, table)
				steps := []struct {
					name   string
					change kubeapi.Change
				}{
					{"members gone", kubeapi.Change{Old: before, New: empty}},
					{"one that cannot be named", kubeapi.Change{New: unnamed}},
					{"object gone", kubeapi.Change{Old: empty}},
				}
				for _, step := range steps {
					table.Apply([]kubeapi.Change{step.change}, 0)
					equal(t, step.name, dump(t, table), want)
				}
				table.Apply([]kubeapi.Change{{New: after}}, 0)
				equal(t, "one has come, more may follow", dump(t, table), want)
				time.Sleep(settleTime)
				synctest.Wait()
				equal(t, "no more have come", dump(t, table), dump(t, tableOf(c, unnamed, after)))

				// The time of the first hold is not that of the next.
				time.Sleep(defaultHold / 2)
				want = dump(t, table)
				table.Apply(gone(after), 0)
				time.Sleep(defaultHold - 1)
				synctest.Wait()
				equal(t, "held again", dump(t, table), want)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				equal(t, "afterwards", dump(t, table), dump(t, tableOf(c, unnamed)))
			})
		})
	}
}

// Members come back one after the other: the first ones are not all.
func TestHoldWaitsForAllToComeBack(t *testing.T) {
	c := configOf(t, ipBlock)
	of := func(addresses ...string) *kubeapi.Object {
		o := slice("web")
		for _, a := range addresses {
			o.Members = append(o.Members, endpoint("p-"+a, a))
		}
		return o
	}
	held := []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"}
	type step struct {
		object *kubeapi.Object // nil for no change
		wait   time.Duration
		want   []string
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"all in time", []step{
			{of("10.0.0.1"), settleTime / 2, held},
			{of("10.0.0.1", "10.0.0.2"), settleTime/2 - 1, held},
			{of("10.0.0.1", "10.0.0.2", "10.0.0.9"), 0, []string{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.9"}},
		}},
		{"too late", []step{
			{of("10.0.0.1"), settleTime - 1, held},
			{of("10.0.0.1", "10.0.0.2"), 1, []string{"app@10.0.0.1", "app@10.0.0.2"}},
		}},
		{"gone again", []step{
			{of("10.0.0.1"), settleTime / 2, held},
			{of(), settleTime, held},
			{of("10.0.0.1"), settleTime - 1, held},
			{nil, 1, []string{"app@10.0.0.1"}},
		}},
		{"gone for good", []step{
			{of("10.0.0.1"), settleTime / 2, held},
			{of(), defaultHold - settleTime/2 - 1, held},
			{nil, 1, nil},
		}},
		{"shortly before the end", []step{
			{of(), defaultHold - 1, held},
			{of("10.0.0.1"), 0, held},
			{nil, 1, []string{"app@10.0.0.1"}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last := of("10.0.0.1", "10.0.0.2", "10.0.0.3")
				table := tableOf(c, last)
				go table.run(t.Context())
				l := serving(table)
				change := func(next *kubeapi.Object) {
					table.Apply([]kubeapi.Change{{Old: last, New: next}}, 0)
					last = next
				}
				change(of())
				for i, step := range tc.steps {
					if step.object != nil {
						change(step.object)
					}
					time.Sleep(step.wait)
					synctest.Wait()
					equal(t, fmt.Sprint("step ", i), txtOf(t, l, "erl.internal."), step.want)
				}
			})
		})
	}
}

// To name all who are there at each event would take the square of their number.
func TestThoseWhoComeBackAreNotNamedUntilTheyAreAll(t *testing.T) {
	const n = 50
	c := configOf(t, groupedHosts)
	pods := make([]*kubeapi.Object, 0, n)
	for i := range n {
		pod := fmt.Sprint("web-", i)
		pods = append(pods, web(c, named(pod, slice("web", hosted(endpoint(pod, fmt.Sprintf("10.0.0.%d", i+1))))))...)
	}
	table := tableOf(c, pods...)
	l := serving(table)
	table.Apply(gone(pods...), 0)
	want := txtOf(t, l, "web.prod.erl.internal.")
	if len(want) != n {
		t.Fatalf("held: got %d members, want %d", len(want), n)
	}
	held := table.cluster("web.prod")
	for i, pod := range pods {
		apply(table, pod)
		isNamed, isHeld := held.actual.built != nil, held.hold.Load() != nil
		if last := i == n-1; isNamed != last || isHeld == last {
			t.Fatalf("%d of %d have come: got named %t, held %t; want named %t, held %t", i+1, n, isNamed, isHeld, last, !last)
		}
	}
	equal(t, "afterwards", txtOf(t, l, "web.prod.erl.internal."), want)
}

func TestHoldOff(t *testing.T) {
	c := configOf(t, strings.Replace(groupedHosts, "mode", "hold 0\n mode", 1))
	objects := web(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
	table := tableOf(c, objects...)
	table.Apply(gone(objects...), 2)
	equal(t, "all there is", dump(t, table), dump(t, tableOf(c)))
	if _, ok := table.release(time.Now()); ok {
		t.Error("got something to release, want nothing held")
	}
}

func TestHoldOfMembersThatWereLastKnown(t *testing.T) {
	c := configOf(t, groupedHosts)
	objects := web(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
	table := newTable(c)
	apply(table, objects...)
	table.Restored()
	table.Apply(gone(objects...), 2)
	table.Synced()
	equal(t, "members", txtOf(t, serving(table), "web.prod.erl.internal."), []string{"web@web-0.web.prod.svc.erl.internal"})
}

// An address or a host part may belong to another cluster by now.
func TestWhatIsThereComesBeforeWhatIsHeld(t *testing.T) {
	for _, first := range []string{"a", "z"} { // held
		t.Run(first, func(t *testing.T) {
			c := configOf(t, groupedHosts)
			old := labelled(c, labels{"app": first}, named(first, slice(first, hosted(endpoint("p", "10.0.0.1")))))
			moved := labelled(c, labels{"app": first}, named("moved", slice("web", hosted(endpoint("web-0", "10.0.0.2")))))
			table := tableOf(c, old, moved)
			table.Apply(gone(old, moved), 2)
			apply(table, labelled(c, labels{"app": "m"}, slice("web", hosted(endpoint("web-0", "10.0.0.1")))))
			l := serving(table)
			equal(t, "the address", data(ask(t, l, "1.0.0.10.in-addr.arpa.", "PTR", client{}).Answer), []string{"web-0.web.prod.svc.erl.internal."})
			equal(t, "the host part", data(ask(t, l, "web-0.web.prod.svc.erl.internal.", "A", client{}).Answer), []string{"10.0.0.1"})
			equal(t, "a host part of the held one", data(ask(t, l, "p."+first+".prod.svc.erl.internal.", "A", client{}).Answer), []string{"10.0.0.1"})
			equal(t, "an address of the held one", data(ask(t, l, "2.0.0.10.in-addr.arpa.", "PTR", client{}).Answer), []string{"web-0.web.prod.svc.erl.internal."})
		})
	}
}

func TestVersionChangesWhenAHoldEnds(t *testing.T) {
	c := configOf(t, ipBlock)
	a := slice("web", endpoint("p1", "10.0.0.1"))
	table := tableOf(c)
	for _, step := range []struct {
		name string
		do   func()
		want uint64
	}{
		{"members", func() { table.Apply([]kubeapi.Change{{New: a}}, 10) }, 10},
		{"gone", func() { table.Apply(gone(a), 11) }, 11},
		{"given up", func() { table.release(time.Now().Add(time.Hour)) }, 12},
		{"nothing to give up", func() { table.release(time.Now().Add(time.Hour)) }, 12},
		{"members again", func() { table.Apply([]kubeapi.Change{{New: a}}, 13) }, 13},
	} {
		step.do()
		if got := table.version.Load(); got != step.want {
			t.Errorf("%s: got %d, want %d", step.name, got, step.want)
		}
	}
}

func TestInherit(t *testing.T) {
	const grouped = "longnames erl.internal {\n group_by app\n HOLD\n}"
	with := func(block, option string) string { return strings.Replace(block, "HOLD", option, 1) }
	came := func(c *config) []*kubeapi.Object {
		return web(c, slice("web", endpoint("p9", "10.0.0.9")))
	}
	for _, tc := range []struct {
		name     string
		old, new string
		replayed func(*config) []*kubeapi.Object
		want     []string      // members
		until    time.Duration // from when they vanished, 0 if for ever
	}{
		{"one cluster", ipBlock, ipBlock, nil, []string{"app@10.0.0.1"}, 30 * time.Second},
		{"one cluster, replayed empty", ipBlock, ipBlock, func(c *config) []*kubeapi.Object { return web(c, slice("web")) },
			[]string{"app@10.0.0.1"}, 30 * time.Second},
		{"one cluster that has members again", ipBlock, ipBlock, came, []string{"app@10.0.0.9"}, 0},
		{"many clusters", with(grouped, ""), with(grouped, ""), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"many clusters, replayed empty", with(grouped, ""), with(grouped, ""),
			func(c *config) []*kubeapi.Object { return web(c, slice("web")) }, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"many clusters of which one has members again", with(grouped, ""), with(grouped, ""), came, []string{"web@10.0.0.9"}, 0},
		{"named in another way", with(grouped, ""), with(grouped, "basename other"), nil, []string{"other@10.0.0.1"}, 30 * time.Second},
		{"held for longer now", with(grouped, ""), with(grouped, "hold 5m"), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"held for less long now", with(grouped, "hold 5m"), with(grouped, "hold 1m"), nil, []string{"web@10.0.0.1"}, time.Minute + 10*time.Second},
		{"held no more", with(grouped, ""), with(grouped, "hold 0"), nil, nil, 0},
		{"another group", with(grouped, ""), strings.Replace(grouped, "app\n HOLD", "team", 1), nil, nil, 0},
		{"fewer labels", with(grouped, "basename label app"), with(grouped, ""), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"one family", with(grouped, ""), with(grouped, "family ipv4"), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"more labels", with(grouped, ""), with(grouped, "basename label beam"), nil, nil, 0},
		{"other namespaces", with(grouped, ""), with(grouped, "namespaces test"), nil, nil, 0},
		{"more namespaces", with(grouped, "namespaces prod"), with(grouped, "namespaces test prod"), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"fewer namespaces", with(grouped, "namespaces test prod"), with(grouped, "namespaces prod"), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"all namespaces", with(grouped, "namespaces prod"), with(grouped, "namespaces *"), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"the default namespace", with(grouped, "namespaces prod"), with(grouped, ""), nil, []string{"web@10.0.0.1"}, 30 * time.Second},
		{"the other family", with(grouped, ""), with(grouped, "family ipv6"), nil, nil, 0},
		{"names that they cannot have", with(grouped, ""), with(grouped, "mode hostname"), nil, nil, 0},
		{"many clusters instead of one", ipBlock, with(grouped, ""), nil, nil, 0},
		{"one cluster instead of many", with(grouped, ""), ipBlock, nil, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := configOf(t, tc.old)
				objects := web(c, slice("web", endpoint("p1", "10.0.0.1")))
				old := tableOf(c, objects...)
				old.Apply(gone(objects...), 2)
				// Another one that has come back is not held.
				apply(old, labelled(c, labels{"app": "back"}, named("back", slice("back"))))
				time.Sleep(10 * time.Second)

				c = configOf(t, tc.new)
				name := "erl.internal."
				if c.groupLabel >= 0 {
					name = "web.prod.erl.internal."
				}
				table := newTable(c)
				table.inherit(old)
				go table.run(t.Context())
				want := dns.RcodeServerFailure // as ever before anything is known
				if tc.want != nil {
					want = dns.RcodeSuccess
				}
				if m := ask(t, serving(table), name, "TXT", client{}); m.Rcode != want {
					t.Errorf("before it has been read: got %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
				}
				if tc.replayed != nil {
					apply(table, tc.replayed(c)...)
				}
				table.Synced()
				equal(t, "members", txtOf(t, serving(table), name), tc.want)
				if tc.until == 0 {
					time.Sleep(time.Hour)
					synctest.Wait()
					equal(t, "members for ever", txtOf(t, serving(table), name), tc.want)
					return
				}
				time.Sleep(tc.until - 10*time.Second - 1)
				synctest.Wait()
				equal(t, "members just before the end", txtOf(t, serving(table), name), tc.want)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				equal(t, "members afterwards", txtOf(t, serving(table), name), nil)
			})
		})
	}
}

func TestInheritOnlyWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := configOf(t, groupedHosts)
		objects := func(app string, i int) *kubeapi.Object {
			return labelled(c, labels{"app": app}, slice(app, hosted(endpoint(app, fmt.Sprintf("10.0.0.%d", i)))))
		}
		expired, back, held, live := objects("expired", 1), objects("back", 2), objects("held", 3), objects("live", 4)
		old := tableOf(c, expired, back, held, live)
		go old.run(t.Context())
		old.Apply(gone(expired, back), 2)
		time.Sleep(defaultHold / 2)
		old.Apply([]kubeapi.Change{{New: back}, {Old: held}}, 3)
		time.Sleep(defaultHold / 2)
		synctest.Wait()

		table := newTable(c)
		table.inherit(old)
		table.Synced()
		equal(t, "all there is", dump(t, table), dump(t, tableOf(c, held)))
		next, _ := table.release(time.Now())
		if got, want := time.Until(next), defaultHold/2; got != want {
			t.Errorf("the time left: got %s, want %s", got, want)
		}
	})
}

func TestInheritOnlyFromNamespacesThatAreWatched(t *testing.T) {
	c := configOf(t, strings.Replace(ipBlock, "selector", "namespaces *\n selector", 1))
	prod, other := slice("web", endpoint("p1", "10.0.0.1")), slice("web", endpoint("p2", "10.0.0.2"))
	other.Namespace = "test"
	old := tableOf(c, prod, other)
	old.Apply(gone(prod, other), 2)
	table := newTable(configOf(t, strings.Replace(ipBlock, "selector", "namespaces test\n selector", 1)))
	table.inherit(old)
	table.Synced()
	equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.2"})
}

// A table that follows the source of another has been told before it inherits what there
// is, and maybe more.
func TestInheritAfterJoining(t *testing.T) {
	pod := func(c *config, i int) *kubeapi.Object {
		return web(c, named(fmt.Sprint("web-", i), slice("web", hosted(endpoint(fmt.Sprint("web-", i), fmt.Sprintf("10.0.0.%d", i))))))[0]
	}
	pods := func(c *config, numbers ...int) (all []*kubeapi.Object) {
		for _, i := range numbers {
			all = append(all, pod(c, i))
		}
		return all
	}
	for _, tc := range []struct {
		name         string
		before, left []int // of three, when the new one joins
		lost, come   []int // of which both are told before it inherits, and then after
		want         []int
		afterwards   []int // when it has settled, before the hold ends
	}{
		{"none lost", nil, []int{1, 2, 3}, nil, nil, []int{1, 2, 3}, []int{1, 2, 3}},
		{"lost before", []int{1, 2, 3}, nil, nil, nil, []int{1, 2, 3}, []int{1, 2, 3}},
		{"lost between", nil, []int{1, 2, 3}, []int{1, 2, 3}, nil, []int{1, 2, 3}, []int{1, 2, 3}},
		{"lost in a burst that began before", []int{1, 2}, []int{3}, []int{3}, nil, []int{1, 2, 3}, []int{1, 2, 3}},
		{"all come back", []int{1, 2, 3}, nil, nil, []int{1, 2, 3}, []int{1, 2, 3}, []int{1, 2, 3}},
		{"others come", []int{1, 2, 3}, nil, nil, []int{4, 5, 6}, []int{4, 5, 6}, []int{4, 5, 6}},
		{"one comes", []int{1, 2, 3}, nil, nil, []int{4}, []int{1, 2, 3}, []int{4}},
	} {
		for name, block := range map[string]string{"one cluster": hostnameBlock, "many clusters": groupedHosts} {
			t.Run(tc.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := configOf(t, block)
					old, table := tableOf(c, pods(c, 1, 2, 3)...), newTable(c)
					go table.run(t.Context())
					for _, o := range pods(c, tc.before...) {
						old.Apply(gone(o), 0)
					}
					apply(table, pods(c, tc.left...)...)
					table.Synced()
					for _, o := range pods(c, tc.lost...) {
						old.Apply(gone(o), 0)
						table.Apply(gone(o), 0)
					}
					for _, o := range pods(c, tc.come...) {
						old.Apply([]kubeapi.Change{{New: o}}, 0)
						table.Apply([]kubeapi.Change{{New: o}}, 0)
					}
					table.inherit(old)
					equal(t, "at once", dump(t, table), dump(t, tableOf(c, pods(c, tc.want...)...)))
					time.Sleep(settleTime)
					synctest.Wait()
					equal(t, "afterwards", dump(t, table), dump(t, tableOf(c, pods(c, tc.afterwards...)...)))
					time.Sleep(defaultHold)
					synctest.Wait()
					there := pods(c, tc.come...)
					if len(tc.left) > len(tc.lost) {
						there = pods(c, tc.left...)
					}
					equal(t, "in the end", dump(t, table), dump(t, tableOf(c, there...)))
				})
			})
		}
	}
}

func TestInheritABurst(t *testing.T) {
	c := configOf(t, ipBlock)
	a, b := named("a", slice("web", endpoint("p1", "10.0.0.1"))), named("b", slice("web", endpoint("p2", "10.0.0.2")))
	old := tableOf(c, a, b)
	old.Apply(gone(a), 0)
	table := tableOf(c, b)
	table.inherit(old)
	table.Apply(gone(b), 0)
	equal(t, "members", txtOf(t, serving(table), "erl.internal."), []string{"app@10.0.0.1", "app@10.0.0.2"})
}

func TestSuccessorKeepsWhatIsHeld(t *testing.T) {
	manifest := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := func(path string) *config {
		return configOf(t, "longnames erl.internal {\n manifests "+path+"\n group_by app\n}")
	}
	first, second := manifest("a.yaml", ""), manifest("b.yaml", "")
	for name, path := range map[string]string{"the same source": first, "another source": second} {
		t.Run(name, func(t *testing.T) {
			old, err := newBlock(config(first))
			if err != nil {
				t.Fatal(err)
			}
			old.source.Join(old.table)
			t.Cleanup(func() { <-old.source.Leave(old.table) })
			<-old.table.done
			objects := web(old.config, slice("web", endpoint("p1", "10.0.0.1")))
			apply(old.table, objects...)
			old.table.Apply(gone(objects...), 7)
			version := old.source.Version()

			b, err := newBlock(config(path))
			if err != nil {
				t.Fatal(err)
			}
			b.start(old)
			t.Cleanup(func() { b.stop(false) })
			if got, want := b.source == old.source, path == first; got != want {
				t.Errorf("goes on with the same source: got %t, want %t", got, want)
			}
			<-b.table.done
			equal(t, "members", txtOf(t, serving(b.table), "web.prod.erl.internal."), []string{"web@10.0.0.1"})
			if got := b.table.version.Load(); got < version {
				t.Errorf("version: got %d, want no less than the %d of before", got, version)
			}
		})
	}
}

func TestHoldIsLogged(t *testing.T) {
	c := configOf(t, strings.Replace(groupedHosts, "mode", "hold 1m\n mode", 1))
	cluster := func(i int) *kubeapi.Object {
		app := fmt.Sprint("c", i)
		return labelled(c, labels{"app": app}, slice(app, hosted(endpoint("p0", "10.0.0.1")), hosted(endpoint("p1", "10.0.0.2"))))
	}
	for _, tc := range []struct {
		clusters int
		lines    int
		more     string
	}{
		{1, 1, ""},
		{holdLog, holdLog, ""},
		{holdLog + 3, holdLog + 1, "erl.internal. And 3 more clusters"},
	} {
		t.Run(fmt.Sprint(tc.clusters), func(t *testing.T) {
			var objects []*kubeapi.Object
			var added []kubeapi.Change
			for i := range tc.clusters {
				objects = append(objects, cluster(i))
				added = append(added, kubeapi.Change{New: objects[i]})
			}
			table := tableOf(c, objects...)
			for _, step := range []struct {
				name string
				do   func()
				want string
			}{
				{"begin", func() { table.Apply(gone(objects...), 0) },
					"erl.internal. Cluster c0.prod.erl.internal. has no members left, by accident or on purpose: the last ones (2) stay in answers for 1m0s"},
				{"return", func() { table.Apply(added, 0) }, "erl.internal. Cluster c0.prod.erl.internal. has members again (2)"},
				{"begin again", func() { table.Apply(gone(objects...), 0) }, "erl.internal. Cluster c0.prod.erl.internal. has no members left"},
				{"end", func() { table.release(time.Now().Add(time.Hour)) },
					"erl.internal. Cluster c0.prod.erl.internal. has got no members again: the last ones (2) are given up"},
			} {
				log := logged(t, step.do)
				if got := strings.Count(log, "\n"); got != tc.lines {
					t.Errorf("%s: got %d lines, want %d: %q", step.name, got, tc.lines, log)
				}
				if !strings.Contains(log, tc.more) || tc.clusters == 1 && !strings.Contains(log, step.want) {
					t.Errorf("%s: got %q, want %q in it", step.name, log, step.want+tc.more)
				}
			}
		})
	}
}

func TestHoldsAreCounted(t *testing.T) {
	measured(t, "holds.internal.")
	c := configOf(t, "longnames holds.internal {\n group_by app\n}")
	cluster := func(name string) *kubeapi.Object {
		return labelled(c, labels{"app": name}, slice(name, endpoint("p0", "10.0.0.1"), endpoint("p1", "10.0.0.2")))
	}
	alone := labelled(c, labels{"app": "alone"}, slice("alone", endpoint("p0", "10.0.0.1")))
	table := tableOf(c, cluster("a"), cluster("b"), alone)
	before := testutil.ToFloat64(holdsBegun.WithLabelValues("holds.internal."))
	for _, step := range []struct {
		name string
		do   func()
		want float64
	}{
		{"one of a single member is lost", func() { table.Apply(gone(alone), 2) }, 0},
		{"one is lost", func() { table.Apply(gone(cluster("a")), 2) }, 1},
		{"it is still", func() { table.Apply(nil, 3) }, 1},
		{"it is back", func() { apply(table, cluster("a")) }, 1},
		{"two are lost", func() { table.Apply(gone(cluster("a"), cluster("b")), 4) }, 3},
		{"a reload goes on", func() { tableOf(c).inherit(table) }, 3},
		{"they are given up", func() { table.release(time.Now().Add(time.Hour)) }, 3},
	} {
		logged(t, step.do)
		if got := testutil.ToFloat64(holdsBegun.WithLabelValues("holds.internal.")) - before; got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}

// TestQuestionsDuringHolds is for the race detector too; and whatever begins and ends, no
// answer may ever lack a member of a cluster that always has some.
func TestQuestionsDuringHolds(t *testing.T) {
	for name, block := range map[string]string{"many clusters": groupedHosts, "one cluster": hostnameBlock} {
		t.Run(name, func(t *testing.T) {
			c := configOf(t, block)
			state := func() *kubeapi.Object {
				return web(c, slice("web", hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2"))))[0]
			}
			other := func(i int) *kubeapi.Object {
				return labelled(c, labels{"app": "other"}, named(fmt.Sprint("other-", i), slice("other", hosted(endpoint("o", "10.0.0.3")))))
			}
			table := tableOf(c, state())
			l := serving(table)
			cluster := "erl.internal."
			if c.groupLabel >= 0 {
				cluster = "web.prod.erl.internal."
			}
			done := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				defer close(done)
				logged(t, func() {
					for i := range 300 {
						o := state()
						table.Apply(gone(o), uint64(i))
						if c.groupLabel >= 0 { // that others are given up is in nobody's way
							apply(table, other(i))
							table.Apply(gone(other(i)), uint64(i))
							table.release(time.Now().Add(defaultHold / 2))
						}
						apply(table, o)
						if c.groupLabel >= 0 {
							table.release(time.Now().Add(time.Hour))
						}
					}
				})
			})
			for _, q := range []struct {
				name, qtype string
				want        int
			}{
				{cluster, "SRV", 2}, {cluster, "TXT", 2}, {cluster, "A", 2}, {"_epmd._tcp." + cluster, "SRV", 2}, {"web-1." + cluster, "A", 1},
				{"web-0.web.prod.svc.erl.internal.", "A", 1}, {"1.0.0.10.in-addr.arpa.", "PTR", 1},
			} {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if m := ask(t, l, q.name, q.qtype, client{}); len(m.Answer) != q.want {
							t.Errorf("%s %s: got %s and %q, want %d", q.name, q.qtype, dns.RcodeToString[m.Rcode], texts(m.Answer), q.want)
							return
						}
						if m := ask(t, l, "0.0.10.in-addr.arpa.", "PTR", client{}); m.Rcode != dns.RcodeSuccess {
							t.Errorf("an ancestor: got %s, want NOERROR", dns.RcodeToString[m.Rcode])
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestQuestionsAtTheEndOfAHold: all members or none, but never some.
func TestQuestionsAtTheEndOfAHold(t *testing.T) {
	c := configOf(t, groupedHosts)
	var members []kubeapi.Member
	for i := range 20 {
		members = append(members, hosted(endpoint(fmt.Sprint("web-", i), fmt.Sprintf("10.0.0.%d", i+1))))
	}
	o := web(c, slice("web", members...))[0]
	for range 50 {
		table := tableOf(c, o)
		l := serving(table)
		var wg sync.WaitGroup
		wg.Go(func() {
			logged(t, func() {
				table.Apply(gone(o), 2)
				table.release(time.Now().Add(time.Hour))
			})
		})
		for {
			m := ask(t, l, "web.prod.erl.internal.", "TXT", client{tcp: true})
			if n := len(m.Answer); n != 0 && n != len(members) {
				t.Errorf("got %d members, want %d or none", n, len(members))
			}
			if m.Rcode == dns.RcodeNameError {
				break
			}
		}
		wg.Wait()
	}
}

func TestNamesAny(t *testing.T) {
	six := func(m kubeapi.Member) kubeapi.Member {
		m.Address = netip.MustParseAddr("fd00::1")
		return m
	}
	plain := endpoint("web-0", "10.0.0.1")
	for _, tc := range []struct {
		name    string
		objects []*kubeapi.Object
		want    bool
	}{
		{"nobody", nil, false},
		{"no member", []*kubeapi.Object{slice("web")}, false},
		{"IPv4", []*kubeapi.Object{slice("web", hosted(plain))}, true},
		{"IPv6", []*kubeapi.Object{slice("web", six(hosted(plain)))}, true},
		{"one without hostname", []*kubeapi.Object{slice("web", plain)}, false},
		{"the second", []*kubeapi.Object{slice("web", plain, hosted(endpoint("web-1", "10.0.0.2")))}, true},
		{"both families", []*kubeapi.Object{slice("web", six(hosted(plain))), slice("web", hosted(plain))}, true},
		{"both families, but known by the one that has no hostname", []*kubeapi.Object{slice("web", six(hosted(plain))), slice("web", plain)}, false},
		{"IPv6 beside an IPv4 one without hostname", []*kubeapi.Object{slice("web", six(hosted(plain))), slice("web", endpoint("web-1", "10.0.0.2"))}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, hostnameBlock)
			if got := c.namesAny(tc.objects); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
			if nodes, _ := c.nameAll(&roster{objects: tc.objects}); (len(nodes) > 0) != tc.want {
				t.Errorf("got %d names, which is not the same", len(nodes))
			}
		})
	}
}
