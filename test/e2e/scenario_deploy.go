package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deployScenarios: what deploy has is applied as it stands, to a cluster of its own, whose controllers make the pods.
// Our kubelet runs these as they say, from the image, and real nodes find each other through them.
func deployScenarios() []scenario {
	return []scenario{
		{"deploy-standalone", tryStandalone},
		{"deploy-standalone-namespaced", tryNamespaced},
		{"deploy-stub-domain", tryStubDomain},
		{"deploy-cluster-dns", tryClusterDNS},
		{"deploy-rollback", tryRollback},
		{"deploy-container-restart", tryContainerRestart},
		{"deploy-another-namespace", tryAnotherNamespace},
	}
}

// ours labels the pods of the base.
var ours = map[string]string{"app.kubernetes.io/name": "longnames"}

// kubeDNS labels the pods of the cluster's DNS.
var kubeDNS = map[string]string{"k8s-app": "kube-dns"}

// deployedBasename is what the nodes of deployments are called: not as their Service is.
const deployedBasename = "store"

// beamService is a Service as deploy/README.md wants it.
func beamService(t *trial, namespace string) {
	t.service(namespace, "shop", withLabels(map[string]string{"beam": deployedBasename}))
}

// deployedNodes are real nodes behind it, which ask a nameserver for the cluster.
func deployedNodes(t *trial, namespace, nameserver string) *nodes {
	n := &nodes{basename: deployedBasename, mode: "ip", kind: "srv", ask: "shop." + namespace + ".svc.erl.internal"}
	t.exactly(namespace, podPolicy{process: n.process(t), servers: []string{nameserver}})
	beamService(t, namespace)
	return n
}

func tryStandalone(t *trial) {
	t.beam()
	t.ownCluster()
	t.adopt("longnames", podPolicy{container: t.contain, servers: []string{upstreamAddress}, families: "46"})
	t.apply(overlay("standalone"))
	t.rolledOut("longnames", "longnames")
	pods := t.deployed("longnames", ours)
	address := t.serveService("longnames", "longnames")
	n := deployedNodes(t, "prod", address)
	t.deployment("prod", 3)
	members := t.podsOf("prod", "shop", 3)
	hosts := addressesOf(members)
	t.answersAt(address, n.ask, "SRV", hosts...)
	t.answersAt(address, n.ask, "TXT", longnames(deployedBasename, hosts)...)
	t.answersAt(address, n.ask, "A", hosts...)
	t.digsShort(members[0], n.ask, "SRV", srv(4369, hosts...)...)
	t.answersAt(t.secondAddress("longnames", "longnames"), n.ask, "SRV", hosts...)
	t.mesh(n, members)

	for _, pod := range pods {
		t.restricted(pod)
		t.mayOnly(pod, "prod", onlyRight)
		t.mayOnly(pod, "kube-system", onlyRight)
		t.refused(pod, "prod")
		t.snapshots(pod)
		t.connects(pod, standaloneConnections()...)
	}
	t.notOurs(address)
	t.disrupts("longnames")
	t.deployed("longnames", ours)
	t.mesh(n, members)

	stop := t.stream(address, n.ask, hosts...)
	t.changesCorefile(address, n.ask)
	stop()
	t.mesh(n, members)
	t.neverDropped(n, members)
	for _, pod := range t.deployed("longnames", ours) {
		t.unharmed(pod)
	}
	t.deletes(overlay("standalone"))
}

// secondAddress gives the address of a Service in the other family, IPv6.
func (t *trial) secondAddress(namespace, service string) string {
	s, err := t.client.CoreV1().Services(namespace).Get(t.ctx, service, metav1.GetOptions{})
	t.must(err)
	if len(s.Spec.ClusterIPs) != 2 || !netip.MustParseAddr(s.Spec.ClusterIPs[1]).Is6() {
		t.failf("service %s has the addresses %q, want one of each family", service, s.Spec.ClusterIPs)
	}
	return s.Spec.ClusterIPs[1]
}

