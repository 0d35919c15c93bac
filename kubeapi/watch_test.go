package kubeapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

// watched is a source that reads pods of all namespaces from an API server.
type watched struct {
	*recordingSink
	log     *kubetest.Log
	monitor *recordingMonitor
	stop    func()
}

func watchAPI(t *testing.T, api *fakeapi.Server, change func(*Config)) *watched {
	t.Helper()
	return watchWith(t, api.URL, change, nil)
}

// watchWith can also change the source itself: for tests that cannot be as patient as it.
func watchWith(t *testing.T, endpoint string, change func(*Config), hurry func(*watcher)) *watched {
	t.Helper()
	log, monitor := &kubetest.Log{}, &recordingMonitor{}
	c := Config{
		Lookup: Pods, Namespaces: []string{AllNamespaces}, Endpoint: endpoint, UserAgent: "longnames/test",
		Log: log, Monitor: monitor,
	}
	if change != nil {
		change(&c)
	}
	source, w := newWatchingSource(t, c)
	if hurry != nil {
		hurry(w)
	}
	sink := newSink(t)
	return &watched{sink, log, monitor, start(t, source, sink)}
}

// newWatchingSource is New, but also returns the source's watcher.
func newWatchingSource(t *testing.T, c Config) (*Source, *watcher) {
	t.Helper()
	f := &feed{partial: c.Partial}
	w, id, err := newWatcher(&c, f)
	if err != nil {
		t.Fatal(err)
	}
	return newSource(&c, id, w.run, f), w
}

// synced waits until all is read and n watches are open, and forgets how that came.
func (w *watched) synced(t *testing.T, api *fakeapi.Server, n int, want ...string) {
	t.Helper()
	api.WaitForWatches(n)
	w.eventually(t, want...)
	w.reset()
}

func TestWatchFollows(t *testing.T) {
	t.Parallel()
	for _, lookup := range []struct {
		lookup Lookup
		object func(name, address string) runtime.Object
	}{
		{Pods, func(name, address string) runtime.Object { return kubetest.NewPod(name, address, "app=shop") }},
		{Endpoints, func(name, address string) runtime.Object { return kubetest.NewSlice(name, address) }},
	} {
		for _, server := range []struct {
			name string
			opts []fakeapi.Option
		}{
			{"with WatchList", nil},
			{"without WatchList", []fakeapi.Option{fakeapi.WithoutWatchList()}},
			{"without a watch cache", []fakeapi.Option{fakeapi.WithoutWatchList(), fakeapi.WithoutWatchCache()}},
		} {
			t.Run(string(lookup.lookup)+" "+server.name, func(t *testing.T) {
				t.Parallel()
				object, api := lookup.object, fakeapi.New(t, server.opts...)
				api.Put(object("prod/a", "10.0.0.1"), object("prod/b", "10.0.0.2"), object("dev/a", "10.0.0.3"))
				w := watchAPI(t, api, func(c *Config) { c.Lookup, c.Selector = lookup.lookup, "app=shop" })
				w.synced(t, api, 1, "dev/a 10.0.0.3", "prod/a 10.0.0.1", "prod/b 10.0.0.2")
				w.wantSynced(t, 1)

				api.Put(object("prod/c", "10.0.0.4"))
				w.eventually(t, "dev/a 10.0.0.3", "prod/a 10.0.0.1", "prod/b 10.0.0.2", "prod/c 10.0.0.4")
				api.Put(object("prod/a", "10.0.0.9"))
				w.eventually(t, "dev/a 10.0.0.3", "prod/a 10.0.0.9", "prod/b 10.0.0.2", "prod/c 10.0.0.4")
				api.Delete(object("prod/b", ""))
				w.eventually(t, "dev/a 10.0.0.3", "prod/a 10.0.0.9", "prod/c 10.0.0.4")
				if got := w.calls(); len(got) != 3 {
					t.Errorf("want three calls, got %+v", got)
				}
				w.log.Want(t) // an API server without WatchList has no fault
			})
		}
	}
}

