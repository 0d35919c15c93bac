package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// inetResScenarios: what OTP's resolver makes of answers of all sizes.
func inetResScenarios() []scenario {
	return []scenario{
		{"inet-res-512-bytes", tryInetRes},
		{"inet-res-120-members-cached", tryInetResCache},
	}
}

// outsider makes a namespace for somebody who asks but is no pod.
func (t *trial) outsider() string { return t.asker(t.address("4", 5)) }

// asker makes a namespace for somebody who asks from an address.
func (t *trial) asker(from string) string {
	name := t.netns(fmt.Sprintf("c%d", t.number))
	address := netip.MustParseAddr(from)
	t.must(newPodNetns(t.ctx, t.plane.name, name, fmt.Sprintf("c%d", t.number), []netip.Addr{address}))
	t.must(writeEtc(name, machineEtc(t.server.addresses([]netip.Addr{address}))))
	t.cleanup(func() { _ = t.removeNetns(name) })
	return name
}

// linesOf has a function of one of our modules do something some times within one VM, and gives the line that it prints of each.
func (t *trial) linesOf(namespace string, env []string, what string, times int, module, function string, args ...string) []string {
	command := slices.Concat([]string{"erl", "-noinput", "+S", "1:1", "-pa", t.beam(), "-s", module, function, "-extra", strconv.Itoa(times)}, args)
	text, err := output(t.ctx, namespace, append([]string{"HOME=" + t.dir}, env...), command...)
	t.must(err)
	t.keep(what, what+": "+text)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != times {
		t.failf("%s: %d answers, want %d: %s", what, len(lines), times, tail(text))
	}
	return lines
}

// inetRes asks some times within one VM, and wants exactly these values each time.
func (t *trial) inetRes(namespace, name string, want []string, times int, call, qtype, options string) {
	what := fmt.Sprintf("inet_res:%s %s %s %s", call, name, qtype, options)
	lines := t.linesOf(namespace, nil, what, times, "cluster", "ask", call, qtype, name+".", options)
	for i, line := range lines {
		values, ok := strings.CutPrefix(line, "GOT ")
		if !ok {
			t.failf("%s: got %s", what, tail(line))
		}
		t.must(same(fmt.Sprintf("%s, answer %d", what, i+1), strings.Fields(values), want))
	}
	t.note("%s: %d values, %d times", what, len(want), times)
}

// shops has n members and CoreDNS with options, and the *cache* plugin. It gives what a question of each type is
// answered with.
func (t *trial) shops(n int, options string) map[string][]string {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, pods)
	t.deployment(ns, int32(n)) //nolint:gosec // it is small
	want := addressesOf(t.podsOf(ns, "shop", n))
	t.server.serve(`cache 30
	longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		lookup pods
		basename shop
		` + options + `
	}`)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	return answersOf(want)
}

// answersOf nodes called shop in mode ip.
func answersOf(addresses []string) map[string][]string {
	return map[string][]string{"SRV": addresses, "TXT": longnames("shop", addresses), "A": addresses}
}

// truncated asks over UDP and tells whether the answer was cut, which it has to say itself.
func (t *trial) truncated(qtype string, size uint16, members int) bool {
	m, err := t.ask("udp", "shop.erl.internal", qtype, size)
	t.must(err)
	m.Compress = true // as it came
	if length := m.Len(); length > max(int(size), 512) {
		t.failf("%s: %d bytes for %d", qtype, length, size)
	}
	if !m.Truncated && len(m.Answer) != members {
		t.failf("%s in %d bytes: %d of %d records, and nothing says so", qtype, size, len(m.Answer), members)
	}
	return m.Truncated
}

// tryInetRes has a set that fits into 512 bytes, then one that needs TCP, and one that needs EDNS or TCP.
func tryInetRes(t *trial) {
	want := t.shops(14, "")
	client := t.outsider()
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		if t.truncated(qtype, 0, 14) {
			t.failf("%s: 14 records do not fit into 512 bytes", qtype)
		}
		for _, name := range []string{"shop.erl.internal", "sHoP.ErL.InTeRnAl"} {
			t.inetRes(client, name, want[qtype], 1, "lookup", strings.ToLower(qtype), "[]")
		}
	}
	t.inetRes(client, "sHoP.ErL.InTeRnAl", want["SRV"], 1, "getbyname", "srv", "[]")
	ns := t.name + "-prod"
	t.scale("deployments", ns, 40)
	members := addressesOf(t.podsOf(ns, "shop", 40))
	t.wantsCluster("shop.erl.internal", "shop", members, members)
	want = answersOf(members)
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		if !t.truncated(qtype, 0, 40) {
			t.failf("%s: 40 records fit into 512 bytes", qtype)
		}
		for _, options := range []string{"[]", "[{usevc,true}]", "[{edns,0},{udp_payload_size,4096}]"} {
			t.inetRes(client, "shop.erl.internal", want[qtype], 1, "lookup", strings.ToLower(qtype), options)
		}
		t.server.logs(`"` + qtype + ` IN shop\.erl\.internal\. udp \d+ false 4096" NOERROR qr,aa,rd `) // whole, without TCP
		t.truncated(qtype, 1232, 40)
	}
	if t.truncated("A", 1232, 40) {
		t.failf("A: 40 records do not fit into 1232 bytes")
	}
}

// tryInetResCache has more members than the cache of OTP's resolver holds records, with the settings that the README
// advises: TTL 0.
func tryInetResCache(t *trial) {
	want := t.shops(120, "ttl 0")
	client := t.outsider()
	for _, qtype := range []string{"SRV", "A"} {
		t.inetRes(client, "shop.erl.internal", want[qtype], 4, "getbyname", strings.ToLower(qtype), "[]")
	}
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		t.inetRes(client, "shop.erl.internal", want[qtype], 4, "lookup", strings.ToLower(qtype), "[]")
	}
	m, err := t.ask("tcp", "shop.erl.internal", "SRV", 0)
	t.must(err)
	for _, rr := range m.Answer {
		if rr.Header().Ttl != 0 {
			t.failf("%s: not TTL 0, see %s", rr, filepath.Join(t.dir, "Corefile"))
		}
	}
}
