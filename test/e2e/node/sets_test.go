package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// sets is about who belongs to a cluster.
func (b bed) sets(t *testing.T) {
	b.withoutNode(t)
	b.each(t, []leaf{
		{"IPv6Endpoints", func(o *own) { o.ipv6("endpoints") }},
		{"IPv6Pods", func(o *own) { o.ipv6("pods") }},
		{"DualStack", (*own).dualStack},
		{"TwoNamespaces", (*own).twoNamespaces},
		{"GroupBy24Apps", (*own).groupBy},
		{"SlicesMadeByHand", (*own).slicesByHand},
		{"EndpointsMirrored", (*own).mirrored},
		{"250Pods", func(o *own) { o.pods250("") }},
		{"250PodsCached", func(o *own) { o.pods250("cached") }},
		{"LibclusterDNSSRVName", (*own).dnsSRVName},
	})
}

// hostOf is what Kubernetes' and libcluster's documentation tell people to put behind the @ of a node's name: written down here
// a second time, for the plugin must not be its own judge.
func hostOf(mode string, pod corev1.Pod, domain string) string {
	switch mode {
	case "dns":
		return strings.NewReplacer(".", "-", ":", "-").Replace(pod.Status.PodIP) + "." + pod.Namespace + ".pod." + domain
	case "hostname":
		return pod.Spec.Hostname + "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + domain
	default:
		return pod.Status.PodIP
	}
}

// looksAt is what CoreDNS reads to look up endpoints or pods.
func looksAt(lookup string) string {
	if lookup == "endpoints" {
		return "endpointslices"
	}
	return lookup
}

// ipv6 has an address among the pods that ends in two colons: dashed, a 0 has to follow.
func (o *own) ipv6(lookup string) {
	o.grant(looksAt(lookup), o.namespace)
	o.create(o.namespace, service, "shop", "{app: shop}", "{app: shop}, ipFamilies: [IPv6]")
	// In the text of RFC 5952.
	want := []string{"fd00:7::", "fd00::1:0:0:7:1", "fd00::7:a"}
	dashed := []string{"fd00-7--0", "fd00--1-0-0-7-1", "fd00--7-a"}
	for i, a := range want {
		o.object(o.namespace, "shop", fmt.Sprint("shop-", i), true, a)
	}
	members := o.members(o.namespace, len(want))
	o.serve(block("ip.erl.internal fd00::/16", "lookup "+lookup, "fallthrough fd00::/16") +
		block("dns.erl.internal", "lookup "+lookup, "mode dns", "cluster_domain dns.erl.internal") +
		block("host.erl.internal fd00::/16", "lookup "+lookup, "mode hostname", "cluster_domain host.erl.internal"))
	o.wantsCluster("ip.erl.internal", "shop", want, want)
	hosts := make([]string, len(want))
	for i, d := range dashed {
		hosts[i] = d + "." + o.namespace + ".pod.dns.erl.internal"
		o.wants(hosts[i], "AAAA", want[i])
		o.wants(d+".ip.erl.internal", "AAAA", want[i])
		o.wants(o.reverse(want[i]), "PTR", want[i])
	}
	o.wantsCluster("dns.erl.internal", "shop", hosts, want)
	for i, pod := range members {
		hosts[i] = hostOf("hostname", pod, "host.erl.internal")
		o.wants(hosts[i], "AAAA", want[i])
		o.wants(pod.Name+".host.erl.internal", "TXT", "shop@"+hosts[i])
	}
	o.wantsCluster("host.erl.internal", "shop", hosts, want)
}