func TestWatchSelects(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	phase := func(p *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
		p.Status.Phase = phase
		return p
	}
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1", "app=shop"), kubetest.NewPod("prod/b", "10.0.0.2", "app=chat"),
		phase(kubetest.NewPod("prod/done", "10.0.0.3", "app=shop"), corev1.PodSucceeded))
	w := watchAPI(t, api, func(c *Config) { c.Selector = "app in (shop)" })
	w.synced(t, api, 1, "prod/a 10.0.0.1")

	api.Put(kubetest.NewPod("prod/b", "10.0.0.2", "app=shop")) // enters the selection
	w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
	api.Put(phase(kubetest.NewPod("prod/a", "10.0.0.1", "app=shop"), corev1.PodFailed)) // leaves it
	w.eventually(t, "prod/b 10.0.0.2")
	api.Put(kubetest.NewPod("prod/b", "10.0.0.2", "app=chat"))
	w.eventually(t)
}

func TestWatchCarriesLabels(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1", "app=shop"))
	w := watchAPI(t, api, func(c *Config) { c.Labels, c.Family = []string{"tier", "app"}, IPv4 })
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	want := []Label{{}, {"shop", true}}
	if got := w.objects[key{"prod", "a"}].Labels; !slices.Equal(got, want) {
		t.Errorf("want %+v, got %+v", want, got)
	}
}

func TestOneWatchForEachNamespace(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		namespaces []string
		paths      []string
		want       []string
	}{
		{"one", []string{"a"}, []string{"/api/v1/namespaces/a/pods"}, []string{"a/p 10.0.0.1"}},
		{"two", []string{"a", "b"}, []string{"/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"}, []string{"a/p 10.0.0.1", "b/p 10.0.0.2"}},
		{"all", []string{"*"}, []string{"/api/v1/pods"}, []string{"a/p 10.0.0.1", "b/p 10.0.0.2", "c/p 10.0.0.3"}},
		{"an empty one", []string{"d"}, []string{"/api/v1/namespaces/d/pods"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			api.Put(kubetest.NewPod("a/p", "10.0.0.1"), kubetest.NewPod("b/p", "10.0.0.2"), kubetest.NewPod("c/p", "10.0.0.3"))
			w := watchAPI(t, api, func(c *Config) { c.Namespaces = tc.namespaces })
			w.synced(t, api, len(tc.paths), tc.want...)
			w.wantSynced(t, 1)
			var paths []string
			for _, r := range api.Requests() {
				paths = append(paths, r.Path)
			}
			slices.Sort(paths)
			if !slices.Equal(paths, tc.paths) {
				t.Errorf("want %q, got %q", tc.paths, paths)
			}
		})
	}
}

// A source is not synced until every namespace has been read.
func TestSyncedWaitsForAllNamespaces(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("a/p", "10.0.0.1"), kubetest.NewPod("b/p", "10.0.0.2"))
	api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Namespace("b"))
	w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a", "b"} })
	kubetest.Eventually(t, func() (bool, string) { return len(w.members()) == 1, "want one member" })
	w.wantSynced(t, 0)
	api.Recover()
	w.eventually(t, "a/p 10.0.0.1", "b/p 10.0.0.2")
	w.wantSynced(t, 1)
}

func TestWhatTheRequestsSay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lookup   Lookup
		selector string
		want     map[string]string
	}{
		{Pods, "app in (shop),!canary", map[string]string{"labelSelector": "app in (shop),!canary"}},
		{Endpoints, "kubernetes.io/service-name=shop", map[string]string{"labelSelector": "kubernetes.io/service-name=shop"}},
		{Endpoints, "", map[string]string{"labelSelector": ""}},
	} {
		t.Run(string(tc.lookup)+" "+tc.selector, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			w := watchAPI(t, api, func(c *Config) { c.Lookup, c.Selector = tc.lookup, tc.selector })
			w.synced(t, api, 1)
			requests := api.Requests()
			if len(requests) != 1 {
				t.Fatalf("want one request, got %v", requests)
			}
			r := requests[0]
			tc.want["watch"], tc.want["sendInitialEvents"], tc.want["allowWatchBookmarks"] = "true", "true", "true"
			tc.want["resourceVersionMatch"] = "NotOlderThan"
			for name, want := range tc.want {
				if got := r.Query.Get(name); got != want {
					t.Errorf("%s: want %q, got %q", name, want, got)
				}
			}
			if got := r.Query.Get("fieldSelector"); got != "" { // it would make the end of a pod look like its deletion
				t.Errorf("fieldSelector: want none, got %q", got)
			}
			if got := r.Accept(); !strings.HasPrefix(got, "application/vnd.kubernetes.protobuf") || !strings.Contains(got, "application/json") {
				t.Errorf("Accept: want protobuf before JSON, got %q", got)
			}
			if got := r.UserAgent(); got != "longnames/test" {
				t.Errorf("User-Agent: want longnames/test, got %q", got)
			}
		})
	}
}

