package longnames

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

// blockWith is a longnames block, and what it finds.
type blockWith struct {
	text    string
	objects []*kubeapi.Object
}

// together is the plugin of blocks that are all synced.
func together(t testing.TB, blocks ...blockWith) (*Longnames, []*table) {
	t.Helper()
	var tables []*table
	for _, b := range blocks {
		c := configOf(t, "longnames "+b.text)
		tables = append(tables, newTable(c))
	}
	l := serving(tables...)
	for i, b := range blocks {
		for _, o := range b.objects {
			if o.Labels == nil {
				labelled(tables[i].config, labels{"app": "web"}, o)
			}
		}
		apply(tables[i], b.objects...)
		tables[i].Synced()
	}
	return l, tables
}

// hears is the data of an answer, or the response code if there are no records.
func (c client) hears(t testing.TB, l *Longnames, question string) []string {
	t.Helper()
	name, qtype, _ := strings.Cut(question, " ")
	m := ask(t, l, name, qtype, c)
	if len(m.Answer) == 0 {
		return []string{dns.RcodeToString[m.Rcode]}
	}
	var got []string
	for _, text := range texts(m.Answer) {
		got = append(got, strings.ReplaceAll(strings.Join(strings.Fields(text)[4:], " "), `"`, ""))
	}
	return got
}

