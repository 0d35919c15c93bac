package longnames

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// servedAt is where test.ResponseWriter says that questions come to.
const servedAt = "127.0.0.1"

// axfr takes a whole zone, without the SOA records that it has to begin and end with.
func axfr(t testing.TB, l *Longnames, zone string) []dns.RR {
	t.Helper()
	l.server = &dnsserver.Config{ListenHosts: []string{servedAt}}
	sets, err := l.Transfer(zone, 0)
	if err != nil {
		t.Fatalf("%s: %v", zone, err)
	}
	rrs := drain(sets)
	want := texts(ask(t, l, zone, "SOA", client{}).Answer)
	if len(rrs) < 2 {
		t.Fatalf("%s: got %q, want at least two SOA records", zone, texts(rrs))
	}
	equal(t, zone+": the first record", texts(rrs[:1]), want)
	equal(t, zone+": the last record", texts(rrs[len(rrs)-1:]), want)
	return rrs[1 : len(rrs)-1]
}

func drain(sets <-chan []dns.RR) (rrs []dns.RR) {
	for set := range sets {
		rrs = append(rrs, set...)
	}
	return rrs
}

// rrsets are the texts of records, in order, by name and type.
func rrsets(rrs []dns.RR) map[string][]string {
	sets := make(map[string][]string)
	for _, rr := range rrs {
		h := rr.Header()
		k := strings.ToLower(h.Name) + " " + dns.TypeToString[h.Rrtype]
		sets[k] = append(sets[k], strings.Join(strings.Fields(strings.ToLower(h.Name)+strings.TrimPrefix(rr.String(), h.Name)), " "))
	}
	for _, set := range sets {
		slices.Sort(set)
	}
	return sets
}

// checkTransfer takes a zone, and asks for all that is in there, and for all else that may be.
func checkTransfer(t testing.TB, l *Longnames, zone string) map[string][]string {
	t.Helper()
	got := rrsets(axfr(t, l, zone))
	answered := func(name, qtype string) []string {
		m := ask(t, l, name, qtype, client{tcp: true})
		if m.Rcode != dns.RcodeSuccess {
			return nil
		}
		return rrsets(m.Answer)[name+" "+qtype]
	}
	for k, set := range got {
		name, qtype, _ := strings.Cut(k, " ")
		equal(t, zone+": "+k+" as it is answered", set, answered(name, qtype))
	}
	for name := range possibleNames(l) {
		if zoneOf(l, name) != zone {
			continue
		}
		for _, qtype := range []string{"NS", "SRV", "TXT", "A", "AAAA", "PTR", "CNAME"} {
			if want := answered(name, qtype); len(want) > 0 {
				equal(t, zone+": "+name+" "+qtype+" as it is transferred", got[name+" "+qtype], want)
			}
		}
	}
	return got
}

// zoneOf is the smallest zone that a name lies in.
func zoneOf(l *Longnames, name string) string {
	longest := ""
	for zone := range l.zones {
		if dns.IsSubDomain(zone, name) && len(zone) > len(longest) {
			longest = zone
		}
	}
	return longest
}

