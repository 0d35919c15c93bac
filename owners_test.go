package longnames

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// in puts an object into a namespace, created so many seconds after the others.
func in(namespace string, created uint32, o *kubeapi.Object) *kubeapi.Object {
	o.Namespace, o.Created = namespace, 1000+created
	return o
}

// app labels an object for a block that groups by app.
func app(c *config, group string, o *kubeapi.Object) *kubeapi.Object {
	return labelled(c, labels{"app": group}, o)
}

// byHand is an endpoint without a pod.
func byHand(m kubeapi.Member) kubeapi.Member {
	m.ID, m.IsPod = "", false
	return m
}

// squatted is an object of a namespace, and what another namespace claims in more groups than a question looks in.
func squatted(c *config, own *kubeapi.Object, claim kubeapi.Member) []*kubeapi.Object {
	var all []*kubeapi.Object
	for i := range 3 * fewOccurrences {
		group := fmt.Sprint("evil-", i)
		all = append(all, in("evil", 1, app(c, group, named(group, slice("evil", claim)))))
	}
	return append(all, in("prod", 0, app(c, "shop", own)))
}

const (
	ungroupedDNS      = "longnames a1.test 10.in-addr.arpa {\n selector app\n basename shop\n mode dns\n cluster_domain a1.test\n}"
	ungroupedHostname = "longnames a1.test 10.in-addr.arpa {\n selector app\n basename shop\n mode hostname\n cluster_domain a1.test\n}"
	ungroupedIP       = "longnames a1.test 10.in-addr.arpa {\n selector app\n basename label app\n}"
	groupedDNS        = "longnames a1.test 10.in-addr.arpa {\n group_by app\n mode dns\n cluster_domain a1.test\n}"
	groupedHostname   = "longnames a1.test 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain A1.test\n}"
	groupedPods       = "longnames svc.a1.test pod.a1.test {\n group_by app\n mode dns\n cluster_domain a1.test\n}"
	groupedServices   = "longnames svc.a1.test {\n group_by app\n mode hostname\n cluster_domain a1.test\n}"
)

