package longnames

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

func TestBeforeTheFirstSync(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n fallthrough\n}")
	l := serving(newTable(c))
	tests := []struct {
		name, qtype string
		edns        uint16
	}{
		{"erl.internal.", "SRV", 0},
		{"erl.internal.", "SOA", 1232},
		{"nobody.erl.internal.", "A", 1232},
		{"1.0.0.10.in-addr.arpa.", "PTR", 0},
	}
	for _, tc := range tests {
		t.Run(tc.name+" "+tc.qtype, func(t *testing.T) {
			m := ask(t, l, tc.name, tc.qtype, client{edns: tc.edns})
			if m.Rcode != dns.RcodeServerFailure {
				t.Errorf("rcode: got %s, want SERVFAIL", dns.RcodeToString[m.Rcode])
			}
			opt := m.IsEdns0()
			if tc.edns == 0 {
				if opt != nil {
					t.Error("got EDNS, want none for a client that does not speak it")
				}
				return
			}
			if opt == nil || len(opt.Option) != 1 {
				t.Fatalf("got %v, want EDNS with one option", opt)
			}
			if ede, ok := opt.Option[0].(*dns.EDNS0_EDE); !ok || ede.InfoCode != dns.ExtendedErrorCodeNotReady {
				t.Errorf("extended error: got %v, want 14", opt.Option[0])
			}
		})
	}
}

func TestFallthrough(t *testing.T) {
	members := func(c *config) *table { return tableOf(c, slice("web", endpoint("p1", "10.0.0.1"))) }
	block := "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n %s\n}"
	tests := []struct {
		name, option, qname, qtype string
		want                       int
	}{
		{"none", "", "nobody.erl.internal.", "A", dns.RcodeNameError},
		{"all zones", "fallthrough", "nobody.erl.internal.", "A", rcodeNext},
		{"one zone", "fallthrough 10.in-addr.arpa", "9.0.0.10.in-addr.arpa.", "PTR", rcodeNext},
		{"not in another", "fallthrough 10.in-addr.arpa", "nobody.erl.internal.", "A", dns.RcodeNameError},
		{"not if the name exists", "fallthrough", "p1.erl.internal.", "AAAA", dns.RcodeSuccess},
		{"not at the apex", "fallthrough", "erl.internal.", "MX", dns.RcodeSuccess},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := serving(members(configOf(t, fmt.Sprintf(block, tc.option))))
			if got := ask(t, l, tc.qname, tc.qtype, client{}).Rcode; got != tc.want {
				t.Errorf("rcode: got %s, want %s", dns.RcodeToString[got], dns.RcodeToString[tc.want])
			}
		})
	}
}

func TestSeveralBlocks(t *testing.T) {
	first := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename first\n fallthrough 10.in-addr.arpa\n}")
	second := configOf(t, "longnames sub.erl.internal 10.in-addr.arpa {\n selector app=api\n basename second\n}")
	l := serving(
		tableOf(first, slice("web", endpoint("p1", "10.0.0.1"))),
		tableOf(second, slice("api", endpoint("p2", "10.0.0.2"))),
	)
	tests := []struct{ name, qtype, want string }{
		{"erl.internal.", "TXT", "first@10.0.0.1"},
		{"sub.erl.internal.", "TXT", "second@10.0.0.2"},
		{"1.0.0.10.in-addr.arpa.", "PTR", "10.0.0.1."},
		{"2.0.0.10.in-addr.arpa.", "PTR", "10.0.0.2."},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			equal(t, "answer", data(ask(t, l, tc.name, tc.qtype, client{}).Answer), []string{tc.want})
		})
	}
	if got := ask(t, l, "p1.sub.erl.internal.", "A", client{}).Rcode; got != dns.RcodeNameError {
		t.Errorf("a member of the outer zone in the inner one: got %s, want NXDOMAIN", dns.RcodeToString[got])
	}
}

