package kubeapi

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
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

	"github.com/longnames/longnames/test/fakeapi"
)

// snapshotConfig keeps pods in a file of that name in a new directory.
func snapshotConfig(t testing.TB, log Logger) *Config {
	t.Helper()
	return &Config{
		Lookup: Pods, Selector: "app=shop", Labels: []string{"app"}, Log: log,
		Snapshot: filepath.Join(t.TempDir(), "members.json"),
	}
}

func snapshotFileOf(c *Config) *snapshotFile {
	return newSnapshotFile(c, c.Snapshot, c.origin("https://10.0.0.1:6443", []string{"prod"}))
}

// knownPods are pods as Objects.
func knownPods(names ...string) []*Object {
	s := shrinker{labels: []string{"app"}}
	objects := make([]*Object, 0, len(names))
	for i, name := range names {
		p := newPod("prod/"+name, "10.0.0.1", "app=shop")
		p.ResourceVersion = string(rune('1' + i))
		objects = append(objects, s.pod(p))
	}
	return objects
}

var writtenAt = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// write writes these objects.
func write(t testing.TB, f *snapshotFile, objects ...*Object) {
	t.Helper()
	if err := f.write(context.Background(), &snapshot{objects: objects, written: writtenAt}); err != nil {
		t.Fatal(err)
	}
}

// textOf is what is written of these objects.
func textOf(t testing.TB, f *snapshotFile, objects ...*Object) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.encode(context.Background(), &b, &snapshot{objects: objects, written: writtenAt}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func equalObjects(a, b []*Object) bool {
	return slices.EqualFunc(a, b, func(o, p *Object) bool { return o.same(p) && o.Version == p.Version })
}

func TestSnapshotIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		for _, lookup := range []Lookup{Pods, Endpoints} {
			c := snapshotConfig(t, &recordingLog{})
			c.Lookup = lookup
			f := snapshotFileOf(c)
			want := &snapshot{written: writtenAt}
			for range g.IntN(20) {
				obj := any(g.pod())
				if lookup == Endpoints {
					obj = g.slice()
				}
				o, err := f.shrinker.shrink(obj)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(want.objects, func(p *Object) bool { return compareNames(o, p) == 0 }) {
					want.objects = append(want.objects, o)
				}
			}
			if err := f.write(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			got, err := f.read()
			if err != nil {
				t.Fatal(err)
			}
			if !equalObjects(got.objects, want.objects) || !got.written.Equal(want.written) {
				t.Errorf("%s, seed %d:\nwant %+v\n got %+v", lookup, seed, want, got)
			}
		}
	}
}

func TestSnapshotCanBeReadByPeople(t *testing.T) {
	f := snapshotFileOf(snapshotConfig(t, &recordingLog{}))
	got := textOf(t, f, knownPods("a")...)
	const want = `{
  "apiVersion": "v1",
  "kind": "List",
  "items": [
    {
      "kind": "Pod",
      "apiVersion": "v1",
      "metadata": {
        "name": "a",
        "namespace": "prod",
        "resourceVersion": "1",
        "labels": {
          "app": "shop"
        }
      },
      "spec": {
        "containers": null
      },
      "status": {
        "conditions": [
          {
            "type": "Ready",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": null
          }
        ],
        "podIPs": [
          {
            "ip": "10.0.0.1"
          }
        ]
      }
    }
  ],
  "longnames": {
    "format": 1,
    "written": "2026-01-02T15:04:05Z",
    "source": {
      "family": "",
      "labels": "app",
      "lookup": "pods",
      "namespaces": "prod",
      "selector": "app=shop",
      "server": "https://10.0.0.1:6443"
    },
    "sha256": "`
	if !strings.HasPrefix(got, want) {
		t.Errorf("\nwant %s\n got %s", want, got)
	}
	if again := textOf(t, f, knownPods("a")...); again != got {
		t.Errorf("want the same every time, got %s", again)
	}
}

