package longnames

import (
	"context"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/objects"
	"github.com/longnames/longnames/kubeapi"
)

// configOf parses one longnames block.
func configOf(t testing.TB, block string) *config {
	t.Helper()
	c := caddy.NewTestController("dns", block)
	c.Next()
	config, err := parse(c)
	if err != nil {
		t.Fatalf("parse %q: %v", block, err)
	}
	return config
}

var (
	slice       = objects.Slice
	named       = objects.Named
	endpoint    = objects.Endpoint
	hosted      = objects.Hosted
	unready     = objects.Unready
	terminating = objects.Terminating
	called      = objects.Called
	ported      = objects.Ported
	manyPorts   = objects.ManyPorts
	equal       = objects.Equal
)

type (
	labels = objects.Labels
	bits   = objects.Bits
)

// labelled gives an object the labels that the configuration asks for.
func labelled(c *config, set labels, o *kubeapi.Object) *kubeapi.Object {
	return objects.Labelled(c.source.Labels, set, o)
}

// tableOf is a table that has seen objects and is synced.
func tableOf(c *config, objects ...*kubeapi.Object) *table {
	t := newTable(c)
	apply(t, objects...)
	t.Synced()
	return t
}

// apply adds objects to a table.
func apply(t *table, objects ...*kubeapi.Object) {
	for _, o := range objects {
		if o.Labels == nil {
			labelled(t.config, nil, o)
		}
		t.Apply([]kubeapi.Change{{New: o}})
	}
}

// serving is the plugin with one block per table. Until something changes, each zone has serial 1.
func serving(tables ...*table) *Longnames {
	l := &Longnames{
		Next: test.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
			m := new(dns.Msg).SetRcode(r, rcodeNext)
			return rcodeNext, w.WriteMsg(m)
		}),
	}
	for _, t := range tables {
		l.blocks = append(l.blocks, &block{config: t.config, table: t})
	}
	l.link()
	for name := range l.zones {
		s := l.serials.of(name)
		s.last, s.second = 1, 1
	}
	return l
}

// answering is a resolver for all zones of the blocks of tables.
func answering(tables ...*table) *resolver {
	r := newResolver(tables)
	for _, z := range tables[0].config.zones {
		r.add(z)
	}
	return r
}

// membersOf are the named members of a cluster of a table, as questions get them.
func membersOf(t *table, cluster string) *members {
	r := answering(t)
	return r.cluster(cluster).members(r)
}

// auditOf audits the first zone of the blocks of tables.
func auditOf(tables ...*table) *audit {
	return newAudit(tables[0].config.first(), answering(tables...))
}

// rcodeNext is what the next plugin answers in tests.
const rcodeNext = dns.RcodeYXDomain

// client is who asks.
type client struct {
	address string // default: one that is nobody's
	tcp     bool
	edns    uint16 // size; none if zero
	do      bool
}

// ask asks a question as CoreDNS would pass it on, and gives what the client receives.
func ask(t testing.TB, l *Longnames, name, qtype string, c client) *dns.Msg {
	t.Helper()
	r := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if c.edns > 0 {
		r.SetEdns0(c.edns, c.do)
	}
	rec := dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: c.address, TCP: c.tcp})
	rcode, err := l.ServeDNS(t.Context(), request.NewScrubWriter(r, rec), r)
	if err != nil {
		t.Fatalf("%s %s: %v", name, qtype, err)
	}
	if rec.Msg == nil {
		return new(dns.Msg).SetRcode(r, rcode)
	}
	// What is not the same on the wire is no answer.
	wire, err := rec.Msg.Pack()
	if err != nil {
		t.Fatalf("%s %s: pack: %v", name, qtype, err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatalf("%s %s: unpack: %v", name, qtype, err)
	}
	return m
}

// texts writes records as zone files do, with single spaces.
func texts(rrs []dns.RR) []string {
	out := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	return out
}

// data is the last field of each record.
func data(rrs []dns.RR) []string {
	var out []string
	for _, text := range texts(rrs) {
		fields := strings.Fields(text)
		out = append(out, strings.Trim(fields[len(fields)-1], `"`))
	}
	return out
}

// web are objects of a cluster web in namespace prod, for a block that groups by app.
func web(c *config, objects ...*kubeapi.Object) []*kubeapi.Object {
	for _, o := range objects {
		labelled(c, labels{"app": "web"}, o)
	}
	return objects
}

// gone are the changes that remove objects.
func gone(objects ...*kubeapi.Object) []kubeapi.Change {
	changes := make([]kubeapi.Change, 0, len(objects))
	for _, o := range objects {
		changes = append(changes, kubeapi.Change{Old: o})
	}
	return changes
}

// groupedHosts is a block of which everything can be asked that is indexed.
const groupedHosts = "longnames erl.internal 10.in-addr.arpa {\n group_by app\n mode hostname\n cluster_domain erl.internal\n}"
