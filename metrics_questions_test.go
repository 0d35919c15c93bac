package longnames

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

// asked gives how often a block of a zone did what with a question, by server, type and result.
func asked(t testing.TB, zone string) map[string]float64 {
	t.Helper()
	return valuesOf(t, "coredns_longnames_questions_total", zone, "server", "type", "result")
}

// measured keeps the metrics of zones until the test ends, as blocks at work do.
func measured(t testing.TB, zones ...string) {
	t.Helper()
	for _, zone := range zones {
		end := useMetrics(zone)
		t.Cleanup(end)
	}
}

// putTo asks a question that has come to a server.
func putTo(t testing.TB, l *Longnames, server, name string, qtype uint16) {
	t.Helper()
	ctx := context.WithValue(t.Context(), dnsserver.Key{}, &dnsserver.Server{Addr: server})
	if _, err := l.ServeDNS(ctx, &test.ResponseWriter{}, new(dns.Msg).SetQuestion(name, qtype)); err != nil {
		t.Fatalf("%s %d: %v", name, qtype, err)
	}
}

func TestQuestionsAreCountedByTypeAndResult(t *testing.T) {
	const zone = "asked.internal."
	block := "longnames asked.internal 10.in-addr.arpa {\n selector app=web\n basename app\n fallthrough 10.in-addr.arpa\n}"
	some := func(c *config) *table { return tableOf(c, slice("web", endpoint("p1", "10.0.0.1"))) }
	last := func(c *config) *table { return restoredOf(c, slice("web", endpoint("p1", "10.0.0.1"))) }
	for _, tc := range []struct {
		name  string
		table func(*config) *table
		qname string
		qtype uint16
		want  string // empty if it is not counted
	}{
		{"SRV", some, zone, dns.TypeSRV, "SRV success"},
		{"TXT", some, zone, dns.TypeTXT, "TXT success"},
		{"A", some, zone, dns.TypeA, "A success"},
		{"AAAA", some, zone, dns.TypeAAAA, "AAAA nodata"},
		{"SOA", some, zone, dns.TypeSOA, "SOA success"},
		{"NS", some, zone, dns.TypeNS, "NS success"},
		{"ANY", some, zone, dns.TypeANY, "ANY success"},
		{"PTR", some, "1.0.0.10.in-addr.arpa.", dns.TypePTR, "PTR success"},
		{"in other letters", some, "Asked.INTERNAL.", dns.TypeSRV, "SRV success"},
		{"MX", some, zone, dns.TypeMX, "other nodata"},
		{"type 0", some, zone, dns.TypeNone, "other nodata"},
		{"an unassigned type", some, zone, 65280, "other nodata"},
		{"the last type", some, zone, 65535, "other nodata"},
		{"a name that does not exist", some, "nobody." + zone, dns.TypeSRV, "SRV nxdomain"},
		{"a transfer", some, zone, dns.TypeAXFR, "other refused"},
		{"an address that falls through", some, "9.0.0.10.in-addr.arpa.", dns.TypePTR, "PTR fallthrough"},
		{"before the members are known", newTable, zone, dns.TypeSRV, "SRV servfail"},
		{"an address before", newTable, "1.0.0.10.in-addr.arpa.", dns.TypePTR, "PTR servfail"},
		{"last known", last, zone, dns.TypeSRV, "SRV success"},
		{"not last known", last, "nobody." + zone, dns.TypeSRV, "SRV servfail"},
		{"another zone", some, "example.org.", dns.TypeA, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			measured(t, zone)
			l := serving(tc.table(configOf(t, block)))
			want := map[string]float64{}
			for n := range 3 { // the counter is new at first
				putTo(t, l, "dns://:53", tc.qname, tc.qtype)
				if tc.want != "" {
					want = map[string]float64{"dns://:53 " + tc.want: float64(n + 1)}
				}
				if got := asked(t, zone); !maps.Equal(got, want) {
					t.Errorf("question %d: got %v, want %v", n+1, got, want)
				}
			}
		})
	}
}

