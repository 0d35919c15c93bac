package process

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// ports has two members whose Service has a port dist, and one whose Service has not. Those of pods are for unit tests: no
// controller has a hand in them.
func ports(t *testing.T, b *bed) {
	b.open(t, endpointSlices, listWatch)
	b.service(t, b.prod, "bare", "shop", "http:4000")
	b.shop(t, 0, 2)
	b.pod(t, b.prod, "bare", "bare-0", 12)
	s := b.serve(t, b.block("shop.erl.internal")+b.block("dist.erl.internal", "port dist")+b.block("number.erl.internal", "port 9200"))
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"shop", b.some(10, 13, "%s")},
		{"_epmd._tcp.shop", b.some(10, 13, "%s")},
		{"_http._tcp.shop", b.some(10, 13, "%s:4000")},
		{"_dist._tcp.shop", b.some(10, 12, "%s:9100")},
		{"dist", append(b.some(10, 12, "%s:9100"), b.address(12))},
		{"_dist._tcp.dist", b.some(10, 12, "%s:9100")},
		{"number", b.some(10, 13, "%s:9200")},
		{"_dist._tcp.number", b.some(10, 12, "%s:9100")},
	} {
		s.wants(tt.name+".erl.internal", "SRV", tt.want...)
	}
	s.rcode("_nobody._tcp.shop.erl.internal", "SRV", dns.RcodeNameError)
	s.logs(`(?m)^\[WARNING\] plugin/longnames: shop@` + b.address(12) +
		` in dist\.erl\.internal\. declares no port "dist": SRV records give 4369$`)
}

// propagation has pods become ready one after the other. Each of these changes counts once, with a time of its own, which
// the controller of EndpointSlices has written there.
func propagation(t *testing.T, b *bed) {
	const count, members = "propagation_duration_seconds_count", 3
	b.open(t, endpointSlices, listWatch)
	for i := range members {
		b.CreatePod(t, member(b.prod, "shop", shopName(i)), false, b.addresses(10 + i)[0])
	}
	b.endpoints(t, members)
	s := b.serve(t, b.block("shop.erl.internal", "include ready", "hold 0"))
	s.wants("shop.erl.internal", "A", b.some(10, 10+members, "%s")...) // never nobody
	s.counts(0, count)
	begin := time.Now()
	time.Sleep(time.Until(begin.Truncate(time.Second).Add(time.Second))) // a change counts as new in another second
	for i := range members {
		b.SetReady(t, b.prod, shopName(i), true)
		s.wants("shop.erl.internal", "A", b.some(10, 11+i, "%s")...)
		s.counts(float64(i+1), count)
	}
	// Kubernetes' times are up to a second too early.
	if sum, most := s.metric("propagation_duration_seconds_sum"), members*(time.Since(begin)+time.Second).Seconds(); sum > most {
		t.Errorf("got %v s in all, want %v at most", sum, most)
	}
	s.counts(1, "api_requests_total", `verb="watch"`, `code="200"`)
	s.counts(1, "api_requests_total")
	if n := s.metric("questions_total", `type="A"`, `result="success"`); n < 1+members {
		t.Errorf("%v questions are counted, want at least %d", n, 1+members)
	}
}
