package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/longnames/longnames/test/e2e/build"
)

// tryAnotherNamespace follows deploy/README.md to another namespace, in a copy, and applies what has rights in some
// namespaces only. What has rights in all is built and read, in the copy and below an overlay of one's own.
func tryAnotherNamespace(t *trial) {
	t.ownCluster("dns")
	const name = "shop.prod.svc.erl.internal"
	for _, ns := range []string{"prod", "staging"} {
		t.exactly(ns, podPolicy{})
	}
	beamService(t, "prod")
	t.pod("prod", "shop", "shop-0", "")
	members := addressesOf(t.podsOf("prod", "shop", 1))

	dir := t.elsewhere()
	for _, made := range []string{
		filepath.Join(dir, "overlays", "standalone"),
		filepath.Join(dir, "overlays", "standalone-namespaced"),
		t.ownOverlay("moved", "namespace: dns\nresources: [DEPLOY/overlays/standalone]\n", nil),
	} {
		if found := regexp.MustCompile(`(?m)^ *namespace: longnames$`).FindString(t.kubectl("kustomize", made)); found != "" {
			t.failf("%s still has %q", made, found)
		}
	}
	t.kubectl("create", "namespace", "dns")
	t.apply(filepath.Join(dir, "overlays", "standalone-namespaced"))
	t.rolledOut("dns", "longnames")
	address := t.serveService("dns", "longnames")
	t.answersAt(address, name, "A", members...)
	for _, pod := range t.deployed("dns", ours) {
		t.restricted(pod)
		t.mayOnly(pod, "prod", onlyRight)
		t.mayOnly(pod, "dns")
		t.connects(pod, standaloneConnections()...)
	}
	if left := t.kubectl("get", "namespaces", "--ignore-not-found", "-o", "name", "longnames"); left != "" {
		t.failf("got %s, want nothing of it", left)
	}
}

// elsewhere gives a copy of deploy for another namespace, which is there already, with all components but two.
func (t *trial) elsewhere() string {
	dir := filepath.Join(t.dir, "elsewhere")
	t.must(build.CopySource(filepath.Join(dir, "deploy"), deployDir))
	t.tool(dir, "sh", "-euc", t.snippet(deployPage, "Another namespace", "sh", "prod"))
	const component = "- ../../components/"
	change := strings.NewReplacer(
		component+"namespace\n", "",
		"# "+component+"fixed-address", component+"fixed-address",
		"# "+component+"critical", component+"critical")
	for _, overlay := range []string{"standalone", "standalone-namespaced"} {
		file := filepath.Join(dir, "deploy", "overlays", overlay, "kustomization.yaml")
		text, err := os.ReadFile(file)
		t.must(err)
		changed := change.Replace(string(text))
		if strings.Contains(changed, component+"namespace") || !strings.Contains(changed, "\n"+component+"critical") {
			t.failf("%s has not the components that it should: %s", file, changed)
		}
		t.must(os.WriteFile(file, []byte(changed), 0o600)) //nolint:gosec // the path is ours
	}
	return filepath.Join(dir, "deploy")
}