func TestBlocksThatShareAZoneAnswerTogether(t *testing.T) {
	const (
		ip       = "erl.internal 10.in-addr.arpa {\n selector app\n basename app\n"
		hostname = "erl.internal 10.in-addr.arpa {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n"
		grouped  = "erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n"
	)
	host := func(name string) string { return name + ".web.prod.svc.erl.internal." }
	var nobody = []string{"NXDOMAIN"}
	for _, tc := range []struct {
		name   string
		blocks []blockWith
		want   map[string][]string // by question
	}{
		{
			name: "selectors that overlap",
			blocks: []blockWith{
				{ip + "}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2"))}},
				{ip + "}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"), endpoint("p3", "10.0.0.3"))}},
			},
			want: map[string][]string{
				"erl.internal. TXT":               {"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3"},
				"erl.internal. A":                 {"10.0.0.1", "10.0.0.2", "10.0.0.3"},
				"erl.internal. SRV":               {"0 0 4369 10.0.0.1.", "0 0 4369 10.0.0.2.", "0 0 4369 10.0.0.3."},
				"_epmd._tcp.erl.internal. SRV":    {"0 0 4369 10.0.0.1.", "0 0 4369 10.0.0.2.", "0 0 4369 10.0.0.3."},
				"p3.erl.internal. A":              {"10.0.0.3"},
				"p2.erl.internal. TXT":            {"app@10.0.0.2"},
				"2.0.0.10.in-addr.arpa. PTR":      {"10.0.0.2."},
				"3.0.0.10.in-addr.arpa. PTR":      {"10.0.0.3."},
				"p4.erl.internal. A":              nobody,
				"4.0.0.10.in-addr.arpa. PTR":      nobody,
				"10-0-0-3.erl.internal. SRV":      {"0 0 4369 10.0.0.3."},
				"0.0.10.in-addr.arpa. PTR":        {"NOERROR"},
				"1.0.10.in-addr.arpa. PTR":        nobody,
				"_nothing._tcp.erl.internal. SRV": nobody,
			},
		},
		{
			name: "equal longnames are one, that of the first block",
			blocks: []blockWith{
				{hostname + " port 9100\n}", []*kubeapi.Object{ported(slice("web", hosted(endpoint("web-0", "10.0.0.1"))), kubeapi.Port{Name: "http", Protocol: "TCP", Number: 80})}},
				{hostname + " port 9200\n}", []*kubeapi.Object{ported(slice("web", hosted(endpoint("web-0", "10.1.0.1")), hosted(endpoint("web-1", "10.1.0.2"))), kubeapi.Port{Name: "http", Protocol: "TCP", Number: 81})}},
			},
			want: map[string][]string{
				"erl.internal. TXT":            {"app@web-0.web.prod.svc.erl.internal", "app@web-1.web.prod.svc.erl.internal"},
				"erl.internal. SRV":            {"0 0 9100 " + host("web-0"), "0 0 9200 " + host("web-1")},
				"erl.internal. A":              {"10.0.0.1", "10.1.0.2"},
				"_http._tcp.erl.internal. SRV": {"0 0 80 " + host("web-0"), "0 0 81 " + host("web-1")},
				host("web-0") + " A":           {"10.0.0.1"},
				host("web-1") + " A":           {"10.1.0.2"},
				"web-0.erl.internal. A":        {"10.0.0.1"},
				"web-0.erl.internal. SRV":      {"0 0 9100 " + host("web-0")},
				"10-1-0-1.erl.internal. A":     nobody,
				"1.0.0.10.in-addr.arpa. PTR":   {host("web-0")},
				"1.0.1.10.in-addr.arpa. PTR":   nobody,
				"2.0.1.10.in-addr.arpa. PTR":   {host("web-1")},
			},
		},
		{
			name: "and the same of a group",
			blocks: []blockWith{
				{grouped + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))}},
				{grouped + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.1.0.1")), hosted(endpoint("web-1", "10.2.0.2")))}},
			},
			want: map[string][]string{
				"web.prod.erl.internal. TXT":     {"web@web-0.web.prod.svc.erl.internal", "web@web-1.web.prod.svc.erl.internal"},
				"web.prod.erl.internal. A":       {"10.0.0.1", "10.2.0.2"},
				host("web-0") + " A":             {"10.0.0.1"},
				"web-0.web.prod.erl.internal. A": {"10.0.0.1"},
				"1.0.0.10.in-addr.arpa. PTR":     {host("web-0")},
				"1.0.1.10.in-addr.arpa. PTR":     nobody,
				"0.2.10.in-addr.arpa. PTR":       {"NOERROR"},
				"prod.erl.internal. TXT":         {"NOERROR"},
			},
		},
		{
			name: "a prefix exists where any block has an address in it",
			blocks: []blockWith{
				{grouped + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))}},
				{grouped + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.1.0.1")))}},
			},
			want: map[string][]string{"0.0.10.in-addr.arpa. PTR": {"NOERROR"}, "1.0.1.10.in-addr.arpa. PTR": nobody, "0.1.10.in-addr.arpa. PTR": {"NOERROR"}},
		},
		{
			name: "groups of two blocks",
			blocks: []blockWith{
				{grouped + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))}},
				{strings.Replace(grouped, "app", "tier", 1) + "}", nil},
			},
			want: map[string][]string{
				"web.prod.erl.internal. TXT":  {"web@web-0.web.prod.svc.erl.internal"},
				"back.prod.erl.internal. TXT": nobody,
			},
		},
		{
			name: "the second has it alive, the first does not list it",
			blocks: []blockWith{
				{hostname + "}", []*kubeapi.Object{slice("web", unready(hosted(endpoint("web-0", "10.0.0.1"))), hosted(endpoint("web-1", "10.0.0.2")))}},
				{hostname + "}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.1.0.1")))}},
			},
			want: map[string][]string{
				"erl.internal. A":            {"10.1.0.1", "10.0.0.2"},
				host("web-0") + " A":         {"10.1.0.1"},
				"web-0.erl.internal. A":      {"10.1.0.1"},
				"1.0.1.10.in-addr.arpa. PTR": {host("web-0")},
				"1.0.0.10.in-addr.arpa. PTR": nobody,
			},
		},
		{
			name: "ports by a name and by a number",
			blocks: []blockWith{
				{ip + " port dist\n}", []*kubeapi.Object{ported(slice("web", endpoint("p1", "10.0.0.1")), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9100})}},
				{ip + " port 9200\n}", []*kubeapi.Object{ported(slice("web", endpoint("p2", "10.0.0.2")), kubeapi.Port{Name: "dist", Protocol: "TCP", Number: 9300})}},
			},
			want: map[string][]string{
				"erl.internal. SRV":            {"0 0 9100 10.0.0.1.", "0 0 9200 10.0.0.2."},
				"_epmd._tcp.erl.internal. SRV": {"0 0 9100 10.0.0.1.", "0 0 9200 10.0.0.2."},
				"_dist._tcp.erl.internal. SRV": {"0 0 9100 10.0.0.1.", "0 0 9300 10.0.0.2."},
				"p2.erl.internal. SRV":         {"0 0 9200 10.0.0.2."},
			},
		},
		{
			name: "none passes in one block",
			blocks: []blockWith{
				{ip + "}", []*kubeapi.Object{slice("web", unready(endpoint("p1", "10.0.0.1")))}},
				{ip + "}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"), unready(endpoint("p3", "10.0.0.3")))}},
			},
			want: map[string][]string{"erl.internal. TXT": {"app@10.0.0.1", "app@10.0.0.2"}},
		},
		{
			name: "only a reverse zone in common",
			blocks: []blockWith{
				{"a.internal 10.in-addr.arpa {\n selector app\n basename a\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
				{"b.internal 10.in-addr.arpa {\n selector app\n basename b\n mode dns\n}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"))}},
			},
			want: map[string][]string{
				"a.internal. TXT":            {"a@10.0.0.1"},
				"b.internal. TXT":            {"b@10-0-0-2.prod.pod.cluster.local"},
				"1.0.0.10.in-addr.arpa. PTR": {"10.0.0.1."},
				"2.0.0.10.in-addr.arpa. PTR": {"10-0-0-2.prod.pod.cluster.local."},
				"p2.a.internal. A":           nobody,
			},
		},
		{
			name: "only a reverse zone in common, and longnames that are equal",
			blocks: []blockWith{
				{"a.internal 10.in-addr.arpa {\n selector app\n basename app\n mode hostname\n}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))}},
				{"b.internal 10.in-addr.arpa {\n selector app\n basename app\n mode hostname\n}", []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.1.0.1")))}},
			},
			want: map[string][]string{
				"1.0.0.10.in-addr.arpa. PTR": {"web-0.web.prod.svc.cluster.local."},
				"1.0.1.10.in-addr.arpa. PTR": {"web-0.web.prod.svc.cluster.local."},
				"b.internal. A":              {"10.1.0.1"},
			},
		},
		{
			name: "only some of the zones",
			blocks: []blockWith{
				{"a.internal shared.internal {\n selector app\n basename app\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
				{"shared.internal b.internal {\n selector app\n basename app\n}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"))}},
			},
			want: map[string][]string{
				"a.internal. TXT":      {"app@10.0.0.1"},
				"b.internal. TXT":      {"app@10.0.0.2"},
				"shared.internal. TXT": {"app@10.0.0.1", "app@10.0.0.2"},
				"p1.b.internal. A":     nobody,
			},
		},
		{
			name: "no host part is the name of another block's name server",
			blocks: []blockWith{
				{"prod.svc.erl.internal {\n selector app\n basename app\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
				{"erl.internal {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}", []*kubeapi.Object{slice("dns", called("ns", endpoint("x", "10.66.6.6")), called("y", endpoint("y", "10.0.0.2")))}},
			},
			want: map[string][]string{
				"erl.internal. SRV":                 {"0 0 4369 y.dns.prod.svc.erl.internal."},
				"erl.internal. A":                   {"10.0.0.2"},
				"ns.dns.prod.svc.erl.internal. A":   {"127.0.0.1"},
				"ns.dns.prod.svc.erl.internal. TXT": {"NOERROR"},
			},
		},
		{
			name: "a group of one block is no host part of another's",
			blocks: []blockWith{
				{"pod.erl.internal {\n group_by app\n mode dns\n cluster_domain erl.internal\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
				{"pod.erl.internal {\n group_by app\n basename app\n}", []*kubeapi.Object{
					labelled(configOf(t, "longnames x {\n group_by app\n}"), labels{"app": "10-0-0-1"}, named("other", slice("other", endpoint("p9", "10.0.0.9")))),
				}},
			},
			want: map[string][]string{
				"web.prod.pod.erl.internal. SRV":    {"0 0 4369 10-0-0-1.prod.pod.erl.internal."},
				"10-0-0-1.prod.pod.erl.internal. A": {"10.0.0.1"},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := together(t, tc.blocks...)
			for question, want := range tc.want {
				equal(t, question, client{tcp: true}.hears(t, l, question), want)
			}
			for zone := range l.zones {
				checkTransfer(t, l, zone)
			}
		})
	}
}

