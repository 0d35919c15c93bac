package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// dnssecScenarios: what the plugin dnssec signs convinces a validating resolver.
func dnssecScenarios() []scenario {
	return []scenario{{"dnssec", tryDNSSEC}}
}

// signedZone is the zone that is signed.
const signedZone = "shop.erl.internal."

func tryDNSSEC(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, pods)
	all := make([]string, 80) // more than fit into an answer over UDP
	for i := range all {
		all[i] = t.address("4", 10+i)
	}
	t.many(len(all), func(i int) { t.pod(ns, "shop", fmt.Sprintf("shop-%02d", i), all[i]) })
	t.podsOf(ns, "shop", len(all))
	asking := t.namespace("asking", podPolicy{process: idle})
	t.pod(asking, "asking", "asking", "")
	pod := t.podsOf(asking, "asking", 1)[0]

	const zone = signedZone
	files, anchor := t.signingKey("key")
	_, other := t.signingKey("other")
	t.server.serve(`cache
	dnssec ` + zone + ` {
		key file ` + files + `
	}
	longnames ` + zone + ` {
		SERVICE_ACCOUNT
		selector app=shop
		lookup pods
		basename shop
		hold 0
	}`)
	cluster := func(addresses []string) {
		srv, txt := make([]string, len(addresses)), make([]string, len(addresses))
		for i, a := range addresses {
			srv[i], txt[i] = "0 0 4369 "+a+".", `"shop@`+a+`"`
		}
		t.wants(zone, "A", addresses...)
		t.validates(pod, anchor, zone, "A", addresses...)
		t.validates(pod, anchor, zone, "SRV", srv...)
		t.validates(pod, anchor, zone, "TXT", txt...)
		t.validates(pod, anchor, "_epmd._tcp."+zone, "SRV", srv...)
	}
	cluster(all)
	for _, qtype := range []string{"A", "SRV", "TXT"} {
		t.server.logs(`"` + qtype + ` IN shop\.erl\.internal\. tcp \d+ true `)
	}
	t.validates(pod, anchor, "shop-07."+zone, "A", all[7])
	t.validates(pod, anchor, "shop-07."+zone, "TXT", `"shop@`+all[7]+`"`)
	for _, nothing := range []struct{ name, qtype string }{
		{zone, "AAAA"}, {"shop-07." + zone, "MX"}, {"_tcp." + zone, "SRV"}, // no such data
		{"nobody." + zone, "A"}, {"_nothing._tcp." + zone, "SRV"}, // no such name
	} {
		t.validates(pod, anchor, nothing.name, nothing.qtype)
	}
	if text := t.delv(pod, other, zone, "SRV"); strings.Contains(text, validated) {
		t.failf("delv trusts another key, too:\n%s", text)
	}

	t.deletePod(ns, "shop-00")
	cluster(all[1:])
	t.validates(pod, anchor, "shop-00."+zone, "A")
}

// signingKey makes a key for the zone: the files that *dnssec* reads, without their extensions, and one that says to
// trust it.
func (t *trial) signingKey(name string) (files, anchor string) {
	key := &dns.DNSKEY{
		Hdr:       dns.RR_Header{Name: signedZone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags:     dns.ZONE | dns.SEP,
		Protocol:  3,
		Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	t.must(err)
	files, anchor = filepath.Join(t.dir, name), filepath.Join(t.dir, name+".anchor")
	t.must(os.WriteFile(files+".key", []byte(key.String()+"\n"), 0o600))
	t.must(os.WriteFile(files+".private", []byte(key.PrivateKeyString(private)), 0o600))
	t.must(os.WriteFile(anchor, fmt.Appendf(nil, "trust-anchors { %q static-key %d %d %d %q; };\n",
		signedZone, key.Flags, key.Protocol, key.Algorithm, key.PublicKey), 0o600))
	return files, anchor
}

// validated is what delv says of an answer, or of there being none, that it can trust.
const validated = "fully validated"

// delv validates like a resolver that trusts a key of the zone itself.
func (t *trial) delv(pod corev1.Pod, anchor, name, qtype string) string {
	_, namespace := t.kubelet.process(pod.UID)
	if namespace == "" {
		t.failf("%s does not run", pod.Name)
	}
	text, err := output(t.ctx, namespace, nil, "/usr/bin/delv", "-a", anchor, "+root="+signedZone, "@"+t.server.v4, name, qtype)
	if err != nil {
		text += err.Error()
	}
	t.keep("delv "+name+" "+qtype, text)
	return text
}

// validates wants delv to trust an answer with exactly this data, or that there is none.
func (t *trial) validates(pod corev1.Pod, anchor, name, qtype string, want ...string) {
	text := t.delv(pod, anchor, name, qtype)
	says := "; " + validated
	if len(want) == 0 {
		says = "; negative response, " + validated
	}
	var got []string
	for line := range strings.Lines(text) {
		// OWNER TTL CLASS TYPE DATA
		if fields := strings.Fields(line); len(fields) > 4 && fields[0] == name && fields[3] == qtype {
			got = append(got, strings.Join(fields[4:], " "))
		}
	}
	if !slices.Contains(strings.Split(text, "\n"), says) {
		t.failf("delv %s %s does not say %q:\n%s", name, qtype, says, text)
	}
	t.must(same("delv "+name+" "+qtype, got, want))
	t.note("delv %s %s: %s", name, qtype, says)
}
