package kubeapi

import (
	"errors"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The reasons why a watch ends, for Monitor.
const (
	// WatchClosed is the usual end: the API server gives each watch some minutes.
	WatchClosed = "closed"
	// WatchExpired is a version that the API server does not have any more (410 Gone), or not yet.
	WatchExpired = "expired"
	// WatchSilent is a watch over which nothing came for too long.
	WatchSilent = "silent"
	// WatchBackwards is a watch whose versions went back.
	WatchBackwards = "backwards"
	// WatchUnreachable is a connection that could not be made, or was lost.
	WatchUnreachable = "unreachable"
	// WatchForbidden is a right that is missing.
	WatchForbidden = "forbidden"
	// WatchUnauthorized is a credential that the API server does not accept.
	WatchUnauthorized = "unauthorized"
	// WatchThrottled is an API server that has too many requests.
	WatchThrottled = "throttled"
	// WatchServerError is any other error that the API server answers.
	WatchServerError = "server"
	// WatchInvalid is an answer, or an event, that cannot be decoded.
	WatchInvalid = "invalid"
)

var (
	errClosed    = errors.New("the watch was closed at once")
	errHalf      = errors.New("an event is shorter than it says")
	errBackwards = errors.New("versions went back")
	// errSilent ends a request whose answer, or the rest of it, does not come.
	errSilent = errors.New("nothing has come")
)

// untrustedWatch is the error of a watch that was open, but is not to be believed.
type untrustedWatch struct{ error }

func (u untrustedWatch) Unwrap() error { return u.error }

// unreachable is the error of a connection that could not be made or was lost. To a reflector it
// is a refused one, after which it waits and tries the same again.
type unreachable struct{ err error }

func (u unreachable) Error() string   { return u.err.Error() }
func (u unreachable) Unwrap() []error { return []error{syscall.ECONNREFUSED, u.err} }

// undecodable is the error of an answer that no API server gives.
type undecodable struct{ error }

// endReason returns the reason of a watch that ended with err.
func endReason(err error) string {
	var (
		junk   undecodable
		status apierrors.APIStatus
	)
	switch {
	case errors.Is(err, errClosed):
		return WatchClosed
	case errors.Is(err, errSilent):
		return WatchSilent
	case errors.Is(err, errBackwards):
		return WatchBackwards
	case errors.As(err, &junk):
		return WatchInvalid
	case isVersionUnavailable(err):
		return WatchExpired
	case apierrors.IsForbidden(err):
		return WatchForbidden
	case apierrors.IsUnauthorized(err):
		return WatchUnauthorized
	case apierrors.IsTooManyRequests(err):
		return WatchThrottled
	case errors.As(err, &status) && status.Status().Code != 0:
		return WatchServerError
	}
	return WatchUnreachable
}

// isVersionUnavailable reports whether err is about a resourceVersion that is too old (410 Gone), or too
// new for a server that is behind. A reflector reads everything again then; until it has, all stays as it is.
func isVersionUnavailable(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// relistAfter returns an error after which a reflector does not go on from the version of its watch,
// but reads everything again. While nothing answered, etcd may have been restored, and have come
// to the same versions with other objects. Of these, the watch would never tell.
func (l *listWatch) relistAfter(err error) error {
	l.fresh.Store(true)
	return apierrors.NewResourceExpired(err.Error())
}

// watching returns the request that a watch is.
func (l *listWatch) watching() request { return request{"watch", l.namespace} }

// watchEnded reports the end of a watch, and returns the error after which the reflector does the right
// thing. Short is true if the watch should have begun with a list, and some of that is missing.
func (l *listWatch) watchEnded(o *metav1.ListOptions, short bool, err error) error {
	reason := endReason(err)
	l.monitor.WatchEnded(reason)
	l.forbidden(reason == WatchForbidden)
	switch {
	case reason == WatchSilent, reason == WatchBackwards:
		l.fresh.Store(true)
		l.outages.observe(l.watching(), err)
		if short {
			// It may be streams that are broken, and lists that are not: a reflector falls back to
			// one, after a while.
			return apierrors.NewInternalError(err)
		}
		return apierrors.NewResourceExpired(err.Error())
	case !short && reason == WatchUnreachable:
		l.outages.observe(l.watching(), err)
		return l.relistAfter(err)
	case isVersionUnavailable(err) && version(o.ResourceVersion) == 0:
		// No version was asked for. A reflector would ask for none again, at once and for ever.
		err = apierrors.NewInternalError(err)
	}
	l.outages.observe(l.watching(), err)
	return err
}
