package node

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/watch"
)

// crowd makes a Service with n endpoints, which have no pods, and no conditions, and returns these as if they had.
func (b *bed) crowd(name string, n int) (pods []corev1.Pod) {
	endpoints := ""
	for i := range n {
		address := fmt.Sprintf("10.99.%d.%d", n, i+1)
		endpoints += "{addresses: [" + address + "]}, "
		pods = append(pods, corev1.Pod{Status: corev1.PodStatus{PodIP: address}})
	}
	b.create(`
{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {clusterIP: None}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {app: %[1]s, longnames.dev/basename: shop, kubernetes.io/service-name: %[1]s}}
addressType: IPv4
endpoints: [%[2]s]
`, name, endpoints)
	return pods
}

// inetRes is about what OTP's resolver, and the clients with it, make of answers of all sizes.
func (b *bed) inetRes() {
	const cached = "cached.erl.internal {\n    cache 30\n    longnames {\n        selector longnames.dev/basename\n" +
		"        group_by kubernetes.io/service-name\n        basename shop\n    }\n}\n"
	b.serve("4", append(b.blocksOf("ip", "4"), cached, with(strings.Replace(cached, "cached", "ttl0", 1), "ttl 0"))...)
	few, forty, many := b.crowd("few", 14), b.crowd("shop", 40), b.crowd("many", 120)
	b.release(map[string]string{"rabbitmq.inetrc": b.rabbitInetrc()})
	tools := b.tools()
	name := func(service, zone string) string { return service + "." + b.namespace + "." + zone + ".erl.internal" }
	for service, pods := range map[string][]corev1.Pod{"few": few, "shop": forty, "many": many} {
		for _, zone := range []string{"svc", "cached", "ttl0"} {
			b.wants(name(service, zone), "TXT", hosts("ip", pods, "", "shop@")...)
		}
	}
	// For the family that has no addresses, the answer is there at once, and no error after which it is asked again.
	// libcluster takes no host entry that has aliases.
	b.run("FamiliesAndAliases", func(b *bed) {
		for call, asked := range map[string]string{
			"lookup a aaaa": name("few", "svc"), "libcluster Kubernetes.DNS": strings.ToUpper(name("few", "svc")) + ".",
		} {
			got := b.erl(tools, "/dev/null", "NODES", "clients", "main", "1", call, asked, "shop")
			b.should(watch.Same(call, strings.Fields(strings.Join(got, " ")), hosts("ip", few, "", "shop@")))
		}
		b.logged("AAAA IN "+name("few", "svc"), `[^"]*" NOERROR`)
		b.wants(name("few", "svc"), "MX") // by whose line in the log those before it are there
		b.logged("MX IN "+name("few", "svc"), "")
		assert.Equal(b, 1, strings.Count(b.kubectl("logs --tail=-1 deployment/longnames"), `"AAAA IN `+name("few", "svc")+". "))
	})
	b.run("OTP", func(b *bed) {
		mixed := strings.Replace(name("few", "cached"), "erl.internal", "eRl.InTeRnAl", 1)
		for _, tt := range []struct {
			call, name, options, types string
			pods                       []corev1.Pod
			times                      int
		}{
			{"lookup", name("few", "cached"), "[]", "srv txt a", few, 1},
			{"lookup", mixed, "[]", "srv txt a", few, 1},
			{"getbyname", mixed, "[]", "srv", few, 1},
			{"lookup", name("shop", "cached"), "[]", "srv txt a", forty, 1},
			{"lookup", name("shop", "cached"), "[{usevc,true}]", "srv txt a", forty, 1},
			{"lookup", name("shop", "cached"), "[{edns,0},{udp_payload_size,4096}]", "srv txt a", forty, 1},
			// These are more than the resolver's cache has room for, with the TTL that the README advises then.
			{"getbyname", name("many", "ttl0"), "[]", "srv a", many, 4},
			{"lookup", name("many", "ttl0"), "[]", "srv txt a", many, 4},
		} {
			args, types := []string{strconv.Itoa(tt.times)}, strings.Fields(tt.types)
			for _, qtype := range types {
				args = append(args, tt.call, qtype, tt.name+".", tt.options)
			}
			got := b.erl(tools, "/dev/null", "GOT", "cluster", "ask", args...)
			require.Len(b, got, tt.times*len(types), args)
			for i, line := range got {
				prefix := map[string]string{"txt": "shop@"}[types[i/tt.times]]
				b.should(watch.Same(fmt.Sprintf("%q, answer %d", args, i), strings.Fields(line), hosts("ip", tt.pods, "", prefix)))
			}
		}
		for _, qtype := range []string{"SRV", "TXT", "A"} { // whole, without TCP
			b.logged(qtype+" IN "+name("shop", "cached"), `udp \d+ false 4096" NOERROR qr,aa,rd `)
		}
	})
	// No list of these fits into the 512 bytes that OTP asks for.
	b.run("ClientsByTCP", func(b *bed) {
		b.asks(tools, "/dev/null", "ip", "4", b.zones(), 1, forty)
		for _, qtype := range []string{"A", "SRV"} {
			b.logged(qtype+" IN "+name("shop", "svc"), "tcp ")
		}
	})
	// With the page's inetrc, it remembers nothing, and asks for larger answers.
	b.run("Inetrc", func(b *bed) {
		b.asks(tools, "/etc/erlang/inetrc", "ip", "4", map[string]string{"svc": name("many", "svc")}, 3, many)
		b.logged("A IN "+name("many", "svc"), `udp \d+ false 1232" `)
	})
}

