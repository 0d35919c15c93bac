package main

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// product is something that has a manifest of its own in docs/clients.md. Its pods' environment says how its nodes are
// called, and what they ask for.
type product struct {
	client   string // also the page's section, and in lower case its app's name
	mode     string
	secret   []string // its name and keys
	nodeName string   // the variable that is the node's name
	prefix   string   // of the longname, if the variable has none
	asksFor  string   // the variable that says for what it asks, or none: it has a list of names
	call     string   // of clients:nodes/3
}

var products = []product{
	{"Livebook", "ip", []string{"livebook", "cookie", "secret-key-base", "password"}, "LIVEBOOK_NODE", "", "LIVEBOOK_CLUSTER", "getbyname a aaaa"},
	{"EMQX", "hostname", []string{"emqx-cookie", "cookie"}, "EMQX_NODE__NAME", "", "EMQX_CLUSTER__DNS__NAME", "lookup srv"},
	{"CouchDB", "hostname", []string{"couchdb", "cookie", "secret", "user", "password"}, "NODENAME", "couchdb@", "", "couchdb"},
}

func (p *product) app() string { return strings.ToLower(p.client) }

// tryProducts asks what each product would ask, by what its manifest tells it, from within its pod. What it finds has to
// be what its pods are told to call themselves. All are served by the two blocks that docs/clients.md has for two modes.
func tryProducts(t *trial) {
	t.beam()
	ns := t.namespace("prod", podPolicy{process: t.idleIn})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	for _, p := range products {
		t.secret(ns, p.secret[0], p.secret[1:]...)
		t.applyText(p.app(), t.snippet(clientsPage, p.client, "yaml", ns))
	}
	t.serveBlocks(t.snippet(clientsPage, "More than one mode", "corefile", ns))
	for _, p := range products {
		t.tryProduct(p, ns)
	}
	t.rcode(serviceName("nobody", ns), "A", "NXDOMAIN") // both blocks let it fall through
}

func (t *trial) tryProduct(p product, ns string) {
	pods := t.podsOf(ns, p.app(), 3)
	want := make([]string, 0, len(pods))
	for _, pod := range pods {
		want = append(want, p.prefix+t.told(pod, p.nodeName))
	}
	byHand := longnames(p.app(), hostsOf(pods, p.mode, clientsDomain))
	t.must(same("the names that the pods of "+p.client+" are told", want, byHand))
	name := serviceName(p.app(), ns)
	t.wants(name, "TXT", want...)
	if p.asksFor != "" {
		t.must(same("what "+p.client+" asks for", []string{strings.TrimPrefix(strings.TrimSuffix(t.told(pods[0], p.asksFor), "."), "dns:")}, []string{name}))
	} else {
		name = t.seeds(ns, want)
		want = want[:strings.Count(name, ",")+1]
		for i := range want {
			want[i] += "=" + pods[i].Status.PodIP
		}
	}
	_, namespace := t.kubelet.process(pods[0].UID)
	t.finds(namespace, nil, p.call, name, p.app(), want, 1)
	t.note("%-14s mode %-8s %s: %s", p.client, p.mode, name, brief(want))
}

// seeds gives CouchDB's list, which has to be some of its nodes, the first ones.
func (t *trial) seeds(ns string, nodes []string) string {
	config, err := t.client.CoreV1().ConfigMaps(ns).Get(t.ctx, "couchdb", metav1.GetOptions{})
	t.must(err)
	_, list, found := strings.Cut(config.Data["seedlist.ini"], "[cluster]\nseedlist = ")
	if !found {
		t.failf("got %q, want a seedlist", config.Data["seedlist.ini"])
	}
	list = strings.TrimSpace(list)
	seeds := strings.Split(list, ",")
	if len(seeds) > len(nodes) {
		t.failf("%d seeds, want %d at most", len(seeds), len(nodes))
	}
	t.must(same("the seed list", seeds, nodes[:len(seeds)]))
	return list
}

func hostsOf(pods []corev1.Pod, mode, domain string) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		out = append(out, hostOf(mode, p, domain))
	}
	return out
}

// told gives the value of a variable of a pod's container.
func (t *trial) told(pod corev1.Pod, variable string) string {
	env, err := t.environment(&pod, []netip.Addr{netip.MustParseAddr(pod.Status.PodIP)})
	t.must(err)
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, variable+"="); ok {
			return value
		}
	}
	t.failf("%s: no %s in %q", pod.Name, variable, env)
	return ""
}
