package kubeapi

import (
	"context"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// listWatch reads one namespace for a reflector, and reports to contact how that went.
type listWatch struct {
	client    rest.Interface
	resource  resource
	namespace string
	selector  string
	cached    bool
	shrinker  shrinker
	contact   *contact

	read      atomic.Bool // one list or watch has succeeded
	streaming atomic.Bool // the list at hand comes by a watch
}

func (w *watcher) listWatch(client rest.Interface, namespace string) *listWatch {
	return &listWatch{
		client: client, resource: w.resource, namespace: namespace,
		selector: w.config.Selector, cached: w.config.Cached, contact: w.contact,
		shrinker: w.config.shrinker(),
	}
}

func (l *listWatch) listerWatcher() *cache.ListWatch {
	return &cache.ListWatch{ListWithContextFunc: l.list, WatchFuncWithContext: l.watch}
}

// request does not try again by itself: the reflector does, and we know of it.
func (l *listWatch) request(o metav1.ListOptions) *rest.Request {
	o.LabelSelector = l.selector
	o.FieldSelector = l.resource.fields.String()
	return l.client.Get().MaxRetries(0).Namespace(l.namespace).Resource(l.resource.name).VersionedParams(&o, metav1.ParameterCodec)
}

func (l *listWatch) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	// A reflector takes its lists from the cache until one has come to its end.
	if o.ResourceVersion == "0" && !l.cached {
		o.ResourceVersion = ""
	}
	l.streaming.Store(false)
	list, err := l.request(o).Do(ctx).Get()
	if err == nil {
		list, err = l.shrunk(list)
	}
	l.observe(ctx, "list", err)
	return list, err
}

// shrunk is a list of what is kept of the objects, for pages are collected.
func (l *listWatch) shrunk(list runtime.Object) (runtime.Object, error) {
	about, err := apimeta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	small := &metainternal.List{ListMeta: metav1.ListMeta{
		ResourceVersion: about.GetResourceVersion(),
		Continue:        about.GetContinue(),
	}}
	err = apimeta.EachListItem(list, func(obj runtime.Object) error {
		o, err := l.shrinker.shrink(obj)
		small.Items = append(small.Items, &shrunk{o})
		return err
	})
	return small, err
}

func (l *listWatch) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if !l.read.Load() && o.ResourceVersion == "" && l.cached {
		o.ResourceVersion = "0"
	}
	o.Watch = true
	list := o.SendInitialEvents != nil
	l.streaming.Store(list)
	ctx, lost := withLost(ctx)
	stream, err := l.request(o).Watch(ctx)
	if err == nil && *lost != nil {
		// A client takes time-outs and the like for the end of a stream that was open.
		stream.Stop()
		stream, err = nil, unreachable{*lost}
	}
	switch {
	case list && apierrors.IsInvalid(err):
		// An API server without WatchList: the reflector lists instead.
	case list && err == nil:
		l.read.Store(true) // but it may end in an error yet: see replaced
	default:
		l.observe(ctx, "watch", err)
	}
	return stream, err
}

// replaced is called when a list is complete.
func (l *listWatch) replaced() {
	if l.streaming.Load() {
		l.contact.observe(request{"watch", l.namespace}, nil)
	}
}

func (l *listWatch) observe(ctx context.Context, verb string, err error) {
	if ctx.Err() == nil { // else it was us who ended the request
		l.contact.observe(request{verb, l.namespace}, err)
	}
	if err == nil {
		l.read.Store(true)
	}
}
