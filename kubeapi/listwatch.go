package kubeapi

import (
	"context"
	"errors"
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

// listWatch reads one namespace for a reflector, and reports to contact how that went.
type listWatch struct {
	client    rest.Interface
	resource  resource
	namespace string
	selector  string
	cached    bool
	shrinker  shrinker
	contact   *contact
	monitor   Monitor
	times     times

	read  atomic.Bool // one list or watch has succeeded
	fresh atomic.Bool // the next list must not rely on any version seen before
}

// times are how long to be patient.
type times struct{ silence, settle time.Duration }

func (w *watcher) listWatch(client rest.Interface, s *store) *listWatch {
	return &listWatch{
		client: client, resource: w.resource, namespace: s.namespace,
		selector: w.config.Selector, cached: w.config.Cached, shrinker: s.shrinker,
		contact: w.contact, monitor: w.config.monitor(), times: w.times,
	}
}

func (l *listWatch) listerWatcher() *cache.ListWatch {
	return &cache.ListWatch{ListWithContextFunc: l.list, WatchFuncWithContext: l.watch}
}

// tell tells the monitor what has come of a request.
func (l *listWatch) tell(verb string) func(code int) {
	return func(code int) {
		if code != 0 {
			l.monitor.Heard()
		}
		l.monitor.Requested(verb, code)
	}
}

// request does not try again by itself: the reflector does, and we know of it.
func (l *listWatch) request(o metav1.ListOptions) *rest.Request {
	o.LabelSelector = l.selector
	return l.client.Get().MaxRetries(0).Namespace(l.namespace).Resource(l.resource.name).VersionedParams(&o, metav1.ParameterCodec)
}

func (l *listWatch) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	// A reflector takes its lists from the cache until one has come to its end.
	if o.ResourceVersion == "0" && !l.cached || l.fresh.Load() {
		o.ResourceVersion = ""
	}
	x := newExchange(ctx, l.times.silence, l.tell("list"))
	defer x.end()
	list, err := l.request(o).Do(x.ctx).Get()
	if err == nil {
		list, err = l.shrunk(list)
	}
	err = x.explain(err)
	if ctx.Err() == nil { // else it was us who ended the request
		l.contact.observe(request{"list", l.namespace}, err)
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

// shrunk is a list of what is kept of the objects, for pages are collected.
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
		o, err := l.shrinker.shrink(obj)
		small.Items = append(small.Items, &shrunk{o, announcesEnd(obj)})
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
	x := newExchange(ctx, l.times.silence, l.tell("watch"))
	source, err := l.request(o).Watch(x.ctx)
	if err == nil && !x.answered {
		// A client takes time-outs and the like for the end of a watch that was open.
		source.Stop()
		err = unreachable{x.lost}
	}
	if err == nil {
		l.read.Store(true)
		return newStream(ctx, l, x, o, source), nil
	}
	err = x.explain(err)
	x.end()
	switch {
	case ctx.Err() != nil: // it was us who ended the request
		return nil, err
	case o.SendInitialEvents != nil && apierrors.IsInvalid(err):
		return nil, err // an API server without WatchList: the reflector lists instead
	}
	return nil, l.ended(&o, o.SendInitialEvents != nil, err)
}

// astray gives the error after which a reflector does not go on from where a watch was, but
// reads everything again. While nobody answered, etcd may have been restored, and have come
// to the same versions with other objects: of these, the watch would never tell.
func (l *listWatch) astray(err error) error {
	l.fresh.Store(true)
	return apierrors.NewResourceExpired(err.Error())
}

// watching is the request that a watch is.
func (l *listWatch) watching() request { return request{"watch", l.namespace} }

// ended takes down why a watch ended, be it short of the list that it should have begun with
// or not, and gives the error that makes the reflector do what is right then.
func (l *listWatch) ended(o *metav1.ListOptions, short bool, err error) error {
	l.monitor.WatchEnded(endReason(err))
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errBackwards):
		l.fresh.Store(true)
		l.contact.observe(l.watching(), err)
		if short {
			// It may be streams that are broken, and lists that are not: a reflector falls back to
			// one, after a while.
			return apierrors.NewInternalError(err)
		}
		return apierrors.NewResourceExpired(err.Error())
	case !short && isUnreachable(err):
		l.contact.observe(l.watching(), err)
		return l.astray(err)
	case isVersionUnavailable(err) && version(o.ResourceVersion) == 0:
		// No version was asked for. A reflector would ask for none again, at once and for ever.
		err = apierrors.NewInternalError(err)
	}
	l.contact.observe(l.watching(), err)
	return err
}
