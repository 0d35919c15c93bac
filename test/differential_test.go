package test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"
	_ "github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

// TestAnswersFollowTheRules compares whole servers with the README's rules, as the files beside
// this one have them: random Corefiles, random objects, and the same again after changes.
func TestAnswersFollowTheRules(t *testing.T) {
	quiet(t)
	var trials []*trial
	for seed := range uint64(28) {
		trials = append(trials, newTrial(t, seed))
	}
	seen := make(map[string]int)
	for round := range 3 {
		if round > 0 {
			for _, tr := range trials { // all at once: a file is read again after half a second
				tr.change(t)
			}
		}
		for seed, tr := range trials {
			t.Run(fmt.Sprintf("seed %d, round %d", seed, round), func(t *testing.T) { tr.ask(t, seen) })
		}
	}
	t.Logf("saw %v", seen)
	for what, least := range map[string]int{
		"questions": 20_000, "transfers": 400, "records": 4000, "no data": 2000, "no such name": 2000, "passed on": 500,
		"glue": 200, "truncated": 15, "of one client only": 5, "of several blocks": 500,
	} {
		if seen[what] < least && !t.Failed() {
			t.Errorf("%s: got %d, want at least %d", what, seen[what], least)
		}
	}
}

// FuzzAnswers plays the differential test for any seed. Most executions skip the changes, which take a second to
// be seen.
func FuzzAnswers(f *testing.F) {
	quiet(f)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		tr := newTrial(t, seed)
		seen := make(map[string]int)
		tr.ask(t, seen)
		if seed%16 == 0 {
			tr.change(t)
			tr.ask(t, seen)
		}
	})
}

// quiet keeps CoreDNS from logging each transfer, and each member that is left out.
func quiet(t testing.TB) {
	t.Helper()
	clog.Discard()
	t.Cleanup(func() { clog.SetOutput(os.Stdout) })
}

// trial is a server of a random world.
type trial struct {
	world    *world
	dir      string
	corefile string
	server   *server
	clients  []*ruleClient     // by the index of their address in askers
	before   map[string]uint32 // serials before the last change
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	tr := &trial{world: newWorld(seed), dir: t.TempDir()}
	tr.world.address = ownAddress()
	tr.world.write(t, tr.dir)
	tr.corefile = tr.world.corefile(tr.dir)
	tr.server = start(t, tr.corefile)
	for _, address := range askers {
		tr.clients = append(tr.clients, newRuleClient(t, tr.server, address))
	}
	return tr
}

var servers atomic.Uint32

// ownAddress is one that no other server has, of this process or another: CoreDNS shares its ports,
// so that two of them could otherwise get one and the same.
func ownAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8%254, pid%256, 1+servers.Add(1)%254)
}

// change writes a file with other objects.
func (tr *trial) change(t *testing.T) {
	t.Helper()
	tr.server.tb = t
	eventually(t, "serials tell of all changes so far", func() bool {
		tr.before = tr.world.serials(tr.server)
		for _, serial := range tr.before {
			if time.Now().Unix() <= int64(serial) {
				return false
			}
		}
		return true
	})
	for range 1 + tr.world.IntN(6) {
		tr.world.change()
	}
	tr.world.write(t, tr.dir)
}

// questionsARound is how many are asked between changes.
const questionsARound = 240

