package test

import (
	"os"
	"strings"
	"sync"
	"testing"

	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metadata"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/view"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/markdown"
	"github.com/longnames/longnames/test/fakeapi"
)

// metadataExample returns the Corefile of docs/plugins.md that has a plugin beside metadata, for an API server and
// another DNS server.
func metadataExample(t *testing.T, plugin string, api *fakeapi.Server, other string) string {
	t.Helper()
	for _, example := range markdown.Read(t, "../docs/plugins.md").Section(t, "## Metadata").Snippets("corefile") {
		if !strings.Contains(example.Text, "\n    "+plugin+" ") {
			continue
		}
		return strings.NewReplacer(
			"shop.erl.internal {", "shop.erl.internal:0 {",
			"longnames {", "longnames {\nendpoint "+api.URL+"\nstartup_timeout 10ms",
			"app=shop", "app=web",
			"10.0.0.53", other,
		).Replace(example.Text)
	}
	t.Fatalf("docs/plugins.md: got no example with %s in section Metadata", plugin)
	return ""
}

// logged keeps what CoreDNS logs.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// has tells whether a line ends so.
func (l *logged) has(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), line+"\n")
}

func captureLog(t *testing.T) *logged {
	t.Helper()
	l := &logged{}
	clog.SetOutput(l)
	t.Cleanup(func() { clog.SetOutput(os.Stdout) })
	return l
}

func TestMetadataInTheLog(t *testing.T) {
	log := captureLog(t)
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	api.Hang()
	s := start(t, metadataExample(t, "log", api, ""))
	line := func(want string) {
		t.Helper()
		eventually(t, "the log has "+want, func() bool { return log.has(want) })
	}
	s.query("udp", "shop.erl.internal.", "SRV", 0)
	line(" SRV shop.erl.internal. SERVFAIL unknown cluster=shop.erl.internal. members=")
	api.Resume()
	s.soon("shop.erl.internal.", "A", "10.0.0.1", "10.0.0.2")
	s.query("udp", "web-0.shop.erl.internal.", "AAAA", 0)
	line(" AAAA web-0.shop.erl.internal. NOERROR fresh cluster=shop.erl.internal. members=2")
	s.query("udp", "nobody.shop.erl.internal.", "TXT", 0)
	line(" TXT nobody.shop.erl.internal. NXDOMAIN fresh cluster=shop.erl.internal. members=2")
}

// upstream is another DNS server, which has one address for every name and keeps what it is asked.
func upstream(t *testing.T) (address string, questions <-chan *dns.Msg) {
	t.Helper()
	asked := make(chan *dns.Msg, 100)
	up := make(chan struct{})
	server := &dns.Server{Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(up) }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		asked <- r
		m := new(dns.Msg).SetReply(r)
		rr, err := dns.NewRR(r.Question[0].Name + " 5 IN A 192.0.2.1")
		if err != nil {
			t.Error(err)
		}
		m.Answer = []dns.RR{rr}
		_ = w.WriteMsg(m)
	})
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	<-up
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.PacketConn.LocalAddr().String(), asked
}

func TestMetadataInAView(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Hang()
	other, _ := upstream(t)
	s := start(t, metadataExample(t, "view", api, other))
	s.wants("shop.erl.internal.", "A", "192.0.2.1")
	api.Resume()
	s.soon("shop.erl.internal.", "A", "10.0.0.1")
	api.Stop()
	s.wants("shop.erl.internal.", "A", "10.0.0.1")
}

func TestMetadataInAnOption(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	other, asked := upstream(t)
	s := start(t, metadataExample(t, "rewrite", api, other))
	s.soon("shop.erl.internal.", "A", "10.0.0.1")
	for len(asked) > 0 {
		<-asked // before the members were known
	}
	s.wants("nobody.shop.erl.internal.", "A", "192.0.2.1")
	var got []string
	if opt := (<-asked).IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if local, ok := o.(*dns.EDNS0_LOCAL); ok && local.Code == 0xffee {
				got = append(got, string(local.Data))
			}
		}
	}
	if len(got) != 1 || got[0] != "shop.erl.internal." {
		t.Errorf("got options %q, want the cluster", got)
	}
}
