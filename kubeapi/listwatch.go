package kubeapi

import (
	"context"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// listWatch lists and watches one namespace for a reflector, and decides what the reflector does
// after an error.
type listWatch struct {
	client    rest.Interface
	resource  string
	namespace string
	selector  string
	cached    bool
	shrinker  Shrinker
	outages   *outageLog
	monitor   Monitor
	times     times
	forbidden func(bool) // is called with whether the API server says so

	read  atomic.Bool // one list or watch has succeeded
	fresh atomic.Bool // the next list must not rely on any version seen before
}

// times are how long to be patient.
type times struct{ silence, settle time.Duration }

func (l *listWatch) listerWatcher() *cache.ListWatch {
	return &cache.ListWatch{ListWithContextFunc: l.list, WatchFuncWithContext: l.watch}
}

// track returns a tracker for one request.
func (l *listWatch) track(ctx context.Context, verb string) *requestTracker {
	onStatus := func(code int) {
		if code != 0 {
			l.monitor.Heard()
		}
		l.monitor.Requested(verb, code)
	}
	return newRequestTracker(ctx, l.times.silence, onStatus)
}

// request returns one that is not retried by itself: the reflector does that, and we know of it.
func (l *listWatch) request(o metav1.ListOptions) *rest.Request {
	o.LabelSelector = l.selector
	return l.client.Get().MaxRetries(0).Namespace(l.namespace).Resource(l.resource).VersionedParams(&o, metav1.ParameterCodec)
}

func (l *listWatch) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	// A reflector takes its lists from the cache until one has come to its end.
	if o.ResourceVersion == "0" && !l.cached || l.fresh.Load() {
		o.ResourceVersion = ""
	}
	t := l.track(ctx, "list")
	defer t.end()
	list, err := l.request(o).Do(t.ctx).Get()
	if err == nil {
		list, err = l.shrunk(list)
	}
	err = t.explain(err)
	if ctx.Err() == nil { // else the source stops
		l.outages.observe(request{"list", l.namespace}, err)
		l.forbidden(apierrors.IsForbidden(err))
	}
	if err != nil {
		return nil, err
	}
	l.read.Store(true)
	if list.(*metainternal.List).Continue == "" {
		l.fresh.Store(false)
	}
	return list, nil
}

// shrunk returns a list of shrunk objects, for the reflector collects pages.
func (l *listWatch) shrunk(list runtime.Object) (*metainternal.List, error) {
	about, err := apimeta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	small := &metainternal.List{ListMeta: metav1.ListMeta{
		ResourceVersion: about.GetResourceVersion(),
		Continue:        about.GetContinue(),
	}}
	err = apimeta.EachListItem(list, func(obj runtime.Object) error {
		o, err := l.shrinker.shrunk(obj)
		small.Items = append(small.Items, o)
		return err
	})
	return small, err
}

func (l *listWatch) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	switch {
	case o.SendInitialEvents != nil && l.fresh.Load():
		o.ResourceVersion = "" // resourceVersionMatch stays NotOlderThan: there is no other
	case !l.read.Load() && o.ResourceVersion == "" && l.cached:
		o.ResourceVersion = "0"
	}
	o.Watch = true
	t := l.track(ctx, "watch")
	source, err := l.request(o).Watch(t.ctx)
	if err == nil && !t.answered {
		// A client takes time-outs and the like for the end of a watch that was open.
		source.Stop()
		err = unreachable{t.lost}
	}
	if err == nil {
		l.read.Store(true)
		return newStream(ctx, l, t, o, source), nil
	}
	err = t.explain(err)
	t.end()
	switch {
	case ctx.Err() != nil: // the source stops
		return nil, err
	case o.SendInitialEvents != nil && apierrors.IsInvalid(err):
		return nil, err // an API server without WatchList: the reflector lists instead
	}
	return nil, l.watchEnded(&o, o.SendInitialEvents != nil, err)
}