// dualStack has pods whose first address is of either family. Kubernetes gives out those of a Service in the order that the
// Service asks for.
func (o *own) dualStack() {
	six := o.another(o.namespace + "-six")
	o.grant("endpointslices", o.namespace, six)
	o.grant("pods", o.namespace, six)
	var v4, v6, primary []string
	for n, namespace := range []string{o.namespace, six} {
		o.create(namespace, service, "shop", "{app: shop}", "{app: shop}, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]")
		for i := range 3 {
			both := []string{fmt.Sprintf("10.1.%d.%d", n, 10+i), fmt.Sprintf("fd00::%d:%d", n+1, 10+i)}
			v4, v6, primary = append(v4, both[0]), append(v6, both[1]), append(primary, both[n])
			if n == 1 {
				slices.Reverse(both)
			}
			o.object(namespace, "shop", fmt.Sprint("shop-", i), true, both...)
		}
	}
	want := map[string][]string{"": v4, "lookup pods": primary}
	var blocks strings.Builder
	zone := func(lookup, family string) string {
		return "z" + lookup[max(0, len(lookup)-4):] + family + ".erl.internal"
	}
	families := map[string][]string{"": nil, "ipv4": v4, "ipv6": v6}
	for lookup := range want {
		for family := range families {
			option := ""
			if family != "" {
				option = "family " + family
			}
			blocks.WriteString(block(zone(lookup, family), "namespaces "+o.namespace+" "+six, lookup, option))
		}
	}
	o.serve(blocks.String())
	for lookup, first := range want {
		for family, addresses := range families {
			if family == "" {
				addresses = first
			}
			o.wantsCluster(zone(lookup, family), "shop", addresses, addresses)
		}
	}
}

func (o *own) twoNamespaces() {
	test, other := o.another(o.namespace+"-test"), o.another(o.namespace+"-other")
	o.grant("endpointslices", o.namespace, test)
	for _, namespace := range []string{o.namespace, test, other} {
		o.workload(namespace, "StatefulSet", 2, "")
	}
	o.members(other, 2)
	members := slices.Concat(o.members(o.namespace, 2), o.members(test, 2))
	want := addresses(members)
	var blocks strings.Builder
	modes := []string{"ip", "dns", "hostname"}
	for _, mode := range modes {
		zone := mode + ".erl.internal"
		blocks.WriteString(block(zone, "namespaces "+o.namespace+" "+test, "mode "+mode, "cluster_domain "+zone))
	}
	o.serve(blocks.String())
	for _, mode := range modes {
		zone := mode + ".erl.internal"
		var hosts []string
		for _, pod := range members {
			hosts = append(hosts, hostOf(mode, pod, zone))
		}
		o.wantsCluster(zone, "shop", hosts, want)
		// The name that a pod has in both namespaces is that of both.
		o.wants("shop-0."+zone, "TXT", "shop@"+hosts[0], "shop@"+hosts[2])
		o.wants("shop-0."+zone, "A", want[0], want[2])
	}
	o.wants(hostOf("hostname", members[3], "hostname.erl.internal"), "A", want[3])
}

func (o *own) groupBy() {
	test := o.another(o.namespace + "-test")
	o.grant("pods")
	const apps = 24
	address := func(i int) string { return fmt.Sprint("10.1.0.", 100+i) }
	o.object(test, "App0", "app-0", true, address(99)) // a cluster of its own, for it is in another namespace
	for i := range 2 * apps {
		o.object(o.namespace, fmt.Sprint("App", i/2), fmt.Sprint("app-", i), true, address(i))
	}
	o.serve("longnames apps.erl.internal {\nnamespaces *\nlookup pods\ngroup_by app\n}")
	for i := range apps {
		want := []string{address(2 * i), address(2*i + 1)}
		o.wantsCluster(fmt.Sprintf("app%d.%s.apps.erl.internal", i, o.namespace), fmt.Sprint("App", i), want, want)
	}
	o.wantsCluster("app0."+test+".apps.erl.internal", "App0", []string{address(99)}, []string{address(99)})
	o.wants(o.namespace+".apps.erl.internal", "SRV")
	o.wants("nobody."+o.namespace+".apps.erl.internal", "SRV", "NXDOMAIN")
}

