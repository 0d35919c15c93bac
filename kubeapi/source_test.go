package kubeapi

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

func TestSourceIsReadOnceForAllSinks(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	source, err := New(Config{Lookup: Pods, Namespaces: []string{AllNamespaces}, Endpoint: api.URL, Log: &kubetest.Log{}, Monitor: &recordingMonitor{}})
	if err != nil {
		t.Fatal(err)
	}
	first, second := newSink(t), newSink(t)
	stopFirst := start(t, source, first)
	first.eventually(t, "prod/a 10.0.0.1")
	api.WaitForWatches(1)
	requests := len(api.Requests())

	stopSecond := start(t, source, second)
	second.want(t, "prod/a 10.0.0.1")
	second.wantSynced(t, 1)
	stopFirst()
	api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
	second.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
	first.want(t, "prod/a 10.0.0.1")
	if got := len(api.Requests()); got != requests {
		t.Errorf("want no request for the second sink, got %d", got-requests)
	}

	stopSecond()
	api.WaitForWatches(0)
	if source.Join(newSink(t)) {
		t.Error("a source that has ended: want no joining")
	}
}

func TestSinkThatNeverJoinedMayLeave(t *testing.T) {
	source, err := New(Config{Lookup: Pods, Namespaces: []string{"a"}, Endpoint: "http://127.0.0.1:1", Log: &kubetest.Log{}, Monitor: &recordingMonitor{}})
	if err != nil {
		t.Fatal(err)
	}
	<-source.Leave(newSink(t))
}

func TestSameSources(t *testing.T) {
	dir := t.TempDir()
	account := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"token", "ca.crt"} {
			if err := os.WriteFile(filepath.Join(path, file), []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	sa, other := account("a"), account("b")
	base := Config{
		Lookup: Pods, Namespaces: []string{"a", "b"}, Selector: "app=shop", Labels: []string{"app"},
		Endpoint: "http://127.0.0.1:1", ServiceAccount: sa, Log: &kubetest.Log{},
	}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   bool
	}{
		{"nothing", func(*Config) {}, true},
		{"lookup", func(c *Config) { c.Lookup = Endpoints }, false},
		{"namespaces", func(c *Config) { c.Namespaces = []string{"a"} }, false},
		{"selector", func(c *Config) { c.Selector = "app=cart" }, false},
		{"labels", func(c *Config) { c.Labels = []string{"team"} }, false},
		{"family", func(c *Config) { c.Family = IPv6 }, false},
		{"endpoint", func(c *Config) { c.Endpoint = "http://127.0.0.1:2" }, false},
		{"password", func(c *Config) { c.Endpoint = "http://admin:secret@127.0.0.1:1" }, false},
		{"service account", func(c *Config) { c.ServiceAccount = other }, false},
		{"cached", func(c *Config) { c.Cached = true }, false},
		{"log", func(c *Config) { c.Log = &kubetest.Log{} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			changed := base
			tc.change(&changed)
			one, err := New(base)
			if err != nil {
				t.Fatal(err)
			}
			two, err := New(changed)
			if err != nil {
				t.Fatal(err)
			}
			if got := one.Same(two); got != tc.want {
				t.Errorf("want %t, got %t", tc.want, got)
			}
		})
	}
}

func TestSourcesDifferByWhatTheirFilesSay(t *testing.T) {
	api := fakeapi.New(t, fakeapi.WithTLS())
	c := Config{Lookup: Pods, Namespaces: []string{"a"}, Log: &kubetest.Log{}}
	kubeconfig(api, t.TempDir())(&c)
	one, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, more string
		want       bool
	}{{"as before", "", true}, {"another", "\n# changed", false}} {
		if err := os.WriteFile(c.Kubeconfig, append(data, tc.more...), 0o600); err != nil {
			t.Fatal(err)
		}
		two, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := one.Same(two); got != tc.want {
			t.Errorf("a kubeconfig %s: want %t, got %t", tc.name, tc.want, got)
		}
	}
}

// Such as one of files. Its sinks get differences.
func TestSourceThatSomebodyElseReads(t *testing.T) {
	a, b := shrinkPod("prod/a", "10.0.0.1"), shrinkPod("prod/b", "10.0.0.2")
	again := shrinkPod("prod/a", "10.0.0.1")
	last := shrinkPod("prod/a", "10.0.0.9")
	lists := make(chan []*Object)
	source := NewSource(Config{Log: &kubetest.Log{}}, "files", func(ctx context.Context, replace func([]*Object)) {
		for {
			select {
			case list := <-lists:
				replace(list)
				lists <- nil
			case <-ctx.Done():
				return
			}
		}
	})
	sink := newSink(t)
	stop := start(t, source, sink)
	sink.wantSynced(t, 0)
	for _, tc := range []struct {
		name string
		list []*Object
		want []string
	}{
		{"the first time", []*Object{a, b}, []string{"+prod/a", "+prod/b"}},
		{"the same", []*Object{b, again}, nil},
		{"the last of a name counts", []*Object{again, last}, []string{"-prod/b", "prod/a"}},
		{"nothing", nil, []string{"-prod/a"}},
	} {
		sink.reset()
		lists <- tc.list
		<-lists
		var got []string
		for _, call := range sink.calls() {
			got = append(got, describe(call.changes)...)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: want %q, got %q", tc.name, tc.want, got)
		}
		sink.wantSynced(t, 1)
	}
	stop()
}

func TestSourcesOfOtherPlacesAreNotTheSame(t *testing.T) {
	idle := func(context.Context, func([]*Object)) {}
	c := Config{Log: &kubetest.Log{}}
	one := NewSource(c, "a.yaml", idle)
	if !one.Same(NewSource(c, "a.yaml", idle)) {
		t.Error("want two of the same place to be the same")
	}
	if one.Same(NewSource(c, "b.yaml", idle)) {
		t.Error("want two of different places to differ")
	}
}