func TestSnapshotCanBeReadByManifests(t *testing.T) {
	for _, lookup := range []Lookup{Pods, Endpoints} {
		t.Run(string(lookup), func(t *testing.T) {
			c := snapshotConfig(t, &recordingLog{})
			c.Lookup, c.Labels = lookup, nil
			want := []string{"prod/a 10.0.0.1", "prod/b 10.0.0.1"}
			objects := knownPods("a", "b")
			for _, o := range objects {
				o.Labels = nil
			}
			write(t, snapshotFileOf(c), objects...)
			c.Manifests = []string{c.Snapshot}
			source, err := New(*c)
			if err != nil {
				t.Fatal(err)
			}
			sink := newSink(t)
			start(t, source, sink)
			sink.eventually(t, want...)
		})
	}
}

// This is how kubectl reads files.
func TestSnapshotCanBeReadByKubectl(t *testing.T) {
	f := snapshotFileOf(snapshotConfig(t, &recordingLog{}))
	obj, _, err := unstructured.UnstructuredJSONScheme.Decode([]byte(textOf(t, f, knownPods("a", "b")...)), nil, nil)
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
	log := &recordingLog{}
	f := snapshotFileOf(snapshotConfig(t, log))
	good := textOf(t, f, knownPods("a", "b")...)
	edited := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("want %q in %s", from, good)
		}
		return strings.Replace(good, from, to, 1)
	}
	ofSlices := *f
	ofSlices.expander.lookup = Endpoints

	for _, tc := range []struct {
		name string
		text string
		want string
	}{
		{"empty", "", "expected a v1 List in JSON, but it ends too early"},
		{"blank", "\n\n", "but it ends too early"},
		{"truncated", good[:len(good)/2], "but it ends too early"},
		{"zeros, as after a crash", strings.Repeat("\x00", 4096), "expected a v1 List in JSON: invalid character '\\x00'"},
		{"YAML", podYAML("a"), "expected a v1 List in JSON: invalid character 'a'"},
		{"a list", "[]", "expected a v1 List in JSON: expected {, got ["},
		{"null", "null", "expected {, got <nil>"},
		{"an empty object", "{}", `expected a v1 List, got " "`},
		{"a pod", podJSON("a"), `expected a v1 List, got "v1 Pod"`},
		{"another list", edited(`"List"`, `"PodList"`), `expected a v1 List, got "v1 PodList"`},
		{
			"a list of kubectl's", `{"apiVersion": "v1", "items": [` + podJSON("a") + `, 1], "kind": "List", "metadata": {"resourceVersion": ""}}`,
			`expected a snapshot, got a List without the member "longnames"`,
		},
		{"a description of something else", `{"apiVersion": "v1", "kind": "List", "longnames": []}`, "longnames: json: cannot unmarshal array"},
		{"no description", `{"apiVersion": "v1", "kind": "List", "longnames": null}`, "expected format 1, got 0"},
		{"items that are no list", `{"apiVersion": "v1", "kind": "List", "items": {}}`, "expected [, got {"},
		{"items twice", edited(`"longnames"`, `"items": [], "longnames"`), `expected "items" once`},
		{"a newer format", edited(`"format": 1`, `"format": 2, "later": {}`), "expected format 1, got 2"},
		{
			"a newer format with other items", strings.Replace(edited(`"format": 1`, `"format": 2`), `"kind": "Pod"`, `"kind": "Members"`, 1),
			"expected format 1, got 2",
		},
		{"no sum", edited(`"sha256"`, `"md5"`), `it was changed or damaged: expected sha256 "", got "`},
		{"an address that was edited", edited("10.0.0.1", "10.0.0.2"), `it was changed or damaged: expected sha256 "`},
		{"a time that was edited", edited("2026-01-02", "2026-01-03"), "it was changed or damaged"},
		{"no items", good[:strings.Index(good, "[")+1] + good[strings.LastIndex(good, "]"):], "it was changed or damaged"},
		{"more after it", good + "{}", "something stands after it"},
		{"an object twice", textOf(t, f, knownPods("a", "b", "a")...), "item 3: expected prod/a once"},
		{"an object with a bad name", textOf(t, f, knownPods("a", "B")...), `item 2, Pod prod/B: metadata.name "B"`},
		{"an object of another kind", textOf(t, &ofSlices, knownPods("a")...), "item 1: expected what lookup pods takes, got 1 of discovery.k8s.io/v1 EndpointSlice"},
		{"too deep", `{"items": ` + strings.Repeat("[", 20000), "exceeded max depth"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log.lines = nil
			if err := os.WriteFile(f.path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := f.read()
			wantError(t, err, tc.want)
			wantError(t, err, f.path)
			if s != nil {
				t.Errorf("want all or nothing, got %+v", s)
			}
			if _, ok := f.load(); ok {
				t.Error("want it not to be used")
			}
			log.want(t, "WARNING snapshot: |"+tc.want+"|it is ignored")
			wantText(t, f.path, tc.text)
		})
	}
}