// TestNobodyHasTheNameOfAnother has a table of who claims what. A question is a name and a type, and gets the
// last field of each record, or the code if there is none.
func TestNobodyHasTheNameOfAnother(t *testing.T) {
	for _, tc := range []struct {
		name    string
		block   string
		objects func(c *config) []*kubeapi.Object
		want    map[string]string
	}{
		{"a pod that is called as a host part is spelt", ungroupedDNS, func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{
				slice("web", endpoint("shop-1", "10.1.0.11")),
				in("evil", 1, slice("evil", endpoint("10-1-0-11.prod.pod", "10.66.6.6"))),
			}
		}, map[string]string{
			"10-1-0-11.prod.pod.a1.test. A": "10.1.0.11", "10-1-0-11.prod.pod.a1.test. AAAA": "NOERROR", "10-1-0-11.prod.pod.a1.test. TXT": "NOERROR",
			"pod.a1.test. A": "NOERROR", "10-66-6-6.evil.pod.a1.test. A": "10.66.6.6",
		}},
		{"a host part of nobody", ungroupedDNS, func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("web", endpoint("shop-1", "10.1.0.11")), in("evil", 1, slice("evil", endpoint("10-1-0-12.prod.pod", "10.66.6.6")))}
		}, map[string]string{"10-1-0-12.prod.pod.a1.test. A": "NXDOMAIN"}},
		{"a pod and a hostname that are spelt as a host part is, mode hostname", ungroupedHostname, func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{
				slice("web", hosted(endpoint("web-0", "10.1.0.11"))),
				in("evil", 1, slice("evil", called("x", endpoint("web-0.web.prod.svc", "10.66.6.6")), called("web-0.web.prod.svc", endpoint("y", "10.66.6.7")))),
			}
		}, map[string]string{"web-0.web.prod.svc.a1.test. A": "10.1.0.11", "web-0.web.prod.svc.a1.test. TXT": "NOERROR", "web-0.a1.test. A": "10.1.0.11"}},
		{"a namespace called pod", groupedDNS, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.5"))),
				in("pod", 1, app(c, "prod", slice("evil", endpoint("10-1-0-5", "10.66.6.6"), byHand(endpoint("", "10.1.0.9"))))),
			}
		}, map[string]string{
			"10-1-0-5.prod.pod.a1.test. A": "10.1.0.5", "10-1-0-9.prod.pod.a1.test. A": "NXDOMAIN", "prod.pod.a1.test. A": "NOERROR",
			"prod.pod.a1.test. SRV": "NOERROR", "9.0.1.10.in-addr.arpa. PTR": "NXDOMAIN",
		}},
		{"a namespace called svc, mode hostname", groupedHostname, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "shop", slice("web", hosted(endpoint("web-0", "10.1.0.5")))),
				in("svc", 1, app(c, "prod", slice("evil", called("x", endpoint("web-0.web", "10.66.6.6")), called("web", endpoint("web", "10.66.6.7"))))),
			}
		}, map[string]string{"web-0.web.prod.svc.a1.test. A": "10.1.0.5", "web.prod.svc.a1.test. A": "NOERROR", "prod.svc.a1.test. TXT": "NOERROR"}},
		{"a namespace called svc in the cluster's own domain, mode ip", "longnames cluster.local {\n group_by app\n}", func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{in("svc", 1, app(c, "prod", slice("evil", endpoint("db", "10.66.6.6"))))}
		}, map[string]string{"db.prod.svc.cluster.local. A": "NXDOMAIN", "prod.svc.cluster.local. A": "NXDOMAIN"}},
		{"a namespace called pod elsewhere", "longnames erl.internal {\n group_by app\n}", func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{in("pod", 1, app(c, "prod", slice("web", endpoint("db", "10.1.0.5"))))}
		}, map[string]string{"db.prod.pod.erl.internal. A": "10.1.0.5"}},
		{"a group that is called as an address is spelt", groupedPods, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.5"))),
				app(c, "10-1-0-5", named("evil", slice("evil", endpoint("x", "10.66.6.6")))),
				app(c, "FD00--1", named("evil6", slice("evil", endpoint("y", "10.66.6.7")))),
			}
		}, map[string]string{"10-1-0-5.prod.pod.a1.test. A": "10.1.0.5", "10-1-0-5.prod.pod.a1.test. TXT": "NOERROR", "fd00--1.prod.pod.a1.test. A": "NXDOMAIN"}},
		{"a group that is called as the Service of another", groupedServices, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "shop", slice("db", hosted(endpoint("db-0", "10.1.0.5")))),
				app(c, "db", named("evil", slice("evil", called("x", endpoint("db-0", "10.66.6.6"))))),
			}
		}, map[string]string{"db-0.db.prod.svc.a1.test. A": "10.1.0.5", "db-0.db.prod.svc.a1.test. TXT": "NOERROR", "db-0.shop.prod.svc.a1.test. A": "10.1.0.5"}},
		{"a group that is called as its Service", groupedServices, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{app(c, "db", slice("db", hosted(endpoint("db-0", "10.1.0.5"))))}
		}, map[string]string{"db-0.db.prod.svc.a1.test. A": "10.1.0.5", "db-0.db.prod.svc.a1.test. TXT": "db@db-0.db.prod.svc.a1.test", "db-0.db.prod.svc.a1.test. SRV": "db-0.db.prod.svc.a1.test."}},
		{"pods that are called as the name server", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{app(c, "shop", slice("web", endpoint("ns.dns", "fd00::66"), endpoint("dns", "10.66.6.6"), called("dns", endpoint("x", "fd00::67"))))}
		}, map[string]string{
			"ns.dns.a1.test. A": "127.0.0.1", "ns.dns.a1.test. AAAA": "NOERROR", "ns.dns.a1.test. TXT": "NOERROR", "ns.dns.a1.test. SRV": "NOERROR",
			"dns.a1.test. A": "NOERROR", "dns.a1.test. AAAA": "NOERROR", "dns.a1.test. TXT": "NOERROR",
		}},
		{"a group that is called as the name server", "longnames a1.test {\n group_by app\n}", func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("dns", 1, app(c, "NS", slice("evil", endpoint("x", "fd00::66")))),
				in("dns", 1, app(c, "other", named("good", slice("good", endpoint("x", "10.1.0.5"))))),
			}
		}, map[string]string{
			"ns.dns.a1.test. A": "127.0.0.1", "ns.dns.a1.test. AAAA": "NOERROR", "ns.dns.a1.test. TXT": "NOERROR", "_epmd._tcp.ns.dns.a1.test. SRV": "NXDOMAIN",
			"x.ns.dns.a1.test. AAAA": "NXDOMAIN", "other.dns.a1.test. A": "10.1.0.5", "dns.a1.test. A": "NOERROR",
		}},
		{"a host part that is the name server's", "longnames prod.svc.a1.test {\n selector app\n basename shop\n mode hostname\n cluster_domain a1.test\n}", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("dns", called("ns", endpoint("x", "fd00::66")), called("y", endpoint("y", "10.1.0.5")))}
		}, map[string]string{
			"ns.dns.prod.svc.a1.test. AAAA": "NOERROR", "ns.dns.prod.svc.a1.test. A": "127.0.0.1", "prod.svc.a1.test. TXT": "shop@y.dns.prod.svc.a1.test", "prod.svc.a1.test. AAAA": "NOERROR",
		}},
		{"one pod name in two namespaces", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 1, app(c, "shop", slice("queue", endpoint("queue-0", "10.66.6.6")))),
				in("prod", 0, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.5")))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.5", "queue-0.a1.test. TXT": "shop@10.1.0.5"}},
		{"one pod name in two namespaces, of which the older has it though it is not ready", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 0, app(c, "shop", slice("queue", unready(endpoint("queue-0", "10.1.0.5"))))),
				in("evil", 1, app(c, "shop", slice("queue", endpoint("queue-0", "10.66.6.6")))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.5"}},
		{"one pod name in two namespaces, of which the older one's pod ends", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 0, app(c, "shop", slice("queue", terminating(endpoint("queue-0", "10.1.0.5"))))),
				in("test", 1, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.6")))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.6"}},
		{"one hostname in two namespaces, of which one has two pods", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 1, app(c, "shop", slice("queue", called("queue-0", endpoint("a", "10.66.6.6"))))),
				in("prod", 2, app(c, "shop", named("one", slice("queue", called("queue-0", endpoint("b", "10.1.0.5")))))),
				in("prod", 0, app(c, "shop", named("two", slice("queue", called("queue-0", endpoint("c", "10.1.0.4")))))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.4 10.1.0.5"}},
		{"a hostname and a pod name", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 0, app(c, "shop", named("one", slice("queue", endpoint("queue-0", "10.66.6.6"))))),
				in("prod", 1, app(c, "shop", named("two", slice("queue", called("queue-0", endpoint("b", "10.1.0.5")))))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.5"}},
		{"a pod name, and a hostname of another namespace", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 0, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.5")))),
				in("evil", 1, app(c, "shop", slice("queue", called("queue-0", endpoint("b", "10.66.6.6"))))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.5"}},
		{"one hostname, of which one pod is not ready", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{app(c, "shop", slice("queue", called("h", endpoint("a", "10.1.0.4")), called("h", unready(endpoint("b", "10.1.0.5"))), called("h", endpoint("c", "10.1.0.6"))))}
		}, map[string]string{"h.a1.test. A": "10.1.0.4 10.1.0.6"}},
		{"a pod and an endpoint made by hand", ungroupedHostname, func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 0, named("hand", slice("queue", called("queue-0", byHand(endpoint("", "10.66.6.6")))))),
				in("prod", 1, slice("queue", hosted(endpoint("queue-0", "10.1.0.5")))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.5", "queue-0.queue.prod.svc.a1.test. A": "10.1.0.5"}},
		{"the first by name, if nothing else tells", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("b", 0, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.2")))),
				in("a", 0, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.3")))),
			}
		}, map[string]string{"queue-0.a1.test. A": "10.1.0.3"}},
		{"a pod that is called as an address is spelt", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("prod", 1, app(c, "shop", slice("web", unready(endpoint("shop-1", "10.1.0.11"))))),
				in("prod", 0, app(c, "evil", named("evil", slice("evil", endpoint("10-1-0-11", "10.66.6.6"), called("10-1-0-11", endpoint("x", "10.66.6.7")), endpoint("10-1-0-12", "10.66.6.8"))))),
			}
		}, map[string]string{"10-1-0-11.a1.test. A": "10.1.0.11", "10-1-0-11.a1.test. TXT": "shop@10.1.0.11", "10-1-0-12.a1.test. A": "NXDOMAIN", "x.a1.test. A": "10.66.6.7"}},
		{"an address that others write down", ungroupedIP, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 0, app(c, "evil", slice("evil", byHand(endpoint("", "10.1.0.11"))))),
				in("prod", 1, app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.11")))),
			}
		}, map[string]string{"10-1-0-11.a1.test. TXT": "shop@10.1.0.11"}},
		{"the PTR of an address that others write down", ungroupedDNS, func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 0, slice("evil", byHand(endpoint("", "10.1.0.11")))),
				in("prod", 1, slice("web", endpoint("shop-1", "10.1.0.11"))),
			}
		}, map[string]string{"11.0.1.10.in-addr.arpa. PTR": "10-1-0-11.prod.pod.a1.test."}},
		{"the PTR of an address of two groups", groupedDNS, func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 1, app(c, "shop", slice("evil", endpoint("x", "10.1.0.11")))),
				in("prod", 0, app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.11")))),
			}
		}, map[string]string{"11.0.1.10.in-addr.arpa. PTR": "10-1-0-11.prod.pod.a1.test."}},
		{"the PTR of an address that another namespace has in many groups", groupedDNS, func(c *config) []*kubeapi.Object {
			return squatted(c, slice("web", endpoint("shop-1", "10.1.0.11")), endpoint("x", "10.1.0.11"))
		}, map[string]string{"11.0.1.10.in-addr.arpa. PTR": "10-1-0-11.prod.pod.a1.test."}},
		{"the ports of a longname that two namespaces have", "longnames a1.test {\n selector app\n basename shop\n port dist\n}", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{
				in("evil", 1, ported(slice("evil", endpoint("x", "10.1.0.11")), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 1})),
				in("prod", 0, ported(slice("web", endpoint("shop-1", "10.1.0.11")), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100})),
			}
		}, map[string]string{"a1.test. SRV": "9100 10.1.0.11.", "_dist._tcp.a1.test. SRV": "9100 10.1.0.11."}},
		{"namespaces that differ in case", "longnames a1.test {\n group_by app\n}", func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.11"))),
				in("Prod", 1, app(c, "shop", slice("evil", endpoint("x", "10.66.6.6")))),
			}
		}, map[string]string{"shop.prod.a1.test. TXT": "shop@10.1.0.11"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, tc.block)
			for _, order := range []func(objects []*kubeapi.Object){func([]*kubeapi.Object) {}, slices.Reverse[[]*kubeapi.Object]} {
				objects := tc.objects(c)
				order(objects)
				l := serving(tableOf(c, objects...))
				for question, want := range tc.want {
					name, qtype, _ := strings.Cut(question, " ")
					m := ask(t, l, name, qtype, client{tcp: true})
					got := dns.RcodeToString[m.Rcode]
					if len(m.Answer) > 0 {
						rrs := data(m.Answer)
						if strings.Contains(want, " ") && qtype == "SRV" {
							rrs = nil
							for _, rr := range m.Answer {
								rrs = append(rrs, fmt.Sprint(rr.(*dns.SRV).Port, " ", rr.(*dns.SRV).Target))
							}
						}
						slices.Sort(rrs)
						got = strings.Join(rrs, " ")
					}
					if got != want {
						t.Errorf("%s: got %s, want %s", question, got, want)
					}
				}
				for zone := range l.zones {
					checkTransfer(t, l, zone)
				}
			}
		})
	}
}