func TestSuspectsOfAllBlocksComeLast(t *testing.T) {
	const text = "erl.internal 10.in-addr.arpa {\n selector app\n basename app\n mode hostname\n cluster_domain erl.internal\n}"
	all := func() *kubeapi.Object {
		return slice("web", hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2")), hosted(endpoint("web-2", "10.0.0.3")))
	}
	l, tables := together(t,
		blockWith{text, []*kubeapi.Object{all()}},
		blockWith{text, []*kubeapi.Object{slice("web", hosted(endpoint("web-1", "10.1.0.2")), hosted(endpoint("web-5", "10.1.0.5")))}})
	a := auditOf(tables...)
	t.Cleanup(a.close)
	old, next := all(), all()
	next.Version, next.Members = 2, next.Members[2:]
	labelled(tables[0].config, labels{"app": "web"}, old)
	labelled(tables[0].config, labels{"app": "web"}, next)
	log := logged(t, func() {
		a.scan()
		tables[0].Apply([]kubeapi.Change{{Old: old, New: next}})
		a.scan()
	})
	host := func(name string) string { return name + ".web.prod.svc.erl.internal" }
	for question, want := range map[string][]string{
		"erl.internal. TXT":            {"app@" + host("web-1"), "app@" + host("web-2"), "app@" + host("web-5"), "app@" + host("web-0")},
		"erl.internal. A":              {"10.1.0.2", "10.0.0.3", "10.1.0.5", "10.0.0.1"},
		host("web-1") + ". A":          {"10.1.0.2"},
		host("web-0") + ". A":          {"10.0.0.1"},
		"1.0.0.10.in-addr.arpa. PTR":   {host("web-0") + "."},
		"2.0.1.10.in-addr.arpa. PTR":   {host("web-1") + "."},
		"2.0.0.10.in-addr.arpa. PTR":   {"NXDOMAIN"},
		"_epmd._tcp.erl.internal. SRV": {"0 0 4369 " + host("web-1") + ".", "0 0 4369 " + host("web-2") + ".", "0 0 4369 " + host("web-5") + ".", "0 0 4369 " + host("web-0") + "."},
	} {
		equal(t, question, client{tcp: true}.hears(t, l, question), want)
	}
	for zone := range l.zones {
		checkTransfer(t, l, zone)
	}
	if got := testutil.ToFloat64(listedMembers.WithLabelValues("erl.internal.")); got != 4 {
		t.Errorf("members: got %v, want 4", got)
	}
	if got := testutil.ToFloat64(suspectMembers.WithLabelValues("erl.internal.", "missing")); got != 1 {
		t.Errorf("suspects: got %v, want 1: web-1 is alive in the other block", got)
	}
	if want := "are suspect: app@" + host("web-0") + "; "; !strings.Contains(log, want) {
		t.Errorf("log: got %q, want %q, and nobody who is alive", log, want)
	}
}

func TestMetricsOfBlocksThatShareAZoneAgreeWithTheAnswer(t *testing.T) {
	const text = " {\n selector app\n basename app\n mode hostname\n}"
	for _, tc := range []struct {
		name                         string
		zone                         string
		a, b                         []kubeapi.Member
		members, clusters, contested float64
	}{
		{"one pod in both", "one.internal", []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1"))}, []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1"))}, 1, 1, 0},
		{"one pod, and its address by hand", "written.internal", []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1"))}, []kubeapi.Member{byHand(hosted(endpoint("web-0", "10.0.0.1")))}, 1, 1, 0},
		{"different pods", "different.internal", []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1"))}, []kubeapi.Member{hosted(endpoint("web-1", "10.0.0.2"))}, 2, 1, 0},
		{"one longname of two pods", "equal.internal", []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1"))}, []kubeapi.Member{hosted(endpoint("web-0", "10.1.0.1"))}, 1, 1, 1},
		{"one longname, one not alive", "alive.internal", []kubeapi.Member{unready(hosted(endpoint("web-0", "10.0.0.1"))), hosted(endpoint("web-1", "10.0.0.2"))}, []kubeapi.Member{hosted(endpoint("web-0", "10.1.0.1"))}, 2, 1, 0},
		{"nobody", "nobody.internal", nil, nil, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			zone := tc.zone + "."
			l, tables := together(t,
				blockWith{tc.zone + text, []*kubeapi.Object{slice("web", tc.a...)}}, blockWith{tc.zone + text, []*kubeapi.Object{slice("web", tc.b...)}})
			a := auditOf(tables...)
			t.Cleanup(a.close)
			logged(t, a.scan)
			for what, got := range map[string][2]float64{
				"members":   {testutil.ToFloat64(listedMembers.WithLabelValues(zone)), tc.members},
				"clusters":  {testutil.ToFloat64(nonEmptyClusters.WithLabelValues(zone)), tc.clusters},
				"contested": {testutil.ToFloat64(contestedNames.WithLabelValues(zone)), tc.contested},
				"answered":  {float64(len(ask(t, l, zone, "TXT", client{}).Answer)), tc.members},
			} {
				if got[0] != got[1] {
					t.Errorf("%s: got %v, want %v", what, got[0], got[1])
				}
			}
		})
	}
}

