package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// stubAddress is that of Service longnames in the overlays that need to know it.
const stubAddress = "10.96.0.15"

// tryStubDomain has nodes ask the cluster's DNS, which is as kubeadm has set it up and asks ours, with all components.
func tryStubDomain(t *trial) {
	t.beam()
	t.ownCluster("longnames", "kube-system")
	t.kubectl("create", "--validate=strict", "-f", "testdata/kubeadm.yaml", "-f", "testdata/servicemonitor.yaml")
	t.rolledOut("kube-system", "coredns")
	t.serveService("kube-system", "kube-dns")
	t.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/servicemonitors.monitoring.coreos.com")
	t.apply(t.ownOverlay("components", `resources: [DEPLOY/overlays/standalone]
components:
- DEPLOY/components/fixed-address
- DEPLOY/components/critical
- DEPLOY/components/service-monitor
images: [{name: `+unpulled+`, newName: `+usersImage+`, newTag: v1.2.3}]
`, nil))
	t.rolledOut("longnames", "longnames")
	if got := t.serveService("longnames", "longnames"); got != stubAddress {
		t.failf("got address %s, want %s", got, stubAddress)
	}
	for _, pod := range t.deployed("longnames", ours) {
		if image := pod.Spec.Containers[0].Image; image != usersImage+":v1.2.3" {
			t.failf("%s runs %s", pod.Name, image)
		}
		if pod.Spec.PriorityClassName != "system-cluster-critical" {
			t.failf("%s has priority class %q", pod.Name, pod.Spec.PriorityClassName)
		}
	}
	stop := t.stream(clusterDNS, "kubernetes.default.svc.cluster.local", kubernetesAddress)
	t.apply(overlay("stub-domain/coredns"), "--force-conflicts")
	t.reloads()
	stop()
	n := deployedNodes(t, "prod", clusterDNS)
	t.deployment("prod", 3)
	members := t.podsOf("prod", "shop", 3)
	t.answersAt(clusterDNS, n.ask, "SRV", addressesOf(members)...)
	t.digsShort(members[0], n.ask, "SRV", srv(4369, addressesOf(members)...)...)
	t.digsShort(members[0], upstreamName, "A", upstreamAnswer)
	t.mesh(n, members)

	node := t.nodeLocalDNS()
	for _, pod := range t.deployed("longnames", ours) {
		t.connects(pod, nodeConnections()...)
	}
	for name, want := range map[string]string{"kubernetes.default.svc.cluster.local": kubernetesAddress, upstreamName: upstreamAnswer} {
		t.digsAt(node, name, "A", want)
	}
	t.scale("deployments", "prod", 4)
	members = t.podsOf("prod", "shop", 4)
	t.mesh(n, members)
	t.neverDropped(n, members)
	t.digsAt(node, n.ask, "A", addressesOf(members)...)
	t.scale("deployments", "prod", 2)
	members = t.podsOf("prod", "shop", 2)
	t.answersAt(stubAddress, n.ask, "A", addressesOf(members)...)
	t.digsAt(node, n.ask, "A", addressesOf(members)...) // nothing keeps what it answered before
}

// nodeConnections are those from nodes, with NodeLocal DNSCache. Where the network has a tunnel, nodes may come from an
// address of the pods' network, which has to be added.
func nodeConnections() []connection {
	node := peerOf{what: "a node", address: netip.MustParseAddr("192.168.1.10")}
	tunnel := peerOf{what: "a node, from its tunnel", address: netip.MustParseAddr("10.244.1.0")}
	return slices.Concat(both(node, false, 1053, true), both(tunnel, false, 1053, false),
		[]connection{{node, false, 9153, corev1.ProtocolTCP, false}, {node, true, 53, corev1.ProtocolUDP, false}})
}

// The addresses on which NodeLocal DNSCache listens on each node.
const nodeLocalAddress = "169.254.20.10"

// nodeLocalDNS runs our binary with the Corefile that the overlay gives NodeLocal DNSCache, on a node as node-cache has
// prepared it. It gives the node's network namespace.
func (t *trial) nodeLocalDNS() string {
	t.apply(overlay("stub-domain/node-local-dns"))
	files, err := t.configMap("kube-system", "node-local-dns", nil)
	t.must(err)
	corefile := strings.NewReplacer(
		"__PILLAR__CLUSTER__DNS__", t.serveService("kube-system", "kube-dns-upstream"),
		"__PILLAR__UPSTREAM__SERVERS__", upstreamAddress).Replace(files["Corefile"])
	path := filepath.Join(t.dir, "node-local-dns.Corefile")
	t.must(os.WriteFile(path, []byte(corefile), 0o600))
	node := t.netns("node")
	t.must(newPodNetns(t.ctx, t.plane.name, node, "node", []netip.Addr{netip.MustParseAddr(t.address("4", 200))}))
	t.cleanup(func() { _ = t.removeNetns(node) })
	t.must(batch(t.ctx, in(node, "addr add "+nodeLocalAddress+"/32 dev lo", "addr add "+clusterDNS+"/32 dev lo")...))
	p, err := start(node, t.dir, command{name: "node-local-dns", args: []string{t.coredns, "-conf", path}})
	t.must(err)
	t.cleanup(func() { p.stop(0) })
	t.must(p.until(t.ctx, patience, banner))
	return node
}

// digsAt asks NodeLocal DNSCache by dig, on its node.
func (t *trial) digsAt(node, name, qtype string, want ...string) {
	text, err := output(t.ctx, node, []string{"HOME=" + t.dir}, "/usr/bin/dig", "+short", "@"+nodeLocalAddress, name, qtype)
	t.must(err)
	t.must(same("dig "+name+" "+qtype, strings.Split(strings.TrimSpace(text), "\n"), want))
	t.note("NodeLocal DNSCache answers %s %s", name, qtype)
}
