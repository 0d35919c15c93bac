package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// tryClusterDNS gives the cluster's own DNS our image and then our Corefile. Meanwhile it answers as it always did.
func tryClusterDNS(t *trial) {
	t.beam()
	t.ownCluster("kube-system")
	t.kubectl("create", "--validate=strict", "-f", "testdata/kubeadm.yaml")
	t.rolledOut("kube-system", "coredns")
	t.serveService("kube-system", "kube-dns")
	t.exactly("web", podPolicy{})
	t.service("web", "web")
	t.pod("web", "web", "web-0", "")
	t.mayRead()
	questions := kubernetesQuestions(t.podsOf("web", "web", 1)[0])
	for _, q := range questions {
		t.answersAt(clusterDNS, q.name, q.qtype, q.want...)
	}
	stop := t.stream(clusterDNS, "kubernetes.default.svc.cluster.local", kubernetesAddress)

	t.apply(overlay("cluster-dns/image"), "--force-conflicts")
	t.rolledOut("kube-system", "coredns")
	for _, pod := range t.deployed("kube-system", kubeDNS) {
		if image := pod.Spec.Containers[0].Image; !strings.HasPrefix(image, unpulled+":") {
			t.failf("%s runs %s", pod.Name, image)
		}
	}
	t.differs(overlay("cluster-dns/corefile"), "basename label beam")
	t.apply(overlay("cluster-dns/corefile"), "--force-conflicts")
	pods := t.reloads()
	stop()

	for _, q := range questions {
		t.answersAt(clusterDNS, q.name, q.qtype, q.want...)
	}
	n := deployedNodes(t, "prod", clusterDNS)
	t.deployment("prod", 3)
	members := t.podsOf("prod", "shop", 3)
	t.answersAt(clusterDNS, n.ask, "SRV", addressesOf(members)...)
	t.digsShort(members[0], n.ask, "SRV", srv(4369, addressesOf(members)...)...)
	t.mesh(n, members)
	for _, pod := range pods {
		t.restricted(pod)
		t.snapshots(pod)
		t.unharmed(pod)
		t.mayOnly(pod, "prod", "list,watch endpoints,services,pods,namespaces", onlyRight)
	}
	stop = t.stream(clusterDNS, n.ask, addressesOf(members)...)
	t.kubectl("rollout", "restart", "-n", "kube-system", "deployment/coredns")
	t.rolledOut("kube-system", "coredns")
	t.deployed("kube-system", kubeDNS)
	stop()
	t.neverDropped(n, members)
	t.goesBack(questions)
}

// goesBack takes the cluster's DNS back to the image that it had, as deploy/README.md says how: first the Corefile, when no
// node asks any more, then the image, by the number of its revision.
func (t *trial) goesBack(questions []plainQuestion) {
	t.scale("deployments", "prod", 0)
	t.podsOf("prod", "shop", 0)
	stop := t.stream(clusterDNS, "kubernetes.default.svc.cluster.local", kubernetesAddress)
	text, err := os.ReadFile(filepath.Join(overlay("cluster-dns/corefile"), "Corefile"))
	t.must(err)
	without, _, ok := strings.Cut(string(text), "\n# Every Service")
	if !ok {
		t.failf("the Corefile has no comment before our block")
	}
	t.apply(t.ownOverlay("back", `generatorOptions: {disableNameSuffixHash: true}
configMapGenerator:
- {name: coredns, namespace: kube-system, files: [Corefile]}
`, map[string]string{"Corefile": without}), "--force-conflicts")
	t.reloads()
	t.isBefore("2", unpulled+":")
	t.isBefore("1", "coredns/coredns:")
	t.kubectl("rollout", "undo", "-n", "kube-system", "deployment/coredns", "--to-revision=1")
	t.rolledOut("kube-system", "coredns")
	for _, pod := range t.deployed("kube-system", kubeDNS) {
		if image := pod.Spec.Containers[0].Image; !strings.HasPrefix(image, "coredns/coredns:") {
			t.failf("%s runs %s", pod.Name, image)
		}
	}
	stop()
	for _, q := range questions {
		t.answersAt(clusterDNS, q.name, q.qtype, q.want...)
	}
}

// isBefore wants a revision of the cluster's DNS to have an image.
func (t *trial) isBefore(revision, image string) {
	out := t.kubectl("rollout", "history", "-n", "kube-system", "deployment/coredns", "--revision="+revision)
	if !regexp.MustCompile(`(?m)^\s+Image:\s+` + regexp.QuoteMeta(image)).MatchString(out) {
		t.failf("revision %s has not the image %s: %s", revision, image, out)
	}
}

// differs wants `kubectl diff` to show a line, as deploy/README.md has people look.
func (t *trial) differs(dir, line string) {
	_, err := t.tryKubectl("diff", "--server-side", "--force-conflicts", "-k", dir)
	if err == nil || !strings.Contains(err.Error(), line) { // it fails where there is a difference, and prints that
		t.failf("kubectl diff has no line with %q: %w", line, err)
	}
}

// mayRead asks whether the cluster's DNS has the rights, as deploy/README.md has users ask.
func (t *trial) mayRead() {
	all, err := snippets(deployPage)
	t.must(err)
	asked := false
	for _, s := range all {
		if s.language == "sh" && strings.Contains(s.text, "auth can-i") {
			t.must(same("rights of the cluster's DNS", strings.Fields(t.shell(s.text)), []string{"yes", "yes"}))
			asked = true
		}
	}
	if !asked {
		t.failf("%s does not ask for rights", deployPage)
	}
}

// reloads waits until all pods of the cluster's DNS have found the new Corefile, for which they look every 30 seconds, and
// gives these. Until then some answer NXDOMAIN for the zone, so that no node should ask yet.
func (t *trial) reloads() []corev1.Pod {
	pods := t.deployed("kube-system", kubeDNS)
	for _, pod := range pods {
		p, _ := t.kubelet.process(pod.UID)
		if p == nil {
			t.failf("%s does not run", pod.Name)
		}
		t.within(3*patience, pod.Name+" has the new Corefile", func() error {
			return p.says(regexp.MustCompile(`(?m)^\[INFO\] Reloading complete`))
		})
	}
	return pods
}

// plainQuestion is one, and what its answer has to be.
type plainQuestion struct {
	name, qtype string
	want        []string
}

// kubernetesQuestions are those that the cluster's DNS has to answer whatever else it does.
func kubernetesQuestions(web corev1.Pod) []plainQuestion {
	pod := web.Status.PodIP
	reversed, _ := dns.ReverseAddr(kubernetesAddress)
	return []plainQuestion{
		{"kubernetes.default.svc.cluster.local", "A", []string{kubernetesAddress}},
		{"web.web.svc.cluster.local", "A", []string{pod}},
		{strings.ReplaceAll(pod, ".", "-") + ".web.pod.cluster.local", "A", []string{pod}},
		{reversed, "PTR", []string{"kubernetes.default.svc.cluster.local"}},
		{upstreamName, "A", []string{upstreamAnswer}},
	}
}
