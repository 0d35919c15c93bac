package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// silenceLimit is how long a request waits for its answer, or for more of it. Over a watch
// an API server sends a bookmark about once a minute, so that by then two are missing. One
// without a watch cache sends none, nor does one that sees no progress in its etcd: there
// this is how often everything is read again in a cluster where nothing changes.
//
// Bytes count, not whole objects: a slow answer may take its time. That is why it is neither
// a deadline of the request nor the timeoutSeconds of a watch, after which a reflector would
// go on from the last version, with a watch cache that has stopped. HTTP/2 connections that are dead
// end before, by pings.
const silenceLimit = 150 * time.Second

// requestTracker ends one request when nothing comes any more, and knows what client-go hides
// of its answer.
type requestTracker struct {
	ctx      context.Context // the request's
	cancel   context.CancelCauseFunc
	limit    time.Duration
	timer    *time.Timer
	onStatus func(code int)

	// The following may be read when the request has failed or the answer ended.
	answered bool
	complete bool  // the answer has come to its end
	lost     error // why there was no answer, or no more of it
}

// trackerKey is the key of a request's context for its tracker.
type trackerKey struct{}

// newRequestTracker returns the tracker of one request, which is sent with its ctx. It calls onStatus with the HTTP status
// of the answer, or 0 if there is none, but not if ctx ended before.
func newRequestTracker(ctx context.Context, limit time.Duration, onStatus func(code int)) *requestTracker {
	t := &requestTracker{limit: limit, onStatus: onStatus}
	ctx, t.cancel = context.WithCancelCause(ctx)
	t.ctx = context.WithValue(ctx, trackerKey{}, t)
	t.timer = time.AfterFunc(limit, func() { t.cancel(fmt.Errorf("%w for %v", errSilent, limit)) })
	return t
}

// end cancels the request if it still runs.
func (t *requestTracker) end() {
	t.timer.Stop()
	t.cancel(nil)
}

// err returns why the request was ended from here: errSilent, or an error of its context. It is nil
// as long as the request was not.
func (t *requestTracker) err() error { return context.Cause(t.ctx) }

// explain returns an error that says more than the one that client-go made of it.
func (t *requestTracker) explain(err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.Is(t.err(), errSilent):
		return t.err()
	case t.lost != nil || !t.answered || errors.As(err, &status):
		return err
	}
	return undecodable{err}
}

// trackRequests wraps a transport, so that it informs the trackers of requests.
func trackRequests(next http.RoundTripper) http.RoundTripper { return trackingTransport{next} }

type trackingTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o trackingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t, ok := r.Context().Value(trackerKey{}).(*requestTracker)
	if !ok {
		return o.next.RoundTrip(r)
	}
	t.timer.Reset(t.limit)
	response, err := o.next.RoundTrip(r)
	t.timer.Stop()
	if err != nil {
		t.lost = err
		if ended := t.err(); ended == nil || errors.Is(ended, errSilent) {
			t.onStatus(0)
		}
		return nil, err
	}
	t.answered = true
	t.onStatus(response.StatusCode)
	response.Body = trackedBody{response.Body, t}
	return response, nil
}

// WrappedRoundTripper lets client-go find the transport.
func (o trackingTransport) WrappedRoundTripper() http.RoundTripper { return o.next }

type trackedBody struct {
	io.ReadCloser

	tracker *requestTracker
}

// Read implements io.Reader. The time between two calls is no silence.
func (b trackedBody) Read(p []byte) (int, error) {
	t := b.tracker
	t.timer.Reset(t.limit)
	n, err := b.ReadCloser.Read(p)
	t.timer.Stop()
	switch {
	case errors.Is(err, io.EOF):
		t.complete = true
	case err != nil && t.err() == nil:
		t.lost = err
	}
	return n, err
}