// Each question has one result, which the first block of the zone counts.
func TestQuestionsAreCountedForTheFirstBlockOfAZone(t *testing.T) {
	block := func(name string) *config {
		return configOf(t, "longnames "+name+".internal 10.in-addr.arpa {\n selector app=web\n basename app\n fallthrough 10.in-addr.arpa\n}")
	}
	known := func(address string) func(*config) *table {
		return func(c *config) *table { return tableOf(c, slice("web", endpoint("p1", address))) }
	}
	for _, tc := range []struct {
		name          string
		first, second func(*config) *table
		want          string
	}{
		{"the first knows", known("10.0.0.1"), known("10.0.0.2"), "success"},
		{"the second knows", known("10.0.0.2"), known("10.0.0.1"), "success"},
		{"neither", known("10.0.0.2"), known("10.0.0.3"), "fallthrough"},
		{"the first cannot tell, the second knows", newTable, known("10.0.0.1"), "success"},
		{"the first cannot tell", newTable, known("10.0.0.2"), "servfail"},
		{"the second cannot tell", known("10.0.0.2"), newTable, "servfail"},
		{"neither can tell", newTable, newTable, "servfail"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			measured(t, "first.internal.", "second.internal.")
			l := serving(tc.first(block("first")), tc.second(block("second")))
			putTo(t, l, "dns://:53", "1.0.0.10.in-addr.arpa.", dns.TypePTR)
			for zone, want := range map[string]map[string]float64{"first.internal.": {"dns://:53 PTR " + tc.want: 1}, "second.internal.": {}} {
				if got := asked(t, zone); !maps.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", zone, got, want)
				}
			}
		})
	}
}

func TestNoQuestionTypeMakesALabelOfItsOwn(t *testing.T) {
	want := []string{"A", "AAAA", "ANY", "NS", "PTR", "SOA", "SRV", "TXT", "other"}
	got := make(map[string]bool)
	for qtype := range 1 << 16 {
		label := kindOf(uint16(qtype)).String()
		if got[label] = true; label != "other" && label != dns.TypeToString[uint16(qtype)] {
			t.Errorf("type %d: got %s, want %s", qtype, label, dns.TypeToString[uint16(qtype)])
		}
	}
	equal(t, "labels", slices.Sorted(maps.Keys(got)), want)
}

func TestEveryResultHasANameOfItsOwn(t *testing.T) {
	seen := make(map[string]result)
	for r := range results {
		name := resultNames[r]
		if other, taken := seen[name]; name == "" || taken {
			t.Errorf("result %d: got %q, which result %d has; want a name of its own", r, name, other)
		}
		seen[name] = r
	}
}

func TestQuestionsOfOthersAreNotCounted(t *testing.T) {
	const zone = "others.internal."
	measured(t, zone)
	l := serving(tableOf(configOf(t, "longnames others.internal {\n selector app=web\n basename app\n}")))
	chaos := new(dns.Msg).SetQuestion(zone, dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for name, r := range map[string]*dns.Msg{"class CH": chaos, "NOTIFY": new(dns.Msg).SetNotify(zone), "no question": {}} {
		if _, err := l.ServeDNS(t.Context(), &test.ResponseWriter{}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := asked(t, zone); len(got) > 0 {
		t.Errorf("got %v, want nothing", got)
	}
}

// A question may still be answered when its block has been stopped.
func TestALateQuestionBringsNoMetricBack(t *testing.T) {
	const zone = "late.internal."
	end := useMetrics(zone)
	l := serving(restoredOf(configOf(t, "longnames late.internal {\n selector app=web\n basename app\n}"), slice("web", endpoint("p1", "10.0.0.1"))))
	putTo(t, l, "dns://:53", zone, dns.TypeSOA)
	if got := asked(t, zone); len(got) != 1 {
		t.Errorf("got %v, want one", got)
	}
	end()
	putTo(t, l, "dns://:53", zone, dns.TypeSOA)
	putTo(t, l, "dns://:53", zone, dns.TypeNS)
	putTo(t, l, "dns://:54", zone, dns.TypeSOA)
	zoneMonitor{zone: zone}.SnapshotWritten(nil)
	if got := seriesOf(t, zone); len(got) > 0 {
		t.Errorf("afterwards: got %v, want nothing", got)
	}
}

func TestQuestionsAtTheSameTimeAreAllCounted(t *testing.T) {
	const zone, askers, times = "many.internal.", 8, 200
	measured(t, zone)
	l := serving(tableOf(configOf(t, "longnames many.internal {\n selector app=web\n basename app\n}")))
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for i := range times {
				putTo(t, l, fmt.Sprint("dns://:", i%3), zone, countedTypes[i%len(countedTypes)])
			}
		})
	}
	wg.Wait()
	sum := 0.0
	for _, n := range asked(t, zone) {
		sum += n
	}
	if sum != askers*times {
		t.Errorf("got %v, want %d", sum, askers*times)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	const zone = "cheap.internal."
	measured(t, zone)
	r := newResolver([]*table{newTable(configOf(t, "longnames cheap.internal {\n selector app=web\n basename app\n}"))})
	count := func() { (&questionCounter{"dns://:53", kindOf(dns.TypeSRV)}).add(r, success) }
	count()
	if got := testing.AllocsPerRun(100, count); got > 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}
