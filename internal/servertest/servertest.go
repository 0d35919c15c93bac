// Package servertest starts and stops CoreDNS within a test. The test imports the plugins that it needs.
package servertest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core" // The server type.
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/miekg/dns"
)

func init() {
	caddy.Quiet, dnsserver.Quiet = true, true
	at := slices.Index(dnsserver.Directives, "kubernetes")
	dnsserver.Directives = slices.Insert(slices.Clone(dnsserver.Directives), at, "longnames")
}

// lifecycle is held while a server starts or stops, which is not safe for several at once.
var lifecycle sync.Mutex

// Input returns a Corefile as CoreDNS takes it.
func Input(corefile string) caddy.Input {
	return caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(corefile), ServerTypeName: "dns"}
}

// Start starts a server. Its server blocks should listen on port 0. Before Stop, it has to have answered: see Await.
func Start(tb testing.TB, corefile string) *caddy.Instance {
	tb.Helper()
	lifecycle.Lock()
	defer lifecycle.Unlock()
	instance, err := caddy.Start(Input(corefile))
	if err != nil {
		tb.Fatalf("start: %v\n%s", err, corefile)
	}
	return instance
}

// Await returns once each listener has answered, and the addresses of the last one. CoreDNS does not stop a listener
// that it is about to serve.
func Await(tb testing.TB, instance *caddy.Instance) (udp, tcp string) {
	tb.Helper()
	for _, l := range instance.Servers() {
		udp, tcp = l.LocalAddr().String(), l.Addr().String()
		Query(tb, "udp", udp, new(dns.Msg).SetQuestion(".", dns.TypeSOA))
		Query(tb, "tcp", tcp, new(dns.Msg).SetQuestion(".", dns.TypeSOA))
	}
	return udp, tcp
}

// Query returns the answer to a question.
func Query(tb testing.TB, network, address string, m *dns.Msg) *dns.Msg {
	tb.Helper()
	client := dns.Client{Net: network, Timeout: 5 * time.Second}
	answer, _, err := client.Exchange(m, address)
	if err != nil {
		tb.Fatalf("%s %s over %s: %v", m.Question[0].Name, dns.TypeToString[m.Question[0].Qtype], network, err)
	}
	return answer
}

// Stop ends a server as CoreDNS ends.
func Stop(tb testing.TB, instance *caddy.Instance) {
	tb.Helper()
	lifecycle.Lock()
	defer lifecycle.Unlock()
	for _, err := range instance.ShutdownCallbacks() {
		tb.Errorf("shutdown: %v", err)
	}
	if err := instance.Stop(); err != nil {
		tb.Errorf("stop: %v", err)
	}
}