func TestSnapshotOfAnotherConfiguration(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		server string // default: the same
		want   string // empty if it can be used
	}{
		{"the same", func(*Config) {}, "", ""},
		{"server", func(*Config) {}, "https://10.0.0.2:6443", `expected server "https://10.0.0.2:6443", got "https://10.0.0.1:6443"`},
		{"lookup", func(c *Config) { c.Lookup = Endpoints }, "", `expected lookup "endpoints", got "pods"`},
		{"namespaces", func(c *Config) { c.Namespaces = []string{"prod", "dev"} }, "", `expected namespaces "dev prod", got "dev prod staging"`},
		{"namespaces in another order", func(c *Config) { slices.Reverse(c.Namespaces) }, "", ""},
		{"selector", func(c *Config) { c.Selector = "app=chat" }, "", `expected selector "app=chat", got "app=shop,tier!=db"`},
		{"selector in another order", func(c *Config) { c.Selector = "tier!=db, app==shop" }, "", `expected selector "app==shop,tier!=db"`},
		{"selector with blanks", func(c *Config) { c.Selector = "tier!=db, app=shop" }, "", ""},
		{"labels", func(c *Config) { c.Labels = nil }, "", `expected labels "", got "app tier"`},
		{"labels in another order", func(c *Config) { slices.Reverse(c.Labels) }, "", ""},
		{"family", func(c *Config) { c.Family = IPv6 }, "", `expected family "ipv6", got ""`},
		{"what has no say", func(c *Config) { c.Cached, c.UserAgent, c.ServiceAccount = true, "x", "/x" }, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const server = "https://10.0.0.1:6443"
			c := snapshotConfig(t, &recordingLog{})
			c.Namespaces, c.Selector, c.Labels = []string{"prod", "staging", "dev"}, "app=shop,tier!=db", []string{"app", "tier"}
			s := shrinker{labels: c.Labels}
			write(t, newSnapshotFile(c, c.Snapshot, c.origin(server, c.Namespaces)), s.pod(newPod("prod/a", "10.0.0.1", "app=shop", "tier=web")))
			tc.change(c)
			if tc.server == "" {
				tc.server = server
			}
			f := newSnapshotFile(c, c.Snapshot, c.origin(tc.server, c.Namespaces))
			got, err := f.read()
			wantError(t, err, tc.want)
			if err != nil {
				return
			}
			want := f.shrinker.pod(newPod("prod/a", "10.0.0.1", "app=shop", "tier=web"))
			if !equalObjects(got.objects, []*Object{want}) {
				t.Errorf("want %+v, got %+v", want, got.objects[0])
			}
		})
	}
}

func TestSnapshotDoesNotTellAPassword(t *testing.T) {
	c := snapshotConfig(t, &recordingLog{})
	f := newSnapshotFile(c, c.Snapshot, c.origin("https://admin:hunter2@10.0.0.1:6443", []string{"prod"}))
	if text := textOf(t, f); strings.Contains(text, "hunter2") || !strings.Contains(text, `"https://10.0.0.1:6443"`) {
		t.Errorf("want the server without its password, got %s", text)
	}
}

// Whatever becomes of a file, it is refused or says what it said before.
func TestSnapshotThatIsDamagedAnywhere(t *testing.T) {
	t.Parallel()
	f := snapshotFileOf(snapshotConfig(t, &recordingLog{}))
	objects := knownPods("a", "b")
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
		log := &recordingLog{}
		f := snapshotFileOf(snapshotConfig(t, log))
		want := knownPods("a", "b")
		if err := f.write(t.Context(), &snapshot{objects: want, written: time.Now()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		got, ok := f.load()
		if !ok || !equalObjects(got.objects, want) {
			t.Errorf("want %+v, got %+v, %v", want, got, ok)
		}
		log.want(t, "INFO snapshot: 2 objects of 1h30m0s ago from |members.json")
	})
}

