package longnames

import (
	"context"
	"strings"
	"testing"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// extendedErrors are those of a message.
func extendedErrors(m *dns.Msg) []uint16 {
	var codes []uint16
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if ede, ok := o.(*dns.EDNS0_EDE); ok {
				codes = append(codes, ede.InfoCode)
			}
		}
	}
	return codes
}

// restoredOf is a table that has objects from before its source began.
func restoredOf(c *config, objects ...*kubeapi.Object) *table {
	t := newTable(c)
	apply(t, objects...)
	t.Restored()
	return t
}

func TestAnswersFromWhatWasLastKnown(t *testing.T) {
	measured(t, "erl.internal.")
	c := configOf(t, hostnameBlock)
	object := slice("web", hosted(endpoint("web-0", "10.0.0.1")))
	tests := []struct {
		name, qtype string
		rcode       int
		answers     int
		stale       bool
	}{
		{"erl.internal.", "TXT", dns.RcodeSuccess, 1, true},
		{"erl.internal.", "SRV", dns.RcodeSuccess, 1, true},
		{"erl.internal.", "SOA", dns.RcodeSuccess, 1, true},
		{"erl.internal.", "MX", dns.RcodeSuccess, 0, true},
		{"web-0.erl.internal.", "A", dns.RcodeSuccess, 1, true},
		{"web-0.erl.internal.", "AAAA", dns.RcodeSuccess, 0, true},
		{"web-0.web.prod.svc.erl.internal.", "A", dns.RcodeSuccess, 1, true},
		{"1.0.0.10.in-addr.arpa.", "PTR", dns.RcodeSuccess, 1, true},
		{"erl.internal.", "AXFR", dns.RcodeRefused, 0, false},
		{"internal.", "A", rcodeNext, 0, false},
	}
	for _, tc := range tests {
		t.Run(tc.name+" "+tc.qtype, func(t *testing.T) {
			table := restoredOf(c, object)
			l := serving(table)
			before := testutil.ToFloat64(staleAnswers.WithLabelValues("", "erl.internal."))
			check := func(when string, edns uint16, want []uint16) {
				t.Helper()
				m := ask(t, l, tc.name, tc.qtype, client{edns: edns, tcp: true})
				if m.Rcode != tc.rcode || len(m.Answer) != tc.answers {
					t.Errorf("%s: got %s and %q, want %s and %d records", when, dns.RcodeToString[m.Rcode], texts(m.Answer),
						dns.RcodeToString[tc.rcode], tc.answers)
				}
				if got := extendedErrors(m); len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
					t.Errorf("%s: got extended errors %v, want %v", when, got, want)
				}
			}
			var want []uint16
			count := 0.0
			if tc.stale {
				want, count = []uint16{dns.ExtendedErrorCodeStaleAnswer}, 2
			}
			check("with EDNS", 1232, want)
			check("without EDNS", 0, nil)
			if got := testutil.ToFloat64(staleAnswers.WithLabelValues("", "erl.internal.")) - before; got != count {
				t.Errorf("count: got %v, want %v", got, count)
			}
			table.Synced()
			check("once all is read", 1232, nil)
			if got := testutil.ToFloat64(staleAnswers.WithLabelValues("", "erl.internal.")) - before; got != count {
				t.Errorf("count afterwards: got %v, want %v", got, count)
			}
		})
	}
}

// A cluster may be younger than what was last known: it must not be denied.
func TestWhatIsUnknownIsNotDeniedBeforeAllIsRead(t *testing.T) {
	grouped := configOf(t, groupBlock)
	for _, tc := range []struct {
		what  string
		table *table
		name  string
		then  int // once all is read
	}{
		{"a name", restoredOf(configOf(t, hostnameBlock), slice("web", hosted(endpoint("web-0", "10.0.0.1")))), "nobody.erl.internal.", dns.RcodeNameError},
		{"an address", restoredOf(configOf(t, hostnameBlock), slice("web", hosted(endpoint("web-0", "10.0.0.1")))), "9.0.0.10.in-addr.arpa.", dns.RcodeNameError},
		{"a cluster", restoredOf(grouped, inService(grouped, slice("shop", endpoint("p1", "10.0.0.1")))), "chat.prod.svc.erl.internal.", dns.RcodeNameError},
		{"the only cluster", restoredOf(configOf(t, ipBlock)), "erl.internal.", dns.RcodeSuccess},
		{"the only cluster, without members", restoredOf(configOf(t, ipBlock), slice("web")), "erl.internal.", dns.RcodeSuccess},
	} {
		l := serving(tc.table)
		m := ask(t, l, tc.name, "TXT", client{edns: 1232})
		if got := extendedErrors(m); m.Rcode != dns.RcodeServerFailure || len(got) != 1 || got[0] != dns.ExtendedErrorCodeNotReady {
			t.Errorf("%s: got %s and %v, want SERVFAIL and %d", tc.what, dns.RcodeToString[m.Rcode], got, dns.ExtendedErrorCodeNotReady)
		}
		tc.table.Synced()
		if m := ask(t, l, tc.name, "TXT", client{edns: 1232}); m.Rcode != tc.then {
			t.Errorf("%s, once all is read: got %s, want %s", tc.what, dns.RcodeToString[m.Rcode], dns.RcodeToString[tc.then])
		}
	}
}

