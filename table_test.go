package longnames

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// withoutHold is a block of whose clusters nothing stays.
func withoutHold(block string) string { return strings.Replace(block, "\n", "\n hold 0\n", 1) }

// txtOf asks for the longnames at a name.
func txtOf(t testing.TB, l *Longnames, name string) []string {
	t.Helper()
	return data(ask(t, l, name, "TXT", client{tcp: true}).Answer)
}

func TestChangesAreSeenAtTheNextQuestion(t *testing.T) {
	c := configOf(t, withoutHold(ipBlock))
	table := tableOf(c)
	l := serving(table)
	first := slice("web", endpoint("p1", "10.0.0.1"))
	second := slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))
	third := slice("web", unready(endpoint("p1", "10.0.0.1")), endpoint("p2", "10.0.0.2"))
	steps := []struct {
		name   string
		change kubeapi.Change
		want   []string
	}{
		{"added", kubeapi.Change{New: first}, []string{"app@10.0.0.1"}},
		{"grown", kubeapi.Change{Old: first, New: second}, []string{"app@10.0.0.1", "app@10.0.0.2"}},
		{"made unready", kubeapi.Change{Old: second, New: third}, []string{"app@10.0.0.2"}},
		{"removed", kubeapi.Change{Old: third}, nil},
	}
	for _, step := range steps {
		table.Apply([]kubeapi.Change{step.change})
		equal(t, step.name, txtOf(t, l, "erl.internal."), step.want)
	}
}

// TestSuspectsAreGivenUpInTime has a table that gives up suspects, and one that replaces it, do so when
// their time has come, whatever wakes it.
func TestSuspectsAreGivenUpInTime(t *testing.T) {
	c := configOf(t, groupedHosts)
	object := func(members ...kubeapi.Member) *kubeapi.Object { return web(c, slice("web", members...))[0] }
	a, b, gone := hosted(endpoint("a", "10.0.0.1")), hosted(endpoint("b", "10.0.0.2")), hosted(endpoint("gone", "10.0.0.3"))
	all, left := object(a, b, gone), object(a, b)
	for name, replace := range map[string]func(next, old *table){
		"nothing":  nil,
		"a reload": func(next, old *table) { apply(next, left); next.Synced(); next.inherit(old) },
		"a restart": func(next, old *table) {
			apply(next, left)
			next.Restored()
			next.restore(old.suspects())
			next.Synced()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := tableOf(c, all)
				go table.run(t.Context())
				synctest.Wait() // until it waits for something to wake it
				begin := time.Now()
				table.Apply([]kubeapi.Change{{Old: all, New: left}})
				time.Sleep(defaultHold / 2)
				if replace != nil {
					next := newTable(c)
					go next.run(t.Context())
					synctest.Wait()
					replace(next, table)
					table = next
				}
				l := serving(table)
				host := "gone.web.prod.svc.erl.internal."
				time.Sleep(time.Until(begin.Add(defaultHold - time.Nanosecond)))
				synctest.Wait()
				equal(t, "just before", data(ask(t, l, host, "A", client{}).Answer), []string{"10.0.0.3"})
				equal(t, "the name of its address", data(ask(t, l, "3.0.0.10.in-addr.arpa.", "PTR", client{}).Answer), []string{host})
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				for name, qtype := range map[string]string{host: "A", "3.0.0.10.in-addr.arpa.": "PTR"} {
					if got := ask(t, l, name, qtype, client{}).Rcode; got != dns.RcodeNameError {
						t.Errorf("in time, %s: got %s, want NXDOMAIN", name, dns.RcodeToString[got])
					}
				}
			})
		})
	}
}

func TestAClusterEndsWithItsLastObject(t *testing.T) {
	c := configOf(t, withoutHold(groupBlock))
	shop := inService(c, slice("shop", endpoint("p1", "10.0.0.1")))
	table := tableOf(c, shop)
	l := serving(table)
	table.Apply([]kubeapi.Change{{Old: shop}})
	for _, name := range []string{"shop.prod.svc.erl.internal.", "prod.svc.erl.internal."} {
		if got := ask(t, l, name, "TXT", client{}).Rcode; got != dns.RcodeNameError {
			t.Errorf("%s: got %s, want NXDOMAIN", name, dns.RcodeToString[got])
		}
	}
	apply(table, inService(c, slice("shop", endpoint("p2", "10.0.0.2"))))
	equal(t, "afterwards", txtOf(t, l, "shop.prod.svc.erl.internal."), []string{"shop@10.0.0.2"})
}