// possibleNames are all that may have records: those of all objects, in all blocks and zones.
func possibleNames(l *Longnames) map[string]bool {
	names := make(map[string]bool)
	add := func(name string) {
		if _, ok := dns.IsDomainName(name); ok {
			names[strings.ToLower(name)] = true
		}
	}
	var clusters []string
	nodes := map[string]bool{"_epmd._tcp": true, "_epmd._udp": true, "_tcp": true, "ns.dns": true, "dns": true, "ns": true}
	for _, b := range l.blocks {
		rules := b.config.rules
		rules.Naming.Basename, rules.Naming.BasenameLabel = "any", -1 // whatever its longname lacks before the @
		b.table.views.Range(func(k, v any) bool {
			clusters = append(clusters, k.(string))
			for _, o := range v.(*view).roster.Load().Objects {
				for _, p := range o.Ports {
					nodes["_"+p.Name+"._"+p.Protocol] = true
				}
				for i := range o.Members {
					m := &o.Members[i]
					nodes[m.Hostname], nodes[m.ID], nodes[membership.Dashed(m.Address)] = true, true, true
					alone := *o
					alone.Members = []kubeapi.Member{*m}
					named, _ := rules.Nodes(&membership.Roster{Objects: []*kubeapi.Object{&alone}})
					for i := range named {
						add(named[i].Host())
					}
					name, _ := dns.ReverseAddr(m.Address.String())
					add(name)
				}
			}
			return true
		})
	}
	for zone, of := range l.zones {
		add(zone)
		for _, c := range append(clusters, "") {
			add(of.zone.absolute(c))
			for node := range nodes {
				add(of.zone.absolute(strings.Trim(node+"."+c, ".")))
			}
		}
	}
	return names
}

