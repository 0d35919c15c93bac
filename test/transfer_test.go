package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/longnames/longnames/internal/markdown"
	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

// withTransfer adds *transfer* to a Corefile of one server block.
func withTransfer(corefile, to string) string {
	return strings.Replace(corefile, "{", "{\nbind 127.0.0.1\ntransfer {\nto "+to+"\n}\n", 1)
}

// transfer asks for a zone over TCP, whole or if it is newer than a serial.
func (s *server) transfer(zone string, serial uint32) ([]dns.RR, error) {
	m := new(dns.Msg).SetAxfr(zone)
	if serial != 0 {
		m = m.SetIxfr(zone, serial, "ns.dns."+zone, "hostmaster."+zone)
	}
	in, err := (&dns.Transfer{DialTimeout: patience, ReadTimeout: patience}).In(m, s.tcp)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for e := range in {
		if e.Error != nil {
			return nil, e.Error
		}
		rrs = append(rrs, e.RR...)
	}
	return rrs, nil
}

// secondary is told of changes.
type secondary struct {
	address string

	mu    sync.Mutex
	zones []string
}

func newSecondary(t *testing.T) *secondary {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &secondary{address: conn.LocalAddr().String()}
	started := make(chan struct{})
	server := &dns.Server{
		PacketConn: conn,
		// The default refuses NOTIFY.
		MsgAcceptFunc:     func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			s.mu.Lock()
			if r.Opcode == dns.OpcodeNotify {
				s.zones = append(s.zones, r.Question[0].Name)
			}
			s.mu.Unlock()
			_ = w.WriteMsg(new(dns.Msg).SetReply(r))
		}),
	}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return s
}

// told tells which zones have changed since it was last asked, each once.
func (s *secondary) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	zones := slices.Compact(slices.Sorted(slices.Values(s.zones)))
	s.zones = nil
	return zones
}

// soon waits until all of some zones have been told, and no others.
func (s *secondary) soon(t *testing.T, what string, zones ...string) {
	t.Helper()
	var told []string
	eventually(t, what+" is told to secondaries", func() bool {
		told = slices.Compact(slices.Sorted(slices.Values(append(told, s.told()...))))
		return slices.Equal(told, zones)
	})
}

func TestTransfer(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	text := strings.Replace(corefile(api, ""), "erl.internal", "erl.internal 10.in-addr.arpa", 1)
	s := start(t, withTransfer(text, "*"))
	serial := s.serial()
	for _, tc := range []struct {
		name, zone string
		serial     uint32 // that is known; 0 for AXFR
		want       int
	}{
		// SOA, NS, ns.dns; SRV, TXT, A and _epmd of the cluster; SRV, TXT and A of two nodes under two names each
		{"AXFR", "erl.internal.", 0, 2 + 2 + 4*2 + 2*2*3},
		{"AXFR of a reverse zone", "10.in-addr.arpa.", 0, 2 + 2 + 2},
		{"IXFR from an older serial", "erl.internal.", serial - 1, 2 + 2 + 4*2 + 2*2*3},
		{"IXFR from the same serial", "erl.internal.", serial, 1},
		{"IXFR from a newer serial", "erl.internal.", serial + 1, 1},
	} {
		rrs, err := s.transfer(tc.zone, tc.serial)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		first, last := rrs[0].(*dns.SOA), rrs[len(rrs)-1].(*dns.SOA)
		if len(rrs) != tc.want || first.Serial != serial || last.Serial != serial {
			t.Errorf("%s: got %q, want %d records, serial %d", tc.name, rrs, tc.want, serial)
		}
	}
	if got := dns.RcodeToString[s.query("udp", "erl.internal.", "AXFR", 0).Rcode]; got != "REFUSED" {
		t.Errorf("AXFR over UDP: got %s, want REFUSED", got)
	}
	if got := dns.RcodeToString[s.query("tcp", "web-0.erl.internal.", "AXFR", 0).Rcode]; got != "REFUSED" {
		t.Errorf("AXFR of a name in the zone: got %s, want REFUSED", got)
	}
}

func TestTransferOfALargeZone(t *testing.T) {
	api := fakeapi.New(t)
	const members = 3000
	for i := range members {
		p := pod(fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		api.Put(p)
	}
	s := start(t, withTransfer(corefile(api, "lookup pods"), "*"))
	rrs, err := s.transfer("erl.internal.", 0)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, rr := range rrs {
		if name, qtype := rr.Header().Name, rr.Header().Rrtype; name == "erl.internal." {
			count[dns.TypeToString[qtype]]++
		} else if qtype == dns.TypeA {
			count["others"]++
		}
	}
	for what, want := range map[string]int{"SOA": 2, "NS": 1, "SRV": members, "TXT": members, "A": members, "others": 2*members + 1} {
		if count[what] != want {
			t.Errorf("%s: got %d records, want %d", what, count[what], want)
		}
	}
}

func TestTransferIsRefused(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	for name, text := range map[string]string{
		"without transfer":         corefile(api, ""),
		"of another zone":          strings.Replace(corefile(api, ""), "{", "{\ntransfer other.internal {\nto *\n}\n", 1),
		"to somebody else":         withTransfer(corefile(api, ""), "192.0.2.1"),
		"without transfer, passed": corefile(api, "fallthrough"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, text)
			for _, qtype := range []string{"AXFR", "IXFR"} {
				for _, network := range []string{"tcp", "udp"} {
					if m := s.query(network, "erl.internal.", qtype, 0); m.Rcode != dns.RcodeRefused || len(m.Answer) > 0 {
						t.Errorf("%s over %s: got %v, want REFUSED", qtype, network, m)
					}
				}
			}
		})
	}
}