func TestAnObjectThatChangesItsGroupMoves(t *testing.T) {
	c := configOf(t, withoutHold("longnames erl.internal {\n group_by app\n}"))
	before := labelled(c, labels{"app": "a"}, slice("x", endpoint("p1", "10.0.0.1")))
	after := labelled(c, labels{"app": "b"}, slice("x", endpoint("p1", "10.0.0.1")))
	table := tableOf(c, before)
	l := serving(table)
	table.Apply([]kubeapi.Change{{Old: before, New: after}})
	if got := ask(t, l, "a.prod.erl.internal.", "TXT", client{}).Rcode; got != dns.RcodeNameError {
		t.Errorf("the old group: got %s, want NXDOMAIN", dns.RcodeToString[got])
	}
	equal(t, "the new group", txtOf(t, l, "b.prod.erl.internal."), []string{"b@10.0.0.1"})
}

func TestGroupsThatAreNoLabel(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n group_by app\n}")
	bad := []string{"", "a.b", "_a", "-", "ä", strings.Repeat("a", 64)}
	table := tableOf(c, labelled(c, labels{"app": "good"}, slice("good", endpoint("p1", "10.0.0.1"))),
		labelled(c, nil, slice("none", endpoint("p0", "10.0.0.9"))))
	for i, group := range bad {
		apply(table, labelled(c, labels{"app": group}, slice(fmt.Sprint("bad-", i), endpoint("p", "10.0.0.2"))))
	}
	l := serving(table)
	equal(t, "the good one", txtOf(t, l, "good.prod.erl.internal."), []string{"good@10.0.0.1"})
	if got := len(table.ungrouped.roster.Load().Objects); got != len(bad) {
		t.Errorf("ungrouped: got %d, want %d", got, len(bad))
	}
	if got := ask(t, l, "none.prod.erl.internal.", "TXT", client{}).Rcode; got != dns.RcodeNameError {
		t.Errorf("an object without the label: got %s, want NXDOMAIN", dns.RcodeToString[got])
	}
}

func TestGroupsThatDifferInCaseAreOneCluster(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n group_by app\n}")
	l := serving(tableOf(c, labelled(c, labels{"app": "Shop"}, slice("a", endpoint("p1", "10.0.0.1"))),
		labelled(c, labels{"app": "shop"}, slice("b", endpoint("p2", "10.0.0.2")))))
	equal(t, "members", txtOf(t, l, "shop.prod.erl.internal."), []string{"Shop@10.0.0.1", "shop@10.0.0.2"})
}

func TestNamesOfAReplacedPod(t *testing.T) {
	old := terminating(hosted(endpoint("web-0", "10.0.0.1")))
	fresh := hosted(endpoint("web-0", "10.0.0.2"))
	for _, include := range []string{"ready", "all"} {
		t.Run(include, func(t *testing.T) {
			c := configOf(t, strings.Replace(hostnameBlock, "mode", "include "+include+"\n mode", 1))
			l := serving(tableOf(c, slice("web", old, fresh)))
			for _, name := range []string{"web-0.web.prod.svc.erl.internal.", "web-0.erl.internal."} {
				equal(t, name, data(ask(t, l, name, "A", client{}).Answer), []string{"10.0.0.2"})
			}
			equal(t, "longnames", txtOf(t, l, "erl.internal."), []string{"app@web-0.web.prod.svc.Erl.internal"})
		})
	}
}

func TestHostNetworkPodsThatShareAnAddressAreOneLongname(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n lookup pods\n}")
	a, b := slice("a", endpoint("a", "10.0.0.1")), slice("b", endpoint("b", "10.0.0.1"))
	l := serving(tableOf(c, a, b))
	for _, qtype := range []string{"TXT", "SRV", "A"} {
		if got := ask(t, l, "erl.internal.", qtype, client{}).Answer; len(got) != 1 {
			t.Errorf("%s: got %q, want one record", qtype, texts(got))
		}
	}
	if got := ask(t, l, "1.0.0.10.in-addr.arpa.", "PTR", client{}).Answer; len(got) != 1 {
		t.Errorf("PTR: got %q, want one record", texts(got))
	}
	for _, pod := range []string{"a", "b"} {
		equal(t, pod, data(ask(t, l, pod+".erl.internal.", "A", client{}).Answer), []string{"10.0.0.1"})
	}
}

