package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// folder is a directory of manifests. Each write makes a file newer than any before.
type folder struct {
	t    *testing.T
	path string
	last time.Time
}

func newFolder(t *testing.T, files map[string]string) *folder {
	t.Helper()
	f := &folder{t, t.TempDir(), time.Unix(1_000_000, 0)}
	for name, text := range files {
		f.write(name, text)
	}
	return f
}

func (f *folder) in(name string) string { return filepath.Join(f.path, name) }

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) write(name, text string) {
	f.t.Helper()
	f.must(os.WriteFile(f.in(name), []byte(text), 0o600))
	f.last = f.last.Add(time.Second)
	f.must(os.Chtimes(f.in(name), f.last, f.last))
}

func (f *folder) remove(name string)   { f.t.Helper(); f.must(os.RemoveAll(f.in(name))) }
func (f *folder) mkdir(name string)    { f.t.Helper(); f.must(os.Mkdir(f.in(name), 0o700)) }
func (f *folder) link(to, name string) { f.t.Helper(); f.must(os.Symlink(to, f.in(name))) }

func (f *folder) rename(from, to string) {
	f.t.Helper()
	f.must(os.Rename(f.in(from), f.in(to)))
}

// config reads pods by these patterns.
func (f *folder) config(log kubeapi.Logger, patterns ...string) kubeapi.Config {
	c := kubeapi.Config{Lookup: kubeapi.Pods, Log: log}
	for _, pattern := range patterns {
		c.Manifests = append(c.Manifests, f.in(pattern))
	}
	return c
}

const emptyList = "apiVersion: v1\nkind: List\nitems: []\n"

const (
	a1 = "prod/a 10.0.0.1"
	b1 = "prod/b 10.0.0.1"
	c1 = "prod/c 10.0.0.1"
)

func TestManifestsAtStart(t *testing.T) {
	for _, tc := range []struct {
		name     string
		files    map[string]string
		prepare  func(*folder)
		patterns []string
		change   func(*kubeapi.Config)
		want     []string
		err      string
		log      []string
	}{
		{name: "one file", files: map[string]string{"a.yaml": kubetest.PodYAML("a")}, patterns: []string{"a.yaml"}, want: []string{a1}},
		{name: "files and globs", files: map[string]string{"a.yaml": kubetest.PodYAML("a"), "b.yaml": kubetest.PodYAML("b"), "x.json": kubetest.PodYAML("c")}, patterns: []string{"x.json", "*.yaml"}, want: []string{a1, b1, c1}},
		{name: "a file that several patterns name", files: map[string]string{"a.yaml": kubetest.PodYAML("a")}, patterns: []string{"a.yaml", "*.yaml", "a.*"}, want: []string{a1}},
		{name: "directories that a glob matches", files: map[string]string{"a.yaml": kubetest.PodYAML("a")}, prepare: func(f *folder) { f.mkdir("..data") }, patterns: []string{"*"}, want: []string{a1}},
		{name: "an empty list", files: map[string]string{"a.yaml": emptyList}, patterns: []string{"a.yaml"}},
		{name: "some broken", files: map[string]string{"a.yaml": kubetest.PodYAML("a") + "---\n" + kubetest.PodYAML("B")}, patterns: []string{"a.yaml"}, want: []string{a1}, log: []string{"ERROR manifests: |a.yaml: document 2, Pod prod/B: metadata.name"}},
		{name: "other kinds only", files: map[string]string{"a.yaml": kubetest.SliceYAML("a") + "---\n" + kubetest.SliceYAML("b")}, patterns: []string{"a.yaml"}, log: []string{"WARNING|a.yaml has nothing for lookup pods, but 2 of discovery.k8s.io/v1 EndpointSlice"}},
		{
			name: "namespaces", files: map[string]string{"a.yaml": kubetest.PodYAML("a"), "b.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nstatus: {podIP: 10.0.0.1}\n"},
			patterns: []string{"*.yaml"}, change: func(c *kubeapi.Config) { c.Namespaces = []string{"dev", "prod"} }, want: []string{a1},
		},
		{
			name: "all namespaces", files: map[string]string{"a.yaml": kubetest.PodYAML("a")},
			patterns: []string{"*.yaml"}, change: func(c *kubeapi.Config) { c.Namespaces = []string{"*"} }, want: []string{a1},
		},
		{
			name: "selector", files: map[string]string{"a.json": kubetest.PodJSON("a"), "b.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: prod, labels: {app: shop}}\nstatus: {podIP: 10.0.0.1}\n"},
			patterns: []string{"*"}, change: func(c *kubeapi.Config) { c.Selector = "app in (shop)" }, want: []string{b1},
		},
		{name: "no match", patterns: []string{"*.yaml"}, err: "manifests: no file matches "},
		{name: "one of two is missing", files: map[string]string{"a.yaml": kubetest.PodYAML("a")}, patterns: []string{"a.yaml", "b.yaml"}, err: "b.yaml"},
		{name: "broken pattern", patterns: []string{"[a"}, err: "syntax error in pattern"},
		{name: "directory", prepare: func(f *folder) { f.mkdir("d") }, patterns: []string{"d"}, err: "d is no regular file"},
		{name: "link to nowhere", prepare: func(f *folder) { f.link("nowhere", "a.yaml") }, patterns: []string{"a.yaml"}, err: "no such file"},
		{name: "nothing but broken", files: map[string]string{"a.yaml": "{"}, patterns: []string{"a.yaml"}, err: "a.yaml: document 1: "},
		{name: "broken selector", files: map[string]string{"a.yaml": kubetest.PodYAML("a")}, patterns: []string{"a.yaml"}, change: func(c *kubeapi.Config) { c.Selector = "=" }, err: "selector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, log := newFolder(t, tc.files), &kubetest.Log{}
			if tc.prepare != nil {
				tc.prepare(f)
			}
			c := f.config(log, tc.patterns...)
			if tc.change != nil {
				tc.change(&c)
			}
			source, err := New(c)
			kubetest.WantError(t, err, tc.err)
			log.Want(t, tc.log...)
			if err != nil {
				return
			}
			sink, stop := follow(t, source)
			sink.eventually(t, tc.want...)
			stop()
			sink.wantSynced(t, 1)
		})
	}
}

