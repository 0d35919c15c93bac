package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/kubeapi/manifest"
	"github.com/longnames/longnames/test/fakeapi"
)

// configOf keeps pods in a file of that name in a new directory.
func configOf(t testing.TB, log kubeapi.Logger) *kubeapi.Config {
	t.Helper()
	return &kubeapi.Config{
		Lookup: kubeapi.Pods, Selector: "app=shop", Labels: []string{"app"}, Log: log,
		Snapshot: filepath.Join(t.TempDir(), "members.json"),
	}
}

func fileOf(c *kubeapi.Config) *file {
	return newFile(c, kubeapi.Origin{
		"family": string(c.Family), "labels": strings.Join(c.Labels, " "), "lookup": string(c.Lookup),
		"namespaces": "prod", "selector": c.Selector, "server": "https://10.0.0.1:6443",
	})
}

func shrink(t testing.TB, c *kubeapi.Config, obj any) *kubeapi.Object {
	t.Helper()
	o, err := kubeapi.NewShrinker(c).Shrink(obj)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// knownPods returns pods as Objects.
func knownPods(t testing.TB, names ...string) []*kubeapi.Object {
	t.Helper()
	objects := make([]*kubeapi.Object, 0, len(names))
	for i, name := range names {
		p := kubetest.NewPod("prod/"+name, "10.0.0.1", "app=shop")
		p.ResourceVersion = string(rune('1' + i))
		objects = append(objects, shrink(t, &kubeapi.Config{Labels: []string{"app"}}, p))
	}
	return objects
}

var writtenAt = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// write writes these objects.
func write(t testing.TB, f *file, objects ...*kubeapi.Object) {
	t.Helper()
	if err := f.write(context.Background(), &contents{objects: objects, written: writtenAt}, nil); err != nil {
		t.Fatal(err)
	}
}

// textOf returns the text of a file with these objects.
func textOf(t testing.TB, f *file, objects ...*kubeapi.Object) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.encode(context.Background(), &b, &contents{objects: objects, written: writtenAt}, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func equalObjects(a, b []*kubeapi.Object) bool {
	return slices.EqualFunc(a, b, func(o, p *kubeapi.Object) bool { return uncut(o).Same(uncut(p)) && o.Version == p.Version })
}

func TestSnapshotIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		for _, lookup := range []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints} {
			c := configOf(t, &kubetest.Log{})
			c.Lookup = lookup
			f := fileOf(c)
			want := &contents{written: writtenAt}
			if seed%2 == 0 { // older files lack it
				want.changed = writtenAt.Add(-time.Hour)
			}
			for range g.IntN(20) {
				obj := any(g.pod())
				if lookup == kubeapi.Endpoints {
					obj = g.slice()
				}
				o, err := f.shrinker.Shrink(obj)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(want.objects, func(p *kubeapi.Object) bool { return kubeapi.CompareObjects(o, p) == 0 }) {
					want.objects = append(want.objects, o)
				}
			}
			if err := f.write(t.Context(), want, nil); err != nil {
				t.Fatal(err)
			}
			got, err := f.read()
			if err != nil {
				t.Fatal(err)
			}
			if want.changed.IsZero() {
				want.changed = writtenAt
			}
			if !equalObjects(got.objects, want.objects) || !got.written.Equal(want.written) || !got.changed.Equal(want.changed) {
				t.Errorf("%s, seed %d:\nwant %+v\n got %+v", lookup, seed, want, got)
			}
		}
	}
}

func TestSnapshotHasAnObjectALine(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	got := textOf(t, f, knownPods(t, "a")...)
	const want = `{"apiVersion":"v1","kind":"List","items":[
{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"prod","resourceVersion":"1","labels":{"app":"shop"}},` +
		`"spec":{"containers":null},"status":{"conditions":[{"type":"Ready","status":"False","lastProbeTime":null,"lastTransitionTime":null}],` +
		`"podIPs":[{"ip":"10.0.0.1"}]}}
],"longnames":{"format":2,"written":"2026-01-02T15:04:05Z",` +
		`"source":{"family":"","labels":"app","lookup":"pods","namespaces":"prod","selector":"app=shop","server":"https://10.0.0.1:6443"},"sha256":"`
	if !strings.HasPrefix(got, want) {
		t.Errorf("\nwant %s\n got %s", want, got)
	}
	if again := textOf(t, f, knownPods(t, "a")...); again != got {
		t.Errorf("want the same every time, got %s", again)
	}
}

