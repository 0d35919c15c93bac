package main

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lifeScenarios: what happens to a cluster that lives. In most of them somebody asks all the time, and never gets an
// answer that would tear the cluster apart.
func lifeScenarios() []scenario {
	return []scenario{
		{"scale-3-10-2", tryScale},
		{"rolling-update", tryRollingUpdate},
		{"readiness", tryReadiness},
		{"readiness-of-pods", tryPodReadiness},
		{"asker-is-in", tryAsker},
		{"terminating-slowly-endpoints", func(t *trial) { tryTerminating(t, endpointSlices) }},
		{"terminating-slowly-pods", func(t *trial) { tryTerminating(t, pods) }},
		{"ended-pods", tryEnded},
		{"statefulset-pod-replaced", tryReplaced},
	}
}

// shop makes a Service and a Deployment, and CoreDNS for it.
func (t *trial) shop(replicas int32) (namespace string) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop")
	t.deployment(ns, replicas)
	t.podsOf(ns, "shop", int(replicas))
	t.server.serve(watchedBlock("selector app=shop"))
	return ns
}

// watchedBlock is the block of shop.erl.internal whose answers are watched all the time. It has no hold: for its time,
// that would hide from who watches that the members were lost.
func watchedBlock(options string) string {
	return "longnames shop.erl.internal {\nSERVICE_ACCOUNT\nbasename shop\nhold 0\n" + options + "\n}\n"
}

// settles waits until the cluster is what Kubernetes has.
func (t *trial) settles(ns string, n int) []corev1.Pod {
	pods := t.podsOf(ns, "shop", n)
	t.wantsCluster("shop.erl.internal", "shop", addressesOf(pods), addressesOf(pods))
	return pods
}

func tryScale(t *trial) {
	ns := t.shop(3)
	first := addressesOf(t.settles(ns, 3))
	stop := t.steady("SRV", atLeast(3, first...))
	t.scale("deployments", ns, 10)
	t.settles(ns, 10)
	stop()
	stop = t.steady("SRV", atLeast(2))
	t.scale("deployments", ns, 2)
	t.settles(ns, 2)
	stop()
}

func tryRollingUpdate(t *trial) {
	ns := t.shop(5)
	before := addressesOf(t.settles(ns, 5))
	// By default a Deployment keeps three quarters of its pods available, which is 4 of 5.
	stop := t.steady("TXT", atLeast(4))
	_, err := t.client.AppsV1().Deployments(ns).Patch(t.ctx, "shop", "application/merge-patch+json",
		[]byte(`{"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`), metav1.PatchOptions{})
	t.must(err)
	t.soon("all pods are new", func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if slices.Contains(before, p.Status.PodIP) || p.Status.PodIP == "" {
				return fmt.Errorf("%s has %q", p.Name, p.Status.PodIP)
			}
		}
		return nil
	})
	t.settles(ns, 5)
	stop()
}

func tryReadiness(t *trial) {
	ns := t.shop(3)
	pods := t.settles(ns, 3)
	all := addressesOf(pods)
	ready := func(i int, yes bool) { t.must(setReady(t.ctx, t.client, ns, pods[i].Name, yes)) }
	stop := t.steady("A", atLeast(1))

	ready(0, false)
	t.wants("shop.erl.internal", "A", all[1], all[2])
	// The name of a single node does not depend on it.
	t.wants(pods[0].Name+".shop.erl.internal", "A", all[0])
	ready(0, true)
	t.wants("shop.erl.internal", "A", all...)
	// One after the other, until nobody is ready, so that all are members.
	ready(0, false)
	ready(1, false)
	t.wants("shop.erl.internal", "A", all[2])
	ready(2, false)
	t.wantsCluster("shop.erl.internal", "shop", all, all)
	ready(1, true)
	t.wants("shop.erl.internal", "A", all[1])
	ready(0, true)
	ready(2, true)
	t.wants("shop.erl.internal", "A", all...)
	// All at once.
	t.many(len(pods), func(i int) { ready(i, false) })
	t.soon("no endpoint is ready", func() error {
		for _, e := range t.endpoints(ns, "shop", 3) {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return fmt.Errorf("%s is", e.Addresses)
			}
		}
		return nil
	})
	t.wantsCluster("shop.erl.internal", "shop", all, all)
	ready(1, true) // this tells that it was seen
	t.wants("shop.erl.internal", "A", all[1])
	stop()
}

