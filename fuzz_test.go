package longnames

import (
	"testing"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// FuzzQuestion asks anything that a packet can ask. Whatever comes back must be possible to
// send, fit the client, and obey the rules for answers.
func FuzzQuestion(f *testing.F) {
	for _, name := range []string{
		"erl.internal.", "web-0.erl.internal.", "_http._tcp.erl.internal.", "_epmd._tcp.erl.internal.", "_tcp.erl.internal.",
		"web-0.web.prod.svc.erl.internal.", "10-0-0-1.erl.internal.", "1.0.0.10.in-addr.arpa.", "ns.dns.erl.internal.",
		"shop.prod.svc.erl.internal.", "prod.svc.erl.internal.", "6.0.d.f.ip6.arpa.", ".", "xn--a\\.b.erl.internal.",
	} {
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeA, dns.TypePTR, dns.TypeANY} {
			wire, err := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, false).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(wire, qtype%2 == 0)
		}
	}
	plugins := []*Longnames{ipCluster(f), hostnameCluster(f), dnsCluster(f), groups(f)}
	f.Fuzz(func(t *testing.T, wire []byte, tcp bool) {
		r := new(dns.Msg)
		if r.Unpack(wire) != nil || len(r.Question) != 1 {
			return // CoreDNS does not let these through
		}
		for _, l := range plugins {
			rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: tcp})
			_, _ = l.ServeDNS(t.Context(), request.NewScrubWriter(r, rec), r)
			if rec.Msg == nil {
				continue
			}
			check(t, r, rec.Msg, tcp)
		}
	})
}

func check(t *testing.T, r, m *dns.Msg, tcp bool) {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatalf("%v: cannot be sent: %v", r.Question[0], err)
	}
	limit := dns.MaxMsgSize
	if !tcp {
		limit = dns.MinMsgSize
		if opt := r.IsEdns0(); opt != nil {
			limit = max(limit, int(opt.UDPSize()))
		}
	}
	if len(wire) > limit {
		t.Errorf("%v: got %d bytes, want at most %d", r.Question[0], len(wire), limit)
	}
	seen := make(map[string]bool)
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Name != r.Question[0].Name || h.Rrtype == dns.TypeCNAME {
			t.Errorf("%v: got %q, want the name that was asked for, and no alias", r.Question[0], rr)
		}
		if seen[rr.String()] {
			t.Errorf("%v: got %q twice", r.Question[0], rr)
		}
		seen[rr.String()] = true
	}
	if len(m.Answer) > 0 && len(m.Ns) > 0 {
		t.Errorf("%v: got %d records in authority of a positive answer", r.Question[0], len(m.Ns))
	}
	if r.Question[0].Qtype == dns.TypePTR && len(m.Answer) > 1 {
		t.Errorf("%v: got %d PTR records, want one", r.Question[0], len(m.Answer))
	}
}
