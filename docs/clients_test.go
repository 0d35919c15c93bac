package docs_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/internal/markdown"
)

func TestClientsYAML(t *testing.T) {
	kinds := map[string]func() any{
		"ConfigMap":   func() any { return new(corev1.ConfigMap) },
		"Deployment":  func() any { return new(appsv1.Deployment) },
		"Service":     func() any { return new(corev1.Service) },
		"StatefulSet": func() any { return new(appsv1.StatefulSet) },
		"":            func() any { return new(appsv1.Deployment) }, // a change to one
	}
	found := manifests(t, markdown.Read(t, clientsPath), kinds)
	for kind := range kinds {
		if len(found[kind]) == 0 {
			t.Errorf("got no manifest of kind %q", kind)
		}
	}
}

// The Services of the page are clusters of the CoreDNS in deploy, with the same basename.
func TestDeployCorefilesTakeTheServicesOfClients(t *testing.T) {
	deployed := optionsIn(t, read(t, "deploy/base/Corefile"))[0]
	section := markdown.Read(t, clientsPath).Section(t, "### Mode hostname")
	explained := optionsIn(t, section.Snippets("corefile")[0].Text)[0]
	for _, option := range []string{"selector", "include", "group_by", "basename"} {
		if deployed[option] != explained[option] {
			t.Errorf("%s: got %q in deploy, want %q as in %s", option, deployed[option], explained[option], clientsPath)
		}
	}
}

// The name that rel/env.sh.eex gives a node is the one that members are told.
func TestNodesNameThemselvesAsTheyAreListed(t *testing.T) {
	addresses := []string{"10.0.0.1", "fd00::1", "fd00::", "2001:db8::1:0:0:1", "fd00:1:2:3:4:5:6:7"}
	server, modes := serveModes(t, addresses), map[string]bool{"ip": false, "dns": false, "hostname": false}
	for _, snippet := range markdown.Read(t, clientsPath).Snippets("sh") {
		named := regexp.MustCompile(`^# rel/env\.sh\.eex, mode (\w+)`).FindStringSubmatch(snippet.Text)
		if named == nil {
			continue
		}
		mode := named[1]
		if _, ok := modes[mode]; !ok {
			t.Errorf("%s: got unexpected mode %q", snippet.Where, mode)
			continue
		}
		modes[mode] = true
		for i, address := range addresses {
			records := ask(t, server, fmt.Sprintf("node-%d.prod.%s.internal", i, mode), dns.TypeTXT)
			if len(records) != 1 {
				t.Fatalf("mode %s, %s: got %q, want one record", mode, address, records)
			}
			want := "name " + strings.Trim(rdata(records[0]), `"`)
			if strings.Contains(address, ":") {
				want += " -proto_dist inet6_tcp"
			}
			command := exec.Command("sh", "-euc", snippet.Text+`echo "$RELEASE_DISTRIBUTION $RELEASE_NODE ${ERL_AFLAGS:-}"`)
			command.Env = []string{"PATH=" + os.Getenv("PATH"), "POD_IP=" + address, "POD_NAME=shop-0", "POD_NAMESPACE=prod"}
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", snippet.Where, err, out)
			}
			if got := strings.TrimSpace(string(out)); got != want {
				t.Errorf("%s with %s: got %q, want %q", snippet.Where, address, got, want)
			}
		}
	}
	if slices.Contains(slices.Collect(maps.Values(modes)), false) {
		t.Errorf("got lines for modes %v, want all of them", modes)
	}
}

// serveModes serves a zone for each mode, with a cluster node-0 and so on for each address of pod shop-0.
func serveModes(t *testing.T, addresses []string) (server string) {
	t.Helper()
	var slices strings.Builder
	for i, address := range addresses {
		family := "IPv4"
		if strings.Contains(address, ":") {
			family = "IPv6"
		}
		fmt.Fprintf(&slices, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-%d, namespace: prod, labels: {cluster: node-%[1]d, kubernetes.io/service-name: shop}}
addressType: %s
endpoints: [{addresses: ["%s"], hostname: shop-0, conditions: {ready: true}, targetRef: {kind: Pod, name: shop-0}}]
`, i, family, address)
	}
	file := filepath.Join(t.TempDir(), "slices.yaml")
	if err := os.WriteFile(file, []byte(slices.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	corefile := ".:0 {\nbind 127.0.0.1\n"
	for _, mode := range []string{"ip", "dns", "hostname"} {
		corefile += "longnames " + mode + ".internal {\nmode " + mode + "\nmanifests " + file +
			"\ngroup_by cluster\nbasename shop\ncluster_domain erl.internal\n}\n"
	}
	return serve(t, corefile+"}\n")
}
