package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// client is one of docs/clients.md: what it asks for, in which modes, and what it makes of the answer.
type client struct {
	name     string
	strategy string
	modes    []string
	types    []string // that it asks for
	call     string   // of clients:nodes/3 in beam/clients.erl; none if it is no BEAM that asks
	zone     string   // which of the zones it asks
	inetrc   string   // the page's section that has an inetrc for it, if it needs one
	// node is what it makes of a member, if that is not the longname.
	node func(m member, port int) string
}

// The zones that there are in each mode.
const (
	zoneMode     = "mode"     // that of the page's section about the mode
	zonePartisan = "partisan" // SRV records give partisan's port
	zoneCaravan  = "caravan"  // SRV records give the port that is in the basename
	zoneReverse  = "reverse"  // has PTR records, too
	zoneProduct  = "product"  // that of a product's own manifest
)

var (
	onlyIP  = []string{"ip"}
	anyMode = []string{"ip", "dns", "hostname"}

	typeA     = []string{"A"}
	typeAAAA  = []string{"AAAA"}
	typesBoth = []string{"A", "AAAA"}
	typeSRV   = []string{"SRV"}
)

// clientTable has the rows of the table in docs/clients.md, in its order.
var clientTable = []client{
	{name: "libcluster", strategy: "Kubernetes.DNSSRV", modes: anyMode, types: typeSRV, call: "libcluster Kubernetes.DNSSRV", zone: zoneMode},
	{name: "libcluster", strategy: "Kubernetes.DNS", modes: onlyIP, types: typeA, call: "libcluster Kubernetes.DNS", zone: zoneMode},
	{name: "libcluster", strategy: "DNSPoll", modes: onlyIP, types: typesBoth, call: "lookup a aaaa", zone: zoneMode},
	{name: "dns_cluster", strategy: "0.3", modes: onlyIP, types: []string{"A", "AAAA", "SRV"}, call: "dns_cluster 0.3", zone: zoneMode},
	{name: "dns_cluster", strategy: "0.2", modes: onlyIP, types: typesBoth, call: "getbyname a aaaa", zone: zoneMode},
	{name: "Livebook", strategy: "dns:", modes: onlyIP, types: typesBoth, call: "getbyname a aaaa", zone: zoneProduct},
	{name: "peerage", strategy: "Peerage.Via.Dns", modes: onlyIP, types: typeA, call: "lookup a", zone: zoneMode},
	{name: "EMQX", strategy: "record_type = a", modes: onlyIP, types: typeA, call: "lookup a", zone: zoneMode},
	{name: "EMQX", strategy: "record_type = aaaa", modes: onlyIP, types: typeAAAA, call: "lookup aaaa", zone: zoneMode},
	{name: "EMQX", strategy: "record_type = srv", modes: anyMode, types: typeSRV, call: "lookup srv", zone: zoneMode},
	{name: "RabbitMQ", strategy: "dns", modes: anyMode, types: []string{"A", "AAAA", "PTR"}, call: "rabbitmq", zone: zoneReverse, inetrc: "RabbitMQ"},
	{name: "partisan", strategy: "a", modes: onlyIP, types: typeA, call: "lookup a", zone: zoneMode},
	{name: "partisan", strategy: "aaaa", modes: onlyIP, types: typeAAAA, call: "lookup aaaa", zone: zoneMode},
	{name: "partisan", strategy: "srv", modes: anyMode, types: []string{"SRV", "A"}, call: "partisan srv", zone: zonePartisan, node: partisanNode},
	{name: "partisan", strategy: "fqdns", modes: []string{"dns", "hostname"}, types: []string{"A", "PTR"}, call: "partisan fqdns", zone: zoneReverse},
	{name: "CouchDB", strategy: "seedlist", modes: []string{"hostname"}, types: typesBoth, call: "couchdb", zone: zoneProduct},
	{name: "gen_cluster", strategy: "srv", modes: anyMode, types: typeSRV, call: "gen_cluster srv", zone: zoneMode},
	{name: "caravan", strategy: "DnsStrategy", modes: anyMode, types: typeSRV, call: "caravan", zone: zoneCaravan, node: caravanNode},
	{name: "barnacle", strategy: "dns", modes: onlyIP, types: typesBoth, call: "lookup a aaaa", zone: zoneMode},
	{name: "nessie_cluster", strategy: "DnsQuery", modes: onlyIP, types: typesBoth, call: "getbyname a aaaa", zone: zoneMode},
}

