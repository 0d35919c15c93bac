package longnames

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// wire writes a message as CoreDNS does, and gives what the client receives.
func wire(t testing.TB, w dns.ResponseWriter, r *dns.Msg, write func(dns.ResponseWriter) error) []byte {
	t.Helper()
	rec := dnstest.NewRecorder(w)
	if err := write(request.NewScrubWriter(r, rec)); err != nil {
		t.Fatal(err)
	}
	packed, err := rec.Msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// TestTruncatedAnswersAreThoseOfTheWholeSet compares with what CoreDNS makes of whole sets, for
// every number of members around what fits.
func TestTruncatedAnswersAreThoseOfTheWholeSet(t *testing.T) {
	root := "longnames . {\n selector app=web\n basename a\n}" // where records are smallest
	for _, block := range []string{ipBlock, root} {
		zone := configOf(t, block).name()
		for n := 1; n < 140; n++ {
			l := manyMembers(t, block, n)
			for _, c := range []client{
				{}, {edns: 512}, {edns: 513}, {edns: 1232}, {edns: 4096}, {edns: 512, do: true}, {edns: 1232, do: true}, {tcp: true}, {tcp: true, edns: 512},
			} {
				for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeA} {
					r := new(dns.Msg).SetQuestion(zone, qtype)
					if c.edns > 0 {
						r.SetEdns0(c.edns, c.do)
					}
					w := &test.ResponseWriter{TCP: c.tcp}
					got := wire(t, w, r, func(w dns.ResponseWriter) error {
						_, err := l.ServeDNS(t.Context(), w, r)
						return err
					})
					m := new(dns.Msg).SetReply(r)
					m.Authoritative, m.Answer = true, membersOf(l.blocks[0].table, "").records[0].of(qtype).answer
					if len(m.Answer) != n {
						t.Fatalf("the whole set: got %d records, want %d", len(m.Answer), n)
					}
					want := wire(t, w, r, func(w dns.ResponseWriter) error { return w.WriteMsg(m) })
					if !bytes.Equal(got, want) {
						t.Fatalf("%d members, %s, %+v: got %d bytes, want %d that are not the same", n, dns.TypeToString[qtype], c, len(got), len(want))
					}
				}
			}
		}
	}
}

// TestWhatIsLeftOutIsTold writes past what CoreDNS truncates with, as it does itself for a
// message that is signed with TSIG.
func TestWhatIsLeftOutIsTold(t *testing.T) {
	for _, tc := range []struct {
		members   int
		client    client
		want      int
		truncated bool
	}{
		{34, client{}, 34, false},
		{35, client{}, 34, true},
		{3000, client{}, 34, true},
		{3000, client{edns: 1232}, 82, true},
		{3000, client{edns: 1232, do: true}, 82, true},
		{3000, client{tcp: true, edns: 1232, do: true}, 3000, false},
		{3000, client{tcp: true}, 3000, false},
		{3000, client{tcp: true, edns: 1232}, 3000, false},
	} {
		t.Run(fmt.Sprintf("%d members, %+v", tc.members, tc.client), func(t *testing.T) {
			r := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeA)
			if tc.client.edns > 0 {
				r.SetEdns0(tc.client.edns, tc.client.do)
			}
			rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: tc.client.tcp})
			if _, err := manyMembers(t, ipBlock, tc.members).ServeDNS(t.Context(), rec, r); err != nil {
				t.Fatal(err)
			}
			if got := len(rec.Msg.Answer); got != tc.want || rec.Msg.Truncated != tc.truncated {
				t.Errorf("got %d records, truncated: %t; want %d, truncated: %t", got, rec.Msg.Truncated, tc.want, tc.truncated)
			}
		})
	}
}