func TestSnapshotCanBeReadByManifests(t *testing.T) {
	for _, lookup := range []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints} {
		t.Run(string(lookup), func(t *testing.T) {
			c := configOf(t, &kubetest.Log{})
			c.Lookup, c.Labels = lookup, nil
			want := []string{"prod/a 10.0.0.1", "prod/b 10.0.0.1"}
			objects := knownPods(t, "a", "b")
			for _, o := range objects {
				o.Labels = nil
			}
			write(t, fileOf(c), objects...)
			c.Manifests = []string{c.Snapshot}
			source, err := manifest.New(*c)
			if err != nil {
				t.Fatal(err)
			}
			sink := newWriter(fileOf(c), nil, nil) // any
			source.Join(sink)
			defer func() { <-source.Leave(sink) }()
			kubetest.Eventually(t, func() (bool, string) {
				var got []string
				read, known := source.Objects()
				slices.SortFunc(read, kubeapi.CompareObjects)
				for _, o := range read {
					got = append(got, fmt.Sprintf("%s/%s %v", o.Namespace, o.Name, o.Members[0].Address))
				}
				return known && slices.Equal(got, want), fmt.Sprintf("want %q, got %q", want, got)
			})
		})
	}
}

// This is how kubectl reads files.
func TestSnapshotCanBeReadByKubectl(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	obj, _, err := unstructured.UnstructuredJSONScheme.Decode([]byte(textOf(t, f, knownPods(t, "a", "b")...)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, ok := obj.(*unstructured.UnstructuredList)
	if !ok || len(list.Items) != 2 {
		t.Fatalf("want a list of two, got %T %v", obj, obj)
	}
	for _, item := range list.Items {
		if got, want := item.GroupVersionKind().String(), "/v1, Kind=Pod"; got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
}

func TestSnapshotThatCannotBeUsed(t *testing.T) {
	log := &kubetest.Log{}
	f := fileOf(configOf(t, log))
	good := textOf(t, f, knownPods(t, "a", "b")...)
	edited := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("want %q in %s", from, good)
		}
		return strings.Replace(good, from, to, 1)
	}
	const foreign = "expected a snapshot, as this plugin writes it"
	ofSlices := *f
	ofSlices.expander.lookup = kubeapi.Endpoints

	for _, tc := range []struct {
		name string
		text string
		want string
	}{
		{"empty", "", foreign},
		{"blank", "\n\n", foreign},
		{"truncated in the first line", good[:10], foreign},
		{"truncated", good[:len(good)/2], "expected a snapshot, but it ends too early"},
		{"zeros, as after a crash", strings.Repeat("\x00", 4096), foreign},
		{"YAML", kubetest.PodYAML("a"), foreign},
		{"a list of kubectl's", `{"apiVersion": "v1", "items": [` + kubetest.PodJSON("a") + `], "kind": "List", "metadata": {"resourceVersion": ""}}`, foreign},
		{"a description of something else", firstLine + fmt.Sprintf(lastLine, "[]"), "longnames: json: cannot unmarshal array"},
		{"no description", firstLine + fmt.Sprintf(lastLine, "null"), "longnames: expected format 2, got 0"},
		{"another format", edited(`"format":2`, `"format":3,"later":{}`), "longnames: expected format 2, got 3"},
		{"another format with other items", strings.Replace(edited(`"format":2`, `"format":3`), `"kind":"Pod"`, `"kind":"Members"`, 1), "expected format 2, got 3"},
		{"no sum", edited(`"sha256"`, `"md5"`), `it was changed or damaged: expected sha256 "", got "`},
		{"an address that was edited", edited("10.0.0.1", "10.0.0.2"), `it was changed or damaged: expected sha256 "`},
		{"a time that was edited", edited("2026-01-02", "2026-01-03"), "it was changed or damaged"},
		{"an item less", edited(strings.SplitAfter(good, "\n")[1], ""), "it was changed or damaged"},
		{"other blanks", edited(`{"kind":`, `{ "kind":`), "it was changed or damaged"},
		{"more after it", good + "{}", "something stands after it"},
		{"an object of another kind", textOf(t, &ofSlices, knownPods(t, "a")...), "item 1: expected an object of lookup pods, got 1 of discovery.k8s.io/v1 EndpointSlice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log.Reset()
			if err := os.WriteFile(f.path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := f.read()
			kubetest.WantError(t, err, tc.want)
			kubetest.WantError(t, err, f.path)
			if s != nil {
				t.Errorf("want all or nothing, got %+v", s)
			}
			if f.load() != nil {
				t.Error("want it not to be used")
			}
			log.Want(t, "WARNING snapshot: |"+tc.want+"|it is ignored")
			wantText(t, f.path, tc.text)
		})
	}
}

// One object whose name the API server should not have taken must not cost the others.
func TestSnapshotHasAnyNamesThatTheAPIServerTakes(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	want := knownPods(t, "a", "B_\n", strings.Repeat("c", 300))
	if err := f.write(t.Context(), &contents{objects: want, written: writtenAt, changed: writtenAt}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := f.read()
	if err != nil {
		t.Fatal(err)
	}
	if !equalObjects(got.objects, want) {
		t.Errorf("want %+v\n got %+v", want, got.objects)
	}
}

func TestSnapshotIsReadWithLabelsInAnotherOrder(t *testing.T) {
	c := configOf(t, &kubetest.Log{})
	c.Labels = []string{"app", "tier"}
	p, origin := kubetest.NewPod("prod/a", "10.0.0.1", "app=shop", "tier=web"), fileOf(c).origin
	write(t, newFile(c, origin), shrink(t, c, p))
	slices.Reverse(c.Labels)
	got, err := newFile(c, origin).read()
	if err != nil {
		t.Fatal(err)
	}
	if want := shrink(t, c, p); !equalObjects(got.objects, []*kubeapi.Object{want}) {
		t.Errorf("want %+v, got %+v", want, got.objects[0])
	}
}

func TestSnapshotOfAnotherOrigin(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	write(t, f, knownPods(t, "a")...)
	f.origin = maps.Clone(f.origin)
	f.origin["server"] = "https://10.0.0.2:6443"
	_, err := f.read()
	kubetest.WantError(t, err, `it is of another configuration: expected server "https://10.0.0.2:6443", got "https://10.0.0.1:6443"`)
}

// Whatever becomes of a file, it is refused or says what it said before.
func TestSnapshotThatIsDamagedAnywhere(t *testing.T) {
	t.Parallel()
	f := fileOf(configOf(t, &kubetest.Log{}))
	objects := knownPods(t, "a", "b")
	text := []byte(textOf(t, f, objects...))
	for n := range len(text) - 1 { // the last byte ends a line only
		if _, err := f.decode(bytes.NewReader(text[:n])); err == nil {
			t.Errorf("%d bytes of %d: want an error", n, len(text))
		}
	}
	for i := range text {
		for _, bit := range []byte{1, 0x20} {
			damaged := bytes.Clone(text)
			damaged[i] ^= bit
			s, err := f.decode(bytes.NewReader(damaged))
			if err == nil && (!equalObjects(s.objects, objects) || !s.written.Equal(writtenAt)) {
				t.Errorf("byte %d changed from %q to %q: want an error, got %+v", i, text[i], damaged[i], s)
			}
		}
	}
}

func TestSnapshotIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &kubetest.Log{}
		f := fileOf(configOf(t, log))
		want := knownPods(t, "a", "b")
		if err := f.write(t.Context(), &contents{objects: want, written: time.Now()}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		if got := f.load(); got == nil || !equalObjects(got.objects, want) {
			t.Errorf("want %+v, got %+v", want, got)
		}
		log.Want(t, "INFO snapshot: 2 objects of 1h30m0s ago from |members.json")
	})
}

