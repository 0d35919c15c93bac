package node

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// release is one of a chart of CoreDNS, which begins with an image without longnames.
type release struct {
	*own
	replace *strings.Replacer
	recipes []string // of deploy/README.md, about Helm: to look, to upgrade, to roll back
	dir     string   // where they are run
}

// helm follows deploy/README.md to our image, and back.
func (b bed) helm(t *testing.T) {
	t.Run("UpgradeAndRollback", func(t *testing.T) {
		b.release(t, "--set replicaCount=2,podDisruptionBudget.maxUnavailable=1").upgradeAndRollback()
	})
	t.Run("WithoutValues", func(t *testing.T) { b.release(t, "").withoutValues() })
}

func (b bed) release(t *testing.T, values string) *release {
	t.Helper()
	deploy, err := filepath.Abs("../../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(deploy, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	chart, err := filepath.Abs(cmp.Or(os.Getenv("CHART"), "testdata/chart"))
	if err != nil {
		t.Fatal(err)
	}
	r := &release{own: b.own(t), dir: t.TempDir()}
	_, section, _ := strings.Cut(string(page), "\n### With Helm\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindAllStringSubmatch(section, -1) {
		r.recipes = append(r.recipes, block[1])
	}
	if len(r.recipes) != 3 {
		t.Fatalf("got %d recipes, want 3: %q", len(r.recipes), r.recipes)
	}
	image, tag, _ := strings.Cut(cluster.CoreDNS, ":")
	r.replace = strings.NewReplacer("kube-system", r.namespace, "coredns/coredns ", chart+" ")
	t.Cleanup(func() { r.delete("clusterrole/coredns"); r.delete("clusterrolebinding/coredns") })
	r.sh(`mkdir deploy && cp -r ` + deploy + `/helm deploy
		sed -i 's|image.invalid/longnames/coredns|` + image + `|; s|edit-me|` + tag + `|' deploy/helm/coredns-values.yaml
		helm -n kube-system install coredns coredns/coredns --wait --timeout 5m ` + values)
	version := regexp.MustCompile(`\bcoredns-(\d\S*)`).FindStringSubmatch(r.sh(r.recipes[0]))
	if version == nil {
		t.Fatal("got no release with a version of the chart")
	}
	for i := range r.recipes {
		r.recipes[i] = strings.ReplaceAll(r.recipes[i], "VERSION", version[1])
	}
	return r
}

// sh runs a script of the page. Its namespace and its chart are ours.
func (r *release) sh(script string) string {
	r.Helper()
	return r.Shell(r.T, r.dir, r.replace.Replace(script))
}

func (r *release) is(what, path, want string) {
	r.Helper()
	if got := r.get(what, path); got != want {
		r.Errorf("%s %s: got %s, want %s", what, path, got, want)
	}
}

func (r *release) get(what, path string) string {
	r.Helper()
	return r.Kubectl(r.T, "-n", r.namespace, "get", what, "-o", "jsonpath={"+path+"}")
}

const (
	deployment = "deployment/coredns"
	container  = ".spec.template.spec.containers[0]"
	getValues  = "helm -n kube-system get values coredns -o yaml"
)

func (r *release) upgradeAndRollback() {
	r.server = r.get("service/coredns", ".spec.clusterIP") + ":53"
	spec, ports := r.get(deployment, ".spec"), r.get("service/coredns", ".spec.ports")
	stop := r.askFor(r.T, r.Nodes[0], r.server, "kubernetes.default.svc.cluster.local", "A", 1)
	before := r.rolled(nil)
	r.sh(r.recipes[1])
	before = r.rolled(before)
	r.is(deployment, container+".image", cluster.CoreDNS)
	r.is(deployment, container+".resources", `{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"128Mi"}}`) // no limit of CPU
	for _, network := range []string{"udp", "tcp"} {
		r.answers(r.T, r.Nodes[0], network, r.server)
	}

	// While it is rolled once more, and back, members are answered all the time.
	members := r.ask(r.T, r.Nodes[0], r.server)
	r.sh(r.recipes[1][strings.LastIndex(r.recipes[1], "helm "):] + " --set podAnnotations.again=yes")
	before = r.rolled(before)
	r.sh("helm -n kube-system rollback coredns 3")
	before = r.rolled(before)
	members().neverLost(r.T, "members")

	r.sh(r.recipes[2])
	r.rolled(before)
	stop().neverLost(r.T, "the cluster's names")
	r.is(deployment, ".spec", spec)
	r.is("service/coredns", ".spec.ports", ports)
	if got, want := r.sh(getValues), r.sh("cat current.yaml"); got != want {
		r.Errorf("got values %q, want %q", got, want)
	}
}

// rolled waits until no pod is from before, and returns those that are there.
func (r *release) rolled(before []corev1.Pod) []corev1.Pod {
	r.Helper()
	r.rolledOut(r.T, r.namespace, deployment)
	r.gone(r.T, before)
	return r.pods(r.T, r.namespace, "app.kubernetes.io/name=coredns")
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
	if got, want := r.sh(getValues), "null\n"; got != want {
		r.Errorf("got values %q, want %q", got, want)
	}
}