func TestWhatWasLastKnownFallsThrough(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n fallthrough\n}")
	l := serving(restoredOf(c, slice("web", endpoint("p1", "10.0.0.1"))))
	m := ask(t, l, "nobody.erl.internal.", "A", client{edns: 1232})
	if m.Rcode != rcodeNext || len(extendedErrors(m)) > 0 {
		t.Errorf("got %s and %v, want the next plugin's answer", dns.RcodeToString[m.Rcode], extendedErrors(m))
	}
}

func TestStaleAnswersAreCountedByServer(t *testing.T) {
	c := configOf(t, "longnames counted.internal {\n selector app=web\n basename app\n}")
	end := useMetrics(c.name())
	t.Cleanup(end)
	l := serving(restoredOf(c, slice("web", endpoint("p1", "10.0.0.1"))))
	ctx := context.WithValue(t.Context(), dnsserver.Key{}, &dnsserver.Server{Addr: "dns://:1053"})
	r := new(dns.Msg).SetQuestion("counted.internal.", dns.TypeTXT)
	if _, err := l.ServeDNS(ctx, &test.ResponseWriter{}, r); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(staleAnswers.WithLabelValues("dns://:1053", "counted.internal.")); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
}

// TestAnExtendedErrorLeavesNothingOut asks with sizes around the edges: what would fit without
// the error is never truncated for it.
func TestAnExtendedErrorLeavesNothingOut(t *testing.T) {
	c := configOf(t, hostnameBlock)
	stale, fresh := serving(restoredOf(c, bigSlice(10))), serving(tableOf(c, bigSlice(10)))
	explained := 0
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		for size := uint16(512); size < 1300; size++ {
			got := ask(t, stale, "erl.internal.", qtype, client{edns: size})
			want := ask(t, fresh, "erl.internal.", qtype, client{edns: size})
			if got.Truncated != want.Truncated || len(got.Answer) != len(want.Answer) {
				t.Errorf("%s, size %d: got %d records, truncated %t; want %d and %t", qtype, size,
					len(got.Answer), got.Truncated, len(want.Answer), want.Truncated)
			}
			if got.IsEdns0() == nil {
				t.Errorf("%s, size %d: got no EDNS", qtype, size)
			}
			explained += len(extendedErrors(got))
		}
	}
	if explained == 0 {
		t.Error("got no extended error at all")
	}
}

func TestReadyWithWhatWasLastKnown(t *testing.T) {
	l := setupAll(t, blockOf("manifests "+shop))[0]
	table := l.blocks[0].table
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing known", func() {}, false},
		{"nobody last known", table.Restored, false},
		{"last known", func() { apply(table, slice("shop", endpoint("p1", "10.0.0.1"))); table.Restored() }, true},
		{"all read", table.Synced, true},
	} {
		step.do()
		if got := l.Ready(); got != step.want {
			t.Errorf("%s: got %t, want %t", step.name, got, step.want)
		}
	}
}

// TestStaleGlueLeavesRoomForOptions adds what the nsid plugin would.
func TestStaleGlueLeavesRoomForOptions(t *testing.T) {
	l := serving(restoredOf(configOf(t, hostnameBlock), bigSlice(8)))
	glue := 0
	for size := uint16(512); size < 1232; size++ {
		m := ask(t, l, "erl.internal.", "SRV", client{edns: size})
		if len(texts(m.Extra)) == 0 {
			continue
		}
		glue++
		if got := extendedErrors(m); len(got) != 1 {
			t.Errorf("size %d: got extended errors %v, want one beside glue", size, got)
		}
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: strings.Repeat("61", 63)})
		if m.Compress = true; m.Len() > int(size) {
			t.Errorf("size %d: got %d bytes with a name server identifier", size, m.Len())
		}
	}
	if glue == 0 {
		t.Error("got no glue at all")
	}
}
