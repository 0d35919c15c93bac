package main

import "slices"

// olderScenarios: an API server that does not stream lists, as those before Kubernetes 1.34. CoreDNS has to list and
// then to watch.
func olderScenarios() []scenario {
	return []scenario{
		{"older-api-server", tryOlder},
		{"older-api-server-cached", tryOlderCached},
	}
}

// olderAPI has CoreDNS speak to that API server.
func (t *trial) olderAPI() {
	t.must(t.older())
	t.server.api = olderAddress
}

func tryOlder(t *trial) {
	t.olderAPI()
	ns := t.shop(3)
	before := addressesOf(t.settles(ns, 3))
	v := t.vigil(before)
	more := slices.Concat(before, []string{t.address("4", 5)})
	v.then(more...)
	t.pod(ns, "shop", "shop-more", t.address("4", 5))
	t.wantsCluster("shop.erl.internal", "shop", more, more)
	t.server.proxy.cut()
	v.then(before...)
	t.deletePod(ns, "shop-more")
	t.wantsCluster("shop.erl.internal", "shop", before, before)
	v.end()
	t.readsFrom("kube-apiserver-older", ns, "list", false)
}

func tryOlderCached(t *trial) {
	t.olderAPI()
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, pods)
	t.deployment(ns, 3)
	want := addressesOf(t.podsOf(ns, "shop", 3))
	t.server.serve(watchedBlock("selector app=shop\nlookup pods\ncached"))
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	t.readsFrom("kube-apiserver-older", ns, "list", true)
}
