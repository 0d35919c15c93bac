package test

import (
	"strings"
	"testing"
)

// A resolver with strict qname-minimisation (RFC 9156) asks for the names above a zone first, and
// stops where one does not exist.
func TestZonesOfOtherServerBlocksHaveNamesAbove(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("web-0", "10.0.0.1"))
	write(t, dir, "none.yaml", "apiVersion: v1\nkind: List\nitems: []\n")
	write(t, dir, "zone", "@ 60 IN SOA ns hostmaster 1 60 60 60 60\n@ IN NS ns\nns IN A 192.0.2.53\nwww IN A 192.0.2.80\ny.passed IN A 192.0.2.81\n")
	block := func(zones string) string {
		return "longnames " + zones + " {\nmanifests " + dir + "/pods.yaml\nlookup pods\nselector app=web\nbasename app\n}\n"
	}
	grouped := func(file, zone string) string {
		one := "longnames " + zone + " {\nmanifests " + dir + "/FILE\nlookup pods\ngroup_by app\nfallthrough\n}\n"
		return strings.Replace(one, "FILE", "none.yaml", 1) + strings.Replace(one, "FILE", file, 1)
	}
	// Server blocks share a port only where it is known before.
	s := start(t, strings.ReplaceAll("erl.internal:PORT 10.0.0.0/8:PORT {\nbind 127.0.0.1\n"+block("")+"}\n"+
		"c.b.erl.internal:PORT {\nbind 127.0.0.1\n"+block("")+"}\n"+
		// What has the name itself comes first: another block of the zone, another plugin.
		"shared.internal:PORT passed.internal:PORT {\nbind 127.0.0.1\n"+grouped("pods.yaml", "shared.internal")+grouped("none.yaml", "passed.internal")+"file "+dir+"/zone internal\n}\n"+
		"admin.web.prod.shared.internal:PORT z.y.passed.internal:PORT {\nbind 127.0.0.1\nfile "+dir+"/zone\n}\n"+
		"dns://z.y.erl.internal:PORT 9.9.10.in-addr.arpa:PORT {\nbind 127.0.0.1\nfile "+dir+"/zone\n}\n", "PORT", freePort(t)))
	for _, tc := range []struct{ name, qtype, want string }{
		{"c.b.erl.internal.", "TXT", "NOERROR"},
		{"b.erl.internal.", "A", "NOERROR"},
		{"www.z.y.erl.internal.", "A", "NOERROR"},
		{"y.erl.internal.", "A", "NOERROR"},
		{"9.10.in-addr.arpa.", "PTR", "NOERROR"},
		{"x.b.erl.internal.", "A", "NXDOMAIN"},
		{"x.erl.internal.", "A", "NXDOMAIN"},
		{"8.10.in-addr.arpa.", "PTR", "NXDOMAIN"},
	} {
		m := s.query("udp", tc.name, tc.qtype, 0)
		if got := s.rcode(tc.name, tc.qtype); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
		if isAbove := tc.want == "NOERROR" && len(m.Answer) == 0; isAbove && len(m.Ns) != 1 {
			t.Errorf("%s: got %v, want the SOA record of the outer zone", tc.name, m)
		}
	}
	s.wants("c.b.erl.internal.", "TXT", "app@10.0.0.1")
	s.wants("web.prod.shared.internal.", "TXT", "web@10.0.0.1")
	s.wants("y.passed.internal.", "A", "192.0.2.81")
	s.wants("www.z.y.erl.internal.", "A", "192.0.2.80")
}

func TestNoHostPartIsTheNameServerOfAnotherServerBlock(t *testing.T) {
	dir := t.TempDir()
	named := func(pod, address, hostname string) string {
		return strings.Replace(podManifest(pod, address), "status:", "spec: {hostname: "+hostname+", subdomain: dns}\nstatus:", 1)
	}
	write(t, dir, "pods.yaml", named("x", "10.66.6.6", "ns")+named("web-0", "10.0.0.2", "web-0"))
	block := "longnames {\nmanifests " + dir + "/pods.yaml\nlookup pods\nselector app=web\nbasename app\nmode hostname\ncluster_domain erl.internal\n}\n}\n"
	s := start(t, strings.ReplaceAll("erl.internal:PORT {\nbind 127.0.0.1\n"+block+
		"prod.svc.erl.internal:PORT {\nbind 127.0.0.1\n"+block, "PORT", freePort(t)))
	s.wants("erl.internal.", "TXT", "app@web-0.dns.prod.svc.erl.internal")
	s.wants("erl.internal.", "A", "10.0.0.2")
	s.wants("ns.dns.prod.svc.erl.internal.", "A", "127.0.0.1")
}
