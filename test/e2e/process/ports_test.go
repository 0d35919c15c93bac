package process

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// ports has two members that declare a port dist, and one that does not.
func ports(t *testing.T, b *bed, of resources) {
	b.open(t, of, listWatch)
	http, dist := corev1.ContainerPort{Name: "http", ContainerPort: 4000}, corev1.ContainerPort{Name: "dist", ContainerPort: 9100}
	bare := "shop" // to be found as a pod
	if of == endpointSlices {
		bare = "bare"
		b.service(t, b.prod, bare, "shop", "http:4000")
	}
	b.shop(t, 0, 2, withPorts(http, dist))
	b.pod(t, b.prod, bare, "bare-0", 12, withPorts(http))
	s := b.serve(t, b.block("shop.erl.internal", "lookup "+of.lookup)+
		b.block("dist.erl.internal", "lookup "+of.lookup, "port dist")+b.block("number.erl.internal", "lookup "+of.lookup, "port 9200"))
	// ends are members, each with a port.
	ends := func(port, from, to int) []string {
		out := b.some(from, to)
		for i := range out {
			out[i] += fmt.Sprintf(":%d", port)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"shop", b.some(10, 13)},
		{"_epmd._tcp.shop", b.some(10, 13)},
		{"_http._tcp.shop", ends(4000, 10, 13)},
		{"_dist._tcp.shop", ends(9100, 10, 12)},
		{"dist", append(ends(9100, 10, 12), b.address(12))},
		{"_dist._tcp.dist", ends(9100, 10, 12)},
		{"number", ends(9200, 10, 13)},
		{"_dist._tcp.number", ends(9100, 10, 12)},
	} {
		s.wants(tt.name+".erl.internal", "SRV", tt.want...)
	}
	s.rcode("_nobody._tcp.shop.erl.internal", "SRV", dns.RcodeNameError)
	s.logs(fmt.Sprintf(`(?m)^\[WARNING\] plugin/longnames: shop@%s in dist\.erl\.internal\. declares no port "dist": SRV records give 4369$`, b.address(12)))
}

// propagation has pods become ready one after the other. Each of these changes counts once, with a time of its own.
func propagation(t *testing.T, b *bed, of resources) {
	const count, members = "propagation_duration_seconds_count", 3
	b.open(t, of, listWatch)
	for i := range members {
		b.CreatePod(t, member(b.prod, "shop", shopName(i)), false, b.addresses(10 + i)[0])
	}
	b.endpoints(t, members)
	s := b.serve(t, b.block("shop.erl.internal", "include ready", "hold 0", "lookup "+of.lookup))
	s.wants("shop.erl.internal", "A", b.some(10, 10+members)...) // never nobody
	s.counts(0, count)
	begin := time.Now()
	soon(t, "it is another second", func() error { // in which Kubernetes takes a change for a new one
		if begin.Unix() == time.Now().Unix() {
			return errors.New("it is not")
		}
		return nil
	})
	for i := range members {
		b.SetReady(t, b.prod, shopName(i), true)
		s.wants("shop.erl.internal", "A", b.some(10, 11+i)...)
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