func TestEachBlockOfAZoneIsAuditedOnce(t *testing.T) {
	block := func(zones string) blockWith { return blockWith{zones + " {\n selector app\n basename app\n}", nil} }
	for _, tc := range []struct {
		name   string
		blocks []blockWith
		want   []string // the zones that are audited, with the number of their blocks
	}{
		{"the same zone", []blockWith{block("a.internal"), block("a.internal")}, []string{"a.internal. 2"}},
		{"another one first", []blockWith{block("a.internal b.internal"), block("b.internal a.internal")}, []string{"a.internal. 2", "b.internal. 2"}},
		{"only a reverse zone", []blockWith{block("a.internal 10.in-addr.arpa"), block("b.internal 10.in-addr.arpa")}, []string{"a.internal. 1", "b.internal. 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := together(t, tc.blocks...)
			var got []string
			for _, b := range l.blocks {
				if b.audited != nil {
					got = append(got, b.config.name()+" "+string(rune('0'+len(b.audited.tables))))
				}
			}
			equal(t, "audited", got, tc.want)
		})
	}
}

func TestBlocksThatShareAZoneUntilAllAreKnown(t *testing.T) {
	const text = "erl.internal 10.in-addr.arpa {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n}"
	const host = "10-0-0-1.prod.pod.erl.internal."
	first := func() *table {
		return tableOf(configOf(t, "longnames "+text), slice("web", endpoint("p1", "10.0.0.1")))
	}
	stale := newTable(configOf(t, "longnames "+text))
	apply(stale, slice("web", endpoint("p2", "10.0.0.2")))
	stale.Restored()
	all := []string{"app@10-0-0-1.prod.pod.erl.internal", "app@10-0-0-2.prod.pod.erl.internal"}
	for _, tc := range []struct {
		name   string
		second *table
		want   map[string][]string
		stale  bool
	}{
		{"one cannot tell", newTable(configOf(t, "longnames "+text)), map[string][]string{
			"erl.internal. TXT":            {"SERVFAIL"},
			"erl.internal. SRV":            {"SERVFAIL"},
			"_epmd._tcp.erl.internal. SRV": {"SERVFAIL"},
			host + " A":                    {"SERVFAIL"},
			"nobody.erl.internal. A":       {"SERVFAIL"},
			"1.0.0.10.in-addr.arpa. PTR":   {host},
			"2.0.0.10.in-addr.arpa. PTR":   {"SERVFAIL"},
			"0.10.in-addr.arpa. PTR":       {"SERVFAIL"},
			"9.10.in-addr.arpa. PTR":       {"SERVFAIL"},
		}, false},
		{"one is stale", stale, map[string][]string{
			"erl.internal. TXT":          all,
			host + " A":                  {"10.0.0.1"},
			"nobody.erl.internal. A":     {"SERVFAIL"},
			"1.0.0.10.in-addr.arpa. PTR": {host},
			"2.0.0.10.in-addr.arpa. PTR": {"10-0-0-2.prod.pod.erl.internal."},
			"3.0.0.10.in-addr.arpa. PTR": {"SERVFAIL"},
		}, true},
	} {
		for _, order := range []string{"as it is", "the other way around"} {
			t.Run(tc.name+", "+order, func(t *testing.T) {
				tables := []*table{first(), tc.second}
				if order != "as it is" {
					slices.Reverse(tables)
				}
				l := serving(tables...)
				for question, want := range tc.want {
					equal(t, question, client{}.hears(t, l, question), want)
				}
				m := ask(t, l, "erl.internal.", "TXT", client{edns: 1232})
				isStale := slices.ContainsFunc(m.IsEdns0().Option, func(o dns.EDNS0) bool {
					e, ok := o.(*dns.EDNS0_EDE)
					return ok && e.InfoCode == dns.ExtendedErrorCodeStaleAnswer
				})
				if isStale != tc.stale {
					t.Errorf("stale: got %v, want %v", isStale, tc.stale)
				}
				records, err := l.Transfer("erl.internal.", 0)
				for err == nil && len(<-records) > 0 {
				}
				if (err == nil) != tc.stale {
					t.Errorf("transfer: got error %v, want one: %v", err, !tc.stale)
				}
			})
		}
	}
}