func TestManifestsFollowTheirFiles(t *testing.T) {
	type step struct {
		do   func(*folder)
		want []string
	}
	write := func(name, text string) func(*folder) { return func(f *folder) { f.write(name, text) } }
	remove := func(name string) func(*folder) { return func(f *folder) { f.remove(name) } }
	const bad = "{"
	two := map[string]string{"a.yaml": kubetest.PodYAML("a"), "b.yaml": kubetest.PodYAML("b")}

	for _, tc := range []struct {
		name     string
		files    map[string]string // default: two
		patterns []string          // default: *.yaml
		steps    []step
		log      []string
	}{
		{name: "a change", steps: []step{{write("a.yaml", kubetest.PodYAML("a")+"---\n"+kubetest.PodYAML("c")), []string{a1, b1, c1}}, {write("a.yaml", kubetest.PodYAML("c")), []string{b1, c1}}}},
		{name: "a new file", steps: []step{{write("c.yaml", kubetest.PodYAML("c")), []string{a1, b1, c1}}}},
		{name: "a file moved into place", steps: []step{{func(f *folder) { f.write("a.new", kubetest.PodYAML("c")); f.rename("a.new", "a.yaml") }, []string{b1, c1}}}},
		{name: "a file gone from a glob", steps: []step{{remove("a.yaml"), []string{b1}}, {write("a.yaml", kubetest.PodYAML("a")), []string{a1, b1}}}, log: []string{"INFO|a.yaml is gone, and its members with it"}},
		{
			name: "all files gone from a glob", steps: []step{{func(f *folder) { f.remove("a.yaml"); f.remove("b.yaml") }, []string{a1, b1}}, {write("a.yaml", kubetest.PodYAML("c")), []string{c1}}},
			log: []string{"ERROR manifests: no file matches|stays in use", "INFO manifests: good again, after: no file matches", "INFO|b.yaml is gone"},
		},
		{
			name: "a literal file gone", patterns: []string{"a.yaml", "b*.yaml"},
			steps: []step{
				{remove("a.yaml"), []string{a1, b1}},
				{write("b.yaml", kubetest.PodYAML("c")), []string{a1, c1}},
				{remove("b.yaml"), []string{a1, c1}},
				{func(f *folder) { f.write("a.yaml", kubetest.PodYAML("a")); f.write("b2.yaml", kubetest.PodYAML("b")) }, []string{a1, b1}},
			},
			log: []string{"ERROR|no file matches|a.yaml", "ERROR|a.yaml|b*.yaml", "INFO|good again", "INFO|b.yaml is gone"},
		},
		{
			name: "a file turns bad, and good again", steps: []step{{write("a.yaml", bad), []string{a1, b1}}, {write("b.yaml", kubetest.PodYAML("c")), []string{a1, c1}}, {write("a.yaml", kubetest.PodYAML("b")), []string{b1, c1}}},
			log: []string{"ERROR|a.yaml: document 1: |stays in use", "INFO manifests: good again, after: |a.yaml: document 1"},
		},
		{
			name: "bad in the same way again", steps: []step{{write("a.yaml", bad), []string{a1, b1}}, {write("a.yaml", bad), []string{a1, b1}}},
			log: []string{"ERROR"},
		},
		{
			name: "one object turns bad among good ones", files: map[string]string{"a.yaml": kubetest.PodYAML("a") + "---\n" + kubetest.PodYAML("b")},
			steps: []step{{write("a.yaml", kubetest.PodYAML("A")+"---\n"+kubetest.PodYAML("b")+"---\n"+kubetest.PodYAML("c")), []string{a1, b1, c1}}},
			log:   []string{"ERROR|document 1, Pod prod/A: metadata.name"},
		},
		{
			name: "a file emptied", steps: []step{{write("a.yaml", ""), []string{a1, b1}}, {write("a.yaml", emptyList), []string{b1}}},
			log: []string{"ERROR|a.yaml: expected objects|got a blank file|stays in use", "INFO|good again, after: |got a blank file"},
		},
		{
			name: "a new file that is blank", steps: []step{{write("c.yaml", ""), []string{a1, b1}}, {write("a.yaml", kubetest.PodYAML("c")), []string{b1, c1}}, {write("c.yaml", kubetest.PodYAML("a")), []string{a1, b1, c1}}},
			log: []string{"ERROR|c.yaml: expected objects|got a blank file|stays in use", "INFO|good again, after: |got a blank file"},
		},
		{
			name: "a directory in a file's place", patterns: []string{"a.yaml"},
			steps: []step{{func(f *folder) { f.remove("a.yaml"); f.mkdir("a.yaml") }, []string{a1}}, {func(f *folder) { f.remove("a.yaml"); f.write("a.yaml", kubetest.PodYAML("b")) }, []string{b1}}},
			log:   []string{"ERROR|a.yaml is no regular file", "INFO|good again"},
		},
		{
			name: "a link that leads nowhere for a while", files: map[string]string{"x": kubetest.PodYAML("a"), "y": kubetest.PodYAML("c")}, patterns: []string{"a*"},
			steps: []step{
				{func(f *folder) { f.remove("a.yaml"); f.link("z", "a.yaml") }, []string{a1}},
				{func(f *folder) { f.link("y", "z") }, []string{c1}},
			},
			log: []string{"ERROR|no such file", "INFO|good again"},
		},
		{
			name: "of an object in two files, the last one's counts", files: map[string]string{"a.yaml": kubetest.PodYAML("a"), "b.yaml": emptyList},
			steps: []step{
				{write("b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: prod}\nstatus: {podIP: 10.0.0.2}\n"), []string{"prod/a 10.0.0.2"}},
				{remove("b.yaml"), []string{a1}},
			},
			log: []string{"INFO|b.yaml is gone"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.files == nil {
				tc.files = two
			}
			if tc.patterns == nil {
				tc.patterns = []string{"*.yaml"}
			}
			f, log := newFolder(t, tc.files), &kubetest.Log{}
			if tc.files["x"] != "" {
				f.link("x", "a.yaml")
			}
			synctest.Test(t, func(t *testing.T) {
				source, err := New(f.config(log, tc.patterns...))
				if err != nil {
					t.Fatal(err)
				}
				sink, _ := follow(t, source)
				for i, s := range tc.steps {
					time.Sleep(10*time.Second + time.Millisecond) // no two looks at the same time as a write
					s.do(f)
					time.Sleep(2 * time.Second)
					synctest.Wait()
					if got := sink.members(); !slices.Equal(got, s.want) {
						t.Fatalf("step %d:\nwant %q\n got %q\n log %q", i+1, s.want, got, log.Logged())
					}
				}
				log.Want(t, tc.log...)
				sink.wantSynced(t, 1)
			})
		})
	}
}

