package node

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/watch"
)

// client is one of the table in docs/clients.md.
type client struct {
	name         string // and strategy
	modes, types string // in which it works, and that it asks for
	call         string // of clients:nodes/3 in test/e2e/beam; none if it is tried by a manifest of its own
	zone         string // which of a mode's zones it asks
}

// calls are how clients ask, and for which zone.
var calls = map[string][2]string{
	"longnames members":            {"longnames", "svc"},
	"libcluster Kubernetes.DNSSRV": {"libcluster Kubernetes.DNSSRV", "svc"},
	"libcluster Kubernetes.DNS":    {"libcluster Kubernetes.DNS", "svc"},
	"libcluster DNSPoll":           {"lookup a aaaa", "svc"},
	"dns_cluster 0.3":              {"dns_cluster 0.3", "svc"},
	"dns_cluster 0.2":              {"getbyname a aaaa", "svc"},
	"Livebook dns:":                {},
	"peerage Peerage.Via.Dns":      {"lookup a", "svc"},
	"EMQX record_type = a":         {"lookup a", "svc"},
	"EMQX record_type = aaaa":      {"lookup aaaa", "svc"},
	"EMQX record_type = srv":       {"lookup srv", "svc"},
	"RabbitMQ dns":                 {"rabbitmq", "reverse"},
	"partisan a":                   {"lookup a", "svc"},
	"partisan aaaa":                {"lookup aaaa", "svc"},
	"partisan srv":                 {"partisan srv", "partisan"},
	"partisan fqdns":               {"partisan fqdns", "reverse"},
	"CouchDB seedlist":             {},
	"gen_cluster srv":              {"gen_cluster srv", "svc"},
	"caravan DnsStrategy":          {"caravan", "caravan"},
	"barnacle dns":                 {"lookup a aaaa", "svc"},
	"nessie_cluster DnsQuery":      {"getbyname a aaaa", "svc"},
}

var clientRow = regexp.MustCompile(`(?m)^\| \[(.+?)\]\(\S+\) \| (.+?) \| (.+?) \| (.+?) \|$`)

// clientsOf are those that find members in a mode that have addresses of one family only.
func (b *bed) clientsOf(mode, family string) (out []client) {
	rows := clientRow.FindAllStringSubmatch(strings.ReplaceAll(read(b.T, clientsPage), "`", ""), -1)
	if len(rows) != len(calls) {
		b.Fatalf("got %d clients on the page, want %d", len(rows), len(calls))
	}
	for _, row := range rows {
		c := client{name: row[1] + " " + row[2], modes: row[3], types: row[4]}
		call, known := calls[c.name]
		if !known {
			b.Fatalf("got %s on the page, and nobody has said how it asks", c.name)
		}
		c.call, c.zone = call[0], call[1]
		if c.call != "" && slices.Contains(strings.Split(c.modes, ", "), mode) && c.finds(mode, family) {
			out = append(out, c)
		}
	}
	return out
}

// finds: RabbitMQ's tools take a host that has colons for a short name; and partisan resolves hosts to IPv4 only.
func (c *client) finds(mode, family string) bool {
	switch {
	case family == "4":
		return c.types != "AAAA"
	case c.name == "RabbitMQ dns":
		return mode != "ip"
	case c.name == "partisan srv":
		return mode == "ip"
	}
	return slices.ContainsFunc(strings.Split(c.types, ", "), func(t string) bool { return t == "AAAA" || t == "SRV" || t == "TXT" })
}

// wants is what it makes of members.
func (c *client) wants(mode string, pods []corev1.Pod) []string {
	out := hosts(mode, pods, "erl.internal", "shop@")
	for i, pod := range pods {
		switch c.zone {
		case "partisan": // connects to where the records say
			out[i] += "=" + pod.Status.PodIP + ":10200"
		case "caravan":
			out[i] = strings.Replace(out[i], "@", "-9100@", 1)
		}
	}
	return out
}

// zones are the names that clients ask, by client.zone.
func (b *bed) zones() map[string]string {
	return map[string]string{
		"svc": b.here("shop.prod.svc.erl.internal"), "reverse": "reverse.erl.internal",
		"partisan": "partisan.erl.internal", "caravan": "caravan.erl.internal",
	}
}

// blocksOf are what the page has for a mode, for clients of all kinds, and two that find the same pods in other ways.
func (b *bed) blocksOf(mode, family string) []string {
	out := []string{
		b.page("Mode "+mode, "corefile", ""), withMode(b.page("partisan", "corefile", ""), mode),
		withMode(b.page("Others", "corefile", ""), mode),
		withMode(block("reverse.erl.internal 10.0.0.0/8 fd00::/16", "include all"), mode),
		withMode(block("pods.erl.internal", "include all", "lookup pods", "ttl 1"), mode), forwarding,
	}
	if family == "6" {
		for i := range out {
			out[i] = with(out[i], "family ipv6")
		}
	}
	return out
}

// manifestOf is what the page has for a mode. Where pods have two families, and IPv6 first, it says what to add.
func (b *bed) manifestOf(mode, family string) string {
	name := "deployment"
	if mode == "hostname" {
		name = "statefulset"
	}
	manifest := b.manifest(name)
	if family == "6" {
		manifest = b.replaced(manifest, "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n")
	}
	return manifest
}