// The zone that a name lies in denies it, whichever block was asked last: resolvers look at the
// owner of the SOA record, and keep the answer for its TTL.
func TestDenialIsOfTheClosestZone(t *testing.T) {
	outer := configOf(t, "longnames erl.internal in-addr.arpa {\n selector app=web\n basename outer\n ttl 7\n mode dns\n cluster_domain in.erl.internal\n}")
	inner := configOf(t, "longnames in.erl.internal 10.in-addr.arpa {\n selector app=api\n basename inner\n ttl 3\n fallthrough\n}")
	l := serving(
		tableOf(outer, slice("web", endpoint("p1", "10.0.0.1"))),
		tableOf(inner, slice("api", endpoint("p2", "10.0.0.2"))),
	)
	for _, tc := range []struct {
		name, qname, qtype string
		rcode              int
		want               string // the SOA record's owner and TTL
	}{
		{"a name of the outer zone", "nobody.erl.internal.", "A", dns.RcodeNameError, "erl.internal. 7"},
		{"a name of the inner zone that nobody has", "Nobody.In.erl.internal.", "A", dns.RcodeNameError, "In.erl.internal. 3"},
		{"a name that the outer block has there", "10-0-0-1.prod.pod.in.erl.internal.", "TXT", dns.RcodeSuccess, "in.erl.internal. 3"},
		{"a name above that", "pod.in.erl.internal.", "A", dns.RcodeSuccess, "in.erl.internal. 3"},
		{"an address that nobody has", "9.0.0.10.in-addr.arpa.", "PTR", dns.RcodeNameError, "10.in-addr.arpa. 3"},
		{"an address that the outer block has there", "1.0.0.10.in-addr.arpa.", "A", dns.RcodeSuccess, "10.in-addr.arpa. 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := ask(t, l, tc.qname, tc.qtype, client{})
			if m.Rcode != tc.rcode || len(m.Ns) != 1 {
				t.Fatalf("got %v, want %s and one record in the authority section", m, dns.RcodeToString[tc.rcode])
			}
			if got := fmt.Sprint(m.Ns[0].Header().Name, " ", m.Ns[0].(*dns.SOA).Minttl); got != tc.want {
				t.Errorf("SOA: got %q, want %q", got, tc.want)
			}
		})
	}
}

// Where no plugin comes after this one, fallthrough makes no difference.
func TestFallthroughWithoutANextPlugin(t *testing.T) {
	text := "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n fallthrough\n}"
	known := serving(tableOf(configOf(t, text), slice("web", endpoint("p1", "10.0.0.1"))))
	stale := serving(restoredOf(configOf(t, text), slice("web", endpoint("p1", "10.0.0.1"))))
	unknown := serving(newTable(configOf(t, text)))
	for _, tc := range []struct {
		name, qname, qtype string
		serve              *Longnames
		want               string
	}{
		{"an unknown name", "nobody.erl.internal.", "A", known, "NXDOMAIN"},
		{"an unknown address", "9.0.0.10.in-addr.arpa.", "PTR", known, "NXDOMAIN"},
		{"a known name", "p1.erl.internal.", "A", known, "NOERROR"},
		{"a name that was not known before the start", "nobody.erl.internal.", "A", stale, "SERVFAIL"},
		{"a name that was", "p1.erl.internal.", "A", stale, "NOERROR"},
		{"any name before the members are known", "nobody.erl.internal.", "A", unknown, "SERVFAIL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.serve.Next = nil
			m := ask(t, tc.serve, tc.qname, tc.qtype, client{}) // which fails if there is an error to be logged
			if got := dns.RcodeToString[m.Rcode]; got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := len(m.Ns); (tc.want == "NXDOMAIN") != (got == 1) {
				t.Errorf("got %d records in the authority section, want the SOA record with NXDOMAIN alone", got)
			}
		})
	}
	known.Next = nil
	if _, err := known.ServeDNS(t.Context(), &test.ResponseWriter{}, new(dns.Msg).SetQuestion("example.org.", dns.TypeA)); err == nil {
		t.Error("a name outside of the zones: got no error, want CoreDNS' own")
	}
}

// A cluster that is younger than the snapshot may have the name.
func TestANameAboveAnotherZoneIsUnknownUntilAllIsKnown(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n group_by app\n}")
	l := serving(restoredOf(c, labelled(c, labels{"app": "api"}, slice("api", endpoint("p1", "10.0.0.1")))))
	c.zones[0].contain("admin.web.prod.erl.internal.")
	if m := ask(t, l, "web.prod.erl.internal.", "TXT", client{}); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v, want SERVFAIL", m)
	}
}