func TestAnyOrderOfChangesGivesTheSame(t *testing.T) {
	compared := 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		block := groupedHosts
		if seed%2 == 1 {
			block = withoutHold(block)
		}
		c := configOf(t, block)
		stepwise := tableOf(c)
		have := make(map[string]*kubeapi.Object)
		for range 200 {
			service := fmt.Sprint("s", r.IntN(10))
			old := have[service]
			var next *kubeapi.Object
			if r.IntN(4) > 0 {
				var members []kubeapi.Member
				for i := range r.IntN(5) {
					m := hosted(endpoint(fmt.Sprintf("%s-%d", service, i), fmt.Sprintf("10.0.%d.%d", r.IntN(3), r.IntN(9)+1)))
					m.Ready = r.IntN(3) > 0
					members = append(members, m)
				}
				next = labelled(c, labels{"app": fmt.Sprint("app", r.IntN(4))}, slice(service, members...))
			}
			if old == nil && next == nil {
				continue
			}
			stepwise.Apply([]kubeapi.Change{{Old: old, New: next}})
			if r.IntN(20) == 0 {
				stepwise.release(time.Now().Add(time.Hour))
			}
			if next == nil {
				delete(have, service)
			} else {
				have[service] = next
			}
		}
		stepwise.release(time.Now().Add(time.Hour))
		if len(stepwise.suspects()) > 0 { // few are alive somewhere
			continue
		}
		compared++
		atOnce := tableOf(c)
		var changes []kubeapi.Change
		for _, o := range have {
			changes = append(changes, kubeapi.Change{New: o})
		}
		atOnce.Apply(changes)
		equal(t, fmt.Sprint("seed ", seed), dump(t, stepwise), dump(t, atOnce))
	}
	if compared < 25 {
		t.Errorf("compared: got %d tables, want 25 at least", compared)
	}
}

// dump is everything that can be asked of a table.
func dump(t testing.TB, table *table) []string {
	t.Helper()
	l := serving(table)
	out := []string{}
	questions := everyName(table)
	for _, name := range []string{ // above some addresses, maybe
		"0.10.in-addr.arpa.", "1.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa.", "2.0.10.in-addr.arpa.",
		"0.d.f.ip6.arpa.", "0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
	} {
		questions[name] = "PTR"
	}
	for name, qtype := range questions {
		m := ask(t, l, name, qtype, client{tcp: true})
		out = append(out, name+" "+qtype+" "+dns.RcodeToString[m.Rcode]+" "+strings.Join(texts(m.Answer), "; "))
	}
	slices.Sort(out)
	return out
}

func everyName(table *table) map[string]string {
	all := make(map[string]string)
	table.views.Range(func(k, _ any) bool { all[strings.TrimPrefix(k.(string)+".erl.internal.", ".")] = "SRV"; return true })
	table.spaces.m.Range(func(k, _ any) bool { all[k.(string)+".erl.internal."] = "TXT"; return true })
	table.hosts.m.Range(func(k, _ any) bool { all[k.(string)] = "A"; return true })
	table.hostNames.m.Range(func(k, _ any) bool { all[k.(string)] = "A"; return true })
	table.addresses.m.Range(func(k, _ any) bool {
		name, _ := dns.ReverseAddr(k.(netip.Addr).String())
		all[name] = "PTR"
		return true
	})
	return all
}

