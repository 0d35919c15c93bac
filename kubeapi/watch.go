package kubeapi

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	typeddiscoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// watcher reads from an API server: one watch for each namespace, so that a Role in
// each is enough.
type watcher struct {
	config   *Config
	resource resource
	rest     *rest.Config
	dialer   *dialer
	contact  *contact
	times    times
	stores   []*store // one for each namespace
}

// resource is what is watched.
type resource struct {
	name    string // in the path of a URL
	full    string // with its group, as a Role is asked for it
	example runtime.Object
}

func newWatcher(c *Config, f *feed) (*watcher, identity, error) {
	conn, err := c.connect()
	if err != nil {
		return nil, identity{}, err
	}
	id, err := conn.identity(c)
	if err != nil {
		return nil, identity{}, err
	}
	w := &watcher{config: c, resource: c.resource(), rest: conn.config, dialer: newDialer()}
	for _, namespace := range conn.namespaces {
		if namespace == AllNamespaces {
			namespace = metav1.NamespaceAll
		}
		w.stores = append(w.stores, f.newStore(c.shrinker(), namespace))
	}
	w.rest.Dial = w.dialer.DialContext
	w.rest.Wrap(observe)
	w.contact = newContact(c.Log, w.resource.full)
	w.times = times{silence: silenceLimit, settle: settleTime}
	if _, err := rest.TLSConfigFor(w.rest); err != nil {
		return nil, identity{}, fmt.Errorf("client: %w", err)
	}
	return w, id, nil
}

func (c *Config) resource() resource {
	if c.Lookup == Pods {
		return resource{name: "pods", full: "pods", example: &corev1.Pod{}}
	}
	return resource{
		name: "endpointslices", full: "endpointslices.discovery.k8s.io",
		example: &discoveryv1.EndpointSlice{},
	}
}

// client is made when the source starts, for it may start goroutines.
func (w *watcher) client() (rest.Interface, error) {
	client, err := rest.HTTPClientFor(w.rest)
	if err != nil {
		return nil, err
	}
	if w.config.Lookup == Pods {
		api, err := typedcorev1.NewForConfigAndClient(w.rest, client)
		if err != nil {
			return nil, err
		}
		return api.RESTClient(), nil
	}
	api, err := typeddiscoveryv1.NewForConfigAndClient(w.rest, client)
	if err != nil {
		return nil, err
	}
	return api.RESTClient(), nil
}

func (w *watcher) run(ctx context.Context) {
	defer context.AfterFunc(ctx, w.dialer.close)()
	client, err := w.client()
	if err != nil {
		w.config.Log.Errorf("client: %v", err) // has been checked before
		return
	}
	logger := klog.New(&clientLog{log: w.config.Log})
	ctx = klog.NewContext(ctx, logger)
	var wg sync.WaitGroup
	for _, store := range w.stores {
		lw := w.listWatch(client, store)
		reflector := cache.NewReflectorWithOptions(lw.listerWatcher(), w.resource.example, store, cache.ReflectorOptions{
			Logger:  &logger,
			Name:    w.resource.full,
			Clock:   clockUntil(ctx),
			Backoff: backoff(),
		})
		wg.Go(func() { reflector.RunWithContext(ctx) })
	}
	wg.Wait()
}

// backoff is shorter than client-go's, at most 15 s, since few replicas ask: after
// an outage every cluster waits for this.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Cap: 10 * time.Second, Steps: 20, Factor: 2, Jitter: 0.5}
}
