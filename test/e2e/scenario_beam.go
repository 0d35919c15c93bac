package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// beamScenarios: real nodes that know nothing but a name to ask. In modes dns and hostname they also resolve each
// other's hosts with the plugin alone, for the domain of the hosts lies in its zone.
func beamScenarios() []scenario {
	var out []scenario
	for _, mode := range []string{"ip", "dns", "hostname"} {
		kinds := []string{"srv", "txt", "ptr"}
		if mode == "ip" {
			kinds = append(kinds, "a")
		}
		for _, kind := range kinds {
			out = append(out, scenario{"beam-" + mode + "-" + kind, func(t *trial) { tryBeam(t, mode, kind, false) }})
		}
	}
	return append(out,
		scenario{"beam-ipv6-ip-srv", func(t *trial) { tryBeam(t, "ip", "srv", true) }},
		scenario{"beam-ipv6-ip-aaaa", func(t *trial) { tryBeam(t, "ip", "aaaa", true) }},
		scenario{"beam-ipv6-dns-txt", func(t *trial) { tryBeam(t, "dns", "txt", true) }},
	)
}

func tryBeam(t *trial, mode, kind string, inet6 bool) {
	n := &nodes{basename: "shop", mode: mode, domain: "erl.internal", kind: kind, ask: "erl.internal", inet6: inet6}
	policy := podPolicy{process: n.process(t)}
	family := corev1.IPv4Protocol
	if inet6 {
		policy.families, family = "6", corev1.IPv6Protocol
	}
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "shop", families(family))
	// The names of pods are what a StatefulSet gives them in mode hostname, and a Deployment in the others.
	kubernetes := "deployments"
	if mode == "hostname" {
		kubernetes = "statefulsets"
		t.statefulSet(ns, "shop", "shop", 5, "Parallel")
	} else {
		t.deployment(ns, 5)
	}
	options := "mode " + mode
	if mode != "ip" {
		options += "\ncluster_domain erl.internal"
	}
	t.server.serve(`longnames erl.internal 10.0.0.0/8 fd00::/16 {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
		` + options + `
	}`)
	t.policy(ns, policy) // the nodes boot, with nobody else there
	t.mesh(n, t.podsOf(ns, "shop", 5))
	t.scale(kubernetes, ns, 7)
	t.mesh(n, t.podsOf(ns, "shop", 7))
	t.scale(kubernetes, ns, 3)
	members := t.podsOf(ns, "shop", 3)
	t.mesh(n, members)
	if hosts, err := t.values(n.ask, "SRV"); err != nil || len(hosts) != len(members) {
		t.failf("%s: %w", strings.Join(hosts, " "), fmt.Errorf("%d hosts: %w", len(hosts), err))
	}
}
