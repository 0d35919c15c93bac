package kubeapi

import (
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

const (
	lostLine     = "ERROR|API server cannot be reached|what is known stays in use"
	regainedLine = "INFO API server answers again after"
	junkLine     = "ERROR API server sends what cannot be understood"
)

// Only a watch that ended in good order goes on from where it was; otherwise everything is
// read again.
func TestWatchThatEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		end   func(*fakeapi.Server)
		calls int
	}{
		{"in the middle of the stream", func(api *fakeapi.Server) { api.Cut() }, 1},
		{"in good order", func(api *fakeapi.Server) { api.EndWatches() }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w := watchAPI(t, api, nil)
			w.synced(t, api, 1, "prod/a 10.0.0.1")
			api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			w.reset()

			tc.end(api)
			api.Put(kubetest.NewPod("prod/c", "10.0.0.3"))
			api.Delete(kubetest.NewPod("prod/a", ""))
			w.eventually(t, "prod/b 10.0.0.2", "prod/c 10.0.0.3")
			if got := len(w.calls()); got != tc.calls {
				t.Errorf("want %d calls, got %d", tc.calls, got)
			}
			if got := api.Requests(fakeapi.Verb("list")); len(got) > 0 {
				t.Errorf("want no list, got %v", got)
			}
			w.log.Want(t)
		})
	}
}

// What has been missed comes as one difference: at no time are there fewer members.
func TestRelistHasNoMomentOfEmptiness(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		opts []fakeapi.Option
		lose func(*fakeapi.Server) // what the watch has
	}{
		{"expired", nil, func(api *fakeapi.Server) { api.Cut() }},
		{"expired, without WatchList", []fakeapi.Option{fakeapi.WithoutWatchList()}, func(api *fakeapi.Server) { api.Cut() }},
		{"expired in the middle of the stream", nil, func(api *fakeapi.Server) {
			api.Send(watch.Error, &metav1.Status{Status: "Failure", Code: 410, Reason: metav1.StatusReasonExpired})
			api.EndWatches()
		}},
		{"restored from a backup", nil, func(api *fakeapi.Server) { api.Rewind(1); api.Cut() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			w := watchAPI(t, api, nil)
			api.WaitForWatches(1)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"), kubetest.NewPod("prod/b", "10.0.0.2"), kubetest.NewPod("prod/c", "10.0.0.3"))
			w.synced(t, api, 1, "prod/a 10.0.0.1", "prod/b 10.0.0.2", "prod/c 10.0.0.3")

			api.Hang()
			tc.lose(api) // from here on the client sees nothing
			api.Put(kubetest.NewPod("prod/b", "10.0.0.9"), kubetest.NewPod("prod/d", "10.0.0.4"))
			api.Delete(kubetest.NewPod("prod/c", ""))
			api.Compact()
			api.Resume()
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.9", "prod/d 10.0.0.4")
			changed := []string{"+prod/d", "-prod/c", "prod/b"}
			if got := w.calls(); len(got) != 1 || !slices.Equal(describe(got[0].changes), changed) {
				t.Errorf("want the one call %q, got %+v", changed, got)
			}
			if w.fewest < 3 {
				t.Errorf("want 3 objects at least at any time, got %d", w.fewest)
			}
			w.wantSynced(t, 1)
		})
	}
}

