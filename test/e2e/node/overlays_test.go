package node

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// TestOverlays applies overlays as they are, one after the other, where there is one node.
func TestOverlays(t *testing.T) {
	together(t, early)
	b := &bed{T: t, Cluster: cluster.Start(t, cluster.Options{Nodes: 1, Images: []string{cluster.CoreDNS}})}
	b.tag(unpulled)
	p, node := b.newPeers(), b.Nodes[0]
	for _, namespace := range []string{"prod", "staging", "other"} {
		b.CreateNamespace(b, namespace)
		b.kubectl("label namespace %s longnames.dev/client=true", namespace)
		b.at(namespace).create(service, "shop", "{app: shop}")
		p.guest("shop-0", namespace, "app=shop", node)
	}
	p.guest("asker", "prod", "app=asker", node)
	p.guest("stranger", "prod", "app=stranger", node)
	for _, tt := range []struct {
		name, namespace string
		try             func(p peers)
	}{
		{"Standalone", "longnames", peers.standalone},
		{"Helm", "longnames", peers.helm},
		{"StandaloneNamespaced", "longnames", peers.namespaced},
		{"Images", "longnames", peers.images},
		{"ACL", "longnames", peers.acl},
		{"AnotherNamespace", "dns", peers.moved},
	} {
		b.run(tt.name, func(b *bed) { tt.try(peers{b.at(tt.namespace), p.all}) })
	}
}

// install waits for the pods of an overlay, which are both on the one node, and checks them.
func (p peers) install() []corev1.Pod {
	p.rolledOut("deployment/longnames")
	pods := p.pods(ours)
	p.installed(p.namespace, pods, confined...)
	p.server = p.get("service/longnames", ".spec.clusterIP") + ":53"
	return pods
}

// knows checks that a pod gets answers for the clusters of some namespaces.
func (p peers) knows(namespaces ...string) {
	for _, namespace := range namespaces {
		p.answered(p.all["asker"], p.server, p.members(namespace))
	}
}

func (p peers) standalone() {
	script := blocks(p.T, deployPage, "Standalone", "sh", "")
	p.Shell(p.T, checkout, script[0])
	p.install()
	p.knows("prod", "staging", "other")
	assert.Regexp(p, `\nns\.dns\.svc\.erl\.internal\. `, p.Shell(p.T, checkout, untilAnswered(script[1])))
	p.remove("deploy/overlays/standalone")
}

// helm installs the chart of CoreDNS in place of an overlay.
func (p peers) helm() {
	script := blocks(p.T, deployPage, "Standalone", "sh", "helm install")[0]
	p.Shell(p.T, checkout, strings.TrimSpace(p.replaced(script, "coredns/coredns ", p.chart()))+" --wait --timeout 5m")
	p.install()
	p.knows("prod", "staging", "other")
	assert.Equal(p, "1", p.get("poddisruptionbudget/longnames", ".spec.maxUnavailable"))
	p.Shell(p.T, checkout, "helm -n longnames uninstall longnames; kubectl delete namespace longnames")
}

func (p peers) namespaced() {
	const dir = "deploy/overlays/standalone-namespaced"
	p.at("").kubectl("apply --server-side -k %s/%s", checkout, dir)
	p.someNamespaces()
	p.remove(dir)
}

// moved changes the namespace of all objects, in both ways of deploy/README.md.
func (p peers) moved() {
	dir := p.TempDir()
	p.Shell(p.T, checkout, "cp -r deploy "+dir)
	p.Shell(p.T, dir, blocks(p.T, deployPage, "Another namespace", "sh", "")[0])
	standalone, namespaced := dir+"/deploy/overlays/standalone", dir+"/deploy/overlays/standalone-namespaced"
	for _, overlay := range []string{standalone, namespaced} {
		p.Shell(p.T, overlay, `
			grep -q '^- .*/components/namespace$' kustomization.yaml
			sed -Ei '/^- .*\/components\/namespace$/d; s,^# (- .*/components/(fixed-address|critical))$,\1,' kustomization.yaml
			test "$(grep -Ec '^- .*/components/(fixed-address|critical)$' kustomization.yaml)" = 2`)
	}
	renamed := p.overlay(`
namespace: dns
resources: [DEPLOY/overlays/standalone]
components: [DEPLOY/components/fixed-address, DEPLOY/components/critical, DEPLOY/components/service-monitor]
`, nil)
	named := regexp.MustCompile(`(?m)^ +namespace: (\w+)$|^kind: Namespace\nmetadata:\n(?:  .*\n)*?  name: (\w+)$`)
	for _, made := range []string{standalone, namespaced, renamed} {
		text := p.kubectl("kustomize %s", made)
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			assert.Contains(p, []string{"dns", "prod", "staging"}, found[1]+found[2], "a namespace of %s", made)
		}
		assert.Contains(p, text, "- kind: ServiceAccount\n  name: longnames\n  namespace: dns\n", "%s binds it", made)
	}
	p.kubectl("create namespace dns")
	p.at("").kubectl("apply --server-side -k %s", namespaced)
	for _, pod := range p.someNamespaces() {
		assert.Equal(p, "system-cluster-critical", pod.Spec.PriorityClassName)
		p.add(pod.Name, pod)
		p.connect(connection{"asker", pod.Name, questions, true}, connection{"asker", pod.Name, "9153/tcp", false},
			connection{pod.Name, "API server", "443/tcp", true}, connection{pod.Name, "asker", "53/tcp", false})
	}
	assert.Equal(p, standaloneAddress, p.server)
	assert.Equal(p, "2", p.get("resourcequota/longnames-critical", ".status.used.pods"))
}

