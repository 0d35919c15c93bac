package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// setScenarios: who belongs to a cluster.
func setScenarios() []scenario {
	return []scenario{
		{"ipv6-endpoints", func(t *trial) { tryIPv6(t, endpointSlices) }},
		{"ipv6-pods", func(t *trial) { tryIPv6(t, pods) }},
		{"dual-stack", tryDualStack},
		{"two-namespaces", tryTwoNamespaces},
		{"group-by-24-apps", tryGroupBy},
		{"slices-made-by-hand", trySlicesByHand},
		{"endpoints-mirrored", tryMirrored},
		{"250-pods-three-slices", func(t *trial) { try250(t, "") }},
		{"250-pods-cached", func(t *trial) { try250(t, "cached") }},
		{"libcluster-dnssrv-name", tryDNSSRVName},
	}
}

// tryIPv6 has an address among the pods that ends in two colons: dashed, a 0 has to follow.
func tryIPv6(t *trial, of resources) {
	ns := t.namespace("prod", podPolicy{families: "6"})
	t.account(ns)
	t.grant(ns, ns, of)
	t.service(ns, "shop", families(corev1.IPv6Protocol))
	t.pod(ns, "shop", "shop-0", fmt.Sprintf("fd00:%x::", t.number), hosted("shop"))
	t.pod(ns, "shop", "shop-1", fmt.Sprintf("fd00:0:0:1:0:0:%x:1", t.number), hosted("shop"))
	t.pod(ns, "shop", "shop-2", "", hosted("shop"))
	members := t.podsOf(ns, "shop", 3)
	addresses := addressesOf(members)
	last := t.address("6", 10)
	// In the text of RFC 5952, whatever text the pod came with.
	want := []string{fmt.Sprintf("fd00:%x::", t.number), fmt.Sprintf("fd00::1:0:0:%x:1", t.number), last}
	dashed := []string{
		fmt.Sprintf("fd00-%x--0", t.number), fmt.Sprintf("fd00--1-0-0-%x-1", t.number), fmt.Sprintf("fd00--%x-a", t.number),
	}
	t.must(same("status.podIP", addresses, want))

	t.server.serve(`longnames ip.erl.internal fd00::/16 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + of.lookup() + `
		basename shop
		fallthrough fd00::/16
	}
	longnames dns.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + of.lookup() + `
		mode dns
		cluster_domain dns.erl.internal
		basename shop
	}
	longnames host.erl.internal fd00::/16 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + of.lookup() + `
		mode hostname
		cluster_domain host.erl.internal
		basename shop
	}`)
	t.wantsCluster("ip.erl.internal", "shop", want, want)
	hosts := make([]string, 0, len(want))
	for i, d := range dashed {
		host := d + "." + ns + ".pod.dns.erl.internal"
		hosts = append(hosts, host)
		t.wants(host, "AAAA", want[i])
		t.wants(d+".ip.erl.internal", "AAAA", want[i])
		t.wants(reverse(t, want[i]), "PTR", want[i])
	}
	t.wantsCluster("dns.erl.internal", "shop", hosts, want)
	for i, pod := range members {
		hosts[i] = pod.Name + ".shop." + ns + ".svc.host.erl.internal"
		t.wants(hosts[i], "AAAA", pod.Status.PodIP)
		t.wants(pod.Name+".host.erl.internal", "TXT", "shop@"+hosts[i])
	}
	t.wantsCluster("host.erl.internal", "shop", hosts, want)
}

func tryDualStack(t *trial) {
	// The API server gives out a dual-stack Service in the order that it asks for; pods have an order of their own.
	four := t.namespace("four", podPolicy{families: "46"})
	six := t.namespace("six", podPolicy{families: "64"})
	t.account(four)
	for _, ns := range []string{four, six} {
		t.grant(four, ns, endpointSlices)
		t.service(ns, "shop", families(corev1.IPv4Protocol, corev1.IPv6Protocol))
		for i := range 3 {
			t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "")
		}
	}
	t.everywhere(four, pods)
	var v4, v6, primary []string
	for _, ns := range []string{four, six} {
		for _, p := range t.podsOf(ns, "shop", 3) {
			primary = append(primary, p.Status.PodIP)
			for _, ip := range p.Status.PodIPs {
				if len(ip.IP) > 4 && ip.IP[:4] == "fd00" {
					v6 = append(v6, ip.IP)
				} else {
					v4 = append(v4, ip.IP)
				}
			}
		}
	}
	block := func(zone, more string) string {
		return "longnames " + zone + " {\nSERVICE_ACCOUNT\nnamespaces " + four + " " + six + "\nselector app=shop\nbasename shop\n" + more + "\n}\n"
	}
	t.server.serve(block("e.erl.internal", "") + block("e4.erl.internal", "family ipv4") + block("e6.erl.internal", "family ipv6") +
		block("p.erl.internal", "lookup pods") + block("p4.erl.internal", "lookup pods\nfamily ipv4") +
		block("p6.erl.internal", "lookup pods\nfamily ipv6"))
	for zone, want := range map[string][]string{
		"e": v4, "e4": v4, "e6": v6, "p": primary, "p4": v4, "p6": v6,
	} {
		t.wantsCluster(zone+".erl.internal", "shop", want, want)
	}
}

func tryTwoNamespaces(t *trial) {
	prod, test, other := t.namespace("prod", podPolicy{}), t.namespace("test", podPolicy{}), t.namespace("other", podPolicy{})
	t.account(prod)
	t.grant(prod, prod, endpointSlices)
	t.grant(prod, test, endpointSlices)
	for _, ns := range []string{prod, test, other} {
		t.service(ns, "shop")
		for i := range 2 {
			t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "", hosted("shop"))
		}
	}
	t.podsOf(other, "shop", 2)
	members := append(t.podsOf(prod, "shop", 2), t.podsOf(test, "shop", 2)...)
	want := addressesOf(members)
	block := func(mode string) string {
		return "longnames " + mode + ".erl.internal {\nSERVICE_ACCOUNT\nnamespaces " + prod + " " + test +
			"\nselector app=shop\nbasename shop\nmode " + mode + "\ncluster_domain " + mode + ".erl.internal\n}\n"
	}
	t.server.serve(block("ip") + block("dns") + block("hostname"))
	for _, mode := range []string{"ip", "dns", "hostname"} {
		zone := mode + ".erl.internal"
		hosts := make([]string, 0, len(members))
		for _, pod := range members {
			hosts = append(hosts, hostOf(mode, pod, zone))
		}
		t.wantsCluster(zone, "shop", hosts, want)
		// The name that a pod has in both namespaces is that of both.
		t.wants("shop-0."+zone, "TXT", "shop@"+hosts[0], "shop@"+hosts[2])
		t.wants("shop-0."+zone, "A", want[0], want[2])
	}
	t.wants(hostOf("hostname", members[3], "hostname.erl.internal"), "A", want[3])
}

func tryGroupBy(t *trial) {
	ns, test := t.namespace("prod", podPolicy{}), t.namespace("test", podPolicy{})
	t.account(ns)
	t.everywhere(ns, pods)
	t.pod(test, "App0", "app-0", t.address("4", 99)) // a cluster of its own, for it is in another namespace
	const apps = 24
	t.many(apps, func(i int) {
		for j := range 2 {
			t.pod(ns, fmt.Sprintf("App%d", i), fmt.Sprintf("app-%d-%d", i, j), t.address("4", 100+2*i+j))
		}
	})
	t.server.serve(`longnames apps.erl.internal {
		SERVICE_ACCOUNT
		namespaces *
		lookup pods
		group_by app
	}`)
	for i := range apps {
		want := []string{t.address("4", 100+2*i), t.address("4", 100+2*i+1)}
		t.wantsCluster(fmt.Sprintf("app%d.%s.apps.erl.internal", i, ns), fmt.Sprintf("App%d", i), want, want)
	}
	t.wantsCluster("app0."+test+".apps.erl.internal", "App0", []string{t.address("4", 99)}, []string{t.address("4", 99)})
	t.rcode(ns+".apps.erl.internal", "SRV", "NOERROR")
	t.rcode("nobody."+ns+".apps.erl.internal", "SRV", "NXDOMAIN")
}

// slice makes an EndpointSlice by hand.
func (t *trial) slice(namespace, service, name string, endpoints ...discoveryv1.Endpoint) {
	port, portName := int32(4000), "http"
	l := app(service)
	l[discoveryv1.LabelServiceName] = service
	_, err := t.client.DiscoveryV1().EndpointSlices(namespace).Create(t.ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: endpoints, Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
	}, metav1.CreateOptions{})
	t.must(err)
}

func noSelector(s *corev1.Service) { s.Spec.Selector = nil }

func trySlicesByHand(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop", noSelector)
	yes, no, host := true, false, "vm-1"
	t.slice(ns, "shop", "shop-a",
		discoveryv1.Endpoint{Addresses: []string{t.address("4", 10)}}, // no conditions: ready
		discoveryv1.Endpoint{Addresses: []string{t.address("4", 11)}, Hostname: &host, Conditions: discoveryv1.EndpointConditions{Ready: &yes}})
	t.slice(ns, "shop", "shop-b",
		discoveryv1.Endpoint{Addresses: []string{t.address("4", 11)}, Hostname: &host}, // the same once more
		discoveryv1.Endpoint{Addresses: []string{t.address("4", 12)}},
		discoveryv1.Endpoint{Addresses: []string{t.address("4", 13)}, Conditions: discoveryv1.EndpointConditions{Ready: &no}})
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
	}
	longnames host.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
		mode hostname
	}`)
	want := []string{t.address("4", 10), t.address("4", 11), t.address("4", 12)}
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	t.wants("vm-1.shop.erl.internal", "TXT", "shop@"+t.address("4", 11))
	t.wants("host.erl.internal", "SRV", "vm-1.shop."+ns+".svc.cluster.local")
	t.leavesOut(ns+"/shop-a: address "+t.address("4", 10), ns+"/shop-b: address "+t.address("4", 12), ns+"/shop-b: address "+t.address("4", 13))
}