func TestTransferIsWhatIsAnswered(t *testing.T) {
	shared := func(t testing.TB, first, second string) *Longnames {
		t.Helper()
		a, b := configOf(t, first), configOf(t, second)
		one := labelled(a, labels{"app": "shop", "tier": "web"}, slice("shop", hosted(endpoint("p0", "10.0.0.1")), hosted(endpoint("p1", "10.0.0.2"))))
		both := labelled(b, labels{"app": "chat", "tier": "shop"}, slice("chat", hosted(endpoint("p0", "10.0.0.2")), hosted(endpoint("p7", "10.0.0.7"))))
		return serving(tableOf(a, one), tableOf(b, both))
	}
	for _, tc := range []struct {
		name  string
		serve func(t testing.TB) *Longnames
		sets  map[string]int // of each zone
	}{
		{"mode ip", ipCluster, map[string]int{
			// NS; ns.dns A; C SRV, TXT, A, AAAA; three ports; SRV, TXT and an address of four nodes under two names each
			"erl.internal.": 1 + 1 + 4 + 3 + 4*2*3, "10.in-addr.arpa.": 2 + 3, "d.f.ip6.arpa.": 2 + 1}},
		{"mode hostname, hosts inside", hostnameCluster, map[string]int{"erl.internal.": 2 + 3 + 2 + 2*2*3 + 2, "10.in-addr.arpa.": 2 + 2}},
		{"mode dns, hosts inside", dnsCluster, map[string]int{"erl.internal.": 2 + 4 + 1 + 2*2*3 + 2, "10.in-addr.arpa.": 2 + 1}},
		{"many clusters", groups, map[string]int{"svc.erl.internal.": 2 + 3*(3+1) + 4*2*3}},
		{"a host part that is a node's name too", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, "longnames svc.erl.internal {\n group_by kubernetes.io/service-name\n mode hostname\n cluster_domain erl.internal\n}")
			return serving(tableOf(c, inService(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))))
		}, map[string]int{"svc.erl.internal.": 2 + 3 + 1 + 2*3}},
		{"a host part in a zone of which it depends", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, "longnames erl.internal prod.svc.cluster.local {\n selector app=web\n basename app\n mode hostname\n}")
			elsewhere := slice("web", hosted(endpoint("web-9", "10.0.0.9")))
			elsewhere.Namespace = "test"
			return serving(tableOf(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))), elsewhere))
		}, map[string]int{"erl.internal.": 2 + 3 + 1 + 2*2*3, "prod.svc.cluster.local.": 2 + 3 + 1 + 2*2*3 + 1}},
		{"nobody", func(t testing.TB) *Longnames {
			t.Helper()
			return serving(tableOf(configOf(t, ipBlock)))
		}, map[string]int{
			"erl.internal.": 2, "10.in-addr.arpa.": 2, "d.f.ip6.arpa.": 2}},
		{"a cluster that is held", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, groupedHosts)
			objects := web(c, slice("web", hosted(endpoint("web-0", "10.0.0.1"))))
			table := tableOf(c, objects...)
			table.Apply(gone(objects...))
			return serving(table)
		}, map[string]int{"erl.internal.": 2 + 3 + 1 + 2*3 + 1, "10.in-addr.arpa.": 2 + 1}},
		{"an address and a host part of two clusters", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, groupedHosts)
			one := labelled(c, labels{"app": "a"}, named("one", slice("web", unready(hosted(endpoint("web-0", "10.0.0.1"))), hosted(endpoint("web-1", "10.0.0.9")))))
			other := labelled(c, labels{"app": "b"}, named("other", slice("web", hosted(endpoint("web-0", "10.0.0.2")), hosted(endpoint("x", "10.0.0.1")))))
			return serving(tableOf(c, one, other))
		}, map[string]int{"erl.internal.": 2 + 2*(3+1) + 4*2*3 + 3, "10.in-addr.arpa.": 2 + 3}},
		{"pods whose names are none in DNS", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, ipBlock)
			return serving(tableOf(c, ported(slice("web", endpoint(strings.Repeat("p", 64), "10.0.0.1"), endpoint("a b", "10.0.0.2"), endpoint("_x", "10.0.0.3"), endpoint("a.b", "10.0.0.4")),
				kubeapi.Port{Name: strings.Repeat("x", 63), Protocol: "TCP", Number: 1})))
		}, map[string]int{"erl.internal.": 2 + 3 + 1 + 4*3, "10.in-addr.arpa.": 2 + 4, "d.f.ip6.arpa.": 2}},
		{"pods with names that are taken", func(t testing.TB) *Longnames {
			t.Helper()
			c := configOf(t, "longnames erl.internal a.erl.internal {\n selector app=web\n basename app\n}")
			return serving(tableOf(c, slice("web", endpoint("ns.dns", "10.0.0.1"), endpoint("dns", "fd00::2"), endpoint("a", "10.0.0.3"), endpoint("x.a", "10.0.0.4"))))
		}, map[string]int{"erl.internal.": 2 + 2 + 4 + 1 + 4*3, "a.erl.internal.": 2 + 4 + 1 + 4*3 + 3}},
		{"two blocks with a reverse zone", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames shop.internal 10.in-addr.arpa {\n selector a\n basename shop\n fallthrough\n}",
				"longnames chat.internal 10.in-addr.arpa {\n selector b\n basename chat\n mode hostname\n}")
		}, map[string]int{"shop.internal.": 2 + 3 + 1 + 2*2*3, "chat.internal.": 2 + 3 + 1 + 2*2*3, "10.in-addr.arpa.": 2 + 3}},
		{"two blocks with a zone, and a cluster of the same name", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames erl.internal {\n group_by app\n fallthrough\n}", "longnames erl.internal {\n group_by tier\n}")
		}, map[string]int{"erl.internal.": 2 + 3 + 1 + 2*2*3 + 2*3}}, // a node that only the second has is passed on to it
		{"two blocks with a zone", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames erl.internal {\n group_by app\n fallthrough\n}", "longnames erl.internal {\n group_by app\n}")
		}, map[string]int{"erl.internal.": 2 + 2*(3+1) + 2*2*2*3}},
		{"two blocks, of which one does not let through", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames shop.erl.internal {\n selector a\n basename shop\n}",
				"longnames erl.internal {\n selector b\n basename chat\n mode hostname\n cluster_domain shop.erl.internal\n}")
		}, map[string]int{"erl.internal.": 2 + 2 + 3 + 1 + 2*2*3, "shop.erl.internal.": 2 + 3 + 1 + 2*2*3}},
		{"two blocks, of which one lets through to the other", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames shop.erl.internal {\n selector a\n basename shop\n fallthrough\n}",
				"longnames erl.internal {\n selector b\n basename chat\n mode hostname\n cluster_domain shop.erl.internal\n}")
		}, map[string]int{"erl.internal.": 2 + 2 + 3 + 1 + 2*2*3, "shop.erl.internal.": 2 + 3 + 1 + 2*2*3 + 2}},
		{"two blocks, of which one lets some through to the other", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames shop.erl.internal {\n selector a\n basename shop\n fallthrough p7.chat.prod.svc.shop.erl.internal\n}",
				"longnames erl.internal {\n selector b\n basename chat\n mode hostname\n cluster_domain shop.erl.internal\n}")
		}, map[string]int{"erl.internal.": 2 + 2 + 3 + 1 + 2*2*3, "shop.erl.internal.": 2 + 3 + 1 + 2*2*3 + 1}},
		{"the root", func(t testing.TB) *Longnames {
			t.Helper()
			return shared(t, "longnames . {\n selector a\n basename shop\n}", "longnames erl.internal {\n selector b\n basename chat\n fallthrough\n}")
		}, map[string]int{".": 2 + 2 + 3 + 1 + 2*2*3, "erl.internal.": 2 + 3 + 1 + 2*2*3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := tc.serve(t)
			equal(t, "zones", slices.Sorted(maps.Keys(l.zones)), slices.Sorted(maps.Keys(tc.sets)))
			for zone, want := range tc.sets {
				if got := checkTransfer(t, l, zone); len(got) != want {
					t.Errorf("%s: got %d RRsets, want %d:\n%s", zone, len(got), want, strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
				}
			}
		})
	}
}

