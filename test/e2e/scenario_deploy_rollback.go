package main

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// tryRollback upgrades the standalone CoreDNS and rolls it back, in both ways that deploy/README.md has, while it is asked
// all the time. After each the next upgrade works as it says. Where the ConfigMap of the revision before is gone, `undo` gets
// no further than one pod.
func tryRollback(t *trial) {
	t.ownCluster("longnames")
	const name = "shop.prod.svc.erl.internal"
	t.exactly("prod", podPolicy{})
	beamService(t, "prod")
	t.pod("prod", "shop", "shop-0", "")
	members := addressesOf(t.podsOf("prod", "shop", 1))
	before, after := overlay("standalone"), t.standaloneWith("after", "ttl 0", "ttl 7")
	goes := func(dir string, ttl uint32, more ...string) {
		t.apply(dir, more...)
		t.rollsTo(name, ttl)
	}
	t.apply(before)
	t.rolledOut("longnames", "longnames")
	address := t.serveService("longnames", "longnames")
	t.answersAt(address, name, "A", members...)
	stop := t.stream(address, name, members...)

	goes(after, 7)
	goes(before, 0)
	goes(after, 7)
	t.kubectl("rollout", "undo", "-n", "longnames", "deployment/longnames")
	t.rollsTo(name, 0)
	if _, err := t.tryKubectl("apply", "--server-side", "-k", after); err == nil || !strings.Contains(err.Error(), "conflict") {
		t.failf("apply after undo: got error %v, want a conflict, as deploy/README.md says", err)
	}
	goes(after, 7, "--force-conflicts")
	goes(before, 0)
	t.prunes()
	t.kubectl("rollout", "undo", "-n", "longnames", "deployment/longnames")
	t.soon("a new pod waits for its ConfigMap", func() error {
		list, err := t.client.CoreV1().Pods("longnames").List(t.ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) != replicas+1 {
			err = fmt.Errorf("there are %d pods", len(list.Items))
		}
		return err
	})
	t.stillReady("longnames")
	goes(before, 0, "--force-conflicts")
	stop()
}

// prunes deletes the ConfigMaps that no pod uses, as a GitOps tool may.
func (t *trial) prunes() {
	used := t.deployed("longnames", ours)[0].Spec.Volumes
	maps, err := t.client.CoreV1().ConfigMaps("longnames").List(t.ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(ours)})
	t.must(err)
	deleted := 0
	for _, m := range maps.Items {
		if !slices.ContainsFunc(used, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == m.Name }) {
			t.kubectl("delete", "configmap", "-n", "longnames", m.Name)
			deleted++
		}
	}
	if deleted != 1 {
		t.failf("%d ConfigMaps are of no use, want 1", deleted)
	}
}

// rollsTo waits until a rollout is over, and each pod answers with its TTL.
func (t *trial) rollsTo(name string, ttl uint32) {
	t.rolledOut("longnames", "longnames")
	for _, pod := range t.deployed("longnames", ours) {
		t.answersWithTTL(pod.Status.PodIP+":1053", name, ttl)
	}
}