func TestNotOurs(t *testing.T) {
	l := ipCluster(t)
	chaos := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for name, r := range map[string]*dns.Msg{
		"class CH": chaos, "NOTIFY": new(dns.Msg).SetNotify("example.org."), "UPDATE": new(dns.Msg).SetUpdate("internal."), "no question": {},
	} {
		t.Run(name, func(t *testing.T) {
			rec := dnstest.NewRecorder(&test.ResponseWriter{})
			if rcode, err := l.ServeDNS(t.Context(), rec, r); rcode != rcodeNext || err != nil {
				t.Errorf("got %d, %v; want the next plugin's answer", rcode, err)
			}
		})
	}
}

// Anybody can send a NOTIFY, or a question of another class. The log is not to grow by it.
func TestRequestsThatAreNoQuestionsForUs(t *testing.T) {
	const through = "longnames erl.internal 10.in-addr.arpa {\n selector app=web\n basename app\n fallthrough sub.erl.internal\n}"
	const classCH = -1 // no opcode
	for _, tc := range []struct {
		name, zone string
		opcode     int
		isLast     bool // there is no next plugin
		want       int
	}{
		{"NOTIFY of our zone", "erl.internal.", dns.OpcodeNotify, false, dns.RcodeRefused},
		{"in capitals", "ERL.internal.", dns.OpcodeNotify, false, dns.RcodeRefused},
		{"of a reverse zone", "10.in-addr.arpa.", dns.OpcodeNotify, false, dns.RcodeRefused},
		{"of a name in our zone", "p1.erl.internal.", dns.OpcodeNotify, false, dns.RcodeRefused},
		{"of a zone that another plugin may have", "sub.erl.internal.", dns.OpcodeNotify, false, rcodeNext},
		{"of one that no other can have", "sub.erl.internal.", dns.OpcodeNotify, true, dns.RcodeRefused},
		{"of our zone, without a next plugin", "erl.internal.", dns.OpcodeNotify, true, dns.RcodeRefused},
		{"UPDATE", "erl.internal.", dns.OpcodeUpdate, false, dns.RcodeRefused},
		{"STATUS", "erl.internal.", dns.OpcodeStatus, true, dns.RcodeRefused},
		{"a question of class CH", "erl.internal.", classCH, true, dns.RcodeRefused},
		{"of a name that another plugin may have", "sub.erl.internal.", classCH, false, rcodeNext},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serving(tableOf(configOf(t, through), slice("web", endpoint("p1", "10.0.0.1"))))
			if tc.isLast {
				l.Next = nil
			}
			r := new(dns.Msg).SetQuestion(tc.zone, dns.TypeSOA)
			if r.Opcode = tc.opcode; tc.opcode == classCH {
				r.Opcode, r.Question[0].Qclass = dns.OpcodeQuery, dns.ClassCHAOS
			}
			if rcode, err := l.ServeDNS(t.Context(), &test.ResponseWriter{}, r); rcode != tc.want || err != nil {
				t.Errorf("got %s and error %v, want %s", dns.RcodeToString[rcode], err, dns.RcodeToString[tc.want])
			}
		})
	}
}

// manyMembers is a cluster of n members with addresses 10.0.x.y.
func manyMembers(t testing.TB, block string, n int) *Longnames {
	t.Helper()
	return serving(tableOf(configOf(t, block), bigSlice(n)))
}

func bigSlice(n int) *kubeapi.Object {
	var members []kubeapi.Member
	for i := range n {
		members = append(members, hosted(endpoint(fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250+1))))
	}
	return slice("web", members...)
}

func TestSizeOfAnswers(t *testing.T) {
	tests := []struct {
		name      string
		members   int
		qtype     string
		client    client
		truncated bool
	}{
		{"30 A fit into 512 bytes", 30, "A", client{}, false},
		{"31 do not", 31, "A", client{}, true},
		{"16 SRV fit into 512 bytes", 16, "SRV", client{}, false},
		{"17 do not", 17, "SRV", client{}, true},
		{"18 TXT fit into 512 bytes", 18, "TXT", client{}, false},
		{"19 do not", 19, "TXT", client{}, true},
		{"31 A fit with EDNS", 31, "A", client{edns: 1232}, false},
		{"100 SRV do not", 100, "SRV", client{edns: 1232}, true},
		{"1000 SRV fit over TCP", 1000, "SRV", client{tcp: true}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := ask(t, manyMembers(t, ipBlock, tc.members), "erl.internal.", tc.qtype, tc.client)
			if m.Truncated != tc.truncated {
				t.Errorf("truncated: got %t, want %t", m.Truncated, tc.truncated)
			}
			if !tc.truncated && len(m.Answer) != tc.members {
				t.Errorf("records: got %d, want %d", len(m.Answer), tc.members)
			}
		})
	}
}

