package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
)

// TestOverlays applies overlays as they are, one after the other, where there is one node.
func TestOverlays(t *testing.T) {
	b := bed{cluster.Start(t, cluster.Options{Nodes: 1, Images: []string{cluster.CoreDNS}})}
	b.hasImage(t, unpulled)
	for _, namespace := range []string{"prod", "staging", "other"} {
		b.namespace(t, namespace, map[string]string{"beam": "true"})
		b.member(t, namespace)
	}
	p := newPeers()
	b.host(t, b.Nodes[0].Name(), p, guest{"asker", "prod", nil}, guest{"stranger", "prod", nil})
	asker := p.places["asker"]

	t.Run("Standalone", func(t *testing.T) {
		script := codeBlocks(t, deployPage, "Standalone", "sh")
		b.Shell(t, checkout, script[0])
		pods := b.installed(t, "longnames")
		for _, namespace := range []string{"prod", "staging", "other"} {
			answered(t, asker, b.service(t, "longnames"), b.answer(t, namespace))
		}
		// The port is forwarded from when `kubectl port-forward` is ready.
		try := strings.Replace(script[2], "\ndig ", "\nuntil dig ", 1) + "do sleep 0.1; done\nkill $!\n"
		if got, want := b.Shell(t, checkout, try), fmt.Sprintf("%q\n", b.answer(t, "prod").want[0]); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		evict := func(pod corev1.Pod) error {
			return b.Client.PolicyV1().Evictions("longnames").Evict(t.Context(),
				&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: "longnames"}})
		}
		if err := evict(pods[0]); err != nil {
			t.Errorf("one pod: %v", err)
		}
		if err := evict(pods[1]); !apierrors.IsTooManyRequests(err) {
			t.Errorf("the second pod at once: got error %v, want that there are too many requests", err)
		}
		b.rolledOut(t, "longnames", "deployment/longnames")
		b.delete(t, "deploy/overlays/standalone", "longnames")
	})
	t.Run("StandaloneNamespaced", func(t *testing.T) {
		const dir = "deploy/overlays/standalone-namespaced"
		b.Kubectl(t, "apply", "--server-side", "-k", checkout+"/"+dir)
		b.someNamespaces(t, asker, "longnames", b.installed(t, "longnames"))
		b.delete(t, dir, "longnames")
	})
	t.Run("Images", b.images)
	t.Run("ACL", func(t *testing.T) { b.acl(t, p) })
	t.Run("AnotherNamespace", func(t *testing.T) {
		r := repository(t.TempDir())
		if err := build.CopySource(r.path("deploy"), checkout+"/deploy"); err != nil {
			t.Fatal(err)
		}
		b.Shell(t, string(r), codeBlocks(t, deployPage, "Another namespace", "sh")[0])
		const component, name = "- ../../components/", "deploy/overlays/standalone-namespaced"
		for _, overlay := range []string{"deploy/overlays/standalone", name} {
			r.replace(t, overlay+"/kustomization.yaml", component+"namespace\n", "")
			for _, more := range []string{"fixed-address", "critical"} {
				r.replace(t, overlay+"/kustomization.yaml", "# "+component+more, component+more)
			}
		}
		moved := overlay(t, `namespace: dns
resources: [DEPLOY/overlays/standalone]
components: [DEPLOY/components/fixed-address, DEPLOY/components/critical, DEPLOY/components/service-monitor]
`)
		for _, made := range []string{r.path("deploy/overlays/standalone"), r.path(name), moved} {
			text := b.Kubectl(t, "kustomize", made)
			for _, found := range regexp.MustCompile(`(?m)^ +namespace: (\w+)$|^kind: Namespace\nmetadata:\n(?:  .*\n)*?  name: (\w+)$`).FindAllStringSubmatch(text, -1) {
				if got := found[1] + found[2]; got != "dns" && got != "prod" && got != "staging" {
					t.Errorf("%s is in namespace %s, too", made, got)
				}
			}
			if !strings.Contains(text, "- kind: ServiceAccount\n  name: longnames\n  namespace: dns\n") {
				t.Errorf("%s binds no account in namespace dns:\n%s", made, text)
			}
		}
		b.namespace(t, "dns", nil)
		b.Kubectl(t, "apply", "--server-side", "-k", r.path(name))
		pods := b.installed(t, "dns")
		if got := b.service(t, "dns"); got != standaloneAddress {
			t.Errorf("got address %s, want %s", got, standaloneAddress)
		}
		b.someNamespaces(t, asker, "dns", pods)
		for _, pod := range pods {
			if pod.Spec.PriorityClassName != "system-cluster-critical" {
				t.Errorf("%s has priority class %q", pod.Name, pod.Spec.PriorityClassName)
			}
			p.add(t, b, pod.Name, pod)
			p.connect(t, connection{"asker", pod.Name, questions, true}, connection{"asker", pod.Name, "9153/tcp", false},
				connection{pod.Name, "API server", "443/tcp", true}, connection{pod.Name, "asker", "53/tcp", false})
		}
		quota, err := b.Client.CoreV1().ResourceQuotas("dns").Get(t.Context(), "longnames-critical", metav1.GetOptions{})
		if used := quota.Status.Used[corev1.ResourcePods]; err != nil || used.Value() != 2 {
			t.Errorf("got quota %+v and error %v, want 2 pods used", quota.Status, err)
		}
	})
}

