package main

import corev1 "k8s.io/api/core/v1"

// beamScenarios: real nodes that know nothing but a name to ask. In modes dns and hostname they also resolve each
// other's hosts with the plugin alone, for the domain of the hosts lies in its zone. In each mode some are looked up as
// endpoints and some as pods.
func beamScenarios() []scenario {
	trials := []beamTrial{
		{"ip", "srv", endpointSlices, false},
		{"ip", "txt", pods, false},
		{"ip", "host", endpointSlices, false},
		{"ip", "a", pods, false},
		{"dns", "srv", pods, false},
		{"dns", "txt", endpointSlices, false},
		{"dns", "ptr", pods, false},
		{"hostname", "srv", endpointSlices, false},
		{"hostname", "txt", pods, false},
		{"hostname", "ptr", endpointSlices, false},
		{"ip", "srv", pods, true},
		{"ip", "aaaa", endpointSlices, true},
		{"dns", "txt", pods, true},
		{"dns", "ptr", endpointSlices, true},
		{"hostname", "srv", pods, true},
		{"hostname", "txt", endpointSlices, true},
	}
	out := make([]scenario, 0, len(trials))
	for _, b := range trials {
		name := "beam-"
		if b.inet6 {
			name += "ipv6-"
		}
		out = append(out, scenario{name + b.mode + "-" + b.kind + "-" + b.of.lookup(), func(t *trial) { tryBeam(t, b) }})
	}
	return out
}

// beamTrial is how nodes find each other.
type beamTrial struct {
	mode  string
	kind  string    // of question
	of    resources // that are looked up
	inet6 bool
}

func tryBeam(t *trial, b beamTrial) {
	n := &nodes{basename: "shop", mode: b.mode, domain: "erl.internal", kind: b.kind, ask: "erl.internal", inet6: b.inet6}
	if b.kind == "host" {
		n.env = t.inetrc("RabbitMQ")
	}
	policy := podPolicy{process: n.process(t)}
	family := corev1.IPv4Protocol
	if b.inet6 {
		policy.families, family = "6", corev1.IPv6Protocol
	}
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.grant(ns, ns, b.of)
	if b.of == endpointSlices { // pods are found without
		t.service(ns, "shop", families(family))
	}
	// The names of pods are what a StatefulSet gives them in mode hostname, and a Deployment in the others.
	kubernetes := "deployments"
	if b.mode == "hostname" {
		kubernetes = "statefulsets"
		t.statefulSet(ns, "shop", "shop", 5)
	} else {
		t.deployment(ns, 5)
	}
	options := "mode " + b.mode
	if b.mode != "ip" {
		options += "\ncluster_domain erl.internal"
	}
	// The TTL is that of a node's cache, too, and nodes ask each second.
	t.server.serve(`longnames erl.internal 10.0.0.0/8 fd00::/16 {
		SERVICE_ACCOUNT
		selector app=shop
		lookup ` + b.of.lookup() + `
		basename shop
		ttl 1
		` + options + `
	}`)
	t.policy(ns, policy) // the nodes boot, with nobody else there
	t.mesh(n, t.podsOf(ns, "shop", 5))
	t.scale(kubernetes, ns, 7)
	t.mesh(n, t.podsOf(ns, "shop", 7))
	t.scale(kubernetes, ns, 3)
	members := t.podsOf(ns, "shop", 3)
	t.mesh(n, members)
	t.neverDropped(n, members)
	hosts := make([]string, 0, len(members))
	for _, p := range members {
		hosts = append(hosts, hostOf(n.mode, p, n.domain))
	}
	t.wantsCluster(n.ask, "shop", hosts, addressesOf(members))
}
