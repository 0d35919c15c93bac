// Package test starts whole servers from a Corefile and asks them as clients do.
package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/debug"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/root"
	_ "github.com/coredns/coredns/plugin/whoami"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	_ "github.com/longnames/longnames"
	"github.com/longnames/longnames/internal/servertest"
)

func TestMain(m *testing.M) {
	// The plugin forward leaves it to the garbage collector to end this.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/coredns/coredns/plugin/pkg/proxy.(*Transport).connManager"))
}

// patience is how long a test waits for what must happen soon.
const patience = 20 * time.Second

// eventually polls until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// server is a running CoreDNS.
type server struct {
	tb       testing.TB
	instance *caddy.Instance
	udp, tcp string
}

// start runs a Corefile until the test ends. Its server blocks are to listen on port 0.
func start(t testing.TB, corefile string) *server {
	t.Helper()
	s := &server{tb: t}
	s.use(servertest.Start(t, corefile))
	t.Cleanup(func() { servertest.Stop(t, s.instance) })
	return s
}

// use makes another instance serve, as after a reload.
func (s *server) use(instance *caddy.Instance) {
	s.tb.Helper()
	s.instance = instance
	s.udp, s.tcp = servertest.Await(s.tb, instance)
}

// query asks over a network, without EDNS unless size is not zero.
func (s *server) query(network, name, qtype string, size uint16) *dns.Msg {
	s.tb.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	address := s.udp
	if network == "tcp" {
		address = s.tcp
	}
	return servertest.Query(s.tb, network, address, m)
}

// ask gives the answers' data in order: addresses, targets, longnames.
func (s *server) ask(name, qtype string) []string {
	s.tb.Helper()
	return data(s.query("udp", name, qtype, 1232).Answer)
}

func data(rrs []dns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		fields := strings.Fields(rr.String())
		out = append(out, strings.Trim(fields[len(fields)-1], `"`))
	}
	slices.Sort(out)
	return out
}

func (s *server) wants(name, qtype string, want ...string) {
	s.tb.Helper()
	if got := s.ask(name, qtype); !slices.Equal(got, want) {
		s.tb.Errorf("%s %s: got %q, want %q", name, qtype, got, want)
	}
}

func (s *server) soon(name, qtype string, want ...string) {
	s.tb.Helper()
	eventually(s.tb, name+" "+qtype+" is "+strings.Join(want, ", "), func() bool {
		return slices.Equal(s.ask(name, qtype), want)
	})
}

func (s *server) rcode(name, qtype string) string {
	s.tb.Helper()
	return dns.RcodeToString[s.query("udp", name, qtype, 0).Rcode]
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	// As an editor does: nobody ever sees half a file.
	temporary := filepath.Join(dir, "."+name)
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