// TestSmallAnswersAreAsFullAsTheWireFormatAllows adds members until an answer to a question without EDNS is truncated.
func TestSmallAnswersAreAsFullAsTheWireFormatAllows(t *testing.T) {
	for _, tt := range []struct{ qtype, option string }{
		{"A", "mode ip"}, {"AAAA", "family ipv6"},
		{"SRV", "mode ip"}, {"SRV", "mode dns"}, {"SRV", "mode hostname"},
		{"TXT", "mode ip"}, {"TXT", "mode dns"}, {"TXT", "mode hostname"},
	} {
		t.Run(tt.qtype+" "+tt.option, func(t *testing.T) {
			const zone, most = "erl.internal.", 40
			got, want, size := 0, 0, 12+len(zone)+1+4 // header and question
			for n := 1; n <= most; n++ {
				var members []kubeapi.Member
				for i := range n {
					address := fmt.Sprintf("10.5.0.%d", 10+i)
					if tt.qtype == "AAAA" {
						address = fmt.Sprintf("fd00::5:%x", 16+i)
					}
					members = append(members, hosted(endpoint(fmt.Sprintf("shop-%d", 10+i), address)))
				}
				l := serving(tableOf(configOf(t, "longnames "+zone+" {\n selector app=shop\n basename shop\n "+tt.option+"\n}"), slice("shop", members...)))
				whole := ask(t, l, zone, tt.qtype, client{tcp: true})
				if len(whole.Answer) != n {
					t.Fatalf("got %d records over TCP, want %d", len(whole.Answer), n)
				}
				if m := ask(t, l, zone, tt.qtype, client{}); !m.Truncated {
					got = n
				}
				size += 2 + 2 + 2 + 4 + 2 // a pointer to the question's name, type, class, TTL, length
				switch rr := whole.Answer[0].(type) {
				case *dns.A:
					size += 4
				case *dns.AAAA:
					size += 16
				case *dns.SRV: // the target may not be compressed
					size += 6 + len(rr.Target) + 1
				case *dns.TXT:
					size += 1 + len(rr.Txt[0])
				}
				if size <= dns.MinMsgSize {
					want = n
				}
			}
			if got != want || got == most {
				t.Errorf("got %d records in 512 bytes, want %d", got, want)
			}
		})
	}
}

func TestGlueOnlyIfAllFits(t *testing.T) {
	tests := []struct {
		name    string
		block   string
		members int
		client  client
		want    int // glue records
	}{
		{"all of it", hostnameBlock, 3, client{}, 3},
		{"as many as fit into 512 bytes", hostnameBlock, 7, client{}, 7},
		{"none rather than some", hostnameBlock, 8, client{}, 0},
		{"more with EDNS", hostnameBlock, 8, client{edns: 1232}, 8},
		{"none where signatures may come", hostnameBlock, 3, client{edns: 1232, do: true}, 0},
		{"none outside the zones", "longnames erl.internal {\n selector app=web\n basename app\n mode hostname\n}", 3, client{}, 0},
		{"none in ip mode", ipBlock, 3, client{}, 0},
		{"all over TCP", hostnameBlock, 100, client{tcp: true}, 100},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := ask(t, manyMembers(t, tc.block, tc.members), "erl.internal.", "SRV", tc.client)
			if got := len(texts(m.Extra)); got != tc.want {
				t.Errorf("glue: got %d records, want %d: %q", got, tc.want, texts(m.Extra))
			}
			if m.Truncated || len(m.Answer) != tc.members {
				t.Errorf("answer: got %d records, truncated %t; want %d and all", len(m.Answer), m.Truncated, tc.members)
			}
		})
	}
}