// A transfer has its records in some order, and each once.
func TestTransferOfAZone(t *testing.T) {
	c := configOf(t, "longnames Erl.internal {\n selector app=web\n basename Web\n mode hostname\n cluster_domain Erl.internal\n ttl 7\n}")
	l := serving(tableOf(c, ported(slice("web", hosted(endpoint("web-0", "10.0.0.1"))), httpPort)))
	got := texts(axfr(t, l, "erl.internal."))
	slices.Sort(got)
	want := []string{
		`erl.internal. 7 IN NS ns.dns.erl.internal.`,
		`ns.dns.erl.internal. 7 IN A 127.0.0.1`,
		`erl.internal. 7 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.`,
		`erl.internal. 7 IN TXT "Web@web-0.web.prod.svc.Erl.internal"`,
		`erl.internal. 7 IN A 10.0.0.1`,
		`_epmd._tcp.erl.internal. 7 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.`,
		`_http._tcp.erl.internal. 7 IN SRV 0 0 4000 web-0.web.prod.svc.Erl.internal.`,
		`web-0.erl.internal. 7 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.`,
		`web-0.erl.internal. 7 IN TXT "Web@web-0.web.prod.svc.Erl.internal"`,
		`web-0.erl.internal. 7 IN A 10.0.0.1`,
		`10-0-0-1.erl.internal. 7 IN SRV 0 0 4369 web-0.web.prod.svc.Erl.internal.`,
		`10-0-0-1.erl.internal. 7 IN TXT "Web@web-0.web.prod.svc.Erl.internal"`,
		`10-0-0-1.erl.internal. 7 IN A 10.0.0.1`,
		`web-0.web.prod.svc.erl.internal. 7 IN A 10.0.0.1`,
	}
	slices.Sort(want)
	equal(t, "zone", got, want)
}

