package main

import (
	"slices"

	"github.com/miekg/dns"
)

// tryMissing lacks some verbs at start, in its namespace or in all of them, and gets them as the log says.
func tryMissing(t *trial, of resources, everywhere bool, verbs ...string) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	if len(verbs) == 1 {
		if everywhere {
			t.everywhere(ns, of, verbs...)
		} else {
			t.grant(ns, ns, of, verbs...)
		}
	}
	if slices.Equal(verbs, []string{"list"}) {
		t.olderAPI() // a list can also be streamed, for which the right to watch is enough
	}
	label, watched, options := "shop", ns, ""
	if everywhere { // others have pods that are called shop, too
		label, watched, options = t.name, "", "namespaces *\n"
	}
	one, both := []string{t.address("4", 10)}, []string{t.address("4", 10), t.address("4", 11)}
	t.service(ns, label)
	t.pod(ns, label, "shop-0", one[0])
	t.podsOf(ns, label, 1)
	v := t.vigil(one)
	t.server.launch(watchedBlock(options + "selector app=" + label + "\nlookup " + of.lookup() + "\nstartup_timeout 1s"))
	missing := refusals(of, watched, ns, verbs...)
	t.server.forbids(missing...)
	if slices.Contains(verbs, "list") {
		t.unknown()
	} else { // who may list knows the members once
		t.wants("shop.erl.internal", "A", one...)
	}
	t.grantAsked(ns)
	t.wantsCluster("shop.erl.internal", "shop", one, one)
	t.server.grants()
	t.must(t.server.ready())
	v.then(both...)
	t.pod(ns, label, "shop-1", both[1])
	t.wantsCluster("shop.erl.internal", "shop", both, both)
	v.end()
	t.server.forbids(missing...)
}

// unknown wants nothing to be answered, for the members are not known.
func (t *trial) unknown() {
	for _, qtype := range []string{"SRV", "TXT", "A", "AAAA"} {
		t.rcode("shop.erl.internal", qtype, "SERVFAIL")
	}
	m, err := t.ask("udp", "shop.erl.internal", "SRV", 1232)
	t.must(err)
	if code := extendedError(m); code != dns.ExtendedErrorCodeNotReady {
		t.failf("extended error %d: %s", code, m)
	}
	if t.server.ready() == nil {
		t.failf("ready without any members known")
	}
}

// tryStreamed may only watch, which is enough where the API server streams lists: nothing is missing.
func tryStreamed(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices, "list")
	t.service(ns, "shop")
	t.pod(ns, "shop", "shop-0", t.address("4", 10))
	t.podsOf(ns, "shop", 1)
	v := t.vigil([]string{t.address("4", 10)})
	t.server.serve(watchedBlock("selector app=shop"))
	v.sees(10)
	t.server.proxy.cut()
	both := []string{t.address("4", 10), t.address("4", 11)}
	v.then(both...)
	t.pod(ns, "shop", "shop-1", t.address("4", 11))
	t.wantsCluster("shop.erl.internal", "shop", both, both)
	v.end()
	t.server.forbids() // nothing
}

// tryMissingNamespace has rights in one namespace of two: half of a cluster would be as bad as none.
func tryMissingNamespace(t *trial) {
	prod, test := t.namespace("prod", podPolicy{}), t.namespace("test", podPolicy{})
	t.account(prod)
	t.grant(prod, prod, endpointSlices)
	want := make([]string, 0, 2)
	for _, ns := range []string{prod, test} {
		t.service(ns, "shop")
		t.pod(ns, "shop", "shop-0", "")
		want = append(want, addressesOf(t.podsOf(ns, "shop", 1))...)
	}
	v := t.vigil(want)
	t.server.launch(watchedBlock("namespaces " + prod + " " + test + "\nselector app=shop\nstartup_timeout 1s"))
	t.server.forbids(refusals(endpointSlices, test, prod, "list", "watch")...)
	t.unknown()
	t.grantAsked(prod)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	t.server.grants()
	v.end()
}
