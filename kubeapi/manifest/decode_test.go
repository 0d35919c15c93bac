package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestDecode(t *testing.T) {
	const untyped = "metadata: {name: a, namespace: prod}\n"
	for _, tc := range []struct {
		name   string
		lookup kubeapi.Lookup // default: pods
		file   string
		want   []string // objects
		broken []string // what each error holds, separated by |
		others string
	}{
		{name: "nothing"},
		{name: "blanks", file: " \n\t\n"},
		{name: "comments only", file: "# nothing\n---\n# yet\n"},
		{name: "null", file: "null\n---\n~\n"},
		{name: "YAML", file: kubetest.PodYAML("a"), want: []string{"prod/a"}},
		{name: "YAML documents", file: "---\n" + kubetest.PodYAML("a") + "---\n# comment\n---\n" + kubetest.PodYAML("b") + "...\n---\n", want: []string{"prod/a", "prod/b"}},
		{name: "separators with comments and blanks", file: kubetest.PodYAML("a") + "--- # second\n" + kubetest.PodYAML("b") + "---  \n" + kubetest.PodYAML("c"), want: []string{"prod/a", "prod/b", "prod/c"}},
		{name: "separator with content", file: kubetest.PodYAML("a") + "--- " + kubetest.PodJSON("b") + "\n", want: []string{"prod/a", "prod/b"}},
		{name: "no newline at the end", file: kubetest.PodYAML("a") + "---\n" + strings.TrimSpace(kubetest.PodYAML("b")), want: []string{"prod/a", "prod/b"}},
		{name: "CRLF", file: strings.ReplaceAll(kubetest.PodYAML("a")+"---\n"+kubetest.PodYAML("b"), "\n", "\r\n"), want: []string{"prod/a", "prod/b"}},
		{name: "BOM before YAML", file: "\ufeff" + kubetest.PodYAML("a"), want: []string{"prod/a"}},
		{name: "BOM before JSON", file: "\ufeff" + kubetest.PodJSON("a") + kubetest.PodJSON("b"), want: []string{"prod/a", "prod/b"}},
		{name: "JSON", file: kubetest.PodJSON("a"), want: []string{"prod/a"}},
		{name: "JSON objects in a row", file: kubetest.PodJSON("a") + kubetest.PodJSON("b") + "\n" + kubetest.PodJSON("c"), want: []string{"prod/a", "prod/b", "prod/c"}},
		{name: "JSON objects between separators", file: kubetest.PodJSON("a") + "\n---\n" + kubetest.PodJSON("b") + "\n", want: []string{"prod/a", "prod/b"}},
		{name: "JSON with tabs", file: strings.ReplaceAll(kubetest.PodJSON("a"), " ", "\n\t\t"), want: []string{"prod/a"}},
		{name: "JSON with escapes that YAML does not know", file: strings.Replace(kubetest.PodJSON("a"), `"metadata": {`, `"metadata": {"annotations": {"x": "\ud83d\ude00\/"}, `, 1), want: []string{"prod/a"}},
		{name: "YAML that begins with a brace", file: "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: prod}}", want: []string{"prod/a"}},
		{name: "no namespace is default", file: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", want: []string{"default/a"}},
		{name: "unknown fields", file: kubetest.PodYAML("a") + "spec: {future: {x: 1}}\nextra: [1]\n", want: []string{"prod/a"}},
		{name: "empty list", file: "apiVersion: v1\nkind: List\nitems: []\n"},
		{name: "list without items", file: "apiVersion: v1\nkind: PodList\n"},
		{name: "list of a kind that is not looked up", file: "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Service, metadata: {name: a}}]\n", others: "1 of v1 Service"},
		{
			name: "v1 List", file: "apiVersion: v1\nkind: List\nitems:\n- " + kubetest.PodJSON("a") + "\n- " + kubetest.PodJSON("b") + "\n",
			want: []string{"prod/a", "prod/b"},
		},
		{
			name: "typed list, items without types", file: `{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}`,
			want: []string{"default/a", "default/b"},
		},
		{
			name: "typed list of slices", lookup: kubeapi.Endpoints, file: "kind: EndpointSliceList\napiVersion: discovery.k8s.io/v1\nitems:\n- metadata: {name: a}\n  addressType: IPv4\n",
			want: []string{"default/a"},
		},
		{name: "lists in a list", file: `{"kind": "List", "apiVersion": "v1", "items": [{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}]}`, broken: []string{"document 1, item 1|a list in a list"}},
		{name: "slices among pods", lookup: kubeapi.Endpoints, file: kubetest.PodYAML("a") + "---\n" + kubetest.SliceYAML("s"), want: []string{"prod/s"}, others: "1 of v1 Pod"},
		{name: "pods among others", file: kubetest.PodYAML("a") + "---\n" + kubetest.SliceYAML("s") + "---\napiVersion: apps/v1\nkind: Deployment\nspec: 1\n", want: []string{"prod/a"}, others: "1 of apps/v1 Deployment, 1 of discovery.k8s.io/v1 EndpointSlice"},
		{name: "older EndpointSlices", lookup: kubeapi.Endpoints, file: strings.Replace(kubetest.SliceYAML("s"), "io/v1", "io/v1beta1", 1), others: "1 of discovery.k8s.io/v1beta1 EndpointSlice"},
		{name: "a kind of the same name elsewhere", file: "apiVersion: metrics.example.org/v1\nkind: Pod\n" + untyped, others: "1 of metrics.example.org/v1 Pod"},

		{name: "broken YAML among good", file: kubetest.PodYAML("a") + "---\n{\n---\n" + kubetest.PodYAML("c"), want: []string{"prod/a", "prod/c"}, broken: []string{"document 2"}},
		{name: "text after a separator that is none", file: kubetest.PodYAML("a") + "---b\n---\n" + kubetest.PodYAML("c"), want: []string{"prod/c"}, broken: []string{"document 1"}},
		{name: "broken JSON after good", file: kubetest.PodJSON("a") + kubetest.PodJSON("b") + `{"kind": "Pod`, want: []string{"prod/a", "prod/b"}, broken: []string{"document 3"}},
		{name: "duplicate key in YAML", file: kubetest.PodYAML("a") + "kind: Pod\n---\n" + kubetest.PodYAML("b"), want: []string{"prod/b"}, broken: []string{`document 1|"kind"`}},
		{name: "duplicate key in JSON", file: strings.Replace(kubetest.PodJSON("a"), `"name"`, `"name": "x", "name"`, 1) + kubetest.PodJSON("b"), want: []string{"prod/b"}, broken: []string{`document 1|"metadata.name"`}},
		{name: "item that is broken", file: `{"kind": "List", "apiVersion": "v1", "items": [` + kubetest.PodJSON("a") + `, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "b", "namespace": "prod"}, "status": []}, ` + kubetest.PodJSON("c") + `]}`, want: []string{"prod/a", "prod/c"}, broken: []string{"document 1, item 2, Pod prod/b|status"}},
		{name: "wrong type deep inside", file: kubetest.PodYAML("a") + "spec: {containers: [{ports: [{containerPort: high}]}]}\n---\n" + kubetest.PodYAML("b"), want: []string{"prod/b"}, broken: []string{"document 1, Pod prod/a|containerPort"}},
		{name: "label that is a number", file: "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: 1}}\n", broken: []string{"document 1, Pod /a|labels"}},
		{name: "no kind", file: "apiVersion: v1\n" + untyped + "---\n" + kubetest.PodYAML("b"), want: []string{"prod/b"}, broken: []string{"document 1|with apiVersion and kind"}},
		{name: "no apiVersion", file: "kind: Pod\n" + untyped, broken: []string{"document 1|with apiVersion and kind"}},
		{name: "items of a v1 List without types", file: "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n", broken: []string{"document 1, item 1|with apiVersion and kind"}},
		{name: "items that are none", file: "apiVersion: v1\nkind: PodList\nitems: [null, 1, x, []]\n", broken: []string{"item 1, Pod /|metadata.name", "item 2", "item 3", "item 4"}},
		{name: "no list of items", file: "apiVersion: v1\nkind: List\nitems: {a: b}\n", broken: []string{"document 1|items"}},
		{name: "keys in another case", file: strings.Replace(kubetest.PodYAML("a"), "kind", "Kind", 1), broken: []string{"document 1|with apiVersion and kind"}},
		{name: "no name", file: "apiVersion: v1\nkind: Pod\n", broken: []string{`document 1, Pod /|metadata.name ""`}},
		{name: "bad name", file: kubetest.PodYAML("A_b"), broken: []string{`document 1, Pod prod/A_b|metadata.name "A_b"`}},
		{name: "bad namespace", file: "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: A.b}\n", broken: []string{`metadata.namespace "A.b"`}},
		{name: "long name", file: kubetest.PodYAML(strings.Repeat("a", 300)), broken: []string{"metadata.name"}},
		{name: "scalar", file: "hello\n", broken: []string{"document 1"}},
		{name: "sequence", file: "- 1\n- 2\n", broken: []string{"document 1"}},
		{name: "binary", file: "\x00\x01\xff\xfe", broken: []string{"document 1"}},
		{name: "alias bomb", file: bomb(), broken: []string{"document 1"}},
		{name: "deep YAML", file: strings.Repeat("[", 20000), broken: []string{"document 1"}},
		{name: "deep JSON", file: strings.Repeat(`{"a":`, 20000), broken: []string{"document 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.lookup == "" {
				tc.lookup = kubeapi.Pods
			}
			d := decode([]byte(tc.file), tc.lookup)
			var got []string
			for _, o := range d.objects {
				got = append(got, o.GetNamespace()+"/"+o.GetName())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("objects: want %q, got %q", tc.want, got)
			}
			var broken []string
			for _, err := range d.broken {
				broken = append(broken, err.Error())
			}
			if !kubetest.Match(broken, tc.broken) {
				t.Errorf("broken:\nwant %q\n got %q", tc.broken, broken)
			}
			if others := kinds(d.others); others != tc.others {
				t.Errorf("others: want %q, got %q of %v", tc.others, others, slices.Sorted(maps.Keys(d.others)))
			}
		})
	}
}

// bomb is a YAML document that doubles thirty times.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	return b.String()
}

func TestBlankSaysNothingAtAll(t *testing.T) {
	for _, tc := range []struct {
		name string
		file string
		want bool
	}{
		{"no bytes", "", true},
		{"comments", "# gone\n---\n", true},
		{"an empty list", "apiVersion: v1\nkind: List\nitems: []\n", false},
		{"something broken", "{", false},
		{"something else", "apiVersion: v1\nkind: Service\n", false},
		{"pod", kubetest.PodYAML("a"), false},
	} {
		if got := decode([]byte(tc.file), kubeapi.Pods).blank; got != tc.want {
			t.Errorf("%s: want %v, got %v", tc.name, tc.want, got)
		}
	}
}

func TestAListInAListIsRefused(t *testing.T) {
	d := decode([]byte(`{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
		{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}]}]}`), kubeapi.Pods)
	if len(d.objects) != 1 || d.objects[0].GetName() != "a" {
		t.Errorf("got %d objects, want the one that is no list", len(d.objects))
	}
	if len(d.broken) != 1 || !strings.Contains(d.broken[0].Error(), "document 1, item 2: expected an object, got a list in a list") {
		t.Errorf("got %v, want one error that names the item", d.broken)
	}
}