// asked returns verb and resourceVersion of each request; an absent one is "-".
func asked(requests []fakeapi.Request) []string {
	var texts []string
	for _, r := range requests {
		version := "-"
		if r.Query.Has("resourceVersion") {
			version = r.Query.Get("resourceVersion")
		}
		texts = append(texts, r.Verb+" "+version)
	}
	return texts
}

func TestVersionsAskedFor(t *testing.T) {
	t.Parallel()
	old := []fakeapi.Option{fakeapi.WithoutWatchList()}
	for _, tc := range []struct {
		name    string
		opts    []fakeapi.Option
		cached  bool
		first   []string
		expired []string // after the server has forgotten the version
		cut     []string // after the connection was lost
		rewound []string // after it has been set back
	}{
		{"newest", nil, false, []string{"watch -"}, []string{"watch 3"}, []string{"watch -"}, []string{"watch 6", "watch -"}},
		{"cached", nil, true, []string{"watch 0"}, []string{"watch 3"}, []string{"watch -"}, []string{"watch 6", "watch -"}},
		{
			"newest, without WatchList", old, false, []string{"watch -", "list -", "watch 2"},
			[]string{"watch 3", "list 3", "watch 4"}, []string{"watch -", "list -", "watch 5"}, []string{"watch 6", "list 6", "list -", "watch 1"},
		},
		{
			"cached, without WatchList", old, true, []string{"watch 0", "list 0", "watch 2"},
			[]string{"watch 3", "list 3", "watch 4"}, []string{"watch -", "list -", "watch 5"}, []string{"watch 6", "list 6", "list -", "watch 1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w := watchAPI(t, api, func(c *Config) { c.Cached = tc.cached })
			w.synced(t, api, 1, "prod/a 10.0.0.1")
			seen := 0
			for i, phase := range []struct {
				name string
				do   func()
				want []string
			}{
				{"first", func() {}, tc.first},
				{"expired", func() { api.Compact(); api.EndWatches() }, tc.expired},
				{"cut", func() { api.Cut() }, tc.cut},
				{"rewound", func() {
					api.Rewind(1)
					api.Send(watch.Error, &metav1.Status{Status: "Failure", Code: 503}) // so that it is read again
					api.EndWatches()
				}, tc.rewound},
			} {
				phase.do()
				kubetest.Eventually(t, func() (bool, string) {
					// How often the same is asked depends on how long the watch before was open.
					got := slices.Compact(asked(api.Requests()[seen:]))
					return slices.Equal(got, phase.want), fmt.Sprintf("%s: want %q, got %q", phase.name, phase.want, got)
				})
				api.WaitForWatches(1)
				seen = len(api.Requests())
				// Without any event, the watch would be given up for a read when it is cut.
				address := fmt.Sprintf("10.0.1.%d", i)
				api.Put(kubetest.NewPod("prod/a", address))
				w.eventually(t, "prod/a "+address)
			}
		})
	}
}

// A reflector whose first stream breaks off would read its list from the cache.
func TestNothingIsReadFromTheCacheUnasked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		cached bool
		want   []string
	}{
		{"newest", false, []string{"watch -", "list -", "list 5"}},
		{"cached", true, []string{"watch 0", "list 0", "list 5"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			for range 5 {
				api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			}
			w, _, err := newWatcher(&Config{Lookup: Pods, Namespaces: []string{"prod"}, Endpoint: api.URL, Cached: tc.cached, Log: &kubetest.Log{}, Monitor: &recordingMonitor{}}, &feed{})
			if err != nil {
				t.Fatal(err)
			}
			client, err := w.client()
			if err != nil {
				t.Fatal(err)
			}
			lw := w.listWatch(client, w.stores[0]).listerWatcher()
			stream, err := lw.WatchWithContext(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			stream.Stop()
			for _, version := range []string{"0", "5"} {
				if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{ResourceVersion: version}); err != nil {
					t.Fatal(err)
				}
			}
			if got := asked(api.Requests()); !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}