// tryPodReadiness: looked up as pods, all are members by default, ready or not, and with include ready only some: without
// hold at once, and else not before all the others had the time to follow the first.
func tryPodReadiness(t *trial) {
	ns := t.namespace("prod", podPolicy{unready: true})
	t.account(ns)
	t.grant(ns, ns, pods)
	t.deployment(ns, 3)
	members := t.podsOf(ns, "shop", 3)
	all := addressesOf(members)
	block := func(zone, more string) string {
		return "longnames " + zone + " {\nSERVICE_ACCOUNT\nselector app=shop\nlookup pods\nbasename shop\n" + more + "\n}\n"
	}
	t.server.serve(block("all.erl.internal", "") + block("ready.erl.internal", "include ready\nhold 0") +
		block("doubted.erl.internal", "include ready\nhold 1h"))
	t.wants("all.erl.internal", "A", all...)
	t.wants("ready.erl.internal", "A", all...) // never nobody
	t.wants("doubted.erl.internal", "A", all...)
	t.must(setReady(t.ctx, t.client, ns, members[1].Name, true))
	t.wants("ready.erl.internal", "A", all[1])
	// What comes later tells that this block has seen it, too.
	t.pod(ns, "shop", "shop-later", t.address("4", 5))
	later := append(slices.Clip(all), t.address("4", 5))
	t.wants("all.erl.internal", "A", later...)
	t.wants("doubted.erl.internal", "A", later...)
	t.must(setReady(t.ctx, t.client, ns, members[2].Name, true))
	t.wants("ready.erl.internal", "A", all[1], all[2])
	t.wants("doubted.erl.internal", "A", later...)
	for _, name := range []string{members[0].Name, "shop-later"} {
		t.must(setReady(t.ctx, t.client, ns, name, true))
	}
	t.wants("ready.erl.internal", "A", later...)
	t.must(setReady(t.ctx, t.client, ns, members[0].Name, false))
	t.wants("doubted.erl.internal", "A", later[1:]...) // one that fails alone is believed
}

// tryAsker asks as a pod that is not ready: for itself, and for nobody else, it is a member.
func tryAsker(t *trial) {
	ns := t.shop(3)
	pods := t.settles(ns, 3)
	all := addressesOf(pods)
	t.must(setReady(t.ctx, t.client, ns, pods[0].Name, false))
	t.wants("shop.erl.internal", "A", all[1], all[2])
	self, err := openNetns(t.asker(all[0]))
	t.must(err)
	defer self.close()
	for _, network := range []string{"udp", "tcp"} {
		m, err := t.askFrom(self, network, "shop.erl.internal", "A", 0)
		t.must(err)
		t.must(same("what the one that is not ready gets over "+network, data(m), all))
	}
}

// tryTerminating has pods that take their time to end, which differ in being ready meanwhile.
func tryTerminating(t *trial, of resources) {
	ns := t.namespace("prod", podPolicy{lingers: true})
	t.account(ns)
	t.grant(ns, ns, of)
	t.service(ns, "shop")
	for i := range 4 {
		t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "")
	}
	members := t.podsOf(ns, "shop", 4)
	all := addressesOf(members)
	block := func(include string) string {
		return "longnames " + include + ".erl.internal {\nSERVICE_ACCOUNT\nselector app=shop\nbasename shop\nlookup " +
			of.lookup() + "\ninclude " + include + "\n}\n"
	}
	t.server.serve(block("ready") + block("serving") + block("all"))
	// Each zone is a block of its own. That it has seen all that was before, a pod that comes later tells: where the right
	// answer is with that one, it cannot be the one before.
	var later []string
	are := func(ready, serving, every []string) {
		later = append(later, t.address("4", 100+len(later)))
		t.pod(ns, "shop", fmt.Sprintf("later-%d", len(later)), later[len(later)-1])
		for include, want := range map[string][]string{"ready": ready, "serving": serving, "all": every} {
			t.wants(include+".erl.internal", "A", slices.Concat(want, later)...)
		}
	}
	are(all, all, all)
	t.deletePod(ns, "shop-0") // terminating, but serves
	are(all[1:], all, all)
	t.must(setReady(t.ctx, t.client, ns, "shop-0", false)) // and serves no longer
	are(all[1:], all[1:], all)
	t.must(setReady(t.ctx, t.client, ns, "shop-1", false)) // neither ready nor terminating
	are(all[2:], all[2:], all)
	t.policy(ns, podPolicy{}) // at last
	t.wants("all.erl.internal", "A", slices.Concat(all[1:], later)...)
	t.rcode("shop-0.all.erl.internal", "A", "NXDOMAIN")
}

