package main

import (
	"fmt"
	"strings"
)

// nameScenarios: each way to look members up, with each way to name them.
func nameScenarios() []scenario {
	out := make([]scenario, 0, 6)
	for _, of := range []resources{endpointSlices, pods} {
		for _, mode := range []string{"ip", "dns", "hostname"} {
			out = append(out, scenario{"names-" + of.lookup() + "-" + mode, func(t *trial) { tryNames(t, of, mode) }})
		}
	}
	return out
}

func tryNames(t *trial, of resources, mode string) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, of)
	t.service(ns, "shop")
	t.service(ns, "other")
	for i := range 3 {
		t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "", hosted("shop"))
	}
	t.pod(ns, "other", "other-0", "", hosted("other"))
	members := t.podsOf(ns, "shop", 3)
	t.podsOf(ns, "other", 1) // who is there, and no member
	t.endpoints(ns, "other", 1)

	domain := ""
	if mode != "ip" {
		domain = "cluster_domain shop.erl.internal"
	}
	t.server.serve(`longnames shop.erl.internal 10.0.0.0/8 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + of.lookup() + `
		mode ` + mode + `
		basename shop
		` + domain + `
	}`)
	hosts := make([]string, 0, len(members))
	for _, pod := range members {
		hosts = append(hosts, hostOf(mode, pod, "shop.erl.internal"))
	}
	t.wantsCluster("shop.erl.internal", "shop", hosts, addressesOf(members))
	for i, pod := range members {
		dashed := strings.ReplaceAll(pod.Status.PodIP, ".", "-")
		for _, m := range []string{pod.Name, dashed} {
			t.wants(m+".shop.erl.internal", "A", pod.Status.PodIP)
			t.wants(m+".shop.erl.internal", "TXT", "shop@"+hosts[i])
		}
		t.wants(reverse(t, pod.Status.PodIP), "PTR", hosts[i])
		if mode != "ip" {
			t.wants(hosts[i], "A", pod.Status.PodIP)
		}
	}
	t.rcode("nobody.shop.erl.internal", "A", "NXDOMAIN")
}