// No tenant's group may be called as a host part of another namespace, so that there is no zone in which one can.
func TestNoZoneInWhichGroupsSpellHostParts(t *testing.T) {
	const block = "longnames erl.internal ZONE {\n group_by app\n mode hostname\n cluster_domain A1.test\n}"
	for zone, want := range map[string]bool{
		"prod.svc.a1.test": false, "svc.a1.test": true, "a1.test": true, "web.prod.svc.a1.test": true, "prod.pod.a1.test": true, "xsvc.a1.test": true,
	} {
		controller := caddy.NewTestController("dns", strings.ReplaceAll(block, "ZONE", zone))
		controller.Next()
		_, err := parse(controller)
		if got := err == nil; got != want {
			t.Errorf("%s: got error %v, want none: %t", zone, err, want)
		}
	}
}

func TestWhoClaimsTheNameOfAnotherIsCounted(t *testing.T) {
	c := configOf(t, strings.ReplaceAll(ungroupedIP, "a1.test", "claims.internal"))
	a := auditOf(tableOf(c,
		in("prod", 0, app(c, "shop", slice("queue", endpoint("queue-0", "10.1.0.5"), endpoint("queue-1", "10.1.0.6")))),
		in("evil", 1, app(c, "shop", slice("queue", endpoint("queue-0", "10.66.6.6"), endpoint("queue-2", "10.66.6.7"), unready(endpoint("queue-1", "10.66.6.8"))))),
		// Those of one namespace share a hostname, alive or not.
		in("prod", 2, app(c, "shop", named("same", slice("same", called("h", endpoint("a", "10.1.0.7")), called("h", unready(endpoint("b", "10.1.0.8"))), endpoint("h", "10.1.0.9"))))),
	))
	t.Cleanup(a.close)
	lines := logged(t, a.scan)
	if got := testutil.ToFloat64(contestedNames.WithLabelValues("claims.internal.")); got != 3 {
		t.Errorf("got %.0f names, want 3", got)
	}
	for _, want := range []string{
		`evil/queue-abcde claims a name in claims.internal.: "queue-0" is that of "prod/queue-abcde"`,
		`evil/queue-abcde claims a name in claims.internal.: "queue-1" is that of "prod/queue-abcde"`,
		`prod/same claims a name in claims.internal.: "h" is that of "prod/same"`,
	} {
		if got := strings.Count(lines, want+"\n"); got != 1 {
			t.Errorf("got %d lines %q, want one of\n%s", got, want, lines)
		}
	}
}