// standaloneConnections are those that matter, allowed or not.
func standaloneConnections() []connection {
	node := peerOf{what: "a pod of a namespace with nodes", namespace: labelsOfNamespace("prod", "beam"), pod: app("shop")}
	stranger := peerOf{what: "a pod of another namespace", namespace: labelsOfNamespace("other"), pod: app("shop")}
	clusterDNS := peerOf{what: "the cluster's DNS", namespace: labelsOfNamespace("kube-system"), pod: kubeDNS}
	helmDNS := peerOf{what: "the cluster's DNS by Helm", namespace: labelsOfNamespace("kube-system"), pod: map[string]string{"k8s-app": "coredns"}}
	system := peerOf{what: "another pod of kube-system", namespace: labelsOfNamespace("kube-system"), pod: app("other")}
	double := peerOf{what: "who has the labels of the cluster's DNS elsewhere", namespace: labelsOfNamespace("other"), pod: kubeDNS}
	prometheus := peerOf{what: "Prometheus", namespace: labelsOfNamespace("monitoring"), pod: app("prometheus")}
	host := peerOf{what: "a host", address: netip.MustParseAddr("192.168.1.10")}
	api := peerOf{what: "the API server"}
	return slices.Concat(
		both(node, false, 1053, true),
		both(clusterDNS, false, 1053, true),
		both(helmDNS, false, 1053, true),
		both(stranger, false, 1053, false),
		both(host, false, 1053, false),
		both(clusterDNS, true, 53, false),
		[]connection{
			{node, false, 9153, corev1.ProtocolTCP, false},
			{node, false, 8080, corev1.ProtocolTCP, false},
			{system, false, 1053, corev1.ProtocolUDP, false},
			{double, false, 1053, corev1.ProtocolUDP, false},
			{prometheus, false, 9153, corev1.ProtocolTCP, true},
			{prometheus, false, 1053, corev1.ProtocolTCP, false},
			{api, true, 443, corev1.ProtocolTCP, true},
			{api, true, 6443, corev1.ProtocolTCP, true},
			{api, true, 80, corev1.ProtocolTCP, false},
		},
	)
}

// snapshots wants a snapshot to be in the volume that the pod has for it.
func (t *trial) snapshots(pod corev1.Pod) {
	t.soon(pod.Name+" has written its snapshot", func() error {
		found, err := filepath.Glob(filepath.Join(t.dir, pod.Name, "volumes", "*", "svc.erl.internal.json"))
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("found %q", found)
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(found[0])
		if err == nil && !strings.Contains(string(text), "shop") {
			err = fmt.Errorf("%s has no member yet", found[0])
		}
		return err
	})
}

// notOurs wants a question for any other zone to be refused: nothing is forwarded, so nothing can go round in a loop.
func (t *trial) notOurs(address string) {
	for name, want := range map[string]int{upstreamName: dns.RcodeRefused, "other.prod.svc.erl.internal": dns.RcodeNameError} {
		m, err := t.query(address, name, "A")
		t.must(err)
		if m.Rcode != want {
			t.failf("%s: got %s, want %s", name, dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
		}
	}
}

// disrupts wants one pod of a Deployment to be evicted at a time.
func (t *trial) disrupts(name string) {
	pods := t.deployed(name, ours)
	t.soon("one pod may be evicted", func() error {
		b, err := t.client.PolicyV1().PodDisruptionBudgets(name).Get(t.ctx, name, metav1.GetOptions{})
		if err == nil && b.Status.DisruptionsAllowed != 1 {
			err = fmt.Errorf("%d disruptions are allowed", b.Status.DisruptionsAllowed)
		}
		return err
	})
	evict := func(pod string) error {
		return t.client.PolicyV1().Evictions(name).Evict(t.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: name}})
	}
	t.must(evict(pods[0].Name))
	if err := evict(pods[1].Name); !apierrors.IsTooManyRequests(err) {
		t.failf("the second pod was evicted at once: %v", err)
	}
}

// standaloneWith writes an overlay on top of overlays/standalone, as deploy/README.md says how, in which something of the
// Corefile is another.
func (t *trial) standaloneWith(dir, from, to string) string {
	corefile, err := os.ReadFile(filepath.Join(deployDir, "base", "Corefile"))
	t.must(err)
	if !strings.Contains(string(corefile), from) {
		t.failf("the base's Corefile has no %q", from)
	}
	return t.ownOverlay(dir, `resources: [DEPLOY/overlays/standalone]
configMapGenerator:
- {name: longnames, behavior: replace, files: [Corefile], options: {immutable: true}}
`, map[string]string{"Corefile": strings.Replace(string(corefile), from, to, 1)})
}

// changesCorefile rolls a change out, and one that CoreDNS cannot read, which goes no further than one pod.
func (t *trial) changesCorefile(address, name string) {
	t.apply(t.standaloneWith("broken", "ttl 0", "ttl a-while"))
	t.soon("a pod cannot read the Corefile", func() error { return t.oneSays(`expected TTL|ttl`) })
	t.stillReady("longnames")

	t.apply(t.standaloneWith("changed", "ttl 0", "ttl 7"))
	t.rolledOut("longnames", "longnames")
	t.deployed("longnames", ours)
	t.answersWithTTL(address, name, 7)
}