func TestAnExpiredVersionIsNoOutage(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	w := watchAPI(t, api, nil)
	api.WaitForWatches(1)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	api.Inject(fakeapi.Fault{Status: 410, Reason: metav1.StatusReasonExpired, Times: 1})
	api.EndWatches()
	api.WaitForOpened(2)
	w.log.Want(t)
	w.want(t, "prod/a 10.0.0.1")
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	const (
		mayNot  = `ERROR API server forbids to %s pods in namespace "%s"|grant the verb "%s" on the resource "pods" there with a Role`
		granted = "INFO API server grants access again after"
	)
	line := func(verb, namespace string) string { return fmt.Sprintf(mayNot, verb, namespace, verb) }
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		api.Fail(403, metav1.StatusReasonForbidden, "")
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a"} })
		api.WaitForRequests(4) // two of each verb
		w.log.Eventually(t, line("watch", "a"), line("list", "a"))
		w.wantSynced(t, 0)
		api.Recover()
		w.eventually(t, "a/p 10.0.0.1")
		w.log.Eventually(t, line("watch", "a"), line("list", "a"), granted)
	})
	t.Run("later, in one namespace", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"), kubetest.NewPod("b/p", "10.0.0.2"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a", "b"} })
		w.synced(t, api, 2, "a/p 10.0.0.1", "b/p 10.0.0.2")
		api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Namespace("b"))
		api.Cut()
		w.log.Eventually(t, line("watch", "b"), line("list", "b"))
		api.Put(kubetest.NewPod("a/q", "10.0.0.3"), kubetest.NewPod("b/q", "10.0.0.4"))
		w.eventually(t, "a/p 10.0.0.1", "a/q 10.0.0.3", "b/p 10.0.0.2")
		api.Recover()
		w.eventually(t, "a/p 10.0.0.1", "a/q 10.0.0.3", "b/p 10.0.0.2", "b/q 10.0.0.4")
		w.log.Eventually(t, line("watch", "b"), line("list", "b"), granted)
	})
	t.Run("only to watch", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Verb("watch"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a"} })
		w.eventually(t, "a/p 10.0.0.1") // from the list
		api.WaitForRequests(2, fakeapi.Verb("list"))
		w.log.Want(t, line("watch", "a"))
	})
	t.Run("only to list, which a streamed list does without", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Verb("list"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a"} })
		w.synced(t, api, 1, "a/p 10.0.0.1")
		api.Cut()
		api.Put(kubetest.NewPod("a/q", "10.0.0.2"))
		w.eventually(t, "a/p 10.0.0.1", "a/q 10.0.0.2")
		w.log.Want(t)
	})
	t.Run("only to list, where lists are not streamed", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t, fakeapi.WithoutWatchList())
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Verb("list"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a"} })
		api.WaitForRequests(2, fakeapi.Verb("list"))
		w.log.Want(t, line("list", "a"))
		w.wantSynced(t, 0)
		api.Recover()
		w.eventually(t, "a/p 10.0.0.1")
		w.log.Eventually(t, line("list", "a"), granted)
	})
	t.Run("from the start, in one namespace of two", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"), kubetest.NewPod("b/p", "10.0.0.2"))
		api.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Namespace("b"))
		w := watchAPI(t, api, func(c *Config) { c.Namespaces = []string{"a", "b"} })
		w.log.Eventually(t, line("watch", "b"), line("list", "b"))
		w.wantSynced(t, 0) // half of a cluster would be as bad as none
		api.Recover()
		w.eventually(t, "a/p 10.0.0.1", "b/p 10.0.0.2")
		w.log.Eventually(t, line("watch", "b"), line("list", "b"), granted)
	})
	t.Run("in all namespaces", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Put(kubetest.NewPod("a/p", "10.0.0.1"))
		api.Fail(403, metav1.StatusReasonForbidden, "")
		w := watchAPI(t, api, nil)
		everywhere := func(verb string) string {
			return fmt.Sprintf(`ERROR API server forbids to %s pods in all namespaces|grant the verb "%[1]s" on the resource "pods" there with a Role or ClusterRole`, verb)
		}
		w.log.Eventually(t, everywhere("watch"), everywhere("list"))
		api.Recover()
		w.eventually(t, "a/p 10.0.0.1")
		w.log.Eventually(t, everywhere("watch"), everywhere("list"), granted)
	})
	t.Run("slices, with their group", func(t *testing.T) {
		t.Parallel()
		api := fakeapi.New(t)
		api.Inject(fakeapi.Fault{Status: 403, Reason: metav1.StatusReasonForbidden, Times: 1})
		w := watchAPI(t, api, func(c *Config) { c.Lookup = Endpoints })
		api.WaitForWatches(1)
		w.log.Eventually(t, `forbids to watch endpointslices.discovery.k8s.io in all namespaces|grant the verb "watch" on the resource "endpointslices.discovery.k8s.io"|User "fake" cannot watch`, granted)
	})
}

func TestAPIServerDownAndUp(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w := watchAPI(t, api, nil)
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	api.Stop()
	w.log.Eventually(t, lostLine)
	w.want(t, "prod/a 10.0.0.1")
	api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
	api.Start()
	w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
	w.log.Eventually(t, lostLine, regainedLine)
	if got := len(w.calls()); got != 1 {
		t.Errorf("want one call, got %d", got)
	}
}

