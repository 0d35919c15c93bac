package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// nameScenarios: each way to look members up, with each way to name them.
func nameScenarios() []scenario {
	out := make([]scenario, 0, 6)
	for _, lookup := range []string{"endpoints", "pods"} {
		for _, mode := range []string{"ip", "dns", "hostname"} {
			out = append(out, scenario{"names-" + lookup + "-" + mode, func(t *trial) { tryNames(t, lookup, mode) }})
		}
	}
	return out
}

func tryNames(t *trial, lookup, mode string) {
	ns := t.namespace("prod", podPolicy{})
	of := endpointSlices
	if lookup == "pods" {
		of = pods
	}
	t.account(ns)
	t.grant(ns, ns, of)
	t.service(ns, "shop")
	t.service(ns, "other")
	for i := range 3 {
		t.pod(ns, "shop", fmt.Sprintf("shop-%d", i), "", hosted("shop"))
	}
	t.pod(ns, "other", "other-0", "", hosted("other"))
	members := t.podsOf(ns, "shop", 3)

	domain := ""
	if mode != "ip" {
		domain = "cluster_domain shop.erl.internal"
	}
	t.server.serve(`longnames shop.erl.internal 10.0.0.0/8 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + lookup + `
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

// hostOf is what Kubernetes' and libcluster's documentation tell people to put behind the @ of a node's name: written
// down here a second time, for the plugin must not be its own judge.
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

// wantsCluster waits for all that a cluster's name answers.
func (t *trial) wantsCluster(name, basename string, hosts, addresses []string) {
	t.wants(name, "SRV", hosts...)
	t.wants(name, "TXT", longnames(basename, hosts)...)
	var v4, v6 []string
	for _, a := range addresses {
		if strings.Contains(a, ":") {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	t.wants(name, "A", v4...)
	t.wants(name, "AAAA", v6...)
}