// slice is an EndpointSlice that somebody makes by hand.
const slice = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s, labels: {app: shop, kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 4000}]
endpoints: %s
`

func (o *own) slicesByHand() {
	o.grant("endpointslices", o.namespace)
	o.create(o.namespace, service+slice+slice, "shop", "{app: shop}", "{}",
		// Without conditions, it is ready.
		"shop-a", `[{addresses: [10.1.0.10]}, {addresses: [10.1.0.11], hostname: vm-1, conditions: {ready: true}}]`,
		"shop-b", `[{addresses: [10.1.0.11], hostname: vm-1}, {addresses: [10.1.0.12]}, {addresses: [10.1.0.13], conditions: {ready: false}}]`)
	o.serve(block("shop.erl.internal") + block("host.erl.internal", "mode hostname"))
	want := []string{"10.1.0.10", "10.1.0.11", "10.1.0.12"}
	o.wantsCluster("shop.erl.internal", "shop", want, want)
	o.wants("vm-1.shop.erl.internal", "TXT", "shop@10.1.0.11")
	o.wants("host.erl.internal", "SRV", "vm-1.shop."+o.namespace+".svc.cluster.local")
	var lines []string
	for _, who := range []string{"shop-a: address 10.1.0.10", "shop-b: address 10.1.0.12", "shop-b: address 10.1.0.13"} {
		lines = append(lines, "[WARNING] plugin/longnames: "+o.namespace+"/"+who+" is left out of host.erl.internal.: "+
			"mode hostname needs a hostname that is a DNS label (a pod's spec.hostname, an endpoint's hostname)")
	}
	cluster.Eventually(o.T, patience, "CoreDNS logs once who is left out", func() error {
		var got []string
		for line := range strings.Lines(o.Kubectl(o.T, "-n", o.namespace, "logs", "coredns")) {
			if strings.Contains(line, "left out") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		if slices.Sort(got); !slices.Equal(got, lines) {
			return fmt.Errorf("got %q, want %q", got, lines)
		}
		return nil
	})
}

// mirrored has Endpoints made by hand, as older tools make them, which a controller of Kubernetes' turns into slices.
func (o *own) mirrored() {
	o.grant("endpointslices", o.namespace)
	o.create(o.namespace, service+`
---
apiVersion: v1
kind: Endpoints
metadata: {name: shop, labels: {app: shop}}
subsets: [{addresses: [{ip: 10.1.0.10}, {ip: 10.1.0.11}], ports: [{name: http, port: 4000}]}]
`, "shop", "{app: shop}", "{}")
	o.serve(block("shop.erl.internal"))
	want := []string{"10.1.0.10", "10.1.0.11"}
	o.wantsCluster("shop.erl.internal", "shop", want, want)
}

// pods250 are in three slices, of which none has more than 100.
func (o *own) pods250(option string) {
	o.grant("endpointslices", o.namespace)
	o.create(o.namespace, service, "shop", "{app: shop}", "{app: shop}")
	want := make([]string, 250)
	for i := range want {
		want[i] = fmt.Sprintf("10.1.%d.%d", i/100, 10+i%100)
		o.object(o.namespace, "shop", fmt.Sprint("shop-", i), true, want[i])
	}
	o.serve(block("shop.erl.internal", option))
	o.wantsCluster("shop.erl.internal", "shop", want, want)
	if n := strings.Count(o.Kubectl(o.T, "-n", o.namespace, "get", "endpointslices", "-o", "name"), "\n"); n < 3 {
		o.Errorf("got %d slices, want 3 or more", n)
	}
	// What comes after a first read from the cache is as fresh as ever.
	for i := range 10 {
		if err := o.Client.CoreV1().Pods(o.namespace).Delete(o.Context(), fmt.Sprint("shop-", i), metav1.DeleteOptions{}); err != nil {
			o.Fatal(err)
		}
	}
	o.wantsCluster("shop.erl.internal", "shop", want[10:], want[10:])
}

// dnsSRVName asks the one name that libcluster's DNSSRV strategy can ask: SERVICE.NAMESPACE.svc.CLUSTER_DOMAIN.
func (o *own) dnsSRVName() {
	o.grant("endpointslices")
	o.workload(o.namespace, "StatefulSet", 3, "")
	o.Kubectl(o.T, "-n", o.namespace, "label", "service/shop", "nodes=yes", "basename=Shop")
	members := o.members(o.namespace, 3)
	o.serve("longnames svc.erl.internal {\nnamespaces *\nselector nodes\ngroup_by kubernetes.io/service-name\nbasename label basename\nmode hostname\n}")
	name := "shop." + o.namespace + ".svc.erl.internal"
	var hosts []string
	for i := range 3 {
		hosts = append(hosts, fmt.Sprintf("shop-%d.shop.%s.svc.cluster.local", i, o.namespace))
	}
	o.wantsCluster(name, "Shop", hosts, addresses(members))
	// As it asks, twice in a VM.
	got := o.inetRes("prod", "shop-0", `lists:append([element(6,element(2,inet_res:getbyname("`+name+`.",srv)))||_<-[1,2]])`, "element(4,X)")
	if want := slices.Sorted(slices.Values(slices.Concat(hosts, hosts))); !slices.Equal(got, want) {
		o.Errorf("got %q, want %q", got, want)
	}
}