// acl has the Corefiles of docs/operations.md in place of the one of deploy/: one pod may ask, others may not.
func (b bed) acl(t *testing.T, p *peers) {
	t.Helper()
	const network = "10.1.0.0/16"
	shop := question{"shop.erl.internal.", "A", []string{b.pods(t, "prod", "app=shop")[0].Status.PodIP}}
	var dir string
	for _, corefile := range codeBlocks(t, "docs/operations.md", "Who may ask", "corefile") {
		if !strings.Contains(corefile, network) {
			t.Fatalf("it does not allow %s:\n%s", network, corefile)
		}
		block, rest, _ := strings.Cut(corefile, " {\n")
		rest = strings.NewReplacer(network, p.addresses["asker"]+"/32", "    ready\n", "", "    kubernetes cluster.local\n", "").Replace(rest)
		dir = overlay(t, `resources: [DEPLOY/overlays/standalone]
configMapGenerator:
- {name: longnames, namespace: longnames, behavior: replace, files: [Corefile], options: {immutable: true}}
`)
		repository(dir).write(t, "Corefile", block+":1053 {\n    health {\n        lameduck 10s\n    }\n    ready\n"+rest)
		b.Kubectl(t, "apply", "--server-side", "-k", dir)
		b.rolledOut(t, "longnames", "deployment/longnames")
		answered(t, p.places["asker"], b.service(t, "longnames"), shop)
		refused(t, p.places["stranger"], b.service(t, "longnames"), shop.name, dns.RcodeRefused)
	}
	b.delete(t, dir, "longnames")
}

// images checks that what deploy/README.md has users write under `images` is good for all overlays.
func (b bed) images(t *testing.T) {
	_, images, _ := strings.Cut(codeBlocks(t, deployPage, "What to edit", "yaml")[0], "\nimages:\n")
	images, _, _ = strings.Cut(images, "configMapGenerator:")
	all, err := filepath.Glob(checkout + "/deploy/overlays/*/*/kustomization.yaml")
	more, err2 := filepath.Glob(checkout + "/deploy/overlays/*/kustomization.yaml")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	with := 0
	for _, file := range append(all, more...) {
		name := filepath.Dir(strings.TrimPrefix(file, checkout+"/"))
		for image, dir := range map[string]string{
			unpulled:        filepath.Dir(file),
			cluster.CoreDNS: overlay(t, "resources: [DEPLOY/"+strings.TrimPrefix(name, "deploy/")+"]\nimages:\n"+images),
		} {
			found := regexp.MustCompile(`(?m)^[ -]+image: (.*)$`).FindAllStringSubmatch(b.Kubectl(t, "kustomize", dir), -1)
			if with += len(found); len(found) > 1 || len(found) == 1 && found[0][1] != image {
				t.Errorf("%s: got %q, want image %s alone", name, found, image)
			}
		}
	}
	if with != 2*3 {
		t.Errorf("got %d images, want 3 overlays with one, with and without `images`", with)
	}
}

// member makes a cluster with a member.
func (b bed) member(t *testing.T, namespace string) {
	t.Helper()
	if _, err := b.Client.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"app": "shop", "beam": "shop"}},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: app("shop"), Ports: []corev1.ServicePort{{Name: "epmd", Port: 4369}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.host(t, b.Nodes[0].Name(), newPeers(), guest{"shop-0", namespace, app("shop")})
}

// answer is what is asked for the cluster of a namespace.
func (b bed) answer(t *testing.T, namespace string) question {
	t.Helper()
	return question{"shop." + namespace + ".svc.erl.internal.", "TXT", longnames(b.pods(t, namespace, "app=shop"))}
}

// installed waits for two pods, which are both on the one node, and checks them.
func (b bed) installed(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	b.rolledOut(t, namespace, "deployment/longnames")
	pods := b.pods(t, namespace, ours)
	if len(pods) != 2 {
		t.Fatalf("got %d pods, want 2", len(pods))
	}
	for _, pod := range pods {
		b.restricted(t, pod, "CapBnd:\t0000000000000000", "Seccomp:\t2")
		b.snapshots(t, pod)
		b.harmless(t, pod)
	}
	return pods
}

func (b bed) service(t *testing.T, namespace string) string {
	t.Helper()
	s, err := b.Client.CoreV1().Services(namespace).Get(t.Context(), "longnames", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP + ":53"
}

// someNamespaces checks that the clusters of two namespaces are known, and those of others are not.
func (b bed) someNamespaces(t *testing.T, asker dialer, home string, pods []corev1.Pod) {
	t.Helper()
	for _, namespace := range []string{"prod", "staging"} {
		answered(t, asker, b.service(t, home), b.answer(t, namespace))
		b.rights(t, home, "longnames", namespace, readEndpointSlices)
	}
	refused(t, asker, b.service(t, home), "shop.other.svc.erl.internal", dns.RcodeNameError)
	for _, namespace := range []string{"other", home, "kube-system"} {
		b.rights(t, home, "longnames", namespace)
	}
	if out, err := b.TryKubectl(t.Context(), "auth", "can-i", "list", "endpointslices.discovery.k8s.io", "-A",
		"--as=system:serviceaccount:"+home+":longnames"); err == nil || !strings.HasPrefix(out, "no") {
		t.Errorf("may it list in all namespaces? got %q, want no", out)
	}
	b.harmless(t, pods...)
}

// delete deletes an overlay, of which nothing is left.
func (b bed) delete(t *testing.T, dir, namespace string) {
	t.Helper()
	b.Shell(t, checkout, "kubectl delete -k "+dir)
	left := b.Kubectl(t, "get", "clusterroles,clusterrolebindings,roles,rolebindings,namespaces", "-A", "-o", "name")
	if found := slices.DeleteFunc(strings.Fields(left), func(name string) bool { return !strings.HasSuffix(name, "/"+namespace) }); len(found) > 0 {
		t.Errorf("%q are left", found)
	}
}
