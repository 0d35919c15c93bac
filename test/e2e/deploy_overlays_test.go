package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/test/e2e/build"
)

// object is a Kubernetes object of any kind.
type object = map[string]any

// kustomize builds a kustomization as `kubectl apply -k` does.
func kustomize(t *testing.T, dir string) []object {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize %s: %v", dir, err)
	}
	var objects []object
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := yaml.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return objects
}

// stringsAt gives each string that is the value of a key, at any depth.
func stringsAt(key string, in any) []string {
	var found []string
	switch in := in.(type) {
	case object:
		for k, v := range in {
			if s, ok := v.(string); ok && k == key {
				found = append(found, s)
			}
			found = append(found, stringsAt(key, v)...)
		}
	case []object:
		for _, v := range in {
			found = append(found, stringsAt(key, v)...)
		}
	case []any:
		for _, v := range in {
			found = append(found, stringsAt(key, v)...)
		}
	}
	return found
}

// userRepository is a directory as deploy/README.md wants it: a copy of deploy in longnames, and room beside it for
// overlays.
func userRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := build.CopySource(filepath.Join(dir, "longnames", "deploy"), deployDir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writes puts an overlay into the directory overlays/prod of a user's repository, beside a Corefile.
func writes(t *testing.T, repository, text string) (dir string) {
	t.Helper()
	dir = filepath.Join(repository, "overlays", "prod")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"kustomization.yaml": text, "Corefile": "# of their own\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readmeOverlay is the overlay that deploy/README.md has users write.
func readmeOverlay(t *testing.T) string {
	t.Helper()
	all, err := snippets(deployPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.section == "What to edit" && s.language == "yaml" {
			return s.text
		}
	}
	t.Fatalf("%s has no overlay", deployPage)
	return ""
}

func TestOverlayOfTheReadmeReplacesWhatItNames(t *testing.T) {
	objects := kustomize(t, writes(t, userRepository(t), readmeOverlay(t)))
	for key, want := range map[string]string{
		"image":     usersImage + ":v1.2.3",
		"Corefile":  "# of their own\n",
		"clusterIP": stubAddress,
	} {
		if got := stringsAt(key, objects); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if kinds := stringsAt("kind", objects); !slices.Contains(kinds, "ServiceMonitor") {
		t.Errorf("got kinds %q, want a ServiceMonitor among them", kinds)
	}
}

// The README has one form for `images`. It is good for every overlay, and each of them runs one image, if any.
func TestImagesOfTheReadmeAreReplacedInEveryOverlay(t *testing.T) {
	_, images, ok := strings.Cut(readmeOverlay(t), "\nimages:\n")
	if !ok {
		t.Fatal("the overlay of the README has no images")
	}
	images, _, _ = strings.Cut(images, "configMapGenerator:")
	with := 0
	for _, name := range shippedOverlays(t) {
		t.Run(name, func(t *testing.T) {
			shipped := stringsAt("image", kustomize(t, overlay(name)))
			if len(shipped) == 0 {
				return
			}
			with++
			if want := unpulled + ":edit-me"; !slices.Equal(shipped, []string{want}) {
				t.Errorf("as it is: got images %q, want %q", shipped, want)
			}
			own := writes(t, userRepository(t), "resources: [../../longnames/deploy/overlays/"+name+"]\nimages:\n"+images)
			if got, want := stringsAt("image", kustomize(t, own)), usersImage+":v1.2.3"; !slices.Equal(got, []string{want}) {
				t.Errorf("below another overlay: got images %q, want %q", got, want)
			}
		})
	}
	if with != 3 {
		t.Errorf("%d overlays run an image, want 3", with)
	}
}

// shippedOverlays gives the directories in deploy/overlays that can be applied.
func shippedOverlays(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*", "*/*"} {
		files, err := filepath.Glob(filepath.Join(deployDir, "overlays", pattern, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, err := filepath.Rel(filepath.Join(deployDir, "overlays"), filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, name)
		}
	}
	return found
}

func TestNamespaceOfAnOverlayMovesAllOfStandalone(t *testing.T) {
	objects := kustomize(t, writes(t, userRepository(t), `namespace: dns
resources: [../../longnames/deploy/overlays/standalone]
components:
- ../../longnames/deploy/components/fixed-address
- ../../longnames/deploy/components/critical
- ../../longnames/deploy/components/service-monitor
`))
	bound := 0
	for _, o := range objects {
		bound += len(stringsAt("namespace", o["subjects"]))
		names := stringsAt("namespace", o)
		if o["kind"] == "Namespace" {
			names = stringsAt("name", o["metadata"])
		}
		for _, name := range names {
			if name != "dns" {
				t.Errorf("%s: got namespace %q, want dns", o["kind"], name)
			}
		}
	}
	if bound != 1 {
		t.Errorf("got %d subjects, want 1", bound)
	}
}

// The policies are those of the built overlay, and of the page about another CoreDNS.
func TestPoliciesOfOursAllowWhatTheyShould(t *testing.T) {
	policies := make(map[string]string)
	for _, o := range kustomize(t, overlay("standalone")) {
		if o["kind"] == "NetworkPolicy" {
			text, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			policies["deploy"] = string(text)
		}
	}
	all, err := snippets(operationsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if strings.Contains(s.text, "longnames-who-may-ask") {
			policies["operations"] = s.text
		}
	}
	for name, connections := range map[string][]connection{"deploy": standaloneConnections(), "operations": questionConnections("longnames")} {
		t.Run(name, func(t *testing.T) {
			var p networkingv1.NetworkPolicy
			if err := yaml.UnmarshalStrict([]byte(policies[name]), &p); err != nil {
				t.Fatal(err)
			}
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Labels: ours}}
			for _, c := range connections {
				got, err := c.judge(pod, []networkingv1.NetworkPolicy{p})
				if err != nil {
					t.Fatal(err)
				}
				if got != c.allowed {
					t.Errorf("egress %t, %s, port %d/%s: got allowed %t, want %t", c.egress, c.peer.what, c.port, c.protocol, got, c.allowed)
				}
			}
		})
	}
}