func TestSnapshotFromTheFutureIsOfNow(t *testing.T) {
	log := &recordingLog{}
	f := snapshotFileOf(snapshotConfig(t, log))
	if err := f.write(t.Context(), &snapshot{written: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.load(); !ok {
		t.Error("want it to be used")
	}
	log.want(t, "INFO snapshot: 0 objects of 0s ago")
}

func TestSnapshotThatIsNotThere(t *testing.T) {
	for _, tc := range []struct{ name, path string }{
		{"no file", "other.json"},
		{"no directory", "missing/members.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := &recordingLog{}
			c := snapshotConfig(t, log)
			c.Snapshot = filepath.Join(filepath.Dir(c.Snapshot), tc.path)
			f := snapshotFileOf(c)
			if _, err := f.read(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("want %v, got %v", fs.ErrNotExist, err)
			}
			if _, ok := f.load(); ok {
				t.Error("want none")
			}
			log.want(t, "INFO snapshot: there is no |"+tc.path)
		})
	}
}

func TestSnapshotThatIsTooLarge(t *testing.T) {
	f := snapshotFileOf(snapshotConfig(t, &recordingLog{}))
	write(t, f, knownPods("a")...)
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
	wantError(t, err, "members.json: expected at most ")
	wantError(t, f.write(t.Context(), &snapshot{objects: knownPods("a"), written: writtenAt}), "expected at most ")
	wantFiles(t, f.path, "members.json")
}

// In-cluster, the API server of each cluster is at much the same address.
func TestSnapshotOfAnotherClusterAtTheSameAddress(t *testing.T) {
	here, there := fakeapi.New(t, fakeapi.WithTLS()), fakeapi.New(t, fakeapi.WithTLS())
	path := filepath.Join(t.TempDir(), "members.json")
	file := func(api *fakeapi.Server) *snapshotFile {
		c := Config{Lookup: Pods, Namespaces: []string{"prod"}, Log: &recordingLog{}}
		kubeconfig(api, t.TempDir())(&c)
		text, err := os.ReadFile(c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Kubeconfig, bytes.ReplaceAll(text, []byte(there.URL), []byte(here.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return source.Snapshot(path, func() []Suspects { return nil }).file
	}
	write(t, file(here), knownPods("a")...)
	_, err := file(here).read()
	wantError(t, err, "")
	_, err = file(there).read()
	wantError(t, err, "another configuration: expected authority")
}

// A CA is replaced by way of a bundle of both.
func TestSnapshotOfARotatedAuthority(t *testing.T) {
	for _, tc := range []struct {
		written, read, want string
	}{
		{"a", "a", ""},
		{"a", "a b", ""},
		{"a b", "b", ""},
		{"a", "b", "expected authority"},
		{"", "b", "expected authority"},
		{"a", "", "expected authority"},
	} {
		file := func(authority string) origin {
			return origin{"server": "https://10.0.0.1:6443", authorityPart: authority}
		}
		wantError(t, file(tc.read).check(file(tc.written)), tc.want)
	}
}

func TestSnapshotKeepsSuspects(t *testing.T) {
	f := snapshotFileOf(snapshotConfig(t, &recordingLog{}))
	known := knownPods("a", "b", "c")
	at := func(seconds int) time.Time { return writtenAt.Add(time.Duration(seconds) * time.Second) }
	want := []Suspects{
		{Most: 5, Probes: at(1), Members: []Suspect{{known[1], "failing", at(2), at(3)}}},
		{Most: 7, Few: at(4), Enough: at(5), Returns: at(6), Members: []Suspect{{known[2], "missing", at(7), at(8)}}},
	}
	if err := f.write(t.Context(), &snapshot{objects: known[:1], suspects: want, written: writtenAt}); err != nil {
		t.Fatal(err)
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
		if !equalObjects([]*Object{g.Members[0].Object}, []*Object{w.Members[0].Object}) {
			t.Errorf("got %+v, want %+v", g.Members[0].Object, w.Members[0].Object)
		}
		g.Members[0].Object = w.Members[0].Object
		if !reflect.DeepEqual(g, w) {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}