// inMode starts nodes from what the page has for a mode. Each asks in all ways, of which each has to name all others,
// for as long as these live. When they are connected, each client asks in its own way.
func (b *bed) inMode(mode, family string) {
	b.restricted()
	zones, blocks := b.zones(), b.blocksOf(mode, family)
	if mode == "hostname" { // whose pods can have any kind of name
		blocks = append(blocks, b.migrating()...)
	}
	b.serve(family, blocks...)
	kinds, questions := []string{"srv", "txt", "ptr"}, ""
	if mode == "ip" {
		kinds = append(kinds, map[string]string{"4": "a", "6": "aaaa"}[family])
	}
	for _, kind := range kinds {
		questions += fmt.Sprintf("%s %s. shop %[1]s pods.erl.internal. shop ", kind, zones["svc"])
	}
	b.release(map[string]string{
		"env.sh": b.page("Mode "+mode, "sh", "") + b.page("With IPv6", "sh", ""), "questions": questions,
		"rabbitmq.inetrc": b.rabbitInetrc(),
	})
	b.apply(b.manifestOf(mode, family))
	pods := b.mesh("shop", mode, "erl.internal", 3)
	b.run("Clients", func(b *bed) { b.asks(pods[0].Name, "/etc/erlang/inetrc", mode, family, zones, 1, pods) })
	told := b.exec(pods[0].Name, "sh", "-c", `echo "shop.$POD_NAMESPACE.svc.$CLUSTER_DOMAIN" $DNS_CLUSTER_QUERY`)
	want := []string{zones["svc"] + ".", zones["svc"] + "."}
	if mode == "hostname" { // whose manifest is not for dns_cluster
		want = want[:1]
	}
	b.should(watch.Same("what DNSSRV and dns_cluster are told to ask for", strings.Fields(told), want))
	kind := "deployment/shop"
	if mode == "hostname" {
		kind = "statefulset/shop"
		if family == "4" {
			b.run("Compare", (*bed).compare)
		}
	}
	for _, n := range []int{5, 2} {
		b.kubectl("scale %s --replicas=%d", kind, n)
		pods = b.mesh("shop", mode, "erl.internal", n)
	}
	stayed := hosts(mode, pods, "erl.internal", "shop@")
	for _, pod := range pods {
		for line := range strings.Lines(b.kubectl("logs %s", pod.Name)) {
			dropped, ok := strings.CutPrefix(line, "DROPPED ")
			if ok && slices.ContainsFunc(strings.Fields(dropped), func(n string) bool { return slices.Contains(stayed, n) }) {
				b.Errorf("%s has disconnected a node that has been there all the time: %s", pod.Name, line)
			}
		}
	}
	for _, zone := range []string{zones["svc"], "pods.erl.internal"} {
		b.wantsCluster(zone, "shop", hosts(mode, pods, "erl.internal", ""), addresses(pods))
	}
}

// asks has each client ask in a pod. It has to find a member for each of these pods, each time. RabbitMQ has an inetrc
// of its own.
func (b *bed) asks(from, inetrc, mode, family string, zones map[string]string, times int, pods []corev1.Pod) {
	for _, inetrc := range []string{inetrc, "/etc/erlang/rabbitmq.inetrc"} {
		var asking []client
		args := []string{strconv.Itoa(times)}
		for _, c := range b.clientsOf(mode, family) {
			if zones[c.zone] != "" && (c.name == "RabbitMQ dns") == strings.Contains(inetrc, "rabbitmq") {
				asking = append(asking, c)
				args = append(args, c.call, zones[c.zone]+".", "shop")
			}
		}
		if len(asking) == 0 {
			continue
		}
		got := b.erl(from, inetrc, "NODES", "clients", "main", args...)
		if len(got) != times*len(asking) {
			b.Fatalf("got %d answers, want %d: %q", len(got), times*len(asking), got)
		}
		for i, line := range got {
			c := asking[i/times]
			b.should(watch.Same(c.name, strings.Fields(line), c.wants(mode, pods)))
		}
		b.Logf("%d clients find all nodes, with ERL_INETRC=%s", len(asking), inetrc)
	}
}

// asItIs has nodes find each other by the CoreDNS of deploy/, which the cluster's DNS asks: the page's first way. Then
// it checks as the page says. At last all nodes are replaced while those that are told to end live on for a while, as
// they do in good order: nobody loses anybody before.
func (b *bed) asItIs() {
	b.Shell(b.T, checkout, b.pageBlock(deployPage, "Standalone", "sh", "label namespace"))
	b.release(map[string]string{"env.sh": b.page("Mode ip", "sh", ""), "questions": "a " + b.zones()["svc"] + ". shop"})
	b.apply(b.manifestOf("ip", "4"))
	pods := b.mesh("shop", "ip", "", 3)
	var said []string
	for line := range strings.Lines(b.page("How to check", "sh", "")) {
		said = append(said, b.exec(pods[0].Name, "sh", "-c", line))
	}
	if len(said) != 3 {
		b.Fatalf("got %d ways to check, want 3", len(said))
	}
	longname, tuple := regexp.MustCompile(`shop@[0-9.]+`), regexp.MustCompile(`\{\d+, \d+, \d+, \d+\}`)
	found := strings.NewReplacer("{", "", "}", "", ", ", ".").Replace(strings.Join(tuple.FindAllString(said[1], -1), " "))
	names := hosts("ip", pods, "", "shop@")
	b.should(watch.Same("TXT: "+said[0], longname.FindAllString(said[0], -1), names))
	b.should(watch.Same("A: "+said[1], strings.Fields(found), addresses(pods)))
	b.should(watch.Same("nodes: "+said[2], longname.FindAllString(said[2], -1), names))
	b.run("Leaving", (*bed).leaving)
}