// FuzzTransfer fills two blocks with anything, some of it twice. What is transferred has to be
// what is answered.
func FuzzTransfer(f *testing.F) {
	pairs := [][2]string{
		{"longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n fallthrough\n}",
			"longnames erl.internal in-addr.arpa {\n group_by app\n mode dns\n cluster_domain erl.internal\n include serving\n}"},
		{"longnames shop.prod.erl.internal 10.in-addr.arpa {\n selector app=shop\n basename shop\n mode hostname\n cluster_domain erl.internal\n fallthrough\n}",
			"longnames erl.internal 10.in-addr.arpa ip6.arpa {\n group_by app\n port http\n}"},
		{"longnames s0.prod.svc.erl.internal {\n selector app=shop\n basename label app\n fallthrough s0-0.s0.prod.svc.erl.internal\n}",
			"longnames svc.erl.internal ip6.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n}"},
	}
	for _, seed := range []string{"", "\x00\x01\x02\x03\x04\x05\x06", "aaaaabbbbbcccccdddddeeeee", "\x01\x03\x02\x00\x01\x02\x04\x09\x01\x03\x02\x00\x01\x02\x05\x09\x01\x00",
		strings.Repeat("\x03\x01\x02\x00\x03", 20), strings.Repeat("\x02\x04\x03\x05\x01\x07\x00\x11", 20)} {
		for pair := range pairs {
			f.Add([]byte(seed), pair)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, pair int) {
		b := bits(data[:min(len(data), 200)])
		var tables []*table
		for _, block := range pairs[max(pair, -(pair+1))%len(pairs)] {
			c := configOf(t, block)
			table := tableOf(c)
			for i := range 4 {
				o := ported(anyObject(&b, c, fmt.Sprint("s", i)), httpPort)
				table.Apply([]kubeapi.Change{{New: o}})
				if b.Next(4) == 0 {
					table.Apply(gone(o)) // and is held
				}
			}
			tables = append(tables, table)
		}
		l := serving(tables...)
		for zone := range l.zones {
			checkTransfer(t, l, zone)
		}
	})
}

func TestTransferFails(t *testing.T) {
	object := func() *kubeapi.Object { return slice("web", endpoint("p", "10.0.0.1")) }
	of := func(block string, prepare func(*table)) *table {
		made := newTable(configOf(t, block))
		prepare(made)
		return made
	}
	const other = "longnames other.internal 10.in-addr.arpa {\n selector app=web\n basename app\n}"
	through := strings.Replace(ipBlock, "}", " fallthrough\n}", 1)
	synced := func(t *table) { apply(t, object()); t.Synced() }
	for _, tc := range []struct {
		name   string
		tables []*table
		zone   string
		want   string // of the error; none if it does not fail
	}{
		{"synced", []*table{of(ipBlock, synced)}, "erl.internal.", ""},
		{"in capitals", []*table{of(ipBlock, synced)}, "ERL.internal.", ""},
		{"a zone of somebody else", []*table{of(ipBlock, synced)}, "internal.", transfer.ErrNotAuthoritative.Error()},
		{"a name in the zone", []*table{of(ipBlock, synced)}, "p.erl.internal.", transfer.ErrNotAuthoritative.Error()},
		{"before anything is known", []*table{of(ipBlock, func(*table) {})}, "erl.internal.", "transfer of erl.internal.: the members of erl.internal. are not known yet"},
		{"before all is known", []*table{of(ipBlock, func(t *table) { apply(t, object()) })}, "erl.internal.", "are not known yet"},
		{"nothing was known", []*table{of(ipBlock, func(t *table) { t.Restored() })}, "erl.internal.", "are not known yet"},
		{"what was last known", []*table{of(ipBlock, func(t *table) { apply(t, object()); t.Restored() })}, "erl.internal.", ""},
		{"only what is held", []*table{of(ipBlock, func(next *table) {
			o := object()
			held := tableOf(configOf(t, ipBlock), o)
			held.Apply(gone(o))
			next.inherit(held)
		})}, "erl.internal.", "are not known yet"},
		{"another block of the zone is not known", []*table{of(through, synced), of(other, func(*table) {})}, "10.in-addr.arpa.",
			"transfer of 10.in-addr.arpa.: the members of other.internal. are not known yet"},
		{"the first block of the zone is not known", []*table{of(through, func(*table) {}), of(other, synced)}, "10.in-addr.arpa.", "members of erl.internal."},
		{"a block of another zone is not known", []*table{of(through, synced), of(other, func(*table) {})}, "erl.internal.", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serving(tc.tables...)
			sets, err := l.Transfer(tc.zone, 0)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := rrsets(drain(sets))["erl.internal. TXT"]; len(got) == 0 {
					t.Error("got no members")
				}
				return
			}
			if err == nil {
				t.Fatalf("got %q, want an error", texts(drain(sets)))
			}
			wantError(t, err, tc.want)
			// CoreDNS asks the next plugin only if it is this very error.
			if (err == transfer.ErrNotAuthoritative) != (tc.want == transfer.ErrNotAuthoritative.Error()) { //nolint:errorlint // as there
				t.Errorf("got error %v", err)
			}
			if errors.Is(err, transfer.ErrNotAuthoritative) && l.zones[tc.zone].zone != nil {
				t.Errorf("got %v of a zone of ours", err)
			}
		})
	}
}

