package kubeapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
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
	client     rest.Interface
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
	w := &watcher{config: c, namespaces: conn.namespaces, dialer: newDialer()}
	conn.config.Dial = w.dialer.DialContext
	client, err := rest.HTTPClientFor(conn.config)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	w.resource, w.client, err = c.resource(conn.config, client)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	w.contact = newContact(c.Log, w.resource.full)
	return w, nil
}

func (c *Config) resource(config *rest.Config, client *http.Client) (resource, rest.Interface, error) {
	if c.Lookup == Pods {
		api, err := typedcorev1.NewForConfigAndClient(config, client)
		if err != nil {
			return resource{}, nil, err
		}
		r := resource{name: "pods", full: "pods", example: &corev1.Pod{}, fields: livePods()}
		return r, api.RESTClient(), nil
	}
	api, err := typeddiscoveryv1.NewForConfigAndClient(config, client)
	if err != nil {
		return resource{}, nil, err
	}
	r := resource{
		name: "endpointslices", full: "endpointslices.discovery.k8s.io",
		example: &discoveryv1.EndpointSlice{}, fields: fields.Everything(),
	}
	return r, api.RESTClient(), nil
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
	defer w.dialer.close()
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
		store := newStore(shrinker{labels: w.config.Labels, family: w.config.Family}, sink, synced)
		reflector := cache.NewReflectorWithOptions(w.listWatch(namespace), w.resource.example, store, cache.ReflectorOptions{
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

// listWatch reads one namespace, and reports to contact how that went.
func (w *watcher) listWatch(namespace string) *cache.ListWatch {
	inner := cache.NewFilteredListWatchFromClient(w.client, w.resource.name, namespace, func(o *metav1.ListOptions) {
		o.LabelSelector = w.config.Selector
		o.FieldSelector = w.resource.fields.String()
	})
	var read atomic.Bool // one list or watch has succeeded
	observe := func(ctx context.Context, verb string, err error) {
		if ctx.Err() == nil { // else it was us who ended the request
			w.contact.observe(request{verb, namespace}, err)
		}
		if err == nil {
			read.Store(true)
		}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			// A reflector takes its lists from the cache until one has come to its end.
			if o.ResourceVersion == "0" && !w.config.Cached {
				o.ResourceVersion = ""
			}
			list, err := inner.ListWithContext(ctx, o)
			observe(ctx, "list", err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if !read.Load() && o.ResourceVersion == "" && w.config.Cached {
				o.ResourceVersion = "0"
			}
			stream, err := inner.WatchWithContext(ctx, o)
			if o.SendInitialEvents != nil && apierrors.IsInvalid(err) {
				return stream, err // an API server without WatchList: the reflector lists instead
			}
			observe(ctx, "watch", err)
			return stream, err
		},
	}
}
