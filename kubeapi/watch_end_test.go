package kubeapi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

// However much goes wrong, in the end the sink has exactly the server's objects.
func TestWatchEndsWithTheServersObjects(t *testing.T) {
	t.Parallel()
	troubles := map[string]func(*fakeapi.Server){
		"cut":     func(api *fakeapi.Server) { api.Cut() },
		"end":     func(api *fakeapi.Server) { api.EndWatches() },
		"expire":  func(api *fakeapi.Server) { api.Compact(); api.Cut() },
		"restart": func(api *fakeapi.Server) { api.Stop(); api.Start() },
		"junk":    func(api *fakeapi.Server) { api.SendRaw([]byte("\x00\x00\x00\x04junk")) },
		"stray": func(api *fakeapi.Server) {
			api.Send(watch.Added, kubetest.NewSlice("a/stray", "10.9.9.9"))
			api.EndWatches()
		},
		"error": func(api *fakeapi.Server) { api.Send(watch.Error, &metav1.Status{Status: "Failure", Code: 500}) },
		"forbid": func(api *fakeapi.Server) {
			api.Inject(fakeapi.Fault{Status: 403, Reason: metav1.StatusReasonForbidden, Times: 2})
			api.Cut()
		},
		"bookmark": func(api *fakeapi.Server) { api.Compact(); api.Bookmark(); api.Cut() },
	}
	names := []string{"cut", "end", "expire", "restart", "junk", "stray", "error", "forbid", "bookmark"}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			var opts []fakeapi.Option
			if seed%4 == 3 {
				opts = append(opts, fakeapi.WithoutWatchList())
			}
			if seed%2 == 1 {
				opts = append(opts, fakeapi.WithTLS())
			}
			api := fakeapi.New(t, opts...)
			truth := make(map[string]string)
			write := func() {
				name := fmt.Sprintf("%c/p%d", 'a'+rune(r.IntN(2)), r.IntN(10))
				if r.IntN(3) == 0 {
					api.Delete(kubetest.NewPod(name, ""))
					delete(truth, name)
					return
				}
				truth[name] = fmt.Sprintf("10.0.%d.%d", r.IntN(4), r.IntN(4)+1)
				api.Put(kubetest.NewPod(name, truth[name]))
			}
			for range 10 {
				write()
			}
			dir := t.TempDir()
			w := watchAPI(t, api, func(c *Config) {
				kubeconfig(api, dir)(c)
				c.Namespaces = []string{"a", "b"}
			})
			for range 3 { // each costs a longer back-off
				trouble := names[r.IntN(len(names))]
				t.Log(trouble)
				for range r.IntN(10) {
					write()
				}
				troubles[trouble](api)
				for range r.IntN(10) {
					write()
				}
				if r.IntN(2) == 0 {
					api.WaitForWatches(2)
				}
			}
			var want []string
			for name, address := range truth {
				want = append(want, name+" "+address)
			}
			slices.Sort(want)
			w.eventually(t, want...)
			w.wantSynced(t, 1)
			w.stop()
		})
	}
}

// One object that is odd in every way does not keep the others from being seen.
func TestOddObjectsAmongOthers(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	odd := kubetest.NewSlice("prod/odd", "", "x", "10.0.0.300", "fe80::1%eth0", "10.0.0.9")
	odd.AddressType = "Pigeon"
	odd.Endpoints = append(odd.Endpoints, discoveryv1.Endpoint{})
	odd.Ports = []discoveryv1.EndpointPort{{}}
	api.Put(kubetest.NewSlice("prod/a", "10.0.0.1"), odd, kubetest.NewSlice("prod/z", "10.0.0.2"))
	w := watchAPI(t, api, func(c *Config) { c.Lookup = Endpoints })
	w.synced(t, api, 1, "prod/a 10.0.0.1", "prod/odd 10.0.0.9", "prod/z 10.0.0.2")
	want := []string{"", "x", "10.0.0.300", "fe80::1%eth0"}
	if got := w.objects[key{"prod", "odd"}].Invalid; !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}

// A bookmark moves the version on, so that a watch can go on after what it has not seen is
// forgotten.
func TestBookmarksAreUsed(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	w := watchAPI(t, api, nil)
	api.WaitForWatches(1)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	api.Compact()
	version := api.ResourceVersion()
	api.Bookmark()
	api.EndWatches()
	api.WaitForOpened(2)
	api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
	w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
	if got := api.Requests()[1:]; len(got) != 1 || got[0].Query.Get("resourceVersion") != version || got[0].Query.Has("sendInitialEvents") {
		t.Errorf("want the watch to go on from %s, got %v", version, got)
	}
	w.log.Want(t)
}
