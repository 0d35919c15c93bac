package kubeapi

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Monitor is told how a source is getting on, for metrics. Calls may come from several
// goroutines at once.
type Monitor interface {
	// Heard is called at each sign of life of the API server: an answer to a request,
	// whatever it says, or an event of a watch, bookmarks included.
	Heard()
	// Requested is called once for each request, with its verb, list or watch, and with the HTTP
	// status of the answer; 0 if there was none. It is not called for one that was ended from
	// here before it was answered, since the source stops.
	Requested(verb string, code int)
	// WatchEnded is called once for each watch, be it of a streamed list or not, that has
	// ended or could not be opened, with one of the reasons below. It is not called for
	// one that was ended from here, since the source stops.
	WatchEnded(reason string)
	// SnapshotWritten is called after each try to write a snapshot, with its error.
	SnapshotWritten(err error)
}

// Why a watch ended.
const (
	// WatchClosed is the usual end: the API server gives each watch some minutes.
	WatchClosed = "closed"
	// WatchExpired is a version that the API server does not have any more, or not yet.
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

// endReason tells why a watch ended that did so with err.
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

// monitor is what to tell, even if nobody wants to know.
func (c *Config) monitor() Monitor {
	if c.Monitor == nil {
		return noMonitor{}
	}
	return c.Monitor
}

type noMonitor struct{}

func (noMonitor) Heard()                {}
func (noMonitor) Requested(string, int) {}
func (noMonitor) WatchEnded(string)     {}
func (noMonitor) SnapshotWritten(error) {}
