package longnames

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// metadataOf gives what there is to read about a question, by label.
func metadataOf(t testing.TB, l *Longnames, name, qtype string, c client) map[string]string {
	t.Helper()
	r := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	state := request.Request{W: &test.ResponseWriter{RemoteIP: c.address}, Req: r}
	ctx := l.Metadata(metadata.ContextWithMetadata(t.Context()), state)
	values := make(map[string]string)
	for label, value := range metadata.ValueFuncs(ctx) {
		values[label] = value()
	}
	return values
}

// values are all that there are; members may be empty.
func values(zone, cluster, members, state string) map[string]string {
	return map[string]string{
		"longnames/zone": zone, "longnames/cluster": cluster, "longnames/members": members, "longnames/state": state,
	}
}

func TestMetadata(t *testing.T) {
	members := []kubeapi.Member{hosted(endpoint("web-0", "10.0.0.1")), hosted(endpoint("web-1", "10.0.0.2"))}
	web := func(c *config, of func(*config, ...*kubeapi.Object) *table) *table {
		return of(c, slice("web", members...))
	}
	single := func(of func(*config, ...*kubeapi.Object) *table) *Longnames {
		return serving(web(configOf(t, hostnameBlock), of))
	}
	grouped := configOf(t, "longnames svc.erl.internal 10.in-addr.arpa {\n group_by kubernetes.io/service-name\n mode hostname\n cluster_domain erl.internal\n}")
	outside := configOf(t, "longnames apps.internal erl.internal {\n group_by kubernetes.io/service-name\n basename app\n mode dns\n cluster_domain erl.internal\n}")
	both := inService(grouped, slice("shop", members[0]))
	groups := serving(tableOf(grouped, both, inService(grouped, slice("chat", members...))))
	for _, tc := range []struct {
		name    string
		plugin  *Longnames
		qname   string
		want    map[string]string
		address string // of the client
	}{
		{name: "the cluster", plugin: single(tableOf), qname: "erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "in other letters", plugin: single(tableOf), qname: "ERL.Internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "a port", plugin: single(tableOf), qname: "_epmd._tcp.erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "a node", plugin: single(tableOf), qname: "web-0.erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "a host part", plugin: single(tableOf), qname: "web-0.web.prod.svc.erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "an address", plugin: single(tableOf), qname: "1.0.0.10.in-addr.arpa.", want: values("10.in-addr.arpa.", "erl.internal.", "2", "fresh")},
		{name: "an address that nobody has", plugin: single(tableOf), qname: "9.0.0.10.in-addr.arpa.", want: values("10.in-addr.arpa.", "", "", "fresh")},
		{name: "a reverse zone itself", plugin: single(tableOf), qname: "10.in-addr.arpa.", want: values("10.in-addr.arpa.", "", "", "fresh")},
		{name: "no reverse name", plugin: single(tableOf), qname: "x.10.in-addr.arpa.", want: values("10.in-addr.arpa.", "", "", "fresh")},
		{name: "a name that does not exist", plugin: single(tableOf), qname: "nobody.erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "fresh")},
		{name: "last known", plugin: single(restoredOf), qname: "erl.internal.", want: values("erl.internal.", "erl.internal.", "2", "stale")},
		{name: "not last known", plugin: single(restoredOf), qname: "nobody.erl.internal.", want: values("erl.internal.", "erl.internal.", "", "unknown")},
		{name: "not known", plugin: serving(newTable(configOf(t, hostnameBlock))), qname: "erl.internal.", want: values("erl.internal.", "erl.internal.", "", "unknown")},
		{name: "nobody", plugin: serving(tableOf(configOf(t, hostnameBlock))), qname: "erl.internal.", want: values("erl.internal.", "erl.internal.", "0", "fresh")},
		{name: "another zone", plugin: single(tableOf), qname: "internal.", want: map[string]string{}},
		{name: "the root", plugin: single(tableOf), qname: ".", want: map[string]string{}},
		{
			name: "all of DNS", plugin: serving(tableOf(configOf(t, "longnames . {\n selector app=web\n basename app\n}"), slice("web", members...))),
			qname: "web-0.", want: values(".", ".", "2", "fresh"),
		},
		{name: "a group", plugin: groups, qname: "shop.prod.svc.erl.internal.", want: values("svc.erl.internal.", "shop.prod.svc.erl.internal.", "1", "fresh")},
		{name: "a node of a group", plugin: groups, qname: "web-1.chat.prod.svc.erl.internal.", want: values("svc.erl.internal.", "chat.prod.svc.erl.internal.", "2", "fresh")},
		{name: "what lies above groups", plugin: groups, qname: "prod.svc.erl.internal.", want: values("svc.erl.internal.", "", "", "fresh")},
		{name: "a group that does not exist", plugin: groups, qname: "mailer.prod.svc.erl.internal.", want: values("svc.erl.internal.", "", "", "fresh")},
		{name: "the first of two groups", plugin: groups, qname: "1.0.0.10.in-addr.arpa.", want: values("10.in-addr.arpa.", "chat.prod.svc.erl.internal.", "2", "fresh")},
		{name: "an address of a group that nobody has", plugin: groups, qname: "9.0.0.10.in-addr.arpa.", want: values("10.in-addr.arpa.", "", "", "fresh")},
		{
			name: "a host part of a group", plugin: serving(tableOf(outside, inService(outside, slice("shop", members...)))),
			qname: "10-0-0-1.prod.pod.erl.internal.", want: values("erl.internal.", "shop.prod.erl.internal.", "2", "fresh"),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, qtype := range []string{"SRV", "TXT", "A", "PTR", "MX"} {
				if got := metadataOf(t, tc.plugin, tc.qname, qtype, client{}); !maps.Equal(got, tc.want) {
					t.Errorf("%s: got %v, want %v", qtype, got, tc.want)
				}
			}
		})
	}
}

// The labels tell of the block that answers.
func TestMetadataOfSeveralBlocks(t *testing.T) {
	block := func(text string) *config {
		return configOf(t, fmt.Sprintf("longnames %s {\n selector app=web\n basename app\n fallthrough\n}", text))
	}
	one := func(c *config) *table { return tableOf(c, slice("web", endpoint("p1", "10.0.0.1"))) }
	two := func(c *config) *table {
		return tableOf(c, slice("api", endpoint("p2", "10.0.0.2"), endpoint("p3", "10.0.0.3")))
	}
	first, second := block("first.internal 10.in-addr.arpa"), block("second.internal 10.in-addr.arpa")
	outer, inner := block("erl.internal"), block("api.erl.internal")
	for _, tc := range []struct {
		name   string
		plugin *Longnames
		qname  string
		want   map[string]string
	}{
		{"the first", serving(one(first), two(second)), "1.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "first.internal.", "1", "fresh")},
		{"the second", serving(one(first), two(second)), "2.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "second.internal.", "2", "fresh")},
		{"neither", serving(one(first), two(second)), "9.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "", "", "fresh")},
		{"the second, as the first cannot tell", serving(newTable(first), two(second)), "2.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "second.internal.", "2", "fresh")},
		{"the first cannot tell", serving(newTable(first), two(second)), "1.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "", "", "unknown")},
		{"not last known", serving(restoredOf(first, slice("web", endpoint("p1", "10.0.0.1")))), "9.0.0.10.in-addr.arpa.", values("10.in-addr.arpa.", "", "", "stale")},
		{"the inner zone", serving(one(outer), two(inner)), "api.erl.internal.", values("api.erl.internal.", "api.erl.internal.", "2", "fresh")},
		{"the outer zone", serving(one(outer), two(inner)), "erl.internal.", values("erl.internal.", "erl.internal.", "1", "fresh")},
		{"neither of them", serving(one(outer), two(inner)), "x.api.erl.internal.", values("api.erl.internal.", "api.erl.internal.", "2", "fresh")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := metadataOf(t, tc.plugin, tc.qname, "PTR", client{}); !maps.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Whoever asks, there are as many members as TXT records.
func TestMetadataCountsTheMembersOfTheAnswer(t *testing.T) {
	shared := unready(endpoint("p9", "10.0.0.1"))
	for _, tc := range []struct {
		name    string
		include string
		members []kubeapi.Member
	}{
		{"nobody", "ready", nil},
		{"one", "ready", []kubeapi.Member{endpoint("p1", "10.0.0.1")}},
		{"two", "ready", []kubeapi.Member{endpoint("p1", "10.0.0.1"), endpoint("p2", "10.0.0.2")}},
		{"one that is not listed", "ready", []kubeapi.Member{endpoint("p1", "10.0.0.1"), unready(endpoint("p2", "10.0.0.2"))}},
		{"none that is ready", "ready", []kubeapi.Member{unready(endpoint("p1", "10.0.0.1")), unready(endpoint("p2", "10.0.0.2"))}},
		{"one longname of two", "all", []kubeapi.Member{endpoint("p1", "10.0.0.1"), shared}},
		{"one longname of two, one of which is not listed", "ready", []kubeapi.Member{endpoint("p1", "10.0.0.1"), shared}},
		{"one longname of two that are not listed", "ready", []kubeapi.Member{endpoint("p0", "10.0.0.3"), unready(endpoint("p1", "10.0.0.1")), shared}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n include "+tc.include+"\n}")
			l := serving(tableOf(c, slice("web", tc.members...)))
			for _, from := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.9"} {
				want := strconv.Itoa(len(ask(t, l, "erl.internal.", "TXT", client{address: from}).Answer))
				if got := metadataOf(t, l, "erl.internal.", "A", client{address: from})["longnames/members"]; got != want {
					t.Errorf("asked from %s: got %s, want %s", from, got, want)
				}
			}
		})
	}
}

func TestMetadataOfHeldMembers(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n hold 1h\n}")
	o := slice("web", endpoint("p1", "10.0.0.1"))
	table := tableOf(c, o)
	table.Apply([]kubeapi.Change{{Old: o}})
	want := values("erl.internal.", "erl.internal.", "1", "fresh")
	if got := metadataOf(t, serving(table), "erl.internal.", "SRV", client{}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNoMetadataOfWhatIsNotAnswered(t *testing.T) {
	l := ipCluster(t)
	chaos := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for name, r := range map[string]*dns.Msg{"class CH": chaos, "NOTIFY": new(dns.Msg).SetNotify("erl.internal."), "no question": {}} {
		ctx := l.Metadata(metadata.ContextWithMetadata(t.Context()), request.Request{W: &test.ResponseWriter{}, Req: r})
		if got := metadata.Labels(ctx); len(got) > 0 {
			t.Errorf("%s: got %q, want no labels", name, got)
		}
	}
}

// What is read does not change while a question is handled, whenever it is read first.
func TestMetadataStaysTheSame(t *testing.T) {
	table := newTable(configOf(t, ipBlock))
	r := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeSRV)
	ctx := serving(table).Metadata(metadata.ContextWithMetadata(t.Context()), request.Request{W: &test.ResponseWriter{}, Req: r})
	value := func(label string) string { return metadata.ValueFunc(ctx, label)() }

	apply(table, slice("web", endpoint("p1", "10.0.0.1")))
	table.Synced()
	if got := value("longnames/state"); got != "fresh" {
		t.Errorf("when it is first read: got %s, want fresh", got)
	}
	apply(table, named("web-2", slice("web", endpoint("p2", "10.0.0.2"))))
	if got := value("longnames/members"); got != "1" {
		t.Errorf("afterwards: got %s members, want 1", got)
	}
}

// Nothing is looked up, nor are records made, as long as nobody reads a label.
func TestMetadataIsLazy(t *testing.T) {
	table := tableOf(configOf(t, ipBlock), slice("web", endpoint("p1", "10.0.0.1")))
	l := serving(table)
	r := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeSRV)
	l.Metadata(metadata.ContextWithMetadata(t.Context()), request.Request{W: &test.ResponseWriter{}, Req: r})
	if built := l.zones["erl.internal."].resolver.cluster("").built; built != nil {
		t.Errorf("got %d nodes named, want none yet", len(built.nodes))
	}
}

// Questions for metadata are not questions of clients.
func TestMetadataIsNotCounted(t *testing.T) {
	const zone = "read.internal."
	measured(t, zone)
	l := serving(restoredOf(configOf(t, "longnames read.internal {\n selector app=web\n basename app\n}"), slice("web", endpoint("p1", "10.0.0.1"))))
	metadataOf(t, l, zone, "SRV", client{})
	if got := seriesOf(t, zone); len(got) > 0 {
		t.Errorf("got %v, want no metric", got)
	}
}

// BenchmarkMetadata shows what metadata costs a question if nobody reads it, and if all is read.
func BenchmarkMetadata(b *testing.B) {
	l := manyMembers(b, ipBlock, 1000)
	r := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeSRV)
	state := request.Request{W: newDiscard("udp"), Req: r}
	for name, read := range map[string]func(context.Context){
		"unread": func(context.Context) {},
		"read": func(ctx context.Context) {
			for _, value := range metadata.ValueFuncs(ctx) {
				value()
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			var ctx context.Context
			b.ReportAllocs()
			for b.Loop() {
				ctx = l.Metadata(metadata.ContextWithMetadata(b.Context()), state)
				read(ctx)
			}
			if got := metadata.ValueFunc(ctx, "longnames/members")(); got != "1000" {
				b.Fatalf("got %s members, want 1000", got)
			}
		})
	}
}