// member is one of those that are asked for.
type member struct {
	basename, host, address string
}

// partisanNode is a node with where it is to be reached, which comes from DNS, too.
func partisanNode(m member, port int) string {
	return fmt.Sprintf("%s@%s=%s:%d", m.basename, m.host, m.address, port)
}

func caravanNode(m member, port int) string {
	return fmt.Sprintf("%s-%d@%s", m.basename, port, m.host)
}

// The ports that docs/clients.md gives the two clients that use one.
var clientPorts = map[string]int{"partisan": 10200, "caravan": 9100}

// finds reports whether a client finds members in a mode that have addresses of one family only. RabbitMQ's tools
// take a host that has colons for a short name; and partisan resolves hosts to IPv4 only.
func (c *client) finds(mode, family string) bool {
	if c.zone == zoneProduct || !slices.Contains(c.modes, mode) {
		return false
	}
	if family == "4" {
		return !slices.Equal(c.types, typeAAAA)
	}
	switch c.name + " " + c.strategy {
	case "RabbitMQ dns":
		return mode != "ip"
	case "partisan srv":
		return mode == "ip"
	}
	return slices.Contains(c.types, "AAAA") || slices.Contains(c.types, "SRV")
}

// clientsScenarios: docs/clients.md and docs/migrating-from-libcluster.md, as they are printed.
func clientsScenarios() []scenario {
	return []scenario{
		{"clients-rabbitmq", func(t *trial) { tryClientsRabbit(t, "4") }},
		{"clients-ipv6-rabbitmq", func(t *trial) { tryClientsRabbit(t, "6") }},
		{"clients-resolver", tryResolver},
		{"clients-migration", func(t *trial) { tryMigration(t, "ip") }},
		{"clients-migration-hostname", func(t *trial) { tryMigration(t, "hostname") }},
		{"clients-leaving", tryLeaving},
		{"clients-ip", func(t *trial) { tryClients(t, "ip", "4", "a") }},
		{"clients-dns", func(t *trial) { tryClients(t, "dns", "4", "srv") }},
		{"clients-hostname", func(t *trial) { tryClients(t, "hostname", "4", "srv") }},
		{"clients-ipv6-ip", func(t *trial) { tryClients(t, "ip", "6", "aaaa") }},
		{"clients-ipv6-dns", func(t *trial) { tryClients(t, "dns", "6", "srv") }},
		{"clients-ipv6-hostname", func(t *trial) { tryClients(t, "hostname", "6", "srv") }},
		{"clients-products", tryProducts},
		{"clients-elixir", tryElixirConfig},
		{"clients-manifests", tryManifests},
		{"clients-compare", tryCompare},
		{"clients-truncated", tryClientsTruncated},
		{"clients-forms", tryClientsForms},
		{"clients-inetrc", tryInetrc},
	}
}

// page is what docs/clients.md has for a mode, for a namespace, with the zones for clients of all kinds.
type page struct {
	blocks   []string // for the Corefile; the first is that of the mode
	manifest string
	lines    string // of rel/env.sh.eex
	zones    map[string]string
}

// clientsDomain is that of all hosts.
const clientsDomain = "erl.internal"