func TestAPIServerDownAtTheStart(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	api.Stop()
	w := watchAPI(t, api, nil)
	w.log.Eventually(t, lostLine)
	w.wantSynced(t, 0)
	api.Start()
	w.eventually(t, "prod/a 10.0.0.1")
	w.log.Eventually(t, lostLine, regainedLine)
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault fakeapi.Fault
		want  string
	}{
		{"500", fakeapi.Fault{Status: 500, Reason: metav1.StatusReasonInternalError}, "ERROR API server answers 500 Internal Server Error: cannot watch pods in all namespaces"},
		{"429", fakeapi.Fault{Status: 429, Reason: metav1.StatusReasonTooManyRequests}, "ERROR API server answers 429 Too Many Requests"},
		{"a proxy's page", fakeapi.Fault{Status: 502, Body: "<html>Bad Gateway</html>"}, "ERROR API server answers 502 Bad Gateway"},
		{"401", fakeapi.Fault{Status: 401, Reason: metav1.StatusReasonUnauthorized}, "ERROR API server answers 401 Unauthorized"},
		{"a login page", fakeapi.Fault{Status: 200, Body: "<html>Who are you?</html>"}, junkLine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w := watchAPI(t, api, nil)
			w.synced(t, api, 1, "prod/a 10.0.0.1")
			api.Inject(tc.fault)
			api.Cut()
			w.log.Eventually(t, tc.want)
			w.want(t, "prod/a 10.0.0.1")
			api.Put(kubetest.NewPod("prod/a", "10.0.0.2"))
			api.Recover()
			w.eventually(t, "prod/a 10.0.0.2")
			w.log.Eventually(t, tc.want, regainedLine)
		})
	}
}

func TestWatchSurvivesWhatIsSent(t *testing.T) {
	t.Parallel()
	known := kubetest.NewPod("prod/a", "10.0.0.1")
	known.ResourceVersion = "2" // as the server counts
	odd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": "Odd", "metadata": map[string]any{"name": "odd"}}}
	const no500 = "ERROR API server answers 500"
	for _, tc := range []struct {
		name   string
		send   func(*fakeapi.Server)
		log    []string
		reason string // of the watch's end, if it ends
	}{
		{"an object of another type", func(api *fakeapi.Server) { api.Send(watch.Added, kubetest.NewSlice("prod/odd", "10.0.0.7")) }, []string{"WARNING Unexpected watch event object type"}, ""},
		{"the same event again", func(api *fakeapi.Server) { api.Send(watch.Modified, known) }, nil, ""},
		{"an unknown event", func(api *fakeapi.Server) { api.Send("SIDEWAYS", kubetest.NewPod("prod/odd", "10.0.0.7")) }, []string{junkLine}, WatchInvalid},
		{"an object of an unknown kind", func(api *fakeapi.Server) { api.Send(watch.Added, odd) }, []string{junkLine}, WatchInvalid},
		{"no object", func(api *fakeapi.Server) { api.Send(watch.Added, nil) }, []string{junkLine}, WatchInvalid},
		{"an error", func(api *fakeapi.Server) { api.Send(watch.Error, &metav1.Status{Status: "Failure", Code: 500}) }, []string{no500}, WatchServerError},
		{"an error that is none", func(api *fakeapi.Server) { api.Send(watch.Error, kubetest.NewPod("prod/odd", "10.0.0.7")) }, []string{junkLine}, WatchInvalid},
		{"junk", func(api *fakeapi.Server) { api.SendRaw([]byte("\x00\x00\x00\x04junk")) }, []string{junkLine}, WatchInvalid},
		{"half a frame", func(api *fakeapi.Server) { api.SendRaw([]byte("\x00\x00\xff\xff")); api.Cut() }, nil, WatchUnreachable},
		{"a frame without end", func(api *fakeapi.Server) { api.SendRaw([]byte("\xff\xff\xff\xff")); api.EndWatches() }, nil, WatchClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w := watchAPI(t, api, nil)
			w.synced(t, api, 1, "prod/a 10.0.0.1")
			tc.send(api)
			api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			w.log.Want(t, tc.log...)
			var ended []string
			if tc.reason != "" {
				ended = append(ended, tc.reason)
			}
			w.monitor.want(t, ended...)
			if w.fewest < 1 {
				t.Error("want the known member to stay, got none for a while")
			}
		})
	}
}

// The backup is a little older, and by the time that the watch could go on, versions have
// passed those that were seen: nothing goes back, but prod/b is gone, and prod/c is there.
func TestEtcdRestoredThatHasCaughtUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		back bool // the API server is there again when it catches up
	}{
		{"before it answers again", false},
		{"afterwards", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t)
			w := watchAPI(t, api, nil)
			api.WaitForWatches(1)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"), kubetest.NewPod("prod/b", "10.0.0.2"))
			w.synced(t, api, 1, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			api.Stop()
			api.Delete(kubetest.NewPod("prod/b", ""))
			api.Rewind(2)
			api.Put(kubetest.NewPod("prod/c", "10.0.0.3"))
			start := func() {
				api.Start()
				api.WaitForWatches(1)
			}
			if tc.back {
				start()
			}
			for i := range 5 {
				api.Put(kubetest.NewPod("prod/a", fmt.Sprintf("10.0.1.%d", i)))
			}
			if !tc.back {
				start()
			}
			w.eventually(t, "prod/a 10.0.1.4", "prod/c 10.0.0.3")
		})
	}
}
