package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// silenceLimit is how long a request waits for its answer, or for more of it. Over a watch
// an API server sends a bookmark about once a minute, so that by then two are missing. One
// without a watch cache sends none, nor does one that sees no progress in its etcd: there
// this is how often everything is read again in a cluster where nothing changes.
//
// Bytes count, not whole objects: who is slow may take its time.
const silenceLimit = 150 * time.Second

// errSilent is why a request ended over which nothing came any more.
var errSilent = errors.New("nothing has come")

// exchange is one request and what is known of its answer.
type exchange struct {
	ctx    context.Context // the request's
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
	tell   func(code int)

	// The following may be read when the request has failed or the answer ended.
	answered bool
	complete bool  // the answer has come to its end
	lost     error // why there was no answer, or no more of it
}

// exchangeKey is the key of a request's context under which its exchange stands.
type exchangeKey struct{}

// newExchange is for one request, to be sent with its context. It tells the HTTP status of the
// answer, or 0 if there is none; nothing if the request was ended by ctx before.
func newExchange(ctx context.Context, limit time.Duration, tell func(code int)) *exchange {
	x := &exchange{limit: limit, tell: tell}
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.ctx = context.WithValue(ctx, exchangeKey{}, x)
	x.timer = time.AfterFunc(limit, func() { x.cancel(fmt.Errorf("%w for %v", errSilent, limit)) })
	return x
}

// end lets go of the request, be it over or not.
func (x *exchange) end() {
	x.timer.Stop()
	x.cancel(nil)
}

// err tells why the request was ended from here, nil if it was not: errSilent, or what
// says that nobody wants it any more.
func (x *exchange) err() error { return context.Cause(x.ctx) }

// explain gives an error that says more than what client-go makes of it.
func (x *exchange) explain(err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.Is(x.err(), errSilent):
		return x.err()
	case x.lost != nil || !x.answered || errors.As(err, &status):
		return err
	}
	return undecodable{err}
}

// observe wraps a transport, so that exchanges learn what client-go hides.
func observe(next http.RoundTripper) http.RoundTripper { return observer{next} }

type observer struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o observer) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return o.next.RoundTrip(r)
	}
	x.timer.Reset(x.limit)
	response, err := o.next.RoundTrip(r)
	x.timer.Stop()
	if err != nil {
		x.lost = err
		if ended := x.err(); ended == nil || errors.Is(ended, errSilent) {
			x.tell(0)
		}
		return nil, err
	}
	x.answered = true
	x.tell(response.StatusCode)
	response.Body = answer{response.Body, x}
	return response, nil
}

// WrappedRoundTripper lets client-go find the transport.
func (o observer) WrappedRoundTripper() http.RoundTripper { return o.next }

// answer is the body of a response.
type answer struct {
	io.ReadCloser

	exchange *exchange
}

// Read implements io.Reader. The time that somebody takes between two calls is no silence.
func (a answer) Read(p []byte) (int, error) {
	x := a.exchange
	x.timer.Reset(x.limit)
	n, err := a.ReadCloser.Read(p)
	x.timer.Stop()
	switch {
	case errors.Is(err, io.EOF):
		x.complete = true
	case err != nil && x.err() == nil:
		x.lost = err
	}
	return n, err
}

// unreachable is a connection that could not be made or was lost. To a reflector it is a
// refused one, after which it waits and tries the same again.
type unreachable struct{ err error }

func (u unreachable) Error() string   { return u.err.Error() }
func (u unreachable) Unwrap() []error { return []error{syscall.ECONNREFUSED, u.err} }

// isUnreachable tells of requests that nobody has answered.
func isUnreachable(err error) bool { return endReason(err) == WatchUnreachable }

// undecodable is the error of an answer that is not what an API server says.
type undecodable struct{ error }
