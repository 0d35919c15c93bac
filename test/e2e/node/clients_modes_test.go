package node

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// client is one of the table in docs/clients.md.
type client struct {
	name         string // and strategy
	modes, types string // in which it works, and that it asks for
	call         string // of clients:nodes/3 in test/e2e/beam; none if it is tried by a manifest of its own
	zone         string // which of a mode's zones it asks
}

var anyMode = []string{"ip", "dns", "hostname"}

// calls are how clients ask, and for which zone.
var calls = map[string][2]string{
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

// clientsOf are those that find members in a mode that have addresses of one family only.
func clientsOf(t *testing.T, mode, family string) (out []client) {
	t.Helper()
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| \[(.+?)\]\(\S+\) \| (.+?) \| (.+?) \| (.+?) \| `).FindAllStringSubmatch(strings.ReplaceAll(string(text), "`", ""), -1)
	if len(rows) != len(calls) {
		t.Fatalf("got %d clients on the page, want %d", len(rows), len(calls))
	}
	for _, row := range rows {
		c := client{name: row[1] + " " + row[2], modes: row[3], types: row[4]}
		call, known := calls[c.name]
		if !known {
			t.Fatalf("got %s on the page, and nobody has said how it asks", c.name)
		}
		if c.call, c.zone = call[0], call[1]; c.call != "" && slices.Contains(strings.Split(c.modes, ", "), mode) && c.finds(mode, family) {
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
	return strings.Contains(c.types, "AAAA") || strings.Contains(c.types, "SRV")
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

// zonesOf are the names that clients ask in a mode, by client.zone.
func zonesOf(namespace string) map[string]string {
	return map[string]string{
		"svc": "shop." + namespace + ".svc.erl.internal", "partisan": "partisan.erl.internal", "caravan": "caravan.erl.internal",
		"reverse": "reverse.erl.internal",
	}
}

// blocksOf are what the page has for a mode, for clients of all kinds, and two that find the same pods in other ways.
func (p *place) blocksOf(mode, family string) []string {
	p.t.Helper()
	const shop = " {\n    longnames {\n        namespaces NAMESPACE\n        selector app=shop\n        include all\n        basename shop\n    }\n}\n"
	blocks := []string{
		p.page("Mode "+mode, "corefile", ""), withMode(p.page("partisan", "corefile", ""), mode), withMode(p.page("Others", "corefile", ""), mode),
		withMode("reverse.erl.internal 10.0.0.0/8 fd00::/16"+shop, mode),
		withMode(with("pods.erl.internal"+shop, "lookup pods\nttl 1"), mode), forwarding,
	}
	for i, b := range blocks {
		if family == "6" {
			b = with(b, "family ipv6")
		}
		blocks[i] = strings.ReplaceAll(b, "NAMESPACE", p.namespace)
	}
	return blocks
}

// manifestOf is what the page has for a mode. Where pods have two families, and IPv6 first, it says what to add.
func (p *place) manifestOf(mode, family string) string {
	p.t.Helper()
	manifest := p.page(map[string]string{"ip": "Mode ip", "dns": "Mode ip", "hostname": "Mode hostname"}[mode], "yaml", "")
	if family == "6" {
		manifest = replaced(p.t, manifest, "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n")
	}
	return manifest
}

// inMode starts nodes from what the page has for a mode. Each asks in all ways, of which each has to name all others, for
// as long as these live. When they are connected, each client asks in its own way.
func (p *place) inMode(mode, family string) {
	zones, blocks := zonesOf(p.namespace), p.blocksOf(mode, family)
	if mode == "hostname" { // whose pods can have any kind of name
		blocks = append(blocks, p.migrating()...)
	}
	p.serve(family, blocks...)
	var questions strings.Builder
	for _, kind := range append([]string{"srv", "txt", "ptr"}, map[string][]string{"ip4": {"a"}, "ip6": {"aaaa"}}[mode+family]...) {
		fmt.Fprintf(&questions, "%s %s. shop %[1]s pods.erl.internal. shop ", kind, zones["svc"])
	}
	p.release(map[string]string{
		"env.sh": p.page("Mode "+mode, "sh", ""), "questions": questions.String(), "rabbitmq.inetrc": rabbitInetrc(p.t),
	})
	p.apply(p.manifestOf(mode, family))
	pods := p.mesh("shop", mode, "erl.internal", 3)
	p.run("Clients", func(p *place) {
		p.asks(pods[0].Name, mode, family, zones, 1, pods, map[bool]string{false: "/etc/erlang/inetrc", true: "/etc/erlang/rabbitmq.inetrc"})
	})
	p.run("Names", func(p *place) { p.names(mode, zones, pods) })
	if mode == "hostname" && family == "4" {
		p.run("Compare", (*place).compare)
	}
	kind := map[string]string{"ip": "deployment/shop", "dns": "deployment/shop", "hostname": "statefulset/shop"}[mode]
	for _, n := range []int{5, 2} {
		p.kubectl("scale", kind, fmt.Sprintf("--replicas=%d", n))
		pods = p.mesh("shop", mode, "erl.internal", n)
	}
	for _, pod := range pods {
		for line := range strings.Lines(p.kubectl("logs", pod.Name)) {
			for _, name := range hosts(mode, pods, "erl.internal", "shop@") {
				if dropped, ok := strings.CutPrefix(line, "DROPPED "); ok && slices.Contains(strings.Fields(dropped), name) {
					p.t.Errorf("%s has disconnected %s, which has been there all the time", pod.Name, name)
				}
			}
		}
	}
	for _, zone := range []string{zones["svc"], "pods.erl.internal"} {
		p.wantsCluster(zone, "shop", hosts(mode, pods, "erl.internal", ""), hosts("ip", pods, "", ""))
	}
}

// asks has each client ask in a pod. It has to find a member for each of these pods, each time. RabbitMQ has another
// inetrc.
func (p *place) asks(from, mode, family string, zones map[string]string, times int, pods []corev1.Pod, inetrcs map[bool]string) {
	p.t.Helper()
	for rabbit, inetrc := range inetrcs {
		var asking []client
		args := []string{strconv.Itoa(times)}
		for _, c := range clientsOf(p.t, mode, family) {
			if zones[c.zone] != "" && (c.name == "RabbitMQ dns") == rabbit {
				asking = append(asking, c)
				args = append(args, c.call, zones[c.zone]+".", "shop")
			}
		}
		if len(asking) == 0 {
			continue
		}
		got := p.erl(from, inetrc, "NODES", "clients", "main", args...)
		if len(got) != times*len(asking) {
			p.t.Fatalf("got %d answers, want %d: %q", len(got), times*len(asking), got)
		}
		for i, line := range got {
			c := asking[i/times]
			p.should(same(c.name, strings.Fields(line), c.wants(mode, pods)))
		}
		p.t.Logf("%d clients find all nodes, with ERL_INETRC=%s", len(asking), inetrc)
	}
}

// names is about what is answered for the cluster, its hosts and its members, and what pods are told to ask for.
func (p *place) names(mode string, zones map[string]string, pods []corev1.Pod) {
	all, addresses := hosts(mode, pods, "erl.internal", ""), hosts("ip", pods, "", "")
	for _, zone := range []string{zones["svc"], zones["reverse"], "pods.erl.internal"} {
		p.wantsCluster(zone, "shop", all, addresses)
	}
	p.wantsCluster(zones["caravan"], "shop-9100", all, addresses)
	for i, pod := range pods {
		of := map[bool]string{true: "AAAA", false: "A"}[strings.Contains(pod.Status.PodIP, ":")]
		reverse, err := dns.ReverseAddr(pod.Status.PodIP)
		p.must(err)
		p.wants(reverse, "PTR", all[i])
		if mode != "ip" {
			p.wants(all[i], of, pod.Status.PodIP)
		}
		p.member("pods.erl.internal", of, pod, "shop@"+all[i])
	}
	m, err := p.exchange("udp", "nobody.pods.erl.internal", "A", 0)
	if err != nil || m.Rcode != dns.RcodeNameError {
		p.t.Errorf("nobody: got %v %v, want NXDOMAIN", m, err)
	}
	told := p.in(pods[0].Name, "sh", "-c", `echo "shop.$POD_NAMESPACE.svc.$CLUSTER_DOMAIN" $DNS_CLUSTER_QUERY`)
	want := []string{zones["svc"] + ".", zones["svc"] + "."}[:map[string]int{"hostname": 1, "dns": 2, "ip": 2}[mode]]
	p.should(same("the names that DNSSRV and dns_cluster are told", strings.Fields(told), want))
}

// member is about the names of one.
func (p *place) member(zone, qtype string, pod corev1.Pod, longname string) {
	p.t.Helper()
	for _, label := range []string{pod.Name, dashed(pod)} {
		p.wants(label+"."+zone, qtype, pod.Status.PodIP)
		p.wants(label+"."+zone, "TXT", longname)
	}
}

// asItIs has nodes find each other by the CoreDNS of deploy/, which the cluster's DNS asks: the page's first way. Then it
// checks as the page says. At last all nodes are replaced while those that are told to end live on for a while, as they do
// in good order: nobody loses anybody before.
func (p *place) asItIs() {
	p.shell(p.page("With deploy as it is", "sh", "label namespace"))
	p.release(map[string]string{"env.sh": p.page("Mode ip", "sh", ""), "questions": "a " + zonesOf(p.namespace)["svc"] + ". shop"})
	p.apply(p.manifestOf("ip", "4"))
	pods := p.mesh("shop", "ip", "", 3)
	var said []string
	for line := range strings.Lines(p.page("How to check", "sh", "")) {
		said = append(said, p.in(pods[0].Name, "sh", "-c", "cd /app/release; "+line))
	}
	if len(said) != 3 {
		p.t.Fatalf("got %d ways to check, want 3", len(said))
	}
	longname, tuple := regexp.MustCompile(`shop@[0-9.]+`), regexp.MustCompile(`\{(\d+), (\d+), (\d+), (\d+)\}`)
	found := strings.Join(tuple.FindAllString(said[1], -1), " ")
	p.should(same("TXT: "+said[0], longname.FindAllString(said[0], -1), hosts("ip", pods, "", "shop@")))
	p.should(same("A: "+said[1], strings.Fields(tuple.ReplaceAllString(found, "$1.$2.$3.$4")), hosts("ip", pods, "", "")))
	p.should(same("nodes: "+said[2], longname.FindAllString(said[2], -1), hosts("ip", pods, "", "shop@")))
	p.run("Manifests", (*place).manifests)
	p.run("Leaving", (*place).leaving)
}

// manifests: the API server takes each of both pages.
func (p *place) manifests() {
	taken := 0
	for _, page := range []string{clientsPage, migratingPage} {
		for _, s := range snippets(p.t, page) {
			if s.language != "yaml" {
				continue
			}
			taken++
			file := p.write(filepath.Join(p.t.TempDir(), "manifest.yaml"), inNamespace(s.text, p.namespace))
			args := []string{"apply", "--server-side", "--field-manager=page", "--force-conflicts", "--validate=strict", "-f", file}
			if strings.HasPrefix(s.text, "spec:") { // it changes a manifest that was there before
				args = []string{"patch", "deployment/shop", "--patch-file", file}
			}
			p.kubectl(append(args, "--dry-run=server")...)
		}
	}
	if taken < 8 {
		p.t.Errorf("got %d manifests, want 8 or more", taken)
	}
}