// What a blank file was to have is not known, so that nobody is told that there are no members.
func TestManifestsAreUnknownAsLongAsOneHasBeenBlank(t *testing.T) {
	for _, blank := range []string{"", " \n\t\n", "# none yet\n", "---\n---\n"} {
		f, log := newFolder(t, map[string]string{"a.yaml": blank, "b.yaml": kubetest.PodYAML("b")}), &kubetest.Log{}
		synctest.Test(t, func(t *testing.T) {
			source, err := New(f.config(log, "*.yaml"))
			if is := new(BlankError); !errors.As(err, &is) || !slices.Equal(is.Files, []string{f.in("a.yaml")}) || source == nil {
				t.Fatalf("%q: got %v, want a source and an error that names a.yaml", blank, err)
			}
			sink, _ := follow(t, source)
			for _, step := range []struct {
				name, text string
				want       []string
				synced     int
			}{
				{"b.yaml", kubetest.PodYAML("c"), nil, 0},
				{"a.yaml", "{", nil, 0},
				{"a.yaml", blank, nil, 0},
				{"a.yaml", kubetest.PodYAML("a"), []string{a1, c1}, 1},
				{"a.yaml", blank, []string{a1, c1}, 1},
				{"a.yaml", emptyList, []string{c1}, 1},
			} {
				time.Sleep(10*time.Second + time.Millisecond)
				f.write(step.name, step.text)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := sink.members(); !slices.Equal(got, step.want) {
					t.Errorf("%q, then %q in %s: got %q, want %q", blank, step.text, step.name, got, step.want)
				}
				sink.wantSynced(t, step.synced)
			}
		})
	}
}

func TestAFileThatIsTooLargeIsNotRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "huge.yaml")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(MaxSize + 1); err != nil { // takes no space
		t.Fatal(err)
	}
	_, err = New(kubeapi.Config{Lookup: kubeapi.Pods, Manifests: []string{name}, Log: &kubetest.Log{}})
	if err == nil || !strings.Contains(err.Error(), "expected at most 256 MiB") {
		t.Errorf("got %v, want an error with the most that is read", err)
	}
}
