package kubeapi

import (
	"context"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

// stopsSoon stops a source, whatever it is at.
func stopsSoon(t *testing.T, w *watched) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.stop()
	}()
	select {
	case <-done:
	case <-time.After(kubetest.Patience / 3):
		t.Fatalf("still running %v after it was stopped", kubetest.Patience/3)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("while it watches", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a", "b", "c"} })
		w.synced(t, api, 3, "a/p 10.0.0.1")
		stopsSoon(t, w)
		api.WaitForWatches(0)
		api.Delete(kubetest.NewPod("a/p", ""))
		w.want(t, "a/p 10.0.0.1")
		w.log.Want(t) // being stopped is no outage
	})
	t.Run("while it waits for the next try", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Stop()
		w := watchAPI(t, api, nil)
		w.log.Eventually(t, lostLine)
		stopsSoon(t, w)
		w.log.Want(t, lostLine)
	})
	t.Run("while the API server says nothing", func(t *testing.T) {
		t.Parallel()
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		w := watchAPI(t, &fakeapi.Server{URL: "http://" + silent.Addr().String()}, nil)
		conn, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stopsSoon(t, w)
		w.log.Want(t)
	})
	t.Run("while the API server hangs", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t, fakeapi.WithTLS())
		w := watchAPI(t, api, kubeconfig(api, t.TempDir()))
		w.synced(t, api, 1)
		api.Hang()
		defer api.Resume()
		stopsSoon(t, w)
		w.log.Want(t)
	})
	t.Run("before it has begun", func(t *testing.T) {
		t.Parallel()
		w := watchAPI(t, fakeapi.New(t), nil)
		stopsSoon(t, w)
		w.log.Want(t)
	})
}

// kubeconfig makes a source use a file of that server.
func kubeconfig(api *fakeapi.Server, dir string) func(*Config) {
	return func(c *Config) { c.Endpoint, c.Kubeconfig = "", api.WriteKubeconfig(dir, "") }
}

// A configuration that is read again makes a new source, and this one must not stay.
func TestStopLeavesNothingBehind(t *testing.T) { // not parallel: it looks at all goroutines
	for _, tc := range []struct {
		name string
		opts []fakeapi.Option
	}{
		{"HTTP/1.1", nil},
		{"HTTP/2", []fakeapi.Option{fakeapi.WithTLS()}},
		{"lists", []fakeapi.Option{fakeapi.WithoutWatchList()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t, tc.opts...)
			before := goleak.IgnoreCurrent()
			for range 5 {
				w := watchAPI(t, api, kubeconfig(api, t.TempDir()))
				w.synced(t, api, 1)
				w.stop()
				api.WaitForWatches(0)
			}
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewSpeaksToNobody(t *testing.T) {
	api := fakeapi.New(t)
	before := goleak.IgnoreCurrent()
	if _, err := New(Config{Lookup: Pods, Namespaces: []string{"*"}, Endpoint: api.URL, Log: &kubetest.Log{}}); err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if got := api.Requests(); len(got) > 0 {
		t.Errorf("want no request, got %v", got)
	}
}

func TestTokenRotates(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t, fakeapi.WithTLS(), fakeapi.WithToken("one"))
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	dir := t.TempDir()
	api.WriteServiceAccount(dir, "one", "prod")
	w := watchAPI(t, api, func(c *Config) { c.Namespaces, c.ServiceAccount = nil, dir })
	w.synced(t, api, 1, "prod/a 10.0.0.1")

	// The file is read again after a minute, or after a 401.
	api.WriteServiceAccount(dir, "two", "prod")
	api.SetToken("two")
	api.Cut()
	api.Put(kubetest.NewPod("prod/a", "10.0.0.2"))
	w.eventually(t, "prod/a 10.0.0.2")
	var got []string
	for _, r := range api.Requests() {
		got = append(got, r.Authorization())
	}
	if got = slices.Compact(got); !slices.Equal(got, []string{"Bearer one", "Bearer two"}) {
		t.Errorf("want one token and then the other, got %q", got)
	}
	w.log.Eventually(t, "ERROR API server answers 401 Unauthorized", regainedLine)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		opts   []fakeapi.Option
		config func(api *fakeapi.Server, dir string) func(*Config)
		user   string
	}{
		{name: "kubeconfig with a certificate", opts: []fakeapi.Option{fakeapi.WithClientCert()}, config: kubeconfig, user: "longnames"},
		{name: "kubeconfig with a token", opts: []fakeapi.Option{fakeapi.WithTLS(), fakeapi.WithToken("secret")}, config: kubeconfig, user: "longnames"},
		{name: "tls", opts: []fakeapi.Option{fakeapi.WithClientCert()}, user: "longnames", config: func(api *fakeapi.Server, dir string) func(*Config) {
			return func(c *Config) { c.CertFile, c.KeyFile, c.CAFile = api.WriteTLS(dir) }
		}},
		{name: "service account", opts: []fakeapi.Option{fakeapi.WithTLS(), fakeapi.WithToken("secret")}, config: func(api *fakeapi.Server, dir string) func(*Config) {
			api.WriteServiceAccount(dir, "secret", "prod")
			return func(c *Config) { c.Namespaces, c.ServiceAccount = nil, dir }
		}},
		{name: "in clear", config: func(*fakeapi.Server, string) func(*Config) { return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w := watchAPI(t, api, tc.config(api, t.TempDir()))
			w.synced(t, api, 1, "prod/a 10.0.0.1")
			if got := api.Requests()[0].User; got != tc.user {
				t.Errorf("user: want %q, got %q", tc.user, got)
			}
			w.log.Want(t)
		})
	}
}

// Here the network is one that always refuses, so that hours of that take no time.
func TestLongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, tries := &kubetest.Log{}, 0
		source, w := newWatchingSource(t, Config{Lookup: Pods, Namespaces: []string{"a"}, Endpoint: "http://127.0.0.1:1", Log: log, Monitor: &recordingMonitor{}})
		w.dial = func(context.Context, string, string) (net.Conn, error) {
			tries++
			return nil, syscall.ECONNREFUSED
		}
		stop := start(t, source, newSink(t))
		time.Sleep(time.Hour)
		synctest.Wait()
		if tries < 1200 || tries > 1810 { // every 2 to 3 s, and some more at first
			t.Errorf("want 1200 to 1810 tries, got %d", tries)
		}
		log.Want(t, lostLine)

		began := time.Now()
		stop()
		if got := time.Since(began); got != 0 {
			t.Errorf("want no waiting, got %v", got)
		}
		log.Want(t, lostLine)
	})
}
