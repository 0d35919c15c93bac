package manifest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// Whatever the bytes are, the objects have names and can be used.
func FuzzManifests(f *testing.F) {
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		f.Fatalf("want examples, got %q, %v", examples, err)
	}
	for _, path := range examples {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"", "---\n", "{", kubetest.PodYAML("a") + "---\n" + kubetest.SliceYAML("b"), kubetest.PodJSON("a") + kubetest.PodJSON("b"),
		`{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}, null, 1]}`,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIPs: [{ip: 010.0.0.1}, {ip: fe80::1%eth0}, {ip: ''}]}\nspec: {containers: [{ports: [{name: x, containerPort: 70000}]}]}\n",
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: FQDN\nendpoints: [{addresses: [a.b]}]\nports: [{port: -1}]\n",
	} {
		f.Add([]byte(text))
	}
	s := kubeapi.NewShrinker(&kubeapi.Config{Labels: []string{"app"}})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, lookup := range []kubeapi.Lookup{kubeapi.Endpoints, kubeapi.Pods} {
			d := decode(data, lookup)
			for _, err := range d.broken {
				if !strings.HasPrefix(err.Error(), "document ") {
					t.Errorf("want the document named, got %v", err)
				}
			}
			for _, obj := range d.objects {
				if errs := validation.IsDNS1123Subdomain(obj.GetName()); len(errs) > 0 {
					t.Errorf("name %q: %s", obj.GetName(), errs)
				}
				if errs := validation.IsDNS1123Label(obj.GetNamespace()); len(errs) > 0 {
					t.Errorf("namespace %q: %s", obj.GetNamespace(), errs)
				}
				o, err := s.Shrink(obj)
				if err != nil {
					t.Fatal(err)
				}
				checkObject(t, o)
			}
		}
	})
}

// checkObject checks all that readers of an Object rely on.
func checkObject(t *testing.T, o *kubeapi.Object) {
	t.Helper()
	if len(o.Labels) != 1 {
		t.Errorf("want one label, got %v", o.Labels)
	}
	for _, p := range o.Ports {
		if p.Name == "" || p.Protocol == "" || p.Number == 0 {
			t.Errorf("half a port: %+v", p)
		}
	}
	for _, m := range o.Members {
		a := m.Address
		if again, err := netip.ParseAddr(a.String()); err != nil || again != a || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
			t.Errorf("no address: %v", a)
		}
	}
	if !o.Same(o) {
		t.Errorf("not the same as itself: %+v", o)
	}
}