// TestGlueNeverTruncates asks with every number of members and with sizes around the edges:
// an answer that fits without glue is never truncated for it, and always whole.
func TestGlueNeverTruncates(t *testing.T) {
	for n := 1; n < 12; n++ {
		l := manyMembers(t, hostnameBlock, n)
		for size := uint16(0); size < 1300; size += 7 {
			m := ask(t, l, "erl.internal.", "SRV", client{edns: size})
			bare := m.Copy()
			bare.Extra, bare.Compress = nil, true
			if opt := m.IsEdns0(); opt != nil {
				bare.Extra = []dns.RR{opt}
			}
			if len(m.Answer) == n {
				if m.Truncated {
					t.Errorf("%d members, size %d: truncated, though all are there", n, size)
				}
				continue
			}
			whole := ask(t, l, "erl.internal.", "SRV", client{tcp: true, edns: size})
			whole.Extra, whole.Compress = bare.Extra, true
			if limit := max(int(size), dns.MinMsgSize); whole.Len() <= limit {
				t.Errorf("%d members, size %d: got %d records, though %d bytes would hold all", n, size, len(m.Answer), whole.Len())
			}
		}
	}
}

// TestGlueLeavesRoomForOptions adds what the nsid plugin would.
func TestGlueLeavesRoomForOptions(t *testing.T) {
	for size := uint16(512); size < 1232; size += 3 {
		m := ask(t, manyMembers(t, hostnameBlock, 8), "erl.internal.", "SRV", client{edns: size})
		if len(texts(m.Extra)) == 0 {
			continue
		}
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: strings.Repeat("61", 63)})
		if m.Compress = true; m.Len() > int(size) {
			t.Errorf("size %d: got %d bytes with a name server identifier", size, m.Len())
		}
	}
}

func TestTTL(t *testing.T) {
	for _, ttl := range []string{"0", "30", "3600"} {
		t.Run(ttl, func(t *testing.T) {
			c := configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n ttl "+ttl+"\n}")
			l := serving(tableOf(c, slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))))
			for _, qtype := range []string{"SRV", "TXT", "A", "AAAA", "SOA", "NS"} {
				m := ask(t, l, "erl.internal.", qtype, client{})
				for _, rr := range append(m.Answer, m.Ns...) {
					if got := fmt.Sprint(rr.Header().Ttl); got != ttl {
						t.Errorf("%s: got %s, want %s", qtype, got, ttl)
					}
					if soa, ok := rr.(*dns.SOA); ok && fmt.Sprint(soa.Minttl) != ttl {
						t.Errorf("SOA minimum: got %d, want %s", soa.Minttl, ttl)
					}
				}
			}
		})
	}
}

func TestCacheBypassZones(t *testing.T) {
	l := ipCluster(t)
	got := l.CacheBypassZones()
	if len(got) != 3 || !strings.Contains(strings.Join(got, " "), "erl.internal.") {
		t.Errorf("got %q, want the three zones", got)
	}
}

// TestSharedRecordsAreNotWrittenTo does to an answer what other plugins do: they append.
func TestSharedRecordsAreNotWrittenTo(t *testing.T) {
	// Two pods of one longname leave room behind the records.
	c := configOf(t, hostnameBlock)
	twin := hosted(endpoint("web-0", "10.0.0.2"))
	l := serving(tableOf(c, slice("web", hosted(endpoint("web-0", "10.0.0.1")), twin, hosted(endpoint("web-1", "10.0.0.3")))))
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		for _, name := range []string{"ERL.internal.", "erl.internal."} {
			take := func() *dns.Msg {
				r := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
				rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: true})
				if _, err := l.ServeDNS(t.Context(), rec, r); err != nil {
					t.Fatal(err)
				}
				return rec.Msg
			}
			one, two := take(), take()
			mark := func(text string) dns.RR {
				return &dns.TXT{Hdr: header(text, dns.TypeTXT, 1), Txt: []string{text}}
			}
			one.Answer = append(one.Answer, mark("one."))
			two.Answer = append(two.Answer, mark("two."))
			one.Extra = append(one.Extra, mark("one."))
			two.Extra = append(two.Extra, mark("two."))
			for _, section := range [][]dns.RR{one.Answer, one.Extra} {
				if got := section[len(section)-1].Header().Name; got != "one." {
					t.Errorf("%s %s: got %q at the end of the first answer, want its own record", name, qtype, got)
				}
			}
		}
	}
}

type addr struct{ net.Addr }

func (a addr) Unwrap() net.Addr { return a.Addr }

