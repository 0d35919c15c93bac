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

	"github.com/longnames/longnames/internal/markdown"
)

func TestClientsYAML(t *testing.T) {
	snippets := markdown.Read(t, clientsPath).Snippets("yaml")
	for path, text := range readAll(t, "../examples/clients") {
		snippets = append(snippets, markdown.Snippet{Where: path, Text: text})
	}
	for path, text := range readAll(t, "../examples/networkpolicies") {
		snippets = append(snippets, markdown.Snippet{Where: path, Text: text})
	}
	changeToOne := func() any { return new(appsv1.Deployment) }
	got := slices.Sorted(maps.Keys(objects(t, snippets, changeToOne)))
	if want := []string{"", "ConfigMap", "Deployment", "NetworkPolicy", "Service", "StatefulSet"}; !slices.Equal(got, want) {
		t.Errorf("got kinds %q, want %q", got, want)
	}
}

// A page leads to each manifest, and makes the Secrets that it asks for.
func TestClientsSecretsAreMade(t *testing.T) {
	made := make(map[string]bool)
	for _, command := range commands(t, `kubectl create secret generic `) {
		words := strings.Fields(command.Text)
		for _, word := range words[5:] {
			if literal, ok := strings.CutPrefix(word, "--from-literal="); ok {
				key, _, _ := strings.Cut(literal, "=")
				made[words[4]+"/"+key] = true
			}
		}
	}
	var links []string
	for _, page := range pages(t) {
		links = append(links, page.Links()...)
	}
	asked := regexp.MustCompile(`secretKeyRef: \{name: ([^,]+), key: ([^}]+)\}`)
	for path, text := range readAll(t, "../examples/clients") {
		if !strings.Contains(text, "kind: Service\n") {
			t.Errorf("%s: got no Service", path)
		}
		for _, secret := range asked.FindAllStringSubmatch(text, -1) {
			if name := secret[1] + "/" + secret[2]; !made[name] {
				t.Errorf("%s: no page makes the secret %s", path, name)
			}
		}
		if !slices.Contains(links, path) {
			t.Errorf("%s: no page has a link to it", path)
		}
	}
}

// The Services of the page are clusters of the CoreDNS in deploy, with the same basename.
func TestDeployCorefilesTakeTheServicesOfClients(t *testing.T) {
	deployed := optionsIn(t, read(t, "../deploy/base/Corefile"))[0]
	section := markdown.Read(t, clientsPath).Section(t, "### Mode hostname")
	explained := optionsIn(t, section.Snippets("corefile")[0].Text)[0]
	for _, option := range []string{"selector", "include", "group_by", "basename"} {
		if deployed[option] != explained[option] {
			t.Errorf("%s: got %q in deploy, want %q as in %s", option, deployed[option], explained[option], clientsPath)
		}
	}
}

// The name that rel/env.sh.eex gives a node is its longname.
func TestNodesNameThemselvesAsTheyAreListed(t *testing.T) {
	addresses := []string{"10.0.0.1", "fd00::1", "fd00::", "2001:db8::1:0:0:1", "fd00:1:2:3:4:5:6:7"}
	modes := []string{"ip", "dns", "hostname"}
	server := serveModes(t, modes, addresses)
	var snippets []markdown.Snippet
	for _, page := range pages(t) {
		snippets = append(snippets, page.Snippets("sh")...)
	}
	ipv6 := markdown.Read(t, clientsPath).Section(t, "### With IPv6").Snippets("sh")[0].Text
	for _, snippet := range snippets {
		named := regexp.MustCompile(`^# rel/env\.sh\.eex, mode (\w+)`).FindStringSubmatch(snippet.Text)
		if named == nil {
			continue
		}
		modes = slices.DeleteFunc(modes, func(mode string) bool { return mode == named[1] })
		for i, address := range addresses {
			longnames := askShort(t, server, fmt.Sprintf("node-%d.prod.%s.internal", i, named[1]), dns.TypeTXT)
			if len(longnames) != 1 {
				t.Fatalf("%s with %s: got longnames %q, want one", snippet.Where, address, longnames)
			}
			want := "name " + strings.Trim(longnames[0], `"`)
			if strings.Contains(address, ":") {
				want += " -proto_dist inet6_tcp"
			}
			command := exec.Command("sh", "-euc", snippet.Text+ipv6+`echo "$RELEASE_DISTRIBUTION $RELEASE_NODE ${ERL_AFLAGS:-}"`)
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
	if len(modes) > 0 {
		t.Errorf("got no lines for modes %q", modes)
	}
}

// serveModes serves a zone for each mode. In each, clusters node-0, node-1 and so on have a pod with one of the addresses.
func serveModes(t *testing.T, modes, addresses []string) (server string) {
	t.Helper()
	pods, corefile := "", ".:0 {\nbind 127.0.0.1\n"
	for i, address := range addresses {
		pods += fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: shop-%d, namespace: prod, labels: {cluster: node-%[1]d}}
spec: {hostname: shop-0, subdomain: shop}
status: {phase: Running, podIP: "%s"}
`, i, address)
	}
	file := filepath.Join(t.TempDir(), "pods.yaml")
	if err := os.WriteFile(file, []byte(pods), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range modes {
		corefile += "longnames " + mode + ".internal {\nmanifests " + file + "\nlookup pods\ngroup_by cluster\nbasename shop\nmode " +
			mode + "\ncluster_domain erl.internal\n}\n"
	}
	return serve(t, corefile+"}\n")
}
