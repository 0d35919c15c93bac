package main

import (
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tryDeployedClients applies deploy/ and the manifest of docs/clients.md, as they stand, and has all nodes be replaced one
// after the other. Those that are told to end live on for a while, and stay members to their end: nobody loses them before.
func tryDeployedClients(t *trial) {
	t.beam()
	t.ownCluster("longnames")
	t.apply(overlay("standalone"))
	t.rolledOut("longnames", "longnames")
	address := t.serveService("longnames", "longnames")
	const ns, section = "prod", "Mode ip"
	t.exactly(ns, podPolicy{unaddressed: true})
	t.erlangConfig(ns)
	manifest := t.snippet(clientsPage, section, "yaml", ns)
	policy := podPolicy{
		process: t.release(t.snippet(clientsPage, section, "sh", ns), func([]string) []string {
			return []string{"srv", "shop." + ns + ".svc.erl.internal.", "shop"}
		}),
		readyWhen: regexp.MustCompile(`(?m)^NODES`),
		servers:   []string{address},
		lingers:   true,
	}
	t.policy(ns, policy)
	t.applyText("shop", migrating(manifest, "before"))
	n := &nodes{basename: "shop", mode: "ip"}
	t.rolled(ns, "before", n)
	before := t.podsOf(ns, "shop", 5)

	t.applyText("shop", migrating(manifest, "after"))
	all := t.beside(ns, 5)
	t.answersAt(address, "shop."+ns+".svc.erl.internal", "TXT", longnames("shop", addressesOf(all))...)
	t.mesh(n, all)
	if lost := t.losses(); len(lost) > 0 {
		t.failf("nodes have lost others, none of which had ended: %v", lost)
	}
	now := []time.Time{time.Now()}
	gone := make(map[string][]time.Time)
	for _, p := range before {
		gone[p.Name], gone["shop@"+p.Status.PodIP] = now, now
	}
	policy.lingers = false
	t.policy(ns, policy)
	t.rolled(ns, "after", n)
	t.notLost(gone)
}

// beside waits until there are as many new pods as old ones, which have been told to end, and all are ready.
func (t *trial) beside(namespace string, n int) []corev1.Pod {
	var all []corev1.Pod
	t.within(2*patience, fmt.Sprintf("%d new pods are beside as many that end", n), func() error {
		list, err := t.client.CoreV1().Pods(namespace).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		all = list.Items
		ending := 0
		for _, p := range all {
			if p.DeletionTimestamp != nil {
				ending++
			}
			if p.Status.PodIP == "" || !isReady(&p) {
				return fmt.Errorf("%s is not ready", p.Name)
			}
		}
		if len(all) != 2*n || ending != n {
			return fmt.Errorf("%d of %d end", ending, len(all))
		}
		return nil
	})
	return all
}