func TestAddressOf(t *testing.T) {
	udp4 := &net.UDPAddr{IP: net.ParseIP("10.0.0.1"), Port: 53}
	tests := []struct {
		name string
		addr net.Addr
		want string
	}{
		{"UDP", udp4, "10.0.0.1"},
		{"TCP", &net.TCPAddr{IP: net.ParseIP("fd00::1")}, "fd00::1"},
		{"with a zone", &net.UDPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::1"},
		{"behind a proxy", addr{udp4}, "10.0.0.1"},
		{"another", &net.UnixAddr{Name: "/x"}, "invalid IP"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := addressOf(tc.addr).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// writerOn is a socket for all addresses.
type writerOn struct {
	test.ResponseWriter
	local net.Addr
}

func (w *writerOn) LocalAddr() net.Addr { return w.local }

func TestServerAddressOfASocketForAllAddresses(t *testing.T) {
	for _, tc := range []struct{ client, want string }{{"127.0.0.1", "127.0.0.1"}, {"127.0.0.9", "127.0.0.1"}} {
		w := &writerOn{test.ResponseWriter{RemoteIP: tc.client}, &net.UDPAddr{IP: net.IPv6unspecified, Port: 53}}
		if got := serverAddress(w); got != netip.MustParseAddr(tc.want) {
			t.Errorf("client %s: got %s, want %s", tc.client, got, tc.want)
		}
	}
}

// A zone may have several blocks, each of which is known or not.
func TestBlocksOfAZoneThatKnowUnequally(t *testing.T) {
	const block = "longnames erl.internal {\n selector tier=x\n group_by app\n}"
	first, second := configOf(t, block), configOf(t, block)
	shop := slice("shop", endpoint("p1", "10.0.0.1"))
	member := func(c *config) *kubeapi.Object { return labelled(c, labels{"app": "shop"}, shop) }
	web := labelled(first, labels{"app": "web"}, slice("web", endpoint("p2", "10.0.0.2")))
	for _, tc := range []struct {
		name          string
		first, second *table
		shop, chat    int // the codes for a cluster of the second block and for one of none
	}{
		{"both have been read", tableOf(first, web), tableOf(second, member(second)), dns.RcodeSuccess, dns.RcodeNameError},
		{"the first is stale", restoredOf(first, web), tableOf(second, member(second)), dns.RcodeSuccess, dns.RcodeServerFailure},
		{"the first is not known", newTable(first), tableOf(second, member(second)), dns.RcodeServerFailure, dns.RcodeServerFailure},
		{"the first is not known, and the second has nobody", newTable(first), tableOf(second, labelled(second, labels{"app": "shop"}, slice("shop"))), dns.RcodeServerFailure, dns.RcodeServerFailure},
		{"the second is stale", tableOf(first, web), restoredOf(second, member(second)), dns.RcodeSuccess, dns.RcodeServerFailure},
		{"the second is not known", tableOf(first, web), newTable(second), dns.RcodeServerFailure, dns.RcodeServerFailure},
	} {
		l := serving(tc.first, tc.second)
		for name, want := range map[string]int{"web": dns.RcodeSuccess, "shop": tc.shop, "chat": tc.chat} {
			if name == "web" && (!tc.first.known() || !tc.second.known()) {
				want = dns.RcodeServerFailure
			}
			if got := ask(t, l, name+".prod.erl.internal.", "TXT", client{}).Rcode; got != want {
				t.Errorf("%s: %s: got %s, want %s", tc.name, name, dns.RcodeToString[got], dns.RcodeToString[want])
			}
		}
	}
}

// A cluster that had nobody when that was last known may have members by now.
func TestStaleClusterWithoutMembers(t *testing.T) {
	c := configOf(t, groupBlock)
	l := serving(restoredOf(c, inService(c, slice("shop", endpoint("p1", "10.0.0.1"))), inService(c, slice("chat"))))
	for name, want := range map[string]int{
		"chat.prod.svc.erl.internal.":            dns.RcodeServerFailure,
		"shop.prod.svc.erl.internal.":            dns.RcodeSuccess,
		"prod.svc.erl.internal.":                 dns.RcodeSuccess, // exists, and never has records
		"_epmd._tcp.chat.prod.svc.erl.internal.": dns.RcodeServerFailure,
		"_epmd._tcp.shop.prod.svc.erl.internal.": dns.RcodeSuccess,
	} {
		if got := ask(t, l, name, "AAAA", client{}).Rcode; got != want {
			t.Errorf("%s: got %s, want %s", name, dns.RcodeToString[got], dns.RcodeToString[want])
		}
	}
}
