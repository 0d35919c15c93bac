package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
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
	t.must(writeEtc(name, t.server.addresses([]netip.Addr{address})))
	t.cleanup(func() { _ = t.removeNetns(name) })
	return name
}

// inetRes asks some times within one VM, and wants so many different values each time.
func (t *trial) inetRes(namespace, name string, want, times int, call, qtype, options string) {
	text, err := output(t.ctx, namespace, []string{"HOME=" + t.dir}, "erl", "-noinput", "+S", "1:1", "-pa", t.beam(),
		"-s", "cluster", "ask", "-extra", strconv.Itoa(times), call, qtype, name+".", options)
	t.must(err)
	t.note("inet_res:%s %s %s: %s", call, qtype, options, strings.Join(strings.Fields(text), " "))
	line := fmt.Sprintf("GOT %d %d\n", want, want)
	if text != strings.Repeat(line, times) {
		t.failf("inet_res:%s %s %s: got %q, want %d times %q", call, qtype, options, text, times, line)
	}
}

// shops has n members and CoreDNS with options, and the *cache* plugin.
func (t *trial) shops(n int, options string) {
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
	t.shops(14, "")
	client := t.outsider()
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		if t.truncated(qtype, 0, 14) {
			t.failf("%s: 14 records do not fit into 512 bytes", qtype)
		}
		t.inetRes(client, "shop.erl.internal", 14, 1, "lookup", strings.ToLower(qtype), "[]")
	}
	ns := t.name + "-prod"
	t.scale("deployments", ns, 40)
	members := addressesOf(t.podsOf(ns, "shop", 40))
	t.wantsCluster("shop.erl.internal", "shop", members, members)
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		if !t.truncated(qtype, 0, 40) {
			t.failf("%s: 40 records fit into 512 bytes", qtype)
		}
		t.inetRes(client, "shop.erl.internal", 40, 1, "lookup", strings.ToLower(qtype), "[]")
		t.inetRes(client, "shop.erl.internal", 40, 1, "lookup", strings.ToLower(qtype), "[{usevc,true}]")
		t.inetRes(client, "shop.erl.internal", 40, 1, "lookup", strings.ToLower(qtype), "[{edns,0},{udp_payload_size,4096}]")
		t.truncated(qtype, 1232, 40)
	}
	if t.truncated("A", 1232, 40) {
		t.failf("A: 40 records do not fit into 1232 bytes")
	}
}

// tryInetResCache has more members than the cache of OTP's resolver holds records, with the settings that the README
// advises: TTL 0.
func tryInetResCache(t *trial) {
	t.shops(120, "ttl 0")
	client := t.outsider()
	for _, qtype := range []string{"srv", "a"} {
		t.inetRes(client, "shop.erl.internal", 120, 4, "getbyname", qtype, "[]")
	}
	for _, qtype := range []string{"srv", "txt", "a"} {
		t.inetRes(client, "shop.erl.internal", 120, 4, "lookup", qtype, "[]")
	}
	m, err := t.ask("tcp", "shop.erl.internal", "SRV", 0)
	t.must(err)
	for _, rr := range m.Answer {
		if rr.Header().Ttl != 0 {
			t.failf("%s: not TTL 0, see %s", rr, filepath.Join(t.dir, "Corefile"))
		}
	}
}
