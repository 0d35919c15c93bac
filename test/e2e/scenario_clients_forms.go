package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// pageOf applies what docs/clients.md has for mode ip, with so many pods.
func (t *trial) pageOf(n int) (*page, []corev1.Pod) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	p := t.page("ip", "4", ns)
	t.applyText("shop", strings.Replace(p.manifest, "  replicas: 3\n", fmt.Sprintf("  replicas: %d\n", n), 1))
	t.serveBlocks(p.blocks...)
	return p, t.podsOf(ns, "shop", n)
}

// tryClientsTruncated has so many members that no list fits into the 512 bytes that OTP's resolver asks for: each client
// gets all of them all the same, by TCP.
func tryClientsTruncated(t *trial) {
	const n = 40
	p, pods := t.pageOf(n)
	all := addressesOf(pods)
	t.wantsCluster(p.zones[zoneMode], "shop", all, all)
	from := t.outsider()
	for _, c := range clientTable {
		if c.finds("ip", "4") {
			zone := p.zones[c.zone]
			t.wants(zone, "TXT", longnames(basenameIn(c), all)...)
			t.asks(from, c, "ip", zone, members("shop", "ip", clientsDomain, pods))
		}
	}
	for _, qtype := range []string{"A", "SRV"} {
		t.server.logs(`"` + qtype + ` IN ` + regexp.QuoteMeta(p.zones[zoneMode]) + `\. tcp `)
	}
}

// basenameIn is the one in a client's zone.
func basenameIn(c client) string {
	if c.zone == zoneCaravan {
		return "shop-9100"
	}
	return "shop"
}

// tryClientsForms has what clients cannot take: a CNAME, and an answer that a family has no addresses which is an error or
// comes late. The latter is asked for once, by a resolver that would ask again after an error.
func tryClientsForms(t *trial) {
	p, pods := t.pageOf(3)
	all := addressesOf(pods)
	from := t.outsider()
	zone := p.zones[zoneMode]
	t.asksOnce(from, zone, longnames("shop", all))
	for _, name := range []string{zone, strings.Replace(zone, "shop.", "sHoP.", 1), strings.Replace(zone, "erl.internal", "eRl.InTeRnAl", 1)} {
		t.wantsCluster(name, "shop", all, all)
		for _, qtype := range []string{"A", "SRV", "TXT"} {
			m, err := t.ask("udp", name, qtype, 0)
			t.must(err)
			for _, rr := range slices.Concat(m.Answer, m.Ns) {
				if got := dns.TypeToString[rr.Header().Rrtype]; got != qtype {
					t.failf("%s %s: got %s", name, qtype, rr)
				}
			}
		}
		// It takes no host entry that has aliases.
		t.finds(from, nil, "libcluster Kubernetes.DNS", name+".", "shop", longnames("shop", all), 1)
	}
	m, err := t.ask("udp", zone, "AAAA", 0)
	t.must(err)
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
		t.failf("AAAA: got %s, want NOERROR with the SOA", m)
	}
}

// asksOnce has a client ask for a family without addresses, before anybody else has.
func (t *trial) asksOnce(from, name string, want []string) {
	t.wants(name, "TXT", want...)
	t.finds(from, nil, "lookup a aaaa", name, "shop", want, 1)
	asked := `"AAAA IN ` + regexp.QuoteMeta(name) + `\. [^"]*" `
	t.server.logs(asked + "NOERROR")
	t.wants(name, "MX") // by whose line in the log those before it are there
	t.server.logs(`"MX IN ` + regexp.QuoteMeta(name))
	if found := regexp.MustCompile(asked).FindAllString(t.server.process.output(), -1); len(found) != 1 {
		t.failf("it was asked %q, want once", found)
	}
}

// tryInetrc has more members than OTP's resolver remembers records, with a TTL: with the page's inetrc it gets all of
// them each time, as it remembers nothing, and in datagrams that are larger than 512 bytes.
func tryInetrc(t *trial) {
	const n = 120
	p, pods := t.pageOf(n)
	all := addressesOf(pods)
	zone := p.zones[zoneMode]
	t.wantsCluster(zone, "shop", all, all)
	env := append(t.inetrc("Modes"), "HOME="+t.dir)
	from := t.outsider()
	text, err := output(t.ctx, from, env, "erl", "-noinput", "-eval", `io:format("~0p", [inet:get_rc()]), halt().`)
	t.must(err)
	for _, want := range []string{"{cache_size,0}", "{edns,0}", "{udp_payload_size,1232}"} {
		if !strings.Contains(text, want) {
			t.failf("inet:get_rc() is %s, want %s in it", text, want)
		}
	}
	for _, c := range clientTable {
		if c.zone == zoneMode && c.finds("ip", "4") {
			t.finds(from, env, c.call, zone+".", "shop", longnames("shop", all), 3)
			t.note("%-14s %-18s finds %d, three times", c.name, c.strategy, n)
		}
	}
	t.server.logs(`"A IN ` + regexp.QuoteMeta(zone) + `\. udp \d+ false 1232" `)
}