// Nobody knows anything yet, and so no serial either.
func TestAReverseZoneOfWhichNothingIsKnown(t *testing.T) {
	l := serving(newTable(configOf(t, "longnames erl.internal 10.in-addr.arpa {\n selector app\n basename app\n}")))
	for _, question := range []string{"10.in-addr.arpa. SOA", "10.in-addr.arpa. NS", "10.in-addr.arpa. PTR", "1.0.0.10.in-addr.arpa. PTR", "erl.internal. SOA"} {
		equal(t, question, client{}.hears(t, l, question), []string{"SERVFAIL"})
	}
}

func TestClustersThatHaveEndedAreForgotten(t *testing.T) {
	const text = "erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n hold 0\n}"
	l, tables := together(t, blockWith{text, nil}, blockWith{text, nil})
	kept := func() (n int) {
		l.zones["erl.internal."].resolver.clusters.Range(func(any, any) bool { n++; return true })
		return n
	}
	for i := range 100 {
		name := "g" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		of := func(pod, address string) *kubeapi.Object {
			return labelled(tables[0].config, labels{"app": name}, named(name, slice("web", hosted(endpoint(pod, address)))))
		}
		first, second := of("web-0", "10.0.0.1"), of("web-1", "10.0.0.2")
		tables[0].Apply([]kubeapi.Change{{New: first}})
		tables[1].Apply([]kubeapi.Change{{New: second}})
		equal(t, name, client{}.hears(t, l, name+".prod.erl.internal. A"), []string{"10.0.0.1", "10.0.0.2"})
		tables[0].Apply(gone(first))
		equal(t, name+" without the first", client{}.hears(t, l, name+".prod.erl.internal. A"), []string{"10.0.0.2"})
		equal(t, name+" still has a name", client{}.hears(t, l, "2.0.0.10.in-addr.arpa. PTR"), []string{"web-1.web.prod.svc.erl.internal."})
		tables[1].Apply(gone(second))
		equal(t, name+" that has ended", client{}.hears(t, l, name+".prod.erl.internal. A"), []string{"NXDOMAIN"})
	}
	if got := kept(); got != 0 {
		t.Errorf("clusters that are kept: got %d, want 0", got)
	}
	for _, table := range tables {
		n := 0
		table.views.Range(func(any, any) bool { n++; return true })
		if n != 0 {
			t.Errorf("views: got %d, want 0", n)
		}
	}
}

