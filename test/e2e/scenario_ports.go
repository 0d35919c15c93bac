package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// portScenarios: which ports SRV records give.
func portScenarios() []scenario {
	return []scenario{
		{"ports-endpoints", func(t *trial) { tryPorts(t, endpointSlices) }},
		{"ports-pods", func(t *trial) { tryPorts(t, pods) }},
	}
}

// tryPorts has two members that declare a port dist, and one that does not.
func tryPorts(t *trial, of resources) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, of)
	http := corev1.ServicePort{Name: "http", Port: 4000}
	ports := func(p ...corev1.ServicePort) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.Ports = p }
	}
	t.service(ns, "shop", ports(http, corev1.ServicePort{Name: "dist", Port: 9100}))
	bare := "shop" // to be found as a pod
	if of == endpointSlices {
		bare = "bare"
		t.service(ns, bare, ports(http), withLabels(app("shop")))
	}
	t.pod(ns, "shop", "shop-0", t.address("4", 10))
	t.pod(ns, "shop", "shop-1", t.address("4", 11))
	t.pod(ns, bare, "bare-0", t.address("4", 12), func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = p.Spec.Containers[0].Ports[:1]
	})
	block := func(zone, more string) string {
		return "longnames " + zone + ".erl.internal {\nSERVICE_ACCOUNT\nselector app=shop\nlookup " + of.lookup() + "\nbasename shop\n" + more + "\n}\n"
	}
	t.server.serve(block("shop", "") + block("dist", "port dist") + block("number", "port 9200"))

	end := func(port int, numbers ...int) []string {
		out := make([]string, 0, len(numbers))
		for _, n := range numbers {
			out = append(out, fmt.Sprintf("%s:%d", t.address("4", n), port))
		}
		return out
	}
	all := []int{10, 11, 12}
	t.wantsEnds("shop.erl.internal", end(4369, all...))
	t.wantsEnds("_epmd._tcp.shop.erl.internal", end(4369, all...))
	t.wantsEnds("_http._tcp.shop.erl.internal", end(4000, all...))
	t.wantsEnds("_dist._tcp.shop.erl.internal", end(9100, 10, 11))
	t.rcode("_nobody._tcp.shop.erl.internal", "SRV", "NXDOMAIN")
	t.wantsEnds("dist.erl.internal", append(end(9100, 10, 11), end(4369, 12)...))
	t.wantsEnds("_dist._tcp.dist.erl.internal", end(9100, 10, 11))
	t.server.logs(`(?m)^\[WARNING\] plugin/longnames: ` + regexp.QuoteMeta("shop@"+t.address("4", 12)) +
		` in dist\.erl\.internal\. declares no port "dist": SRV records give 4369$`)
	t.wantsEnds("number.erl.internal", end(9200, all...))
	t.wantsEnds("_dist._tcp.number.erl.internal", end(9100, 10, 11))
}

// wantsEnds waits until an answer has exactly these hosts, each with its port.
func (t *trial) wantsEnds(name string, want []string) {
	t.soon(fmt.Sprintf("%s SRV is %s", name, brief(want)), func() error {
		m, err := t.ask("tcp", name, "SRV", 0)
		if err != nil {
			return err
		}
		got := make([]string, 0, len(m.Answer))
		for _, rr := range m.Answer {
			if srv, ok := rr.(*dns.SRV); ok {
				got = append(got, fmt.Sprintf("%s:%d", strings.TrimSuffix(srv.Target, "."), srv.Port))
			}
		}
		return same(name+" SRV", got, want)
	})
}