func TestSnapshotFromTheFutureIsOfNow(t *testing.T) {
	log := &kubetest.Log{}
	f := fileOf(configOf(t, log))
	if err := f.write(t.Context(), &contents{written: time.Now().Add(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	if f.load() == nil {
		t.Error("want it to be used")
	}
	log.Want(t, "INFO snapshot: 0 objects of 0s ago")
}

func TestSnapshotThatIsNotThere(t *testing.T) {
	for _, tc := range []struct{ name, path string }{
		{"no file", "other.json"},
		{"no directory", "missing/members.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := &kubetest.Log{}
			c := configOf(t, log)
			c.Snapshot = filepath.Join(filepath.Dir(c.Snapshot), tc.path)
			f := fileOf(c)
			if _, err := f.read(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("want %v, got %v", fs.ErrNotExist, err)
			}
			if f.load() != nil {
				t.Error("want none")
			}
			log.Want(t, "INFO snapshot: there is no |"+tc.path)
		})
	}
}

func TestSnapshotThatIsTooLarge(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	write(t, f, knownPods(t, "a")...)
	info, err := os.Stat(f.path)
	if err != nil {
		t.Fatal(err)
	}
	f.limit = info.Size()
	if _, err := f.read(); err != nil {
		t.Errorf("want a file of just that size read, got %v", err)
	}
	f.limit--
	_, err = f.read()
	kubetest.WantError(t, err, "members.json: expected at most ")
	kubetest.WantError(t, f.write(t.Context(), &contents{objects: knownPods(t, "a"), written: writtenAt}, nil), "expected at most ")
	wantFiles(t, f.path, "members.json")
}

// In-cluster, the API server of each cluster is at much the same address.
func TestSnapshotOfAnotherClusterAtTheSameAddress(t *testing.T) {
	here, there := fakeapi.New(t, fakeapi.WithTLS()), fakeapi.New(t, fakeapi.WithTLS())
	path := filepath.Join(t.TempDir(), "members.json")
	file := func(api *fakeapi.Server) *file {
		c := kubeapi.Config{Lookup: kubeapi.Pods, Namespaces: []string{"prod"}, Log: &kubetest.Log{}, Snapshot: path}
		c.Kubeconfig = api.WriteKubeconfig(t.TempDir(), "")
		text, err := os.ReadFile(c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Kubeconfig, bytes.ReplaceAll(text, []byte(there.URL), []byte(here.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := kubeapi.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return New(&c, source, func() []kubeapi.Suspects { return nil }).file
	}
	write(t, file(here), knownPods(t, "a")...)
	_, err := file(here).read()
	kubetest.WantError(t, err, "")
	_, err = file(there).read()
	kubetest.WantError(t, err, "another configuration: expected authority")
}

func TestSnapshotKeepsSuspects(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	known := knownPods(t, "a", "b", "c")
	at := func(seconds int) time.Time { return writtenAt.Add(time.Duration(seconds) * time.Second) }
	want := []kubeapi.Suspects{
		{Pulse: kubeapi.Pulse{Most: 5, Probes: at(1)}, Members: []kubeapi.Suspect{{Object: known[1], Reason: "failing", Since: at(2), From: at(3)}}},
		{Pulse: kubeapi.Pulse{Most: 7, Few: at(4), Enough: at(5), Returns: at(6)}, Members: []kubeapi.Suspect{{Object: known[2], Reason: "missing", Since: at(7), From: at(8)}}},
	}
	if err := f.write(t.Context(), &contents{objects: known[:1], suspects: want, written: writtenAt}, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"suspects":[{"most":5,"probes":"2026-01-02T15:04:06Z","members":[{"reason":"failing","since":"2026-01-02T15:04:07Z","from":"2026-01-02T15:04:08Z","object":{`,
		`{"most":7,"few":"2026-01-02T15:04:09Z","enough":"2026-01-02T15:04:10Z","returns":"2026-01-02T15:04:11Z","members":[{"reason":"missing","since":`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("got %s, want in it %s", text, part)
		}
	}
	got, err := f.read()
	if err != nil {
		t.Fatal(err)
	}
	if !equalObjects(got.objects, known[:1]) || len(got.suspects) != len(want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i, g := range got.suspects {
		w := want[i]
		if !equalObjects([]*kubeapi.Object{g.Members[0].Object}, []*kubeapi.Object{w.Members[0].Object}) {
			t.Errorf("got %+v, want %+v", g.Members[0].Object, w.Members[0].Object)
		}
		g.Members[0].Object = w.Members[0].Object
		if !reflect.DeepEqual(g, w) {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}