// Addresses go with targets where a question for these would get them.
func TestGlueOfBlocksThatShareAZone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		blocks []blockWith
		zone   string
		// elsewhere says that other blocks than those of the zone answer for the targets.
		elsewhere bool
	}{
		{"host parts in a zone of the other block", []blockWith{
			{"shared.internal {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
			{"shared.internal erl.internal {\n selector app\n basename app\n mode dns\n cluster_domain erl.internal\n}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"))}},
		}, "shared.internal.", true},
		{"addresses below the root", []blockWith{
			{". {\n selector app\n basename app\n}", []*kubeapi.Object{slice("web", endpoint("p1", "10.0.0.1"))}},
			{". {\n selector app\n basename app\n mode dns\n}", []*kubeapi.Object{slice("web", endpoint("p2", "10.0.0.2"))}},
		}, ".", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := together(t, tc.blocks...)
			m := ask(t, l, tc.zone, "SRV", client{tcp: true})
			got, want := texts(m.Extra), []string(nil)
			for _, rr := range m.Answer {
				want = append(want, texts(ask(t, l, rr.(*dns.SRV).Target, "A", client{}).Answer)...)
			}
			if len(want) == 0 {
				t.Fatal("no target has an address here")
			}
			if tc.elsewhere {
				want = nil
			}
			equal(t, "glue", got, want)
		})
	}
}