// answersWithTTL waits until a server answers with a TTL.
func (t *trial) answersWithTTL(address, name string, want uint32) {
	t.soon(fmt.Sprintf("answers have TTL %d", want), func() error {
		m, err := t.query(address, name, "A")
		if err == nil && (len(m.Answer) == 0 || m.Answer[0].Header().Ttl != want) {
			err = fmt.Errorf("got %s, want TTL %d", m, want)
		}
		return err
	})
}

// oneSays is an error until one of our pods has ended with an error that has a match.
func (t *trial) oneSays(pattern string) error {
	list, err := t.client.CoreV1().Pods("longnames").List(t.ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, pod := range list.Items {
		p, _ := t.kubelet.process(pod.UID)
		if p != nil && p.ended() != nil && regexp.MustCompile(pattern).MatchString(p.output()) {
			return nil
		}
	}
	return fmt.Errorf("none of %d pods has ended", len(list.Items))
}

// stillReady wants all pods that are needed to be ready, whoever else is there.
func (t *trial) stillReady(namespace string) {
	list, err := t.client.CoreV1().Pods(namespace).List(t.ctx, metav1.ListOptions{})
	t.must(err)
	ready := 0
	for i := range list.Items {
		if isReady(&list.Items[i]) && list.Items[i].DeletionTimestamp == nil {
			ready++
		}
	}
	if ready != replicas {
		t.failf("%d pods are ready, want %d", ready, replicas)
	}
}

// unharmed wants a pod's CoreDNS to have said nothing of an error.
func (t *trial) unharmed(pod corev1.Pod) {
	p, _ := t.kubelet.process(pod.UID)
	if p == nil {
		t.failf("%s does not run", pod.Name)
	}
	t.must(p.ended())
	if found := regexp.MustCompile(`(?m)^\[(ERROR|WARNING)\].*|^panic.*`).FindString(p.output()); found != "" {
		t.failf("%s has logged %s", pod.Name, found)
	}
}

// deletes wants nothing to be left of an overlay.
func (t *trial) deletes(dir string) {
	t.kubectl("delete", "--timeout=100s", "-k", dir)
	if out := t.kubectl("get", "--ignore-not-found", "-o", "name", "namespace/longnames", "clusterrole/longnames", "clusterrolebinding/longnames"); out != "" {
		t.failf("left after delete: %s", out)
	}
}

// tryNamespaced has rights in two namespaces, and knows nothing of a third.
func tryNamespaced(t *trial) {
	t.ownCluster("longnames")
	for _, ns := range []string{"prod", "staging", "other"} {
		t.exactly(ns, podPolicy{})
		beamService(t, ns)
		t.pod(ns, "shop", "shop-0", "")
	}
	t.apply(overlay("standalone-namespaced"))
	t.rolledOut("longnames", "longnames")
	address := t.serveService("longnames", "longnames")
	for _, ns := range []string{"prod", "staging"} {
		t.answersAt(address, "shop."+ns+".svc.erl.internal", "SRV", addressesOf(t.podsOf(ns, "shop", 1))...)
	}
	m, err := t.query(address, "shop.other.svc.erl.internal", "SRV")
	t.must(err)
	if m.Rcode != dns.RcodeNameError {
		t.failf("shop.other: got %s, want NXDOMAIN", dns.RcodeToString[m.Rcode])
	}
	for _, pod := range t.deployed("longnames", ours) {
		t.restricted(pod)
		t.mayOnly(pod, "prod", onlyRight)
		t.mayOnly(pod, "staging", onlyRight)
		for _, ns := range []string{"other", "longnames", "kube-system"} {
			t.mayOnly(pod, ns)
		}
		if _, err := t.as(pod).DiscoveryV1().EndpointSlices("").List(t.ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.failf("%s may list in all namespaces: %v", pod.Name, err)
		}
		t.connects(pod, standaloneConnections()...)
		t.unharmed(pod)
	}
	t.deletes(overlay("standalone-namespaced"))
	if out := t.kubectl("get", "roles,rolebindings", "-A", "-o", "name", "-l", "!kubernetes.io/bootstrapping"); strings.Contains(out, "longnames") {
		t.failf("left after delete: %s", out)
	}
}