// tryEnded has pods that have ended, whose addresses others take over, as a network plugin may give them out.
func tryEnded(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, pods)
	for i := range 3 {
		t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "")
	}
	members := t.podsOf(ns, "shop", 3)
	all := addressesOf(members)
	t.server.serve(`longnames shop.erl.internal 10.0.0.0/8 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup pods
		basename shop
	}
	longnames apps.erl.internal {
		SERVICE_ACCOUNT
		lookup pods
		group_by app
	}`)
	t.wants("shop.erl.internal", "A", all...)
	t.must(setPhase(t.ctx, t.client, ns, "shop-0", corev1.PodSucceeded))
	t.must(setPhase(t.ctx, t.client, ns, "shop-1", corev1.PodFailed))
	t.wants("shop.erl.internal", "A", all[2])
	// One address goes to a pod of the same app, the other to one of another.
	t.pod(ns, "shop", "shop-3", all[0])
	t.pod(ns, "cart", "cart-0", all[1])
	t.wants("shop.erl.internal", "A", all[0], all[2])
	t.wants("shop-3.shop.erl.internal", "A", all[0])
	t.rcode("shop-0.shop.erl.internal", "A", "NXDOMAIN")
	t.wants("cart."+ns+".apps.erl.internal", "TXT", "cart@"+all[1])
	t.wants("shop."+ns+".apps.erl.internal", "TXT", "shop@"+all[0], "shop@"+all[2])
	// That the old ones are removed changes nothing.
	t.deletePod(ns, "shop-0")
	t.deletePod(ns, "shop-1")
	t.soon("the ended pods are gone", func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{LabelSelector: "app=shop"})
		if err == nil && len(list.Items) != 2 {
			err = fmt.Errorf("%d pods", len(list.Items))
		}
		return err
	})
	last := t.address("4", 5) // what comes later tells that both blocks have seen it
	t.pod(ns, "shop", "shop-later", last)
	t.wants("shop.erl.internal", "A", all[0], all[2], last)
	t.wants("shop."+ns+".apps.erl.internal", "A", all[0], all[2], last)
	t.is("cart."+ns+".apps.erl.internal", "TXT", "cart@"+all[1])
}

func tryReplaced(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop")
	t.statefulSet(ns, "shop", "shop", 3)
	before := addressesOf(t.podsOf(ns, "shop", 3))
	// Without a hold, as in watchedBlock.
	t.server.serve(`longnames shop.erl.internal 10.0.0.0/8 {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
		mode hostname
		cluster_domain shop.erl.internal
		hold 0
	}`)
	hosts := make([]string, 0, 3)
	for i := range 3 {
		hosts = append(hosts, fmt.Sprintf("shop-%d.shop.%s.svc.shop.erl.internal", i, ns))
	}
	t.wantsCluster("shop.erl.internal", "shop", hosts, before)
	stop := t.steady("SRV", atLeast(2, hosts[0], hosts[2]))
	t.deletePod(ns, "shop-1")
	var after []string
	t.soon("shop-1 has a new address", func() error {
		after = addressesOf(t.podsOf(ns, "shop", 3))
		if after[1] == before[1] {
			return fmt.Errorf("still %s", after[1])
		}
		return nil
	})
	t.wantsCluster("shop.erl.internal", "shop", hosts, after)
	t.wants(hosts[1], "A", after[1])
	t.wants(reverse(t, after[1]), "PTR", hosts[1])
	t.rcode(reverse(t, before[1]), "PTR", "NXDOMAIN")
	stop()
}