// A secondary goes on with what it has if a transfer fails, and not if the zone is empty.
func TestTransferBeforeTheFirstSync(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Stop()
	to := newSecondary(t)
	s := start(t, withTransfer(corefile(api, "startup_timeout 1ms"), "* "+to.address))
	if m := s.query("tcp", "erl.internal.", "AXFR", 0); m.Rcode != dns.RcodeServerFailure || len(m.Answer) > 0 {
		t.Errorf("got %v, want SERVFAIL", m)
	}
	api.Start()
	to.soon(t, "the first sync", "erl.internal.")
	rrs, err := s.transfer("erl.internal.", 0)
	if err != nil || len(rrs) != 2+2+4+2*3 {
		t.Errorf("got %q and error %v, want the zone", rrs, err)
	}
}

func TestNotify(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	to := newSecondary(t)
	text := func(more string) string {
		block := corefile(api, "hold 100ms\n"+more)
		return strings.Replace(block, ".:0 {", ".:0 {\ntransfer erl.internal {\nto "+to.address+"\n}", 1)
	}
	s := start(t, text(""))
	to.soon(t, "the start", "erl.internal.")
	s.wants("erl.internal.", "TXT", "app@10.0.0.1") // who is told can ask

	for i := range 3 {
		serial := s.serial()
		api.Put(slice(endpoint("web-0", fmt.Sprintf("10.0.0.%d", 2+i), true)))
		to.soon(t, "a change", "erl.internal.")
		eventually(t, "the serial grows", func() bool { return s.serial() > serial })
	}
	api.Delete(slice())
	eventually(t, "the cluster is given up", func() bool { return len(s.ask("erl.internal.", "TXT")) == 0 })
	serial := s.serial()
	to.soon(t, "a deletion", "erl.internal.")
	rrs, err := s.transfer("erl.internal.", serial-1)
	if err == nil {
		t.Errorf("got %q by somebody who is not allowed to, want an error", rrs)
	}

	next, err := s.instance.Restart(servertest.Input(text("mode dns")))
	if err != nil {
		t.Fatal(err)
	}
	s.use(next)
	to.soon(t, "a reload", "erl.internal.")
	if got := s.serial(); got <= serial {
		t.Errorf("serial after a reload: got %d, want more than %d", got, serial)
	}
	if _, err := s.instance.Restart(servertest.Input(text("mode none"))); err == nil {
		t.Error("a bad option: want an error")
	}
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	to.soon(t, "a change after a reload that has failed", "erl.internal.")

	if next, err = s.instance.Restart(servertest.Input(corefile(api, ""))); err != nil {
		t.Fatal(err)
	}
	s.use(next)
	to.told()
	api.Put(slice(endpoint("web-0", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2")
	if got := to.told(); len(got) > 0 {
		t.Errorf("without transfer: got NOTIFY of %q, want none", got)
	}
}

// A secondary that does not answer keeps nothing else waiting.
func TestNotifyOfSomebodyWhoIsAway(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	away, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	s := &server{tb: t}
	s.use(servertest.Start(t, withTransfer(corefile(api, ""), away.LocalAddr().String())))
	buffer := make([]byte, 512)
	if _, _, err := away.ReadFrom(buffer); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	api.Put(slice(endpoint("web-0", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2")
	servertest.Stop(t, s.instance)
	if took := time.Since(begin); took > patience/4 {
		t.Errorf("a change and the end took %s", took)
	}
	away.Close() // so that whoever waits for an answer ends, too
}

// Suspects are known after a restart, and not with another option: that is a change of the zone,
// though nothing has changed in the API server.
func TestSuspectsOverARestartAndAReload(t *testing.T) {
	for _, tc := range []struct {
		name, before, after string
		again               func(t *testing.T, s *server, text string) *server
		stays               bool
	}{
		{"over a restart", "hold 1h", "hold 1h", func(t *testing.T, s *server, text string) *server {
			t.Helper()
			return s.restart(t, text)
		}, true},
		{"over a reload", "hold 1h", "hold 0", func(t *testing.T, s *server, text string) *server {
			t.Helper()
			next, err := s.instance.Restart(servertest.Input(text))
			if err != nil {
				t.Fatal(err)
			}
			s.use(next)
			return s
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
			file := filepath.Join(t.TempDir(), "members.json")
			text := func(options string) string {
				return corefile(api, options+"\nstartup_timeout 100ms\nsnapshot "+file)
			}
			s := start(t, text(tc.before))
			s.soon("erl.internal.", "TXT", "app@10.0.0.1")
			api.Delete(slice())
			eventually(t, "the snapshot tells of it", func() bool {
				written, err := os.ReadFile(file)
				return err == nil && strings.Contains(string(written), `"reason":"missing"`)
			})
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
			before := s.serial()
			s = tc.again(t, s, text(tc.after))
			if tc.stays {
				s.soon("erl.internal.", "TXT", "app@10.0.0.1")
				return
			}
			s.soon("erl.internal.", "TXT")
			eventually(t, "the serial grows", func() bool { return s.serial() > before })
		})
	}
}

// A zone that several blocks have grows with each of them.
func TestSerialOfASharedZone(t *testing.T) {
	api := fakeapi.New(t)
	object := func(app string, n int) *discoveryv1.EndpointSlice {
		o := slice(endpoint(app+"-0", fmt.Sprintf("10.0.0.%d", n), true))
		o.Name, o.Labels = app, map[string]string{"app": app}
		return o
	}
	block := `longnames %s.internal 10.in-addr.arpa {
		endpoint ` + api.URL + `
		namespaces prod
		selector app=%[1]s
		basename %[1]s
		fallthrough 10.in-addr.arpa
	}
	`
	api.Put(object("shop", 1), object("chat", 2))
	to := newSecondary(t)
	s := start(t, ".:0 {\ntransfer 10.in-addr.arpa {\nto * "+to.address+"\n}\n"+fmt.Sprintf(block, "shop")+fmt.Sprintf(block, "chat")+"}")
	to.soon(t, "the start", "10.in-addr.arpa.")
	serial := func() uint32 { return s.query("udp", "10.in-addr.arpa.", "SOA", 0).Answer[0].(*dns.SOA).Serial }
	for i, app := range []string{"shop", "chat", "shop", "chat"} {
		before := serial()
		api.Put(object(app, 10+i))
		eventually(t, "the serial grows with "+app, func() bool { return serial() > before })
		to.soon(t, "a change of "+app, "10.in-addr.arpa.")
		rrs, err := s.transfer("10.in-addr.arpa.", before)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d.0.0.10.in-addr.arpa.", 10+i); !slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Name == want }) {
			t.Errorf("got %q, want %s in it", rrs, want)
		}
	}
}

// TestSerialOverReloads has each reload make zones newer, as it may change what they have.
func TestSerialOverReloads(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	block := func(zones, more string) string {
		return "longnames " + zones + " {\nendpoint " + api.URL + "\nnamespaces prod\nselector app\nbasename app\nfallthrough 10.in-addr.arpa\n" + more + "\n}\n"
	}
	const reverse = " 10.in-addr.arpa"
	one, other := block("erl.internal"+reverse, ""), block("other.internal"+reverse, "mode dns")
	s := start(t, ".:0 {\n"+one+"}")
	serial := func() uint32 { return s.query("udp", "10.in-addr.arpa.", "SOA", 0).Answer[0].(*dns.SOA).Serial }
	for _, step := range []struct{ name, blocks string }{
		{"another source", block("erl.internal"+reverse, "ttl 7\ncached")}, {"one more block", one + other}, {"one block less", other},
	} {
		before := serial()
		next, err := s.instance.Restart(servertest.Input(".:0 {\n" + step.blocks + "}"))
		if err != nil {
			t.Fatal(err)
		}
		s.use(next)
		eventually(t, "the serial grows with "+step.name, func() bool { return newer(serial(), before) })
	}
}

func newer(a, b uint32) bool { return int32(a-b) > 0 }

// TestPageTransfer runs the example of its page as it stands, but for what there is not here.
func TestPageTransfer(t *testing.T) {
	examples := markdown.Read(t, "../docs/zone-transfers.md").Snippets("corefile")
	if len(examples) != 2 {
		t.Fatalf("got %d Corefiles on the page, want this one, and that with keys", len(examples))
	}
	text := examples[0].Text
	to := newSecondary(t)
	for _, change := range [][2]string{
		{"shop.erl.internal 10.0.0.0/8 {", "shop.erl.internal:0 10.0.0.0/8:0 {\nbind 127.0.0.1"},
		{"to 192.0.2.53", "to 127.0.0.1 " + to.address},
		{"namespaces prod", "manifests ../examples/deployment.yaml"},
		{"snapshot /var/lib/coredns/shop.json", ""}, // not of files
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("got %q on the page, want %q in it once", text, change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	s := start(t, text)
	to.soon(t, "the start", "10.in-addr.arpa.", "shop.erl.internal.")
	for zone, want := range map[string]string{"shop.erl.internal.": "shop@10.1.0.11", "10.in-addr.arpa.": "10.1.0.11."} {
		rrs, err := s.transfer(zone, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(data(rrs), want) {
			t.Errorf("%s: got %q, want %s in it", zone, rrs, want)
		}
	}
}