// TestQuestionsDuringChanges is for the race detector too; and no answer may ever lack what
// never changed.
func TestQuestionsDuringChanges(t *testing.T) {
	zones := "longnames svc.erl.internal 10.in-addr.arpa {\n mode hostname\n cluster_domain erl.internal\n"
	for name, block := range map[string]string{
		"many clusters": zones + " group_by kubernetes.io/service-name\n}",
		"one cluster":   zones + " selector app=shop\n basename shop\n}",
	} {
		t.Run(name, func(t *testing.T) {
			c := configOf(t, block)
			state := func(ready bool) *kubeapi.Object {
				members := []kubeapi.Member{hosted(endpoint("p0", "10.0.0.1"))}
				for i := range 50 {
					m := hosted(endpoint(fmt.Sprint("other", i), fmt.Sprintf("10.0.1.%d", i+1)))
					m.Ready = ready
					members = append(members, m)
				}
				return inService(c, slice("shop", members...))
			}
			states := []*kubeapi.Object{state(true), state(false)}
			table := tableOf(c, states[0])
			l := serving(table)
			done := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				defer close(done)
				for i := range 300 {
					table.Apply([]kubeapi.Change{{Old: states[i%2], New: states[(i+1)%2]}})
				}
			})
			for _, q := range []struct{ name, qtype, want string }{
				{"1.0.0.10.in-addr.arpa.", "PTR", "p0.shop.prod.svc.erl.internal."},
				{"p0.shop.prod.svc.erl.internal.", "A", "10.0.0.1"},
			} {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if m := ask(t, l, q.name, q.qtype, client{}); !slices.Contains(data(m.Answer), q.want) {
							t.Errorf("%s: got %s and %q, want %q", q.name, dns.RcodeToString[m.Rcode], texts(m.Answer), q.want)
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

func TestAncestorsOfAddressesFollowChanges(t *testing.T) {
	for name, option := range map[string]string{"many clusters": "group_by app", "one cluster": "selector app\n basename web"} {
		t.Run(name, func(t *testing.T) {
			c := configOf(t, withoutHold("longnames erl.internal 10.in-addr.arpa {\n "+option+"\n}"))
			table := tableOf(c)
			l := serving(table)
			rcode := func() string {
				return dns.RcodeToString[ask(t, l, "2.1.10.in-addr.arpa.", "PTR", client{}).Rcode]
			}
			if got := rcode(); got != "NXDOMAIN" {
				t.Errorf("before: got %s, want NXDOMAIN", got)
			}
			web := labelled(c, labels{"app": "web"}, slice("web", endpoint("p1", "10.1.2.3")))
			apply(table, web)
			if got := rcode(); got != "NOERROR" {
				t.Errorf("with an address below: got %s, want NOERROR", got)
			}
			table.Apply([]kubeapi.Change{{Old: web}})
			if got := rcode(); got != "NXDOMAIN" {
				t.Errorf("afterwards: got %s, want NXDOMAIN", got)
			}
		})
	}
}

func TestNamespacesThatAreNoLabel(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n group_by app\n}")
	table := tableOf(c)
	for _, namespace := range []string{"", "a.b", "a_b", "-"} {
		o := labelled(c, labels{"app": "web"}, slice("web", endpoint("p1", "10.0.0.1")))
		o.Namespace = namespace
		apply(table, o)
	}
	if got := len(table.ungrouped.roster.Load().Objects); got != 4 {
		t.Errorf("ungrouped: got %d, want 4", got)
	}
	if got := ask(t, serving(table), "web.a.b.erl.internal.", "TXT", client{}).Rcode; got != dns.RcodeNameError {
		t.Errorf("got %s, want NXDOMAIN", dns.RcodeToString[got])
	}
}

func TestMisfitsAreInNobodysWay(t *testing.T) {
	c := configOf(t, "longnames cluster.local 10.in-addr.arpa {\n group_by app\n mode hostname\n}")
	good := labelled(c, labels{"app": "good"}, slice("web", hosted(endpoint("p1", "10.0.0.1"))))
	bad := labelled(c, labels{"app": "bad.group"}, named("bad", slice("web", hosted(endpoint("p1", "10.0.0.2")))))
	l := serving(tableOf(c, good, bad))
	equal(t, "the good one's host", data(ask(t, l, "p1.web.prod.svc.cluster.local.", "A", client{}).Answer), []string{"10.0.0.1"})
	if got := ask(t, l, "2.0.0.10.in-addr.arpa.", "PTR", client{}).Rcode; got != dns.RcodeNameError {
		t.Errorf("the misfit's address: got %s, want NXDOMAIN", dns.RcodeToString[got])
	}
}