func TestIncrementalTransfer(t *testing.T) {
	for _, tc := range []struct {
		name    string
		serial  uint32
		has     uint32 // the secondary
		records int
	}{
		{"none: a full transfer is asked for", 7, 0, 13},
		{"the same", 7, 7, 1},
		{"an older one", 7, 6, 13},
		{"a newer one, of another replica", 7, 8, 1},
		{"an older one, over the end of 32 bits", 1, 1<<32 - 1, 13},
		{"a newer one, over the end of 32 bits", 1<<32 - 1, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serving(tableOf(configOf(t, ipBlock), slice("web", endpoint("p", "10.0.0.1"))))
			s := l.serials.of("erl.internal.")
			s.last, s.second, s.more = tc.serial, 1, false
			sets, err := l.Transfer("erl.internal.", tc.has)
			if err != nil {
				t.Fatal(err)
			}
			rrs := drain(sets)
			if soa, ok := rrs[0].(*dns.SOA); !ok || soa.Serial != tc.serial || len(rrs) != tc.records {
				t.Errorf("got %q, want %d records, and serial %d", texts(rrs), tc.records, tc.serial)
			}
		})
	}
}

// TestTransferDuringChanges has all who got less than there is find a newer serial in the end.
func TestTransferDuringChanges(t *testing.T) {
	c := configOf(t, groupBlock)
	table := tableOf(c)
	const newest = 5000
	state := func(n int) *kubeapi.Object {
		return inService(c, slice("shop", endpoint("p", fmt.Sprintf("10.0.%d.%d", n/250, n%250))))
	}
	last := state(1)
	table.Apply([]kubeapi.Change{{New: last}})
	l := serving(table)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 2; n <= newest; n++ {
			next := state(n)
			table.Apply([]kubeapi.Change{{Old: last, New: next}})
			last = next
		}
	}()
	less := make(map[uint32]int) // what was transferred, by serial
	for isDone := false; !isDone; {
		select {
		case <-done:
			isDone = true
		default:
		}
		sets, err := l.Transfer("svc.erl.internal.", 0)
		if err != nil {
			t.Fatal(err)
		}
		rrs := drain(sets)
		members := rrsets(rrs)["shop.prod.svc.erl.internal. A"]
		if len(members) != 1 {
			t.Fatalf("got %q, want one member", members)
		}
		got := netip.MustParseAddr(members[0][strings.LastIndex(members[0], " ")+1:]).As4()
		less[rrs[0].(*dns.SOA).Serial] = int(got[2])*250 + int(got[3])
	}
	end := l.serials.of("svc.erl.internal.").at(time.Now().Add(time.Second))
	for serial, n := range less {
		if n < newest && !newer(end, serial) {
			t.Errorf("serial %d had the state at %d, want it to be older than %d", serial, n, end)
		}
	}
}