// Two API servers have pods of the same name more often than not.
func TestAWarningTellsNodesOfOneLongnameApart(t *testing.T) {
	const text = "apart.internal {\n selector app\n basename app\n mode hostname\n}"
	_, tables := together(t,
		blockWith{text, []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.0.0.1")))}},
		blockWith{text, []*kubeapi.Object{slice("web", hosted(endpoint("web-0", "10.1.0.1")))}})
	a := auditOf(tables...)
	t.Cleanup(a.close)
	log := logged(t, a.scan)
	for _, want := range []string{"app@web-0.web.prod.svc.cluster.local", "10.0.0.1", "10.1.0.1"} {
		if !strings.Contains(log, want) {
			t.Errorf("log: got %q, want %q in it", log, want)
		}
	}
}

// A block cannot have members in a namespace that it does not read: others know whether there are any.
func TestAnUnknownBlockOfOtherNamespaces(t *testing.T) {
	text := func(namespace string) string {
		return "longnames erl.internal {\n namespaces " + namespace + "\n group_by app\n mode dns\n cluster_domain erl.internal\n}"
	}
	c := configOf(t, text("prod"))
	l := serving(tableOf(c, web(c, slice("web", endpoint("p1", "10.0.0.1")))...), newTable(configOf(t, text("test"))))
	for question, want := range map[string][]string{
		"web.prod.erl.internal. TXT":        {"web@10-0-0-1.prod.pod.erl.internal"},
		"web-0.web.prod.erl.internal. A":    {"NXDOMAIN"},
		"web.test.erl.internal. TXT":        {"SERVFAIL"},
		"10-0-0-1.test.pod.erl.internal. A": {"SERVFAIL"}, // it may be there
		"erl.internal. TXT":                 {"SERVFAIL"},
	} {
		equal(t, question, client{}.hears(t, l, question), want)
	}
}

// A block that had nobody before the start may have somebody now, but it keeps nobody from the members of others.
func TestABlockThatHadNobodyBeforeTheStart(t *testing.T) {
	c := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n selector app\n basename app\n}")
	had := func() *table {
		empty := newTable(c)
		empty.Restored()
		return empty
	}
	known := func() *table { return tableOf(c, slice("web", endpoint("p1", "10.0.0.1"))) }
	grouped := configOf(t, "longnames erl.internal 10.in-addr.arpa {\n namespaces prod\n group_by app\n}")
	hadUnread := func() *table {
		empty := newTable(grouped)
		empty.Unread(map[string]time.Time{"prod": {}})
		empty.Restored()
		return empty
	}
	knownGroup := tableOf(grouped, app(grouped, "app", slice("web", endpoint("p1", "10.0.0.1"))))
	for _, tc := range []struct {
		name   string
		tables []*table
		want   []string // of the zone's name, of a node and of an address that nobody has
		ready  bool
	}{
		{"of a namespace, alone", []*table{hadUnread()}, []string{"SERVFAIL", "SERVFAIL", "SERVFAIL"}, false},
		{"of a namespace, beside one that has somebody", []*table{knownGroup, hadUnread()}, []string{"app@10.0.0.1", "SERVFAIL", "SERVFAIL"}, true},
		{"of a namespace, before one that has somebody", []*table{hadUnread(), knownGroup}, []string{"app@10.0.0.1", "SERVFAIL", "SERVFAIL"}, true},
		{"alone", []*table{had()}, []string{"SERVFAIL", "SERVFAIL", "SERVFAIL"}, false},
		{"beside one that has somebody", []*table{known(), had()}, []string{"app@10.0.0.1", "SERVFAIL", "SERVFAIL"}, true},
		{"before one that has somebody", []*table{had(), known()}, []string{"app@10.0.0.1", "SERVFAIL", "SERVFAIL"}, true},
		{"beside one of which nothing is known", []*table{had(), newTable(c)}, []string{"SERVFAIL", "SERVFAIL", "SERVFAIL"}, false},
	} {
		l := serving(tc.tables...)
		of := "erl.internal."
		if l.blocks[0].config.rules.GroupLabel >= 0 {
			of = "app.prod." + of
		}
		for i, question := range []string{of + " TXT", "p9." + of + " A", "9.9.9.10.in-addr.arpa. PTR"} {
			equal(t, tc.name+": "+question, client{}.hears(t, l, question), tc.want[i:i+1])
		}
		if got := (&instance{blocks: l.blocks}).isReady(); got != tc.ready {
			t.Errorf("%s: ready: got %t, want %t", tc.name, got, tc.ready)
		}
	}
}