// To the other nodes, members that are called alike are one, and so are clusters to DNS.
func TestWhatIsCalledAlikeIsCounted(t *testing.T) {
	for _, tc := range []struct {
		name, options string
		objects       func(c *config) []*kubeapi.Object
		want          []string // in the log
	}{
		{"pods of a Deployment with one hostname, of which some do not live", "selector app\n basename shop\n mode hostname", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("web", called("h", endpoint("a", "10.0.0.1")), called("h", unready(endpoint("b", "10.0.0.2"))),
				called("h", endpoint("c", "10.0.0.3")), called("h", terminating(endpoint("d", "10.0.0.4"))), called("i", endpoint("e", "10.0.0.5")))}
		}, []string{`Longname shop@h.web.prod.svc.cluster.local is that of "prod/a" and "prod/c": others take both for one node`}},
		{"hostNetwork pods of one host", "selector app\n basename shop", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("web", endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.1"))}
		}, []string{`Longname shop@10.0.0.1 is that of "prod/a" and "prod/b"`}},
		{"one pod of two Services", "selector app\n basename shop", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("web", endpoint("a", "10.0.0.1")), named("api", slice("api", endpoint("a", "10.0.0.1")))}
		}, nil},
		{"endpoints without pods", "selector app\n basename shop\n mode hostname", func(*config) []*kubeapi.Object {
			return []*kubeapi.Object{slice("web", called("h", byHand(endpoint("", "10.0.0.1"))), called("h", byHand(endpoint("", "10.0.0.2"))))}
		}, []string{`is that of "prod/10.0.0.1" and "prod/10.0.0.2"`}},
		{"groups in upper and lower case", "group_by app", func(c *config) []*kubeapi.Object {
			return []*kubeapi.Object{
				app(c, "Shop", slice("web", endpoint("a", "10.0.0.1"))), app(c, "shop", named("web2", slice("web", endpoint("b", "10.0.0.2")))),
				app(c, "db_1", named("db", slice("db", endpoint("c", "10.0.0.3")))),
			}
		}, []string{`Groups "Shop" and "shop" of namespace prod differ in case only: they are one cluster`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, "longnames alike.internal {\n "+tc.options+"\n}")
			a := auditOf(tableOf(c, tc.objects(c)...))
			t.Cleanup(a.close)
			lines := logged(t, a.scan)
			if got := testutil.ToFloat64(contestedNames.WithLabelValues("alike.internal.")); got != float64(len(tc.want)) || strings.Count(lines, "\n") != len(tc.want) {
				t.Errorf("got %.0f, and lines %q, want %d", got, lines, len(tc.want))
			}
			for _, want := range tc.want {
				if !strings.Contains(lines, want) {
					t.Errorf("got %q, want %q", lines, want)
				}
			}
		})
	}
}

