package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// crowd makes a Service with n endpoints, which have no pods, and returns these as if they had.
func (p *place) crowd(name string, n int) []corev1.Pod {
	labels := map[string]string{"app": name, "beam": "shop", discoveryv1.LabelServiceName: name}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, AddressType: discoveryv1.AddressTypeIPv4,
	}
	var pods []corev1.Pod
	for i := range n {
		address := fmt.Sprintf("10.99.%d.%d", n, i+1)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
		pods = append(pods, corev1.Pod{Status: corev1.PodStatus{PodIP: address}})
	}
	service := &corev1.Service{ObjectMeta: slice.ObjectMeta, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}}
	_, err := p.Client.CoreV1().Services(p.namespace).Create(p.t.Context(), service, metav1.CreateOptions{})
	if err == nil {
		_, err = p.Client.DiscoveryV1().EndpointSlices(p.namespace).Create(p.t.Context(), slice, metav1.CreateOptions{})
	}
	p.must(err)
	return pods
}

// inetRes is about what OTP's resolver, and the clients with it, make of answers of all sizes and kinds.
func (p *place) inetRes() {
	cached := "cached.erl.internal {\n    cache 30\n    longnames {\n        namespaces " + p.namespace +
		"\n        selector beam\n        group_by kubernetes.io/service-name\n        basename shop\n    }\n}\n"
	p.serve("4", append(p.blocksOf("ip", "4"), cached, with(strings.Replace(cached, "cached", "ttl0", 1), "ttl 0"))...)
	few, forty, many := p.crowd("few", 14), p.crowd("shop", 40), p.crowd("many", 120)
	p.release(map[string]string{"rabbitmq.inetrc": rabbitInetrc(p.t)})
	tools := p.tools()
	name := func(service, zone string) string { return service + "." + p.namespace + "." + zone + ".erl.internal" }
	for service, pods := range map[string][]corev1.Pod{"few": few, "shop": forty, "many": many} {
		for _, zone := range []string{"svc", "cached", "ttl0"} {
			p.wants(name(service, zone), "TXT", hosts("ip", pods, "", "shop@")...)
		}
	}
	finds := func(p *place, call, asked string) {
		got := p.erl(tools, "/dev/null", "NODES", "clients", "main", "1", call, asked, "shop")
		p.should(same(call+" "+asked, strings.Fields(strings.Join(got, " ")), hosts("ip", few, "", "shop@")))
	}

	// For the family that has no addresses, the answer is there at once, and no error after which it is asked again.
	p.run("AsksOnce", func(p *place) {
		finds(p, "lookup a aaaa", name("few", "svc"))
		p.logged("AAAA IN "+name("few", "svc"), `[^"]*" NOERROR`)
		p.wants(name("few", "svc"), "MX") // by whose line in the log those before it are there
		p.logged("MX IN "+name("few", "svc"), "")
		if n := p.logged("AAAA IN "+name("few", "svc"), ""); n != 1 {
			p.t.Errorf("AAAA was asked for %d times, want once", n)
		}
		m, err := p.exchange("udp", name("few", "svc"), "AAAA", 0)
		if err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
			p.t.Errorf("AAAA: got %v %v, want NOERROR with the SOA", m, err)
		}
	})
	// libcluster takes no host entry that has aliases.
	p.run("NoCNAME", func(p *place) {
		for _, asked := range []string{name("few", "svc"), name("fEw", "svc"), strings.ToUpper(name("few", "svc"))} {
			p.wantsCluster(asked, "shop", hosts("ip", few, "", ""), hosts("ip", few, "", ""))
			for _, qtype := range []string{"A", "SRV", "TXT"} {
				m, err := p.exchange("udp", asked, qtype, 0)
				p.must(err)
				for _, rr := range slices.Concat(m.Answer, m.Ns) {
					if got := dns.TypeToString[rr.Header().Rrtype]; got != qtype {
						p.t.Errorf("%s %s: got %s", asked, qtype, rr)
					}
				}
			}
			finds(p, "libcluster Kubernetes.DNS", asked+".")
		}
	})
	p.run("Truncated", func(p *place) {
		for _, tt := range []struct {
			service string
			size    uint16
			members int
			want    map[string]bool // whether answers say that they are cut; those that are not in it may be either
		}{
			{"few", 0, 14, map[string]bool{"SRV": false, "TXT": false, "A": false}},
			{"shop", 0, 40, map[string]bool{"SRV": true, "TXT": true, "A": true}},
			{"shop", 1232, 40, map[string]bool{"A": false}},
		} {
			for _, qtype := range []string{"SRV", "TXT", "A"} {
				m, err := p.exchange("udp", name(tt.service, "cached"), qtype, tt.size)
				p.must(err)
				m.Compress = true // as it came
				want, sure := tt.want[qtype]
				if m.Len() > max(int(tt.size), 512) || sure && m.Truncated != want || !m.Truncated && len(m.Answer) != tt.members {
					p.t.Errorf("%s %s: got %d of %d records in %d bytes for %d, truncated %t", tt.service, qtype, len(m.Answer), tt.members, m.Len(), tt.size, m.Truncated)
				}
			}
		}
	})
	p.run("OTP", func(p *place) {
		mixed := strings.Replace(name("few", "cached"), "erl.internal", "eRl.InTeRnAl", 1)
		all := []string{"srv", "txt", "a"}
		for _, tt := range []struct {
			call, name, options string
			types               []string
			pods                []corev1.Pod
			times               int
		}{
			{"lookup", name("few", "cached"), "[]", all, few, 1},
			{"lookup", mixed, "[]", all, few, 1},
			{"getbyname", mixed, "[]", all[:1], few, 1},
			{"lookup", name("shop", "cached"), "[]", all, forty, 1},
			{"lookup", name("shop", "cached"), "[{usevc,true}]", all, forty, 1},
			{"lookup", name("shop", "cached"), "[{edns,0},{udp_payload_size,4096}]", all, forty, 1},
			// These are more than the resolver's cache has room for, with the TTL that the README advises then.
			{"getbyname", name("many", "ttl0"), "[]", []string{"srv", "a"}, many, 4},
			{"lookup", name("many", "ttl0"), "[]", all, many, 4},
		} {
			args := []string{strconv.Itoa(tt.times)}
			for _, qtype := range tt.types {
				args = append(args, tt.call, qtype, tt.name+".", tt.options)
			}
			got := p.erl(tools, "/dev/null", "GOT", "cluster", "ask", args...)
			if len(got) != tt.times*len(tt.types) {
				p.t.Fatalf("%q: got %d answers: %q", args, len(got), got)
			}
			for i, line := range got {
				prefix := map[string]string{"txt": "shop@"}[tt.types[i/tt.times]]
				p.should(same(fmt.Sprintf("%q, answer %d", args, i), strings.Fields(line), hosts("ip", tt.pods, "", prefix)))
			}
		}
		for _, qtype := range []string{"SRV", "TXT", "A"} { // whole, without TCP
			p.logged(qtype+" IN "+name("shop", "cached"), `udp \d+ false 4096" NOERROR qr,aa,rd `)
		}
		m, err := p.exchange("tcp", name("many", "ttl0"), "SRV", 0)
		p.must(err)
		if len(m.Answer) != 120 || slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Ttl != 0 }) {
			p.t.Errorf("got %v, want 120 records with TTL 0", m)
		}
	})
	// No list of these fits into the 512 bytes that OTP asks for.
	p.run("ClientsByTCP", func(p *place) {
		p.asks(tools, "ip", "4", zonesOf(p.namespace), 1, forty, map[bool]string{false: "/dev/null", true: "/etc/erlang/rabbitmq.inetrc"})
		for _, qtype := range []string{"A", "SRV"} {
			p.logged(qtype+" IN "+name("shop", "svc"), "tcp ")
		}
	})
	// With the page's inetrc, it remembers nothing, and asks for larger answers.
	p.run("Inetrc", func(p *place) {
		rc := p.in(tools, "env", "ERL_INETRC=/etc/erlang/inetrc", "HOME=/tmp", "erl", "-noinput", "-eval", `io:format("~0p", [inet:get_rc()]), halt().`)
		for _, want := range []string{"{cache_size,0}", "{edns,0}", "{udp_payload_size,1232}"} {
			if !strings.Contains(rc, want) {
				p.t.Errorf("got inet:get_rc() %s, want %s in it", rc, want)
			}
		}
		p.asks(tools, "ip", "4", map[string]string{"svc": name("many", "svc")}, 3, many, map[bool]string{false: "/etc/erlang/inetrc"})
		p.logged("A IN "+name("many", "svc"), `udp \d+ false 1232" `)
	})
}

