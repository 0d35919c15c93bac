package kubeapi

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	typeddiscoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Source is where objects come from.
type Source interface {
	// Run tells sink what there is and how it changes, until ctx ends.
	Run(ctx context.Context, sink Sink)
}

// New makes the source that the configuration asks for. It reads local files, and
// fails where they cannot be used, but does not yet speak to an API server.
func New(c Config) (Source, error) {
	if len(c.Manifests) > 0 {
		return newManifests(&c)
	}
	return newWatcher(&c)
}

// watcher reads from an API server: one watch for each namespace, so that a Role in
// each is enough.
type watcher struct {
	config     *Config
	resource   resource
	rest       *rest.Config
	dialer     *dialer
	namespaces []string
	contact    *contact
}

// resource is what is watched.
type resource struct {
	name    string // in the path of a URL
	full    string // with its group, as a Role is asked for it
	example runtime.Object
	fields  fields.Selector
}

func newWatcher(c *Config) (*watcher, error) {
	conn, err := c.connect()
	if err != nil {
		return nil, err
	}
	w := &watcher{config: c, resource: c.resource(), rest: conn.config, dialer: newDialer(), namespaces: conn.namespaces}
	w.rest.Dial = w.dialer.DialContext
	w.rest.Wrap(noteLost)
	w.contact = newContact(c.Log, w.resource.full)
	if _, err := rest.TLSConfigFor(w.rest); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return w, nil
}

func (c *Config) resource() resource {
	if c.Lookup == Pods {
		return resource{name: "pods", full: "pods", example: &corev1.Pod{}, fields: livePods()}
	}
	return resource{
		name: "endpointslices", full: "endpointslices.discovery.k8s.io",
		example: &discoveryv1.EndpointSlice{}, fields: fields.Everything(),
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

// livePods spares the API server and us the pods that have run to their end.
func livePods() fields.Selector {
	terms := make([]fields.Selector, 0, len(terminalPhases))
	for _, phase := range terminalPhases {
		terms = append(terms, fields.OneTermNotEqualSelector("status.phase", string(phase)))
	}
	return fields.AndSelectors(terms...)
}

// Run implements Source.
func (w *watcher) Run(ctx context.Context, sink Sink) {
	defer context.AfterFunc(ctx, w.dialer.close)()
	client, err := w.client()
	if err != nil {
		w.config.Log.Errorf("client: %v", err) // has been checked before
		return
	}
	logger := klog.New(&clientLog{log: w.config.Log})
	ctx = klog.NewContext(ctx, logger)

	var missing atomic.Int64
	missing.Store(int64(len(w.namespaces)))
	synced := func() {
		if missing.Add(-1) == 0 {
			sink.Synced()
		}
	}
	var wg sync.WaitGroup
	for _, namespace := range w.namespaces {
		if namespace == AllNamespaces {
			namespace = metav1.NamespaceAll
		}
		lw := w.listWatch(client, namespace)
		store := newStore(lw.shrinker, sink, synced)
		store.replaced = lw.replaced
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
