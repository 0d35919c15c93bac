package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/dnssec"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/fakeapi"
)

// signingKey makes a key for a zone, and the files that dnssec reads it from.
func signingKey(t *testing.T, zone string) (key *dns.DNSKEY, file string) {
	t.Helper()
	key = &dns.DNSKEY{
		Hdr:       dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags:     dns.ZONE | dns.SEP,
		Protocol:  3,
		Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "key.key", key.String()+"\n")
	write(t, dir, "key.private", key.PrivateKeyString(private))
	return key, dir + "/key"
}

// tryDNSSEC checks signatures as a validating resolver does (RFC 4035, section 5.3), and
// what is said not to exist (section 5.4).
func tryDNSSEC(t *testing.T) {
	const members = 500
	key, file := signingKey(t, "erl.internal.")
	addresses := make([]string, members)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
	}
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.1.0.1", true), endpoint("web-1", "10.1.0.2", true)))
	few := strings.Replace(corefile(api, "ttl 3600\nmode dns\ncluster_domain few.erl.internal"), "longnames ", "longnames few.", 1)
	s := start(t, strings.Replace(few, "{", "{\ncache 3600\ndnssec erl.internal {\nkey file "+file+"\n}\n"+block("erl.internal", podsAt(t, addresses...), ""), 1))
	signed := func(t *testing.T, network, name, qtype string) *dns.Msg {
		t.Helper()
		m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
		m.SetEdns0(4096, true)
		address := s.udp
		if network == "tcp" {
			address = s.tcp
		}
		client := dns.Client{Net: network, UDPSize: 4096, Timeout: 5 * time.Second}
		answer, _, err := client.Exchange(m, address)
		if err != nil {
			t.Fatalf("%s %s: %v", name, qtype, err)
		}
		if answer.Rcode != dns.RcodeSuccess || answer.Truncated {
			t.Fatalf("%s %s over %s: got %s, truncated: %t, want a whole answer", name, qtype, network, dns.RcodeToString[answer.Rcode], answer.Truncated)
		}
		return answer
	}

	for _, tc := range []struct {
		name, qtype string
		want        int
	}{
		{"erl.internal.", "DNSKEY", 1},
		{"erl.internal.", "SOA", 1},
		{"erl.internal.", "NS", 1},
		{"few.erl.internal.", "SRV", 2},
		{"few.erl.internal.", "TXT", 2},
		{"few.erl.internal.", "A", 2},
		{"FEW.Erl.internal.", "SRV", 2},
		{"_epmd._tcp.few.erl.internal.", "SRV", 2},
		{"web-1.few.erl.internal.", "A", 1},
		{"10-1-0-1.prod.pod.few.erl.internal.", "A", 1},
		{"few.erl.internal.", "ANY", 1},
	} {
		t.Run("there is "+tc.name+" "+tc.qtype, func(t *testing.T) {
			answer := signed(t, "udp", tc.name, tc.qtype)
			if got := len(verify(t, key, answer.Answer)); got != tc.want {
				t.Errorf("got %d records, want %d", got, tc.want)
			}
			if len(answer.Ns) > 0 || len(answer.Extra) > 1 {
				t.Errorf("got authority %v and additional records %v, want just those for EDNS", answer.Ns, answer.Extra)
			}
		})
	}
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		t.Run("many "+qtype, func(t *testing.T) {
			answer := signed(t, "tcp", "erl.internal.", qtype)
			if got := len(verify(t, key, answer.Answer)); got != members {
				t.Errorf("got %d records, want all %d", got, members)
			}
		})
	}
	for _, tc := range []struct{ name, qtype string }{
		{"few.erl.internal.", "AAAA"},
		{"web-1.few.erl.internal.", "MX"},
		{"_tcp.few.erl.internal.", "SRV"},
		{"erl.internal.", "MX"},
		{"nobody.erl.internal.", "A"},
		{"_nothing._tcp.few.erl.internal.", "SRV"},
		{"NoBody.few.erl.internal.", "TXT"},
	} {
		t.Run("there is no "+tc.name+" "+tc.qtype, func(t *testing.T) {
			answer := signed(t, "udp", tc.name, tc.qtype)
			if len(answer.Answer) > 0 {
				t.Errorf("got %v", answer.Answer)
			}
			denied(t, verify(t, key, answer.Ns), tc.name, tc.qtype)
		})
	}
	t.Run("without being asked", func(t *testing.T) {
		answer := s.query("udp", "few.erl.internal.", "SRV", 0)
		if len(answer.Answer) != 2 || len(answer.Extra) != 2 {
			t.Errorf("got %v, want two records, two addresses and no signature", answer)
		}
	})
	t.Run("all at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					m := new(dns.Msg).SetQuestion("few.erl.internal.", dns.TypeSRV)
					m.SetEdns0(4096, true)
					answer, err := s.exchange(m, "127.0.0.1")
					if err != nil {
						t.Error(err)
						return
					}
					if got := len(verify(t, key, answer.Answer)); got != 2 {
						t.Errorf("got %d records, want 2", got)
					}
				}
			})
		}
		wg.Wait()
	})

	api.Put(slice(endpoint("web-0", "10.1.0.1", true), endpoint("web-1", "10.1.0.2", true), endpoint("web-2", "10.1.0.3", true)))
	s.soon("few.erl.internal.", "A", "10.1.0.1", "10.1.0.2", "10.1.0.3")
	for _, name := range []string{"few.erl.internal.", "_epmd._tcp.few.erl.internal."} {
		if got := len(verify(t, key, signed(t, "udp", name, "SRV").Answer)); got != 3 {
			t.Errorf("%s after a change: got %d records, want 3", name, got)
		}
	}
}

// verify gives the records of a section without their signatures, of which each RRset has to
// have a good one.
func verify(t *testing.T, key *dns.DNSKEY, section []dns.RR) []dns.RR {
	t.Helper()
	type set struct {
		owner string
		qtype uint16
	}
	sets, signatures := make(map[set][]dns.RR), make(map[set][]*dns.RRSIG)
	var records []dns.RR
	for _, rr := range section {
		owner := dns.CanonicalName(rr.Header().Name)
		if sig, ok := rr.(*dns.RRSIG); ok {
			signatures[set{owner, sig.TypeCovered}] = append(signatures[set{owner, sig.TypeCovered}], sig)
			continue
		}
		sets[set{owner, rr.Header().Rrtype}] = append(sets[set{owner, rr.Header().Rrtype}], rr)
		records = append(records, rr)
	}
	if len(records) == 0 {
		t.Error("got no records at all")
	}
	for s, rrs := range sets {
		good := slices.ContainsFunc(signatures[s], func(sig *dns.RRSIG) bool {
			return sig.KeyTag == key.KeyTag() && sig.ValidityPeriod(time.Now()) && sig.Verify(key, rrs) == nil
		})
		if !good {
			t.Errorf("%s %s: got no good signature of %d records", s.owner, dns.TypeToString[s.qtype], len(rrs))
		}
	}
	return records
}

// denied wants a record that says that there is none of the name and type.
func denied(t *testing.T, authority []dns.RR, name, qtype string) {
	t.Helper()
	for _, rr := range authority {
		nsec, ok := rr.(*dns.NSEC)
		if ok && strings.EqualFold(nsec.Hdr.Name, name) && !slices.Contains(nsec.TypeBitMap, dns.StringToType[qtype]) {
			return
		}
	}
	t.Errorf("got %v, want an NSEC record of the name without the type", authority)
}
