package node

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// release is one of a chart of CoreDNS, which begins with an image without longnames.
type release struct {
	*bed
	replace *strings.Replacer
	recipes []string // of deploy/README.md, about Helm: to look, to upgrade, to roll back
	dir     string   // where they are run
}

// helm follows deploy/README.md to our image, and back.
func (b *bed) helm() {
	for _, p := range []part{
		{"UpgradeAndRollback", func(b *bed) { b.helmRelease("--set replicaCount=2").upgradeAndRollback() }},
		{"WithoutValues", func(b *bed) { b.helmRelease("").withoutValues() }},
	} {
		b.run(p.name, p.try)
		b.kubectl("delete clusterrole/coredns clusterrolebinding/coredns --ignore-not-found") // of the official chart
	}
}

// chart is where Helm finds the one of CoreDNS.
func (b *bed) chart() string {
	chart, err := filepath.Abs(cmp.Or(os.Getenv("CHART"), "testdata/chart"))
	require.NoError(b, err)
	return chart + " "
}

func (b *bed) helmRelease(values string) *release {
	b.own()
	r := &release{bed: b, dir: b.TempDir(), recipes: blocks(b.T, deployPage, "With Helm", "sh", "")}
	require.Len(b, r.recipes, 3)
	image, tag, _ := strings.Cut(cluster.CoreDNS, ":")
	r.replace = strings.NewReplacer("kube-system", r.namespace, "coredns/coredns ", b.chart())
	// These are the rights that kubeadm gives to CoreDNS.
	b.kubectl("create clusterrolebinding %s --clusterrole=system:coredns --serviceaccount=%[1]s:default", r.namespace)
	b.Shell(b.T, checkout, "mkdir "+r.dir+"/deploy; cp -r deploy/helm "+r.dir+"/deploy")
	r.sh(`sed -i 's|image.invalid/longnames/coredns|` + image + `|; s|edit-me|` + tag + `|' deploy/helm/coredns-values.yaml
		helm -n kube-system install coredns coredns/coredns --wait --timeout 5m ` + values)
	version := regexp.MustCompile(`\bcoredns-(\d\S*)`).FindStringSubmatch(r.sh(r.recipes[0]))
	require.NotNil(b, version, "no release has a version of the chart")
	for i := range r.recipes {
		r.recipes[i] = strings.TrimSpace(strings.ReplaceAll(r.recipes[i], "VERSION", version[1]))
	}
	return r
}

// sh runs a script of the page, with the test's namespace and chart for those of the page.
func (r *release) sh(script string) string {
	return r.Shell(r.T, r.dir, r.replace.Replace(script))
}

func (r *release) is(what, path, want string) {
	assert.Equal(r, want, r.get(what, path), "%s %s", what, path)
}

const (
	deployment = "deployment/coredns"
	container  = ".spec.template.spec.containers[0]"
	getValues  = "helm -n kube-system get values coredns -o yaml"
)

func (r *release) upgradeAndRollback() {
	r.server = r.get("service/coredns", ".spec.clusterIP") + ":53"
	spec, ports := r.get(deployment, ".spec"), r.get("service/coredns", ".spec.ports")
	api := question{"kubernetes.default.svc.cluster.local", "A", []string{"10.96.0.1"}}
	stop := r.keepAsking(r.Nodes[0], r.server, api, 0)
	before := r.rolled(nil)
	r.sh(r.recipes[1])
	before = r.rolled(before)
	r.is(deployment, container+".image", cluster.CoreDNS)
	// There is no limit of CPU.
	r.is(deployment, container+".resources", `{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"128Mi"}}`)
	r.answered(r.Nodes[0], r.server, r.members("prod"))

	// While it is rolled once more, and back, members are answered all the time.
	members := r.keepAsking(r.Nodes[0], r.server, r.members("prod"), 0)
	r.sh(r.recipes[1][strings.LastIndex(r.recipes[1], "helm "):] + " --set podAnnotations.again=yes")
	before = r.rolled(before)
	r.sh("helm -n kube-system rollback coredns 3")
	before = r.rolled(before)
	members()

	r.sh(r.recipes[2])
	r.rolled(before)
	stop()
	r.is(deployment, ".spec", spec)
	r.is("service/coredns", ".spec.ports", ports)
	assert.Equal(r, r.sh("cat current.yaml"), r.sh(getValues))
}

// rolled waits until no pod is from before, and returns those that are there.
func (r *release) rolled(before []corev1.Pod) []corev1.Pod {
	r.rolledOut(deployment)
	r.gone(before)
	return r.pods("app.kubernetes.io/name=coredns")
}

// withoutValues is the way back to no values by upgrades, to which nothing but --reset-values leads.
func (r *release) withoutValues() {
	stock := r.get(deployment, container+".image")
	r.sh(r.recipes[1])
	withoutServers, _, _ := strings.Cut(r.recipes[1], "\nkubectl")
	none := strings.Replace(withoutServers, " -f deploy/helm/coredns-values.yaml", "", 1)
	r.sh(withoutServers)
	r.sh(strings.Replace(none, " --reset-values", "", 1))
	r.is(deployment, container+".image", cluster.CoreDNS)
	r.sh(none)
	r.is(deployment, container+".image", stock)
	assert.Equal(r, "null\n", r.sh(getValues))
}