func (t *trial) page(mode, family, namespace string) *page {
	section, manifest := "Mode "+mode, "Mode "+mode
	if mode == "dns" {
		manifest = "Mode ip"
	}
	p := &page{
		lines:    t.snippet(clientsPage, section, "sh", namespace),
		manifest: t.snippet(clientsPage, manifest, "yaml", namespace),
		zones: map[string]string{
			zoneMode:     serviceName("shop", namespace),
			zonePartisan: "partisan.erl.internal",
			zoneCaravan:  "caravan.erl.internal",
			zoneReverse:  "reverse.erl.internal",
		},
		blocks: []string{
			t.snippet(clientsPage, section, "corefile", namespace),
			withMode(t.snippet(clientsPage, "partisan", "corefile", namespace), mode),
			withMode(t.snippet(clientsPage, "Others", "corefile", namespace), mode),
			withMode("reverse.erl.internal 10.0.0.0/8 fd00::/16 {\n    longnames {\nnamespaces "+namespace+"\nselector app=shop\nbasename shop\n}\n}\n", mode),
		},
	}
	if family == "6" {
		// As the page has it for clusters of two families.
		p.manifest = strings.Replace(p.manifest, "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n", 1)
		for i := range p.blocks {
			p.blocks[i] = longnamesLine.ReplaceAllString(p.blocks[i], "${0}\nfamily ipv6")
		}
	}
	return p
}

// serviceName is the name of the cluster that a Service is.
func serviceName(service, namespace string) string {
	return service + "." + namespace + ".svc.erl.internal"
}

// tryClients starts nodes from what docs/clients.md has for a mode. Once each is connected to all others, which have
// found each other by one kind of question, each client asks in its own way.
func tryClients(t *trial, mode, family, kind string) {
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	p := t.page(mode, family, ns)
	t.erlangConfig(ns)
	t.applyText("shop", p.manifest)
	t.serveBlocks(p.blocks...)
	zone := p.zones[zoneMode]
	t.policy(ns, podPolicy{families: family, process: t.release(p.lines, func([]string) []string {
		return []string{kind, zone + ".", "shop"}
	})})
	pods := t.podsOf(ns, "shop", 3)
	t.mesh(&nodes{basename: "shop", mode: mode, domain: clientsDomain}, pods)
	_, namespace := t.kubelet.process(pods[0].UID)
	all := members("shop", mode, clientsDomain, pods)
	for _, c := range clientTable {
		if c.finds(mode, family) {
			t.asks(namespace, c, mode, p.zones[c.zone], all)
		}
	}
	if mode == "dns" {
		for _, m := range all {
			t.is(m.host, map[string]string{"4": "A", "6": "AAAA"}[family], m.address)
		}
	} else { // which is where libcluster's DNSSRV has its name from
		t.must(same("the name that DNSSRV asks for", []string{"shop." + ns + ".svc." + t.told(pods[0], "CLUSTER_DOMAIN")}, []string{zone + "."}))
	}
	if mode == "ip" {
		t.must(same("the query of dns_cluster", []string{t.told(pods[0], "DNS_CLUSTER_QUERY")}, []string{zone + "."}))
	}
	if mode == "ip" && family == "4" {
		t.checks(namespace, ns, addressesOf(pods))
	}
}

// erlangConfig makes what all manifests of docs/clients.md mount, and the cookie.
func (t *trial) erlangConfig(namespace string) {
	t.applyText("erlang", t.snippet(clientsPage, "Modes", "yaml", namespace))
	t.secret(namespace, "shop-cookie", "cookie")
}

// members of pods, in a mode.
func members(basename, mode, domain string, pods []corev1.Pod) []member {
	out := make([]member, 0, len(pods))
	for _, p := range pods {
		out = append(out, member{basename, hostOf(mode, p, domain), p.Status.PodIP})
	}
	return out
}

// asks has a client ask for a name, in a namespace with its own resolv.conf, and wants it to find exactly these.
func (t *trial) asks(namespace string, c client, mode, name string, want []member) {
	nodes := make([]string, 0, len(want))
	for _, m := range want {
		if c.node != nil {
			nodes = append(nodes, c.node(m, clientPorts[c.name]))
		} else {
			nodes = append(nodes, m.basename+"@"+m.host)
		}
	}
	var env []string
	if c.inetrc != "" {
		env = t.inetrc(c.inetrc)
	}
	t.finds(namespace, env, c.call, name+".", want[0].basename, nodes, 1)
	t.note("%-14s %-18s mode %-8s %-12s %s: %s", c.name, c.strategy, mode, strings.Join(c.types, " "), name, brief(nodes))
}