// remembers has nodes ask as libcluster's strategies do with the resolver of the page, while DNS fails in each way. They
// stay connected. When it is back, they find one that was started meanwhile, and miss one that has ended.
func (p *place) remembers() {
	answers := p.page("Mode ip", "corefile", "")
	p.serve("4", answers, forwarding)
	zone := zonesOf(p.namespace)["svc"] + "."
	p.release(map[string]string{
		"env.sh":    p.page("Mode ip", "sh", ""),
		"questions": fmt.Sprintf("remembered_srv %s shop remembered_a %[1]s shop remembered_all %[1]s shop", zone),
		"peers.ex":  p.page("Remember the last answer", "elixir", "defmodule"),
	})
	p.apply(p.manifestOf("ip", "4"))
	pods := p.mesh("shop", "ip", "", 3)
	said := func(pod corev1.Pod, what string) int {
		return strings.Count(p.kubectl("logs", pod.Name), "\n"+what+" ")
	}
	stayed := func(name string, pods []corev1.Pod) {
		for _, pod := range pods {
			if n := said(pod, "LOST"); n > 0 {
				p.t.Errorf("%s: %s has lost others %d times", name, pod.Name, n)
			}
		}
	}
	rcode := func(rcode string) func() {
		return func() {
			p.serve("4", "erl.internal {\n    template ANY ANY {\n        rcode "+rcode+"\n    }\n}\n", forwarding)
		}
	}
	for _, o := range []struct {
		name  string
		begin func()
	}{
		{"Hangs", func() { p.mustOnNode(p.t, p.pods(p.t, p.namespace, ours)[0], `kill -STOP "$pid"`) }},
		{"Stopped", func() {
			before := p.pods(p.t, p.namespace, ours)
			p.mustOnNode(p.t, before[0], `kill -CONT "$pid"`)
			p.kubectl("scale", "deployment/longnames", "--replicas=0")
			p.gone(p.t, before)
		}},
		{"SERVFAIL", rcode("SERVFAIL")},
		{"NXDOMAIN", rcode("NXDOMAIN")},
		{"NoRecords", rcode("NOERROR")},
		{"REFUSED", func() { p.serve("4", "invalid {\n    health\n}\n") }},
	} {
		o.begin()
		before := make(map[string]int)
		for _, pod := range pods {
			before[pod.Name] = said(pod, "FOUND")
		}
		// Without the resolver, nobody is there.
		if got := p.erl(pods[0].Name, "/dev/null", "NODES", "clients", "main", "1", "libcluster Kubernetes.DNSSRV", zone, "shop"); got[0] != "" {
			p.t.Errorf("%s: got %q without the resolver, want nobody", o.name, got)
		}
		cluster.Eventually(p.t, patience, o.name+": each node has asked twice", func() error {
			for _, pod := range pods {
				if n := said(pod, "FOUND") - before[pod.Name]; n < 2 {
					return fmt.Errorf("%s: %d times", pod.Name, n)
				}
			}
			return nil
		})
		p.mesh("shop", "ip", "", 3)
		stayed(o.name, pods)
	}
	p.kubectl("scale", "deployment/shop", "--replicas=4")
	p.rolledOut(p.t, p.namespace, "deployment/shop")
	p.serve("4", answers, forwarding)
	stayed("DNS is back", p.mesh("shop", "ip", "", 4))
	p.kubectl("scale", "deployment/shop", "--replicas=3")
	p.mesh("shop", "ip", "", 3)
}