// An address that somebody writes down says nothing of the pod that had it, and one that a pod gets says all.
func TestASuspectStaysUntilAPodHasItsAddress(t *testing.T) {
	for _, tc := range []struct {
		name   string
		member kubeapi.Member
		want   []string
	}{
		{"an endpoint made by hand", byHand(endpoint("", "10.1.0.11")), []string{"shop@10.1.0.12", "shop@10.1.0.11"}},
		{"a pod", endpoint("x", "10.1.0.11"), []string{"shop@10.1.0.12"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, "longnames a1.test {\n group_by app\n}")
			lost := app(c, "shop", slice("web", endpoint("shop-1", "10.1.0.11")))
			table := tableOf(c, lost, app(c, "shop", named("other", slice("web", endpoint("shop-2", "10.1.0.12")))))
			table.Apply(gone(lost))
			l := serving(table)
			equal(t, "before", txtOf(t, l, "shop.prod.a1.test."), []string{"shop@10.1.0.12", "shop@10.1.0.11"})
			table.Apply([]kubeapi.Change{{New: in("evil", 1, app(c, "shop", slice("evil", tc.member)))}})
			equal(t, "then", txtOf(t, l, "shop.prod.a1.test."), tc.want)
		})
	}
}

// Others may decide by the cluster whether a question gets its answer.
func TestMetadataTellsOfTheOwnersCluster(t *testing.T) {
	c := configOf(t, groupedHostname)
	l := serving(tableOf(c,
		in("prod", 0, app(c, "shop", slice("web", hosted(endpoint("web-0", "10.1.0.11"))))),
		in("evil", 1, app(c, "shop", slice("evil", hosted(endpoint("x", "10.1.0.11"))))),
		in("prod", 1, app(c, "evil", named("evil", slice("web", called("web-0", byHand(endpoint("", "10.66.6.6"))))))),
	))
	for _, name := range []string{"11.0.1.10.in-addr.arpa.", "web-0.web.prod.svc.a1.test."} {
		by := l.zones[zoneOf(l, name)]
		got := ""
		if c, _ := by.resolver.clusterOf(by.zone, &question{name: name}); c != nil {
			got = c.name
		}
		if got != "shop.prod" {
			t.Errorf("%s: got cluster %q, want shop.prod", name, got)
		}
	}
}
