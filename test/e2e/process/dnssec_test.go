package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/e2e/watch"
)

// dnssec has what the plugin of that name signs convince a validating resolver.
func dnssec(t *testing.T, b *bed) {
	const members = 80 // more than fit into an answer over UDP
	const zone = "shop.erl.internal."
	b.open(t, pods, listWatch)
	b.shop(t, 0, members)
	key, anchor := signingKey(t, zone)
	_, other := signingKey(t, zone)
	s := b.serve(t, "cache\ndnssec "+zone+" {\nkey file "+key+"\n}\n"+b.block(zone, "lookup pods", "hold 0"))
	run := b.asker(t, s)
	// delv validates like a resolver that trusts a key of the zone itself.
	delv := func(anchor, name, qtype string) string {
		text, err := run("delv", "-a", anchor, "+root="+zone, name, qtype)
		return fmt.Sprint(text, err)
	}
	// validates wants delv to trust an answer with exactly this data, or that there is none.
	validates := func(name, qtype string, want ...string) {
		t.Helper()
		text, says, got := delv(anchor, name, qtype), "; fully validated", []string(nil)
		if len(want) == 0 {
			says = "; negative response, fully validated"
		}
		for line := range strings.Lines(text) {
			// OWNER TTL CLASS TYPE DATA
			if fields := strings.Fields(line); len(fields) > 4 && fields[0] == name && fields[3] == qtype {
				got = append(got, strings.Join(fields[4:], " "))
			}
		}
		if err := watch.Same(qtype, got, want); err != nil || !slices.Contains(strings.Split(text, "\n"), says) {
			t.Errorf("delv %s %s: got\n%s\nwant %q: %v", name, qtype, text, says, err)
		}
	}
	// all validates all that there is of members from one number on.
	all := func(from int) {
		t.Helper()
		to := 10 + members
		s.wants(zone, "A", b.some(from, to, "%s")...)
		validates(zone, "A", b.some(from, to, "%s")...)
		validates(zone, "SRV", b.some(from, to, "0 0 4369 %s.")...)
		validates(zone, "TXT", b.some(from, to, `"shop@%s"`)...)
		validates("_epmd._tcp."+zone, "SRV", b.some(from, to, "0 0 4369 %s.")...)
	}
	all(10)
	for _, qtype := range []string{"A", "SRV", "TXT"} {
		s.logs(`"` + qtype + ` IN shop\.erl\.internal\. tcp \d+ true `)
	}
	validates("shop-7."+zone, "A", b.address(17))
	validates("shop-7."+zone, "TXT", `"shop@`+b.address(17)+`"`)
	for _, nothing := range [][2]string{
		{zone, "AAAA"}, {"shop-7." + zone, "MX"}, {"_tcp." + zone, "SRV"}, // no such data
		{"nobody." + zone, "A"}, {"_nothing._tcp." + zone, "SRV"}, // no such name
	} {
		validates(nothing[0], nothing[1])
	}
	if text := delv(other, zone, "SRV"); strings.Contains(text, "fully validated") {
		t.Errorf("delv trusts another key, too:\n%s", text)
	}
	b.close(t, 0, 1)
	all(11)
	validates("shop-0."+zone, "A")
}

// signingKey makes a key for a zone: the file that *dnssec* reads, and one that says to trust it.
func signingKey(t *testing.T, zone string) (file, anchor string) {
	t.Helper()
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	must(t, err)
	file = t.TempDir() + "/key"
	write(t, file+".key", key.String()+"\n")
	write(t, file+".private", key.PrivateKeyString(private))
	return file, write(t, file+".anchor", fmt.Sprintf("trust-anchors { %q static-key %d %d %d %q; };\n",
		zone, key.Flags, key.Protocol, key.Algorithm, key.PublicKey))
}
