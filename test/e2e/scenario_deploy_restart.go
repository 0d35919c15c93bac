package main

import (
	"regexp"

	corev1 "k8s.io/api/core/v1"
)

// tryContainerRestart kills CoreDNS in a pod while the pod cannot reach the API server. The next container of the same pod
// answers from the snapshot in its emptyDir, and follows the API server again once that is back.
func tryContainerRestart(t *trial) {
	t.ownCluster("longnames")
	const name = "shop.prod.svc.erl.internal"
	t.exactly("prod", podPolicy{})
	beamService(t, "prod")
	t.pod("prod", "shop", "shop-0", "")
	t.pod("prod", "shop", "shop-1", "")
	members := addressesOf(t.podsOf("prod", "shop", 2))
	t.apply(overlay("standalone"))
	t.rolledOut("longnames", "longnames")
	pod := t.deployed("longnames", ours)[0]
	at := pod.Status.PodIP + ":1053"
	t.answersAt(at, name, "A", members...)
	t.snapshots(pod)

	t.severs(pod, "add")
	p := t.restart(pod)
	t.answersAt(at, name, "A", members...)
	t.answersAt(at, name, "TXT", longnames(deployedBasename, members)...)
	t.must(p.says(regexp.MustCompile(`(?m)snapshot: \d+ objects of .* from /var/lib/coredns/svc\.erl\.internal\.json`)))
	t.pod("prod", "shop", "shop-2", "")
	t.podsOf("prod", "shop", 3)
	t.answersAt(at, name, "A", members...) // it cannot know yet
	t.severs(pod, "del")
	t.answersAt(at, name, "A", addressesOf(t.podsOf("prod", "shop", 3))...)
}

// severs has a pod find no way to the API server ("add"), or find it again ("del"). Only the port is lost: questions to the
// pod come from the same address here.
func (t *trial) severs(pod corev1.Pod, verb string) {
	_, netns := t.kubelet.process(pod.UID)
	if netns == "" {
		t.failf("%s does not run", pod.Name)
	}
	t.must(batch(t.ctx, in(netns, "rule "+verb+" pref 1 to "+kubernetesAddress+" ipproto tcp dport 443 unreachable")...))
}

// restart kills the container of a pod, and starts it again with the volumes that the pod has, as a kubelet does. Probes
// are not asked again.
func (t *trial) restart(pod corev1.Pod) *process {
	p, netns := t.kubelet.process(pod.UID)
	if p == nil {
		t.failf("%s does not run", pod.Name)
	}
	p.stop(0)
	c := p.command
	c.name += "-again"
	again, err := start(netns, t.dir, c)
	t.must(err)
	t.cleanup(func() { again.stop(0) })
	return again
}
