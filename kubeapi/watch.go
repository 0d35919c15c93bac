package kubeapi

import (
	"context"
	"fmt"
	"net"
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
	"k8s.io/client-go/util/connrotation"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// watcher reads from an API server: one watch for each namespace, so that a Role in
// each is enough.
type watcher struct {
	config   *Config
	resource resource
	rest     *rest.Config
	dial     connrotation.DialFunc
	outages  *outageLog
	times    times
	stores   []*store // one for each namespace
}

// resource is the kind of object to watch.
type resource struct {
	name    string // in the path of a URL
	full    string // with its group, as in a Role
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
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second} // as client-go's own
	w := &watcher{
		config: c, resource: resourceOf(c.Lookup), rest: conn.config, dial: dialer.DialContext,
		times: times{silence: silenceLimit, settle: settleTime},
	}
	w.outages = newOutageLog(c.Log, w.resource.full)
	for _, namespace := range conn.namespaces {
		if namespace == AllNamespaces {
			namespace = metav1.NamespaceAll
		}
		w.stores = append(w.stores, f.newStore(NewShrinker(c), namespace))
	}
	w.rest.Wrap(trackRequests)
	if _, err := rest.TLSConfigFor(w.rest); err != nil {
		return nil, identity{}, fmt.Errorf("client: %w", err)
	}
	return w, id, nil
}

func resourceOf(lookup Lookup) resource {
	if lookup == Pods {
		return resource{name: "pods", full: "pods", example: &corev1.Pod{}}
	}
	return resource{
		name: "endpointslices", full: "endpointslices.discovery.k8s.io",
		example: &discoveryv1.EndpointSlice{},
	}
}

func (w *watcher) run(ctx context.Context) {
	w.endConnectionsWith(ctx)
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

// endConnectionsWith lets the client connect until ctx ends, and closes all connections then. A transport
// would keep them for a while, for further requests, and goes on dialing after a request has ended.
func (w *watcher) endConnectionsWith(ctx context.Context) {
	conns := connrotation.NewDialer(w.dial)
	context.AfterFunc(ctx, conns.CloseAll)
	w.rest.Dial = func(dialing context.Context, network, address string) (net.Conn, error) {
		dialing, cancel := context.WithCancel(dialing)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		conn, err := conns.DialContext(dialing, network, address)
		if err == nil && ctx.Err() != nil { // it may have come too late for CloseAll
			_ = conn.Close()
			return nil, ctx.Err()
		}
		return conn, err
	}
}

// client returns a client. A source makes it when it starts, since it may start goroutines.
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

func (w *watcher) listWatch(client rest.Interface, s *store) *listWatch {
	return &listWatch{
		client: client, resource: w.resource.name, namespace: s.namespace,
		selector: w.config.Selector, cached: w.config.Cached, shrinker: s.shrinker, forbidden: s.forbid,
		outages: w.outages, monitor: w.config.Monitor, times: w.times,
	}
}

// backoff returns one that is shorter than client-go's, at most 3 s, since few replicas ask. For as
// long after an outage, every cluster waits, and replicas disagree about those that join: a client
// that asks them in turn would connect to a node, and then disconnect from it.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Cap: 2 * time.Second, Steps: 20, Factor: 2, Jitter: 0.5}
}

// untilClock is the real clock, but its After does not outlast a context: a reflector
// waits there between two tries without looking at its own.
type untilClock struct {
	clock.RealClock
	done <-chan struct{}
}

func clockUntil(ctx context.Context) clock.Clock {
	return untilClock{done: ctx.Done()}
}

// After implements clock.Clock.
func (c untilClock) After(d time.Duration) <-chan time.Time {
	fired := make(chan time.Time, 1)
	go func() {
		select {
		case t := <-time.After(d):
			fired <- t
		case <-c.done:
			fired <- time.Now()
		}
	}()
	return fired
}