// remembers has nodes ask as libcluster's strategies do with the resolver of the page, while DNS fails in each way.
// They stay connected. When it is back, they find one that was started meanwhile, and miss one that has ended.
func (b *bed) remembers() {
	answers := b.page("Mode ip", "corefile", "")
	b.serve("4", answers, forwarding)
	zone := b.zones()["svc"] + "."
	b.release(map[string]string{
		"env.sh":    b.page("Mode ip", "sh", ""),
		"questions": fmt.Sprintf("remembered_srv %s shop remembered_a %[1]s shop remembered_all %[1]s shop", zone),
		"peers.ex":  b.page("Remember the last answer", "elixir", "defmodule"),
	})
	b.apply(b.manifestOf("ip", "4"))
	pods := b.mesh("shop", "ip", "", 3)
	said := func(pod corev1.Pod, what string) int {
		text, err := b.logs(pod.Name)
		require.NoError(b, err)
		return strings.Count(text, "\n"+what+" ")
	}
	stayed := func(name string, pods []corev1.Pod) {
		for _, pod := range pods {
			assert.Zero(b, said(pod, "LOST"), "%s: times that %s has lost others", name, pod.Name)
		}
	}
	rcode := func(rcode string) func() {
		return func() {
			b.serve("4", "erl.internal {\n    template ANY ANY {\n        rcode "+rcode+"\n    }\n}\n", forwarding)
		}
	}
	for _, o := range []struct {
		name  string
		begin func()
	}{
		{"Hangs", func() { b.mustOnNode(b.pods(ours)[0], `kill -STOP "$pid"`) }},
		{"Stopped", func() {
			before := b.pods(ours)
			b.mustOnNode(before[0], `kill -CONT "$pid"`)
			b.kubectl("scale deployment/longnames --replicas=0")
			b.gone(before)
		}},
		{"SERVFAIL", rcode("SERVFAIL")},
		{"NXDOMAIN", rcode("NXDOMAIN")},
		{"NoRecords", rcode("NOERROR")},
		{"REFUSED", func() { b.serve("4", "invalid {\n    health\n}\n") }},
	} {
		o.begin()
		before := make(map[string]int)
		for _, pod := range pods {
			before[pod.Name] = said(pod, "FOUND")
		}
		// Without the resolver, nobody is there.
		got := b.erl(pods[0].Name, "/dev/null", "NODES", "clients", "main", "1", "libcluster Kubernetes.DNSSRV", zone, "shop")
		assert.Empty(b, got[0], o.name)
		b.eventually(o.name+": each node has asked twice", func() error {
			for _, pod := range pods {
				if n := said(pod, "FOUND") - before[pod.Name]; n < 2 {
					return fmt.Errorf("%s: %d times", pod.Name, n)
				}
			}
			return nil
		})
		b.mesh("shop", "ip", "", 3)
		stayed(o.name, pods)
	}
	b.kubectl("scale deployment/shop --replicas=4")
	b.rolledOut("deployment/shop")
	b.serve("4", answers, forwarding)
	stayed("DNS is back", b.mesh("shop", "ip", "", 4))
	b.kubectl("scale deployment/shop --replicas=3")
	b.mesh("shop", "ip", "", 3)
}