// acl has the Corefiles of docs/security.md in place of the one of deploy/: one pod may ask, others may not.
func (p peers) acl() {
	const network = "10.1.0.0/16"
	shop := question{"shop.erl.internal", "A", addresses(p.at("prod").pods("app=shop"))}
	var dir string
	for _, corefile := range blocks(p.T, securityPage, "Who may ask", "corefile", "") {
		corefile = p.replaced(corefile, network, p.all["asker"].address+"/32")
		zone, rest, _ := strings.Cut(corefile, " {\n")
		rest = strings.NewReplacer("    ready\n", "", "    kubernetes cluster.local\n", "").Replace(rest)
		dir = p.overlay(`
resources: [DEPLOY/overlays/standalone]
configMapGenerator:
- {name: longnames, namespace: longnames, behavior: replace, files: [Corefile], options: {immutable: true}}
`, map[string]string{"Corefile": zone + ":1053 {\n    health {\n        lameduck 10s\n    }\n    ready\n" + rest})
		p.kubectl("apply --server-side -k %s", dir)
		p.rolledOut("deployment/longnames")
		server := p.get("service/longnames", ".spec.clusterIP") + ":53"
		p.answered(p.all["asker"], server, shop)
		p.answered(p.all["stranger"], server, question{shop.name, "A", []string{"REFUSED"}})
	}
	p.remove(dir)
}

// images checks that what deploy/README.md has users write under `images` is good for all overlays.
func (p peers) images() {
	_, images, _ := strings.Cut(blocks(p.T, deployPage, "What to edit", "yaml", "images:")[0], "\nimages:\n")
	images, _, _ = strings.Cut(images, "configMapGenerator:")
	with := 0
	for dir := range strings.FieldsSeq(p.Shell(p.T, checkout, "find deploy/overlays -name kustomization.yaml -printf '%h\n'")) {
		name := strings.TrimPrefix(dir, "deploy/")
		for image, dir := range map[string]string{
			unpulled: checkout + "/" + dir, cluster.CoreDNS: p.overlay("resources: [DEPLOY/"+name+"]\nimages:\n"+images, nil),
		} {
			found := regexp.MustCompile(`(?m)^[ -]+image: (.*)$`).FindAllStringSubmatch(p.kubectl("kustomize %s", dir), -1)
			if with += len(found); len(found) > 1 || len(found) == 1 && found[0][1] != image {
				p.Errorf("%s: got %q, want image %s alone", name, found, image)
			}
		}
	}
	assert.Equal(p, 2*3, with, "3 overlays have an image, with and without `images`")
}

// someNamespaces checks that the clusters of two namespaces are known, and those of others are not.
func (p peers) someNamespaces() []corev1.Pod {
	pods := p.install()
	p.knows("prod", "staging")
	p.answered(p.all["asker"], p.server, question{"shop.other.svc.erl.internal", "A", []string{"NXDOMAIN"}})
	for namespace, rights := range map[string][]string{
		"prod": {readEndpointSlices}, "staging": {readEndpointSlices}, "other": nil, p.namespace: nil, "kube-system": nil,
	} {
		p.rights(p.namespace, "longnames", namespace, rights...)
	}
	out, err := p.try("auth can-i list endpointslices.discovery.k8s.io -A --as=system:serviceaccount:%s:longnames", p.namespace)
	require.Error(p, err)
	assert.Regexp(p, "^no", out, "may it list in all namespaces?")
	return pods
}

// remove deletes an overlay, of which nothing is left.
func (p peers) remove(dir string) {
	p.Shell(p.T, checkout, "kubectl delete -k "+dir)
	left := p.kubectl("get clusterroles,clusterrolebindings,roles,rolebindings,namespaces -A -o name")
	assert.Empty(p, regexp.MustCompile(`(?m)^\S*/`+p.namespace+`$`).FindAllString(left, -1))
}