// leavesOut waits until CoreDNS has logged once of each of these, and of nobody else, that it has no hostname.
func (t *trial) leavesOut(who ...string) {
	want := make([]string, 0, len(who))
	for _, w := range who {
		want = append(want, "[WARNING] plugin/longnames: "+w+" is left out of host.erl.internal.: "+
			"mode hostname needs a hostname that is a DNS label (a pod's spec.hostname, an endpoint's hostname)")
	}
	t.soon("CoreDNS logs who is left out", func() error {
		var got []string
		for line := range strings.Lines(t.server.process.output()) {
			if strings.Contains(line, "left out") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		return same("lines about who is left out", got, want)
	})
}

// tryMirrored has Endpoints made by hand, as older tools make them, which a controller of Kubernetes' turns into slices.
func tryMirrored(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop", noSelector)
	want := []string{t.address("4", 10), t.address("4", 11)}
	//nolint:staticcheck // deprecated, and still in use
	_, err := t.client.CoreV1().Endpoints(ns).Create(t.ctx, &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: app("shop")},
		Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // as above
			Addresses: []corev1.EndpointAddress{{IP: want[0]}, {IP: want[1]}}, Ports: []corev1.EndpointPort{{Name: "http", Port: 4000}},
		}},
	}, metav1.CreateOptions{})
	t.must(err)
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
	}`)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
}

func try250(t *trial, option string) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop")
	t.deployment(ns, 250)
	want := addressesOf(t.podsOf(ns, "shop", 250))
	t.endpoints(ns, "shop", 250) // of which a slice has no more than 100
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
		` + option + `
	}`)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	t.readsFrom("kube-apiserver", ns, "watch", option == "cached")
	if option == "" {
		return
	}
	// What comes after a first read from the cache is as fresh as ever.
	t.scale("deployments", ns, 240)
	want = addressesOf(t.podsOf(ns, "shop", 240))
	t.wantsCluster("shop.erl.internal", "shop", want, want)
}

// tryDNSSRVName asks the one name that libcluster's DNSSRV strategy can ask: SERVICE.NAMESPACE.svc.CLUSTER_DOMAIN.
func tryDNSSRVName(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.service(ns, "shop-nodes", withLabels(map[string]string{"beam": t.name, "beam-basename": "Shop"}), func(s *corev1.Service) {
		s.Spec.Selector = app("shop")
	})
	t.statefulSet(ns, "shop", "shop-nodes", 3)
	t.podsOf(ns, "shop", 3)
	t.server.serve(`longnames svc.erl.internal {
		SERVICE_ACCOUNT
		namespaces *
		selector beam=` + t.name + `
		group_by kubernetes.io/service-name
		basename label beam-basename
		mode hostname
	}`)
	name := "shop-nodes." + ns + ".svc.erl.internal"
	hosts := make([]string, 0, 3)
	for i := range 3 {
		hosts = append(hosts, fmt.Sprintf("shop-%d.shop-nodes.%s.svc.cluster.local", i, ns))
	}
	t.wants(name, "SRV", hosts...)
	t.wants(name, "TXT", longnames("Shop", hosts)...)
	t.inetRes(t.outsider(), name, hosts, 2, "getbyname", "srv", "[]") // as it asks
}