func TestTransferEndsWithThePlugin(t *testing.T) {
	l := manyMembers(t, ipBlock, 1000)
	ended := make(chan struct{})
	l.ended = ended
	sets, err := l.Transfer("erl.internal.", 0)
	if err != nil {
		t.Fatal(err)
	}
	got := <-sets
	close(ended)
	got = append(got, drain(sets)...)
	if last := got[len(got)-1]; last.Header().Rrtype == dns.TypeSOA {
		t.Errorf("got %d records up to the last SOA record, want fewer", len(got))
	}
}

func TestServerAddresses(t *testing.T) {
	var v4, v6 []string
	for _, a := range hostAddresses(true) {
		if a.IsLoopback() || a.IsLinkLocalUnicast() {
			t.Errorf("got %s of the host, want none that means something else elsewhere", a)
		}
		if a.Is4() {
			v4 = append(v4, a.String())
		} else {
			v6 = append(v6, a.String())
		}
	}
	slices.Sort(v4)
	all := append(slices.Clone(v4), v6...)
	slices.Sort(all)
	for _, tc := range []struct {
		name   string
		listen []string
		want   []string
	}{
		{"named", []string{"10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.1"}, []string{"10.0.0.1", "10.0.0.2", "fd00::1"}},
		{"loopback, if named", []string{"127.0.0.1"}, []string{"127.0.0.1"}},
		{"none named", []string{""}, all},
		{"all", []string{"::"}, all},
		{"all of IPv4", []string{"0.0.0.0"}, v4},
	} {
		l := &Longnames{server: &dnsserver.Config{ListenHosts: tc.listen}}
		got := make([]string, 0)
		for _, a := range l.serverAddresses() {
			got = append(got, a.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

// CoreDNS reads to the end; who does not must not keep anything from ending. That the goroutine
// does is seen at the end of all tests.
func TestTransferThatNobodyReads(t *testing.T) {
	l := manyMembers(t, ipBlock, 1000)
	ended := make(chan struct{})
	l.ended = ended
	if _, err := l.Transfer("erl.internal.", 0); err != nil {
		t.Fatal(err)
	}
	close(ended)
}

// TestAChangeGivesEachZoneThatShowsItANewSerial has the serials of zones by block.
func TestAChangeGivesEachZoneThatShowsItANewSerial(t *testing.T) {
	text := func(zones, more string) string { return "longnames " + zones + " {\n group_by app\n " + more + "\n}" }
	for _, tc := range []struct {
		name   string
		blocks []string
		want   []string // zones of each block
	}{
		{"zones of their own", []string{text("a.internal", ""), text("b.internal", "fallthrough")}, []string{"a.internal.", "b.internal."}},
		{"one zone", []string{text("a.internal", "fallthrough"), text("a.internal", "")}, []string{"a.internal.", "a.internal."}},
		{"a reverse zone", []string{text("a.internal 10.in-addr.arpa", "fallthrough"), text("b.internal 10.in-addr.arpa", "")},
			[]string{"10.in-addr.arpa. a.internal.", "10.in-addr.arpa. b.internal."}},
		{"a zone inside the other", []string{text("internal", ""), text("b.internal", "")}, []string{"internal.", "b.internal."}},
		{"a zone inside the other, with fallthrough", []string{text("internal", ""), text("b.internal", "fallthrough")}, []string{"b.internal. internal.", "b.internal."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &Longnames{}
			for _, config := range tc.blocks {
				c := configOf(t, config)
				l.blocks = append(l.blocks, &block{config: c, table: newTable(c)})
			}
			l.link()
			for i, b := range l.blocks {
				var got []string
				for name := range l.zones {
					if slices.Contains(b.table.serials, l.serials.of(name)) {
						got = append(got, name)
					}
				}
				slices.Sort(got)
				if got := strings.Join(got, " "); got != tc.want[i] {
					t.Errorf("block %d: got zones %q, want %q", i, got, tc.want[i])
				}
			}
		})
	}
}
