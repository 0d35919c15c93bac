package longnames

import (
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

var (
	httpPort    = kubeapi.Port{Name: "http", Protocol: "TCP", Number: 4000}
	metricsPort = kubeapi.Port{Name: "metrics", Protocol: "UDP", Number: 9000}
)

const (
	ipBlock       = "longnames erl.internal 10.in-addr.arpa d.f.ip6.arpa {\n selector app=web\n basename app\n}"
	hostnameBlock = "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n mode hostname\n cluster_domain Erl.internal\n}"
	dnsBlock      = "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n mode dns\n cluster_domain erl.internal\n}"
	groupBlock    = "longnames svc.erl.internal {\n group_by kubernetes.io/service-name\n}"
)

// inService labels an object with its Service, as the EndpointSlice controller does.
func inService(c *config, o *kubeapi.Object) *kubeapi.Object {
	return labelled(c, labels{"kubernetes.io/service-name": o.Service}, o)
}

func ipCluster(t testing.TB) *Longnames {
	t.Helper()
	return serving(tableOf(configOf(t, ipBlock),
		ported(slice("web", endpoint("web-x1", "10.0.0.1"), endpoint("web-x2", "10.0.0.2"), unready(endpoint("web-x3", "10.0.0.3"))), httpPort, metricsPort),
		named("web-6", slice("web", endpoint("web-x6", "fd00::6"))),
	))
}

func hostnameCluster(t testing.TB) *Longnames {
	t.Helper()
	return serving(tableOf(configOf(t, hostnameBlock),
		ported(slice("web", hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2"))), httpPort),
	))
}

func dnsCluster(t testing.TB) *Longnames {
	t.Helper()
	return serving(tableOf(configOf(t, dnsBlock), slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "fd00::"))))
}

func groups(t testing.TB) *Longnames {
	t.Helper()
	c := configOf(t, groupBlock)
	other := inService(c, slice("Chat", endpoint("c1", "10.0.1.1")))
	other.Namespace = "test"
	return serving(tableOf(c,
		inService(c, slice("shop", endpoint("s1", "10.0.0.1"), endpoint("s2", "10.0.0.2"))),
		inService(c, slice("chat", endpoint("c1", "10.0.1.2"))),
		other,
		inService(c, slice("empty")),
	))
}

// soaOf is the SOA record of a negative answer.
func soaOf(zone string) []string {
	return []string{zone + " 5 IN SOA ns.dns." + zone + " hostmaster." + zone + " 1 60 30 2419200 5"}
}

// TestAnswers goes through the table of questions and answers.
func TestAnswers(t *testing.T) {
	const zone = "erl.internal."
	tests := []struct {
		row   string
		serve func(testing.TB) *Longnames
		name  string
		qtype string
		rcode int
		want  []string
		soa   string // zone of the SOA record in authority
	}{
		{row: "C SRV, ip mode: IPv4 is four labels, IPv6 one", serve: ipCluster, name: zone, qtype: "SRV", want: []string{
			"erl.internal. 5 IN SRV 0 0 4369 10.0.0.1.", "erl.internal. 5 IN SRV 0 0 4369 10.0.0.2.", "erl.internal. 5 IN SRV 0 0 4369 fd00::6."}},
		{row: "C SRV, dns mode", serve: dnsCluster, name: zone, qtype: "SRV", want: []string{
			"erl.internal. 5 IN SRV 0 0 4369 10-0-0-1.prod.pod.erl.internal.", "erl.internal. 5 IN SRV 0 0 4369 fd00--0.prod.pod.erl.internal."}},
		{row: "C SRV, hostname mode, the domain as it is written", serve: hostnameCluster, name: zone, qtype: "SRV", want: []string{
			"erl.internal. 5 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.", "erl.internal. 5 IN SRV 0 0 4369 web-1.web.prod.svc.Erl.internal."}},
		{row: "C TXT", serve: ipCluster, name: zone, qtype: "TXT", want: []string{
			`erl.internal. 5 IN TXT "app@10.0.0.1"`, `erl.internal. 5 IN TXT "app@10.0.0.2"`, `erl.internal. 5 IN TXT "app@fd00::6"`}},
		{row: "C TXT, hostname mode", serve: hostnameCluster, name: zone, qtype: "TXT", want: []string{
			`erl.internal. 5 IN TXT "app@web-0.web.prod.svc.Erl.internal"`, `erl.internal. 5 IN TXT "app@web-1.web.prod.svc.Erl.internal"`}},
		{row: "C A, the IPv4 addresses", serve: ipCluster, name: zone, qtype: "A", want: []string{
			"erl.internal. 5 IN A 10.0.0.1", "erl.internal. 5 IN A 10.0.0.2"}},
		{row: "C AAAA, the IPv6 addresses", serve: ipCluster, name: zone, qtype: "AAAA", want: []string{"erl.internal. 5 IN AAAA fd00::6"}},
		{row: "C A, hostname mode", serve: hostnameCluster, name: zone, qtype: "A", want: []string{
			"erl.internal. 5 IN A 10.0.0.1", "erl.internal. 5 IN A 10.0.0.2"}},
		{row: "C AAAA of a cluster that has none", serve: hostnameCluster, name: zone, qtype: "AAAA", soa: zone},
		{row: "C is group.namespace.zone", serve: groups, name: "shop.prod.svc.erl.internal.", qtype: "SRV", want: []string{
			"shop.prod.svc.erl.internal. 5 IN SRV 0 0 4369 10.0.0.1.", "shop.prod.svc.erl.internal. 5 IN SRV 0 0 4369 10.0.0.2."}},
		{row: "C in another namespace, group in lower case, basename as it stands", serve: groups, name: "chat.test.svc.erl.internal.", qtype: "TXT", want: []string{
			`chat.test.svc.erl.internal. 5 IN TXT "Chat@10.0.1.1"`}},
		{row: "C without members", serve: groups, name: "empty.prod.svc.erl.internal.", qtype: "SRV", soa: "svc.erl.internal."},

		{row: "_PORT._tcp.C SRV", serve: ipCluster, name: "_http._tcp.erl.internal.", qtype: "SRV", want: []string{
			"_http._tcp.erl.internal. 5 IN SRV 0 0 4000 10.0.0.1.", "_http._tcp.erl.internal. 5 IN SRV 0 0 4000 10.0.0.2."}},
		{row: "_PORT._udp.C SRV", serve: ipCluster, name: "_metrics._udp.erl.internal.", qtype: "SRV", want: []string{
			"_metrics._udp.erl.internal. 5 IN SRV 0 0 9000 10.0.0.1.", "_metrics._udp.erl.internal. 5 IN SRV 0 0 9000 10.0.0.2."}},
		{row: "_PORT of the other protocol", serve: ipCluster, name: "_metrics._tcp.erl.internal.", qtype: "SRV", rcode: dns.RcodeNameError, soa: zone},
		{row: "_epmd._tcp.C SRV always exists", serve: hostnameCluster, name: "_epmd._tcp.erl.internal.", qtype: "SRV", want: []string{
			"_epmd._tcp.erl.internal. 5 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.", "_epmd._tcp.erl.internal. 5 IN SRV 0 0 4369 web-1.web.prod.svc.Erl.internal."}},
		{row: "_PORT._tcp.C TXT", serve: ipCluster, name: "_http._tcp.erl.internal.", qtype: "TXT", soa: zone},
		{row: "_PORT that nobody declares", serve: ipCluster, name: "_smtp._tcp.erl.internal.", qtype: "SRV", rcode: dns.RcodeNameError, soa: zone},
		{row: "_PORT.C without protocol", serve: ipCluster, name: "_http.erl.internal.", qtype: "SRV", rcode: dns.RcodeNameError, soa: zone},

		{row: "M.C by hostname, A", serve: hostnameCluster, name: "web-1.erl.internal.", qtype: "A", want: []string{"web-1.erl.internal. 5 IN A 10.0.0.2"}},
		{row: "M.C by pod name, SRV", serve: ipCluster, name: "web-x2.erl.internal.", qtype: "SRV", want: []string{"web-x2.erl.internal. 5 IN SRV 0 0 4369 10.0.0.2."}},
		{row: "M.C by dashed address, TXT", serve: ipCluster, name: "10-0-0-2.erl.internal.", qtype: "TXT", want: []string{`10-0-0-2.erl.internal. 5 IN TXT "app@10.0.0.2"`}},
		{row: "M.C by dashed IPv6 address, AAAA", serve: ipCluster, name: "fd00--6.erl.internal.", qtype: "AAAA", want: []string{"fd00--6.erl.internal. 5 IN AAAA fd00::6"}},
		{row: "M.C of a candidate that is not listed", serve: ipCluster, name: "web-x3.erl.internal.", qtype: "A", want: []string{"web-x3.erl.internal. 5 IN A 10.0.0.3"}},
		{row: "M.C without that type", serve: ipCluster, name: "web-x2.erl.internal.", qtype: "AAAA", soa: zone},
		{row: "M.C in a group", serve: groups, name: "s2.shop.prod.svc.erl.internal.", qtype: "A", want: []string{"s2.shop.prod.svc.erl.internal. 5 IN A 10.0.0.2"}},
		{row: "M of another group", serve: groups, name: "s2.chat.prod.svc.erl.internal.", qtype: "A", rcode: dns.RcodeNameError, soa: "svc.erl.internal."},

		{row: "host part in a zone, hostname mode", serve: hostnameCluster, name: "web-0.web.prod.svc.erl.internal.", qtype: "A", want: []string{
			"web-0.web.prod.svc.erl.internal. 5 IN A 10.0.0.1"}},
		{row: "host part in a zone, dns mode", serve: dnsCluster, name: "10-0-0-1.prod.pod.erl.internal.", qtype: "A", want: []string{
			"10-0-0-1.prod.pod.erl.internal. 5 IN A 10.0.0.1"}},
		{row: "host part in a zone, dns mode, IPv6", serve: dnsCluster, name: "fd00--0.prod.pod.erl.internal.", qtype: "AAAA", want: []string{
			"fd00--0.prod.pod.erl.internal. 5 IN AAAA fd00::"}},
		{row: "host part, another type", serve: hostnameCluster, name: "web-0.web.prod.svc.erl.internal.", qtype: "TXT", soa: zone},
		{row: "host part, the other family", serve: hostnameCluster, name: "web-0.web.prod.svc.erl.internal.", qtype: "AAAA", soa: zone},
		{row: "host part of nobody", serve: hostnameCluster, name: "web-9.web.prod.svc.erl.internal.", qtype: "A", rcode: dns.RcodeNameError, soa: zone},

		{row: "PTR, ip mode", serve: ipCluster, name: "2.0.0.10.in-addr.arpa.", qtype: "PTR", want: []string{"2.0.0.10.in-addr.arpa. 5 IN PTR 10.0.0.2."}},
		{row: "PTR, hostname mode", serve: hostnameCluster, name: "2.0.0.10.in-addr.arpa.", qtype: "PTR", want: []string{"2.0.0.10.in-addr.arpa. 5 IN PTR web-1.web.prod.svc.Erl.internal."}},
		{row: "PTR, IPv6", serve: ipCluster, name: "6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", qtype: "PTR", want: []string{
			"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 IN PTR fd00::6."}},
		{row: "PTR of nobody", serve: ipCluster, name: "9.0.0.10.in-addr.arpa.", qtype: "PTR", rcode: dns.RcodeNameError, soa: "10.in-addr.arpa."},
		{row: "an address without that type", serve: ipCluster, name: "2.0.0.10.in-addr.arpa.", qtype: "TXT", soa: "10.in-addr.arpa."},
		{row: "ancestor of an address", serve: ipCluster, name: "0.10.in-addr.arpa.", qtype: "PTR", soa: "10.in-addr.arpa."},
		{row: "ancestor of no address", serve: ipCluster, name: "1.10.in-addr.arpa.", qtype: "PTR", rcode: dns.RcodeNameError, soa: "10.in-addr.arpa."},
		{row: "ancestor of an IPv6 address", serve: ipCluster, name: "0.0.d.f.ip6.arpa.", qtype: "PTR", soa: "d.f.ip6.arpa."},
		{row: "below an address", serve: ipCluster, name: "7.2.0.0.10.in-addr.arpa.", qtype: "PTR", rcode: dns.RcodeNameError, soa: "10.in-addr.arpa."},
		{row: "no address at all", serve: ipCluster, name: "x.0.10.in-addr.arpa.", qtype: "PTR", rcode: dns.RcodeNameError, soa: "10.in-addr.arpa."},

		{row: "apex SOA", serve: ipCluster, name: zone, qtype: "SOA", want: soaOf(zone)},
		{row: "apex NS", serve: ipCluster, name: zone, qtype: "NS", want: []string{"erl.internal. 5 IN NS ns.dns.erl.internal."}},
		{row: "apex SOA of a reverse zone", serve: ipCluster, name: "10.in-addr.arpa.", qtype: "SOA", want: soaOf("10.in-addr.arpa.")},
		{row: "apex of a group_by zone has no members", serve: groups, name: "svc.erl.internal.", qtype: "SRV", soa: "svc.erl.internal."},
		{row: "ns.dns.<zone> A: the address the question came to", serve: ipCluster, name: "ns.dns.erl.internal.", qtype: "A", want: []string{"ns.dns.erl.internal. 5 IN A 127.0.0.1"}},
		{row: "ns.dns.<zone> AAAA, asked over IPv4", serve: ipCluster, name: "ns.dns.erl.internal.", qtype: "AAAA", soa: zone},
		{row: "ns.dns.<zone> SRV", serve: ipCluster, name: "ns.dns.erl.internal.", qtype: "SRV", soa: zone},
		{row: "SOA below the apex", serve: ipCluster, name: "web-x1.erl.internal.", qtype: "SOA", soa: zone},

		{row: "ancestor: a namespace", serve: groups, name: "prod.svc.erl.internal.", qtype: "A", soa: "svc.erl.internal."},
		{row: "ancestor: a namespace without clusters", serve: groups, name: "dev.svc.erl.internal.", qtype: "A", rcode: dns.RcodeNameError, soa: "svc.erl.internal."},
		{row: "ancestor: _tcp.C", serve: hostnameCluster, name: "_tcp.erl.internal.", qtype: "SRV", soa: zone},
		{row: "ancestor: _udp.C if there is such a port", serve: ipCluster, name: "_udp.erl.internal.", qtype: "SRV", soa: zone},
		{row: "ancestor: _udp.C if there is none", serve: hostnameCluster, name: "_udp.erl.internal.", qtype: "SRV", rcode: dns.RcodeNameError, soa: zone},
		{row: "ancestor: of a host part", serve: hostnameCluster, name: "prod.svc.erl.internal.", qtype: "A", soa: zone},
		{row: "ancestor: of the name server", serve: ipCluster, name: "dns.erl.internal.", qtype: "A", soa: zone},

		{row: "any other name", serve: ipCluster, name: "nobody.erl.internal.", qtype: "A", rcode: dns.RcodeNameError, soa: zone},
		{row: "below a member", serve: ipCluster, name: "a.web-x1.erl.internal.", qtype: "A", rcode: dns.RcodeNameError, soa: zone},
		{row: "another group", serve: groups, name: "nobody.prod.svc.erl.internal.", qtype: "SRV", rcode: dns.RcodeNameError, soa: "svc.erl.internal."},
		{row: "ANY is answered minimally", serve: ipCluster, name: zone, qtype: "ANY", want: []string{`erl.internal. 5 IN HINFO "RFC8482" ""`}},
		{row: "AXFR is not answered here", serve: ipCluster, name: zone, qtype: "AXFR", rcode: dns.RcodeRefused},
		{row: "a name outside the zones", serve: ipCluster, name: "internal.", qtype: "A", rcode: rcodeNext},
		{row: "a name that ends like a zone", serve: ipCluster, name: "myerl.internal.", qtype: "A", rcode: rcodeNext},
		{row: "the root", serve: ipCluster, name: ".", qtype: "NS", rcode: rcodeNext},
	}
	for _, tc := range tests {
		t.Run(tc.row, func(t *testing.T) {
			m := ask(t, tc.serve(t), tc.name, tc.qtype, client{tcp: true})
			if m.Rcode != tc.rcode {
				t.Errorf("rcode: got %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[tc.rcode])
			}
			got := texts(m.Answer)
			slices.Sort(got)
			slices.Sort(tc.want)
			equal(t, "answer", got, tc.want)
			var zoneOwner []string
			if tc.soa != "" {
				zoneOwner = soaOf(tc.soa)
			}
			equal(t, "authority", texts(m.Ns), zoneOwner)
			ours := m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError
			if m.Authoritative != ours {
				t.Errorf("authoritative: got %t, want %t", m.Authoritative, ours)
			}
		})
	}
}

func TestOwnerRepeatsTheSpellingOfTheQuestion(t *testing.T) {
	tests := []struct {
		name  string
		serve func(testing.TB) *Longnames
		qname string
		qtype string
	}{
		{"cluster", ipCluster, "eRl.Internal.", "SRV"},
		{"group", groups, "SHOP.Prod.svc.erl.INTERNAL.", "TXT"},
		{"port", ipCluster, "_HTTP._Tcp.erl.Internal.", "SRV"},
		{"member", ipCluster, "WEB-X1.erl.Internal.", "A"},
		{"host part", hostnameCluster, "WEB-0.web.prod.SVC.erl.internal.", "A"},
		{"address", ipCluster, "2.0.0.10.IN-ADDR.arpa.", "PTR"},
		{"name server", ipCluster, "NS.dns.erl.internal.", "A"},
		{"apex", ipCluster, "ERL.internal.", "NS"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := tc.serve(t)
			m := ask(t, l, tc.qname, tc.qtype, client{})
			if len(m.Answer) == 0 {
				t.Fatal("no answer")
			}
			for _, rr := range m.Answer {
				if got := rr.Header().Name; got != tc.qname {
					t.Errorf("owner: got %q, want %q", got, tc.qname)
				}
			}
			if got := m.Question[0].Name; got != tc.qname {
				t.Errorf("question: got %q, want %q", got, tc.qname)
			}
			lower := dns.CanonicalName(tc.qname)
			again := ask(t, l, lower, tc.qtype, client{})
			if got := again.Answer[0].Header().Name; got != lower {
				t.Errorf("owner of the next one's answer: got %q, want %q", got, lower)
			}
		})
	}
}

// TestLongnameIsBasenameAtTarget is what libcluster's DNSSRV strategy relies on.
func TestLongnameIsBasenameAtTarget(t *testing.T) {
	for name, serve := range map[string]func(testing.TB) *Longnames{"ip": ipCluster, "dns": dnsCluster, "hostname": hostnameCluster} {
		t.Run(name, func(t *testing.T) {
			l := serve(t)
			var got []string
			for _, rr := range ask(t, l, "erl.internal.", "SRV", client{}).Answer {
				target := rr.(*dns.SRV).Target
				got = append(got, "app@"+target[:len(target)-1])
			}
			equal(t, "basename@target", got, data(ask(t, l, "erl.internal.", "TXT", client{}).Answer))
		})
	}
}

func TestTheAskerIsAlwaysInTheAnswer(t *testing.T) {
	c := configOf(t, ipBlock)
	l := serving(tableOf(c, ported(slice("web", endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2")), unready(endpoint("p3", "10.0.0.3"))), httpPort)))
	tests := []struct{ client, name, qtype string }{
		{"10.0.0.1", "erl.internal.", "TXT"},
		{"10.0.0.2", "erl.internal.", "TXT"},
		{"10.0.0.2", "erl.internal.", "SRV"},
		{"10.0.0.3", "erl.internal.", "A"},
		{"10.0.0.2", "_http._tcp.erl.internal.", "SRV"},
		{"10.0.0.9", "erl.internal.", "TXT"},
	}
	for _, tc := range tests {
		t.Run(tc.client+" "+tc.qtype, func(t *testing.T) {
			want := map[string]bool{"10.0.0.1": true, tc.client: tc.client != "10.0.0.9"}
			m := ask(t, l, tc.name, tc.qtype, client{address: tc.client})
			for _, text := range data(m.Answer) {
				delete(want, trimName(text))
			}
			for address, missing := range want {
				if missing {
					t.Errorf("%s is missing in %q", address, texts(m.Answer))
				}
			}
			if got, most := len(m.Answer), 2; got > most || tc.client == "10.0.0.9" && got != 1 {
				t.Errorf("got %d records: %q", got, texts(m.Answer))
			}
		})
	}
}

// trimName leaves the address of a target or of a longname.
func trimName(text string) string {
	if len(text) > 4 && text[:4] == "app@" {
		text = text[4:]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text
}

func TestZoneInsideAnother(t *testing.T) {
	outer := configOf(t, "longnames erl.internal {\n selector app=web\n basename outer\n}")
	inner := configOf(t, "longnames x.a.b.erl.internal {\n selector app=web\n basename inner\n}")
	for name, tables := range map[string][]*table{
		"outer first": {tableOf(outer), tableOf(inner)},
		"inner first": {tableOf(inner), tableOf(outer)},
	} {
		t.Run(name, func(t *testing.T) {
			l := serving(tables...)
			for qname, want := range map[string]int{
				"b.erl.internal.":   dns.RcodeSuccess,
				"a.b.erl.internal.": dns.RcodeSuccess,
				"c.erl.internal.":   dns.RcodeNameError,
				"c.b.erl.internal.": dns.RcodeNameError,
			} {
				if got := ask(t, l, qname, "A", client{}).Rcode; got != want {
					t.Errorf("%s: got %s, want %s", qname, dns.RcodeToString[got], dns.RcodeToString[want])
				}
			}
		})
	}
}

func TestTheRootAsZone(t *testing.T) {
	statefulset := "longnames . {\n selector app=web\n basename app\n mode hostname\n}"
	l := serving(tableOf(configOf(t, statefulset), slice("web", hosted(endpoint("web-0", "10.0.0.1")))))
	tests := []struct {
		qname, qtype string
		rcode        int
		want         []string
	}{
		{".", "TXT", dns.RcodeSuccess, []string{"app@web-0.web.prod.svc.cluster.local"}},
		{".", "NS", dns.RcodeSuccess, []string{"ns.dns."}},
		{"web-0.", "A", dns.RcodeSuccess, []string{"10.0.0.1"}},
		{"_epmd._tcp.", "SRV", dns.RcodeSuccess, []string{"web-0.web.prod.svc.cluster.local."}},
		{"web-0.web.prod.svc.cluster.local.", "A", dns.RcodeSuccess, []string{"10.0.0.1"}},
		{"cluster.local.", "A", dns.RcodeSuccess, nil},
		{"ns.dns.", "A", dns.RcodeSuccess, []string{"127.0.0.1"}},
		{"nobody.", "A", dns.RcodeNameError, nil},
	}
	for _, tc := range tests {
		t.Run(tc.qname+" "+tc.qtype, func(t *testing.T) {
			m := ask(t, l, tc.qname, tc.qtype, client{})
			equal(t, "answer", data(m.Answer), tc.want)
			if m.Rcode != tc.rcode {
				t.Errorf("rcode: got %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[tc.rcode])
			}
		})
	}
	grouped := configOf(t, "longnames . {\n group_by app\n}")
	l = serving(tableOf(grouped, labelled(grouped, labels{"app": "web"}, slice("web", endpoint("p1", "10.0.0.1")))))
	m := ask(t, l, "web.prod.", "SRV", client{})
	equal(t, "a group", data(m.Answer), []string{"10.0.0.1."})
	equal(t, "its glue, whose names would not be ours", texts(m.Extra), []string{})
	if got := ask(t, l, "prod.", "A", client{}).Rcode; got != dns.RcodeSuccess {
		t.Errorf("a namespace: got %s, want NOERROR", dns.RcodeToString[got])
	}
}

func TestZoneInsideTheClusterDomain(t *testing.T) {
	c := configOf(t, "longnames prod.svc.erl.internal {\n selector app=web\n basename app\n mode hostname\n cluster_domain erl.internal\n}")
	other := slice("web", hosted(endpoint("web-1", "10.0.0.2")))
	other.Namespace = "test"
	l := serving(tableOf(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))), other))
	equal(t, "a host part inside", data(ask(t, l, "web-0.web.prod.svc.erl.internal.", "A", client{}).Answer), []string{"10.0.0.1"})
	m := ask(t, l, "prod.svc.erl.internal.", "SRV", client{})
	equal(t, "targets", data(m.Answer), []string{"web-0.web.prod.svc.erl.internal.", "web-1.web.test.svc.erl.internal."})
	equal(t, "glue", texts(m.Extra), []string{"web-0.web.prod.svc.erl.internal. 5 IN A 10.0.0.1"})
}

// A question that gets no records must not cost a large cluster more than a small one.
func TestNegativeAnswersDoNotLookAtAllMembers(t *testing.T) {
	for _, name := range []string{"erl.internal.", "_epmd._tcp.erl.internal.", "web-0.web.prod.svc.erl.internal.", "web-0.erl.internal.", "nobody.erl.internal."} {
		allocations := func(members int) float64 {
			l := dualStackCluster(t, members)
			r, w := new(dns.Msg).SetQuestion(name, dns.TypeMX), newDiscard("none")
			return testing.AllocsPerRun(100, func() {
				if _, err := l.ServeDNS(t.Context(), w, r); err != nil || len(w.answer) != 0 {
					t.Fatalf("%s: got %d records and error %v, want none", name, len(w.answer), err)
				}
			})
		}
		if few, many := allocations(10), allocations(1000); many > few {
			t.Errorf("%s: got %.0f allocations with 1000 members, want the %.0f of 10", name, many, few)
		}
	}
}