// finds runs clients:main some times within one VM.
func (t *trial) finds(namespace string, env []string, call, name, basename string, want []string, times int) {
	what := call + " of " + name
	env = append([]string{"ERL_CRASH_DUMP=" + filepath.Join(t.dir, "erl_crash.dump")}, env...)
	for _, line := range t.linesOf(namespace, env, what, times, "clients", "main", call, name, basename) {
		nodes, ok := strings.CutPrefix(line, "NODES ")
		if !ok {
			t.failf("%s: got %s", what, tail(line))
		}
		t.must(same(what, strings.Fields(nodes), want))
	}
}

var (
	longnameIn = regexp.MustCompile(`shop@[0-9.]+`)
	tupleIn    = regexp.MustCompile(`\{(\d+), (\d+), (\d+), (\d+)\}`)
)

// checks runs the questions by which docs/clients.md has people check, as `bin/shop rpc` does, but for that which is about
// the node itself.
func (t *trial) checks(from, namespace string, addresses []string) {
	var said []string
	for line := range strings.Lines(t.snippet(clientsPage, "How to check", "sh", namespace)) {
		if strings.Contains(line, "node()") {
			continue
		}
		command := strings.Replace(strings.TrimSpace(line), "bin/shop rpc ", "elixir -e ", 1)
		text, err := output(t.ctx, from, []string{"HOME=" + t.dir}, "sh", "-c", command)
		t.must(err)
		t.note("%s prints %s", strings.TrimSpace(line), strings.TrimSpace(text))
		said = append(said, text)
	}
	if len(said) != 2 {
		t.failf("%d questions to check with, want 2", len(said))
	}
	t.must(same("the TXT records", longnameIn.FindAllString(said[0], -1), longnames("shop", addresses)))
	t.must(same("the A records", strings.Fields(tupleIn.ReplaceAllString(strings.Join(tupleIn.FindAllString(said[1], -1), " "), "$1.$2.$3.$4")), addresses))
}

// tryManifests has the API server take every manifest of the pages.
func tryManifests(t *trial) {
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	taken := 0
	for _, page := range []string{clientsPage, migratingPage} {
		all, err := snippets(page)
		t.must(err)
		for i, s := range all {
			if s.language != "yaml" {
				continue
			}
			name := fmt.Sprintf("%s-%d", strings.TrimSuffix(filepath.Base(page), ".md"), i)
			text := inNamespace(s.text, ns)
			if strings.HasPrefix(text, "spec:") { // it changes a manifest that was there before
				file := filepath.Join(t.dir, name+".yaml")
				t.must(os.WriteFile(file, []byte(text), 0o600))
				t.kubectl("patch", "deployment", "shop", "-n", ns, "--patch-file", file)
			} else {
				t.applyText(name, text)
			}
			taken++
		}
	}
	if taken == 0 {
		t.failf("no manifest on the pages")
	}
	policy := t.kubectl("get", "deployment", "shop", "-n", ns, "-o", "jsonpath={.spec.template.spec.dnsPolicy}")
	t.must(same("dnsPolicy after the patch", []string{policy}, []string{"None"}))
}

// idleIn is a pod to ask from, with the environment of its manifest in its log.
func (t *trial) idleIn(pod *corev1.Pod, addresses []netip.Addr) command {
	env, err := t.environment(pod, addresses)
	if err != nil {
		t.note("%s: %v", pod.Name, err)
		return command{name: pod.Name, pod: true, args: []string{"false"}}
	}
	return command{name: pod.Name, pod: true, args: []string{"sh", "-c", "env; exec sleep infinity"}, env: env}
}