// ask compares answers and transfers with the rules, and counts what it has seen.
func (tr *trial) ask(t *testing.T, seen map[string]int) {
	t.Helper()
	tr.server.tb = t
	eventually(t, "all blocks read the file again", func() bool {
		after := tr.world.serials(tr.server)
		return !slices.ContainsFunc(slices.Collect(maps.Keys(tr.before)), func(zone string) bool { return tr.before[zone] == after[zone] })
	})
	for i, address := range askers {
		tr.clients[i].T, tr.clients[i].rules, tr.clients[i].seen = t, newRulebook(tr.world, address), seen
	}
	first := tr.clients[0]
	names := tr.world.names(first.rules)
	owners, clusters := first.rules.owners(), first.rules.clusters()
	for i := range questionsARound {
		from := names
		switch {
		case i%2 == 0 && len(owners) > 0:
			from = owners
		case i%4 == 1 && len(clusters) > 0:
			from = clusters
		}
		q := tr.world.question(from)
		client := pick(tr.world, tr.clients)
		client.ask(q)
		name := strings.ToLower(q.name)
		if !maps.Equal(client.rules.answer(name, q.rrtype).records, first.rules.answer(name, q.rrtype).records) {
			seen["of one client only"]++
		}
	}
	for _, zone := range first.rules.zones {
		first.transfer(zone)
	}
	if t.Failed() {
		t.Logf("of\n%s\nwith\n%s", tr.corefile, tr.world)
	}
}

// serials gives that of a zone of each block.
func (w *world) serials(s *server) map[string]uint32 {
	serials := make(map[string]uint32)
	for _, b := range w.blocks {
		zone := b.zones[slices.IndexFunc(b.zones, func(zone string) bool { return strings.HasPrefix(zone, "block") })]
		serials[zone] = s.query("udp", zone, "SOA", 0).Answer[0].(*dns.SOA).Serial
	}
	return serials
}

// names are those that a zone has, those above them, and some that do not exist.
func (w *world) names(r *rulebook) []string {
	names := make(map[string]bool)
	for _, z := range r.of {
		for name := range z {
			names[name] = true
			names["nobody."+name] = true
			if _, above, _ := strings.Cut(name, "."); above != "" {
				names[above] = true
				names["x."+above] = true
			}
		}
	}
	for _, zone := range r.zones {
		for _, a := range someAddresses[:len(someIPv4)+len(someIPv6)] {
			if name := reverseName(netip.MustParseAddr(a)); isIn(name, zone) {
				for above := name; above != zone; _, above, _ = strings.Cut(above, ".") {
					names[above] = true
				}
			}
		}
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool {
		return !slices.ContainsFunc(r.zones, func(zone string) bool { return isIn(name, zone) })
	})
	return slices.Sorted(maps.Keys(names))
}

// owners are the names that have records of members.
func (r *rulebook) owners() []string {
	owners := make(map[string]bool)
	for _, z := range r.of {
		for name := range z {
			for _, rrtype := range []string{"SRV", "TXT", "A", "AAAA", "PTR"} {
				if len(r.answer(name, rrtype).records) > 0 && !strings.HasPrefix(name, "ns.dns.") {
					owners[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(owners))
}

// clusters are the names of those, and of some of their ports.
func (r *rulebook) clusters() (names []string) {
	for _, b := range r.w.blocks {
		clusters, _ := b.sightings(r.w)
		for _, cluster := range slices.Sorted(maps.Keys(clusters)) {
			for _, zone := range b.zones {
				if name := strings.TrimPrefix(cluster+"."+zone, "."); !strings.HasSuffix(zone, ".arpa.") {
					names = append(names, name, "_epmd._tcp."+name, "_http._tcp."+name)
				}
			}
		}
	}
	return names
}

// inquiry is a question and how it is asked.
type inquiry struct {
	name, rrtype string
	tcp          bool
	size         uint16 // of EDNS; 0 without it
}

func (w *world) question(names []string) inquiry {
	q := inquiry{name: pick(w, names), tcp: w.often(4), size: pick(w, []uint16{0, 0, 512, 1232, 4096})}
	types := []string{"SRV", "TXT", "A", "AAAA", "SRV", "TXT", "A", "NS", "SOA", "ANY", "MX", "PTR"}
	if strings.HasSuffix(q.name, ".arpa.") {
		types = []string{"PTR", "PTR", "PTR", "A", "NS", "SOA", "ANY"}
	}
	q.rrtype = pick(w, types)
	q.name = randomCase(w.Rand, q.name)
	return q
}

func randomCase(r *rand.Rand, name string) string {
	text := []byte(name)
	for i, c := range text {
		if 'a' <= c && c <= 'z' && r.IntN(4) == 0 {
			text[i] = c - 'a' + 'A'
		}
	}
	return string(text)
}

// ruleClient is a client with an address of its own, and the rules as they are for it.
type ruleClient struct {
	*testing.T

	address string
	server  *server
	udp     *dns.Conn
	rules   *rulebook
	seen    map[string]int // by kind
}

func newRuleClient(t *testing.T, s *server, address string) *ruleClient {
	t.Helper()
	a := &ruleClient{T: t, address: address, server: s}
	a.udp = a.dial("udp", s.udp, &net.UDPAddr{IP: net.ParseIP(address)})
	t.Cleanup(func() { _ = a.udp.Close() })
	return a
}

func (a *ruleClient) dial(network, to string, from net.Addr) *dns.Conn {
	a.Helper()
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).Dial(network, to)
	if err != nil {
		a.Fatal(err)
	}
	return &dns.Conn{Conn: conn}
}

// ask compares what a question gets with what the rules say.
func (a *ruleClient) ask(q inquiry) {
	a.Helper()
	r := new(dns.Msg).SetQuestion(q.name, dns.StringToType[q.rrtype])
	conn, room := a.udp, max(dns.MinMsgSize, int(q.size))
	if q.tcp {
		// CoreDNS soon closes a connection that asks nothing.
		conn, room = a.dial("tcp", a.server.tcp, &net.TCPAddr{IP: net.ParseIP(a.address)}), dns.MaxMsgSize
		defer conn.Close()
	}
	if q.size > 0 {
		r.SetEdns0(q.size, false)
	}
	conn.UDPSize = q.size
	m, _, err := (&dns.Client{Timeout: patience}).ExchangeWithConn(r, conn)
	if err != nil {
		a.Fatalf("%+v from %s: %v", q, a.address, err)
	}
	want := a.rules.answer(strings.ToLower(q.name), q.rrtype)
	if want.unsure {
		return
	}
	a.count(m, want)
	if problem := a.compare(q, m, want, room); problem != "" {
		a.Errorf("%+v from %s: %s\ngot\n%v\nwant %+v", q, a.address, problem, m, want)
	}
}

func (a *ruleClient) count(m *dns.Msg, want ruleAnswer) {
	a.seen["questions"]++
	switch {
	case want.passed:
		a.seen["passed on"]++
	case !want.exists:
		a.seen["no such name"]++
	case len(want.records) == 0:
		a.seen["no data"]++
	default:
		a.seen["records"]++
		if len(want.by) > 1 {
			a.seen["of several blocks"]++
		}
		if m.Truncated {
			a.seen["truncated"]++
		}
		if m.IsEdns0() == nil && len(m.Extra) > 0 || len(m.Extra) > 1 {
			a.seen["glue"]++
		}
	}
}

// compare says how a message differs from what is wanted of it.
func (a *ruleClient) compare(q inquiry, m *dns.Msg, want ruleAnswer, room int) string {
	if (m.IsEdns0() != nil) != (q.size > 0) {
		return "EDNS in one of question and answer"
	}
	if want.passed {
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 || len(m.Ns) > 0 || len(m.Extra) == 0 {
			return "not from the next plugin"
		}
		return ""
	}
	isApex := q.rrtype == "SOA" && strings.EqualFold(q.name, want.zone)
	switch {
	case !m.Authoritative:
		return "not authoritative"
	case !want.exists && m.Rcode != dns.RcodeNameError || want.exists && m.Rcode != dns.RcodeSuccess:
		return "wrong rcode"
	case !want.exists, len(want.records) == 0 && !isApex:
		return a.compareNegative(q, m, want)
	case len(m.Ns) > 0:
		return "records in the authority section"
	}
	got := make(map[string]bool)
	for _, rr := range m.Answer {
		h := rr.Header()
		text := strings.TrimPrefix(rr.String(), h.String())
		switch {
		case h.Name != q.name:
			return "a record of another name, or spelling"
		case h.Ttl != want.by[0].ttl:
			return "another TTL"
		case got[text]:
			return "a record twice"
		}
		got[text] = true
	}
	if isApex {
		if len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != dns.TypeSOA {
			return "not one SOA record"
		}
		return ""
	}
	if m.Truncated {
		return compareTruncated(m, got, want, room)
	}
	if !maps.Equal(got, want.records) {
		return "other records"
	}
	return a.compareGlue(q, m, want)
}

func (a *ruleClient) compareNegative(q inquiry, m *dns.Msg, want ruleAnswer) string {
	if len(m.Answer) > 0 || len(m.Ns) != 1 {
		return "not only an SOA record"
	}
	soa, ok := m.Ns[0].(*dns.SOA)
	switch {
	case !ok:
		return "no SOA record"
	case soa.Hdr.Name != q.name[len(q.name)-len(want.zone):]:
		return "the SOA record of another zone"
	case soa.Hdr.Ttl != want.soaTTL || soa.Minttl != want.soaTTL:
		return "another TTL"
	}
	return ""
}

// compareTruncated sees that no other records came, and that all of them had no room.
func compareTruncated(m *dns.Msg, got map[string]bool, want ruleAnswer, room int) string {
	for record := range got {
		if !want.records[record] {
			return "other records"
		}
	}
	whole := m.Copy()
	whole.Compress, whole.Answer = true, nil
	h := m.Question[0]
	for record := range want.records {
		rr, err := dns.NewRR(fmt.Sprintf("%s 0 IN %s %s", h.Name, dns.TypeToString[h.Qtype], record))
		if err != nil {
			return err.Error()
		}
		whole.Answer = append(whole.Answer, rr)
	}
	if whole.Len() <= room {
		return "truncated, though there was room"
	}
	return ""
}

// compareGlue wants all of it, or none over UDP, where it may not fit.
func (a *ruleClient) compareGlue(q inquiry, m *dns.Msg, want ruleAnswer) string {
	got := make(map[string]bool)
	for _, rr := range m.Extra {
		h := rr.Header()
		if h.Rrtype == dns.TypeOPT {
			continue
		}
		if h.Ttl != want.by[0].ttl {
			return "glue of another TTL"
		}
		got[strings.ToLower(h.Name)+" "+dns.TypeToString[h.Rrtype]+" "+strings.TrimPrefix(rr.String(), h.String())] = true
	}
	if len(got) == 0 && (!q.tcp || q.rrtype != "SRV") {
		return ""
	}
	if q.rrtype != "SRV" {
		return "glue with other records than SRV"
	}
	if glue := a.rules.glue(&want); !maps.Equal(got, glue) {
		return fmt.Sprintf("other glue than %v", slices.Sorted(maps.Keys(glue)))
	}
	return ""
}

// transfer compares a whole zone with the rules.
func (a *ruleClient) transfer(zone string) {
	a.Helper()
	a.seen["transfers"]++
	rrs, err := a.server.transfer(zone, 0)
	if err != nil {
		a.Errorf("transfer of %s: %v", zone, err)
		return
	}
	got := make(map[string]bool)
	for _, rr := range rrs {
		h := rr.Header()
		text := h.Name + " " + dns.TypeToString[h.Rrtype] + " " + strings.TrimPrefix(rr.String(), h.String())
		if h.Rrtype == dns.TypeSOA || a.rules.answer(strings.ToLower(h.Name), "A").unsure {
			continue
		}
		if got[text] {
			a.Errorf("transfer of %s: got %q twice", zone, text)
		}
		got[text] = true
	}
	want := a.rules.transfer(zone)
	for text := range got {
		if !want[text] {
			a.Errorf("transfer of %s: got %q, which is not there", zone, text)
		}
	}
	for text := range want {
		if !got[text] {
			a.Errorf("transfer of %s: missing %q", zone, text)
		}
	}
}
