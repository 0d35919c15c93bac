package kubeapi

import (
	"context"
	"net/http"
	"syscall"
)

// lostKey is the key of a request's context under which a lost connection is noted.
type lostKey struct{}

// withLost gives a context for a request, and where to find why it got no answer.
func withLost(ctx context.Context) (context.Context, *error) {
	var lost error
	return context.WithValue(ctx, lostKey{}, &lost), &lost
}

// noteLost wraps a transport, so that requests learn of an error that client-go hides.
func noteLost(next http.RoundTripper) http.RoundTripper { return lostNoter{next} }

type lostNoter struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n lostNoter) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := n.next.RoundTrip(r)
	if err != nil {
		if lost, ok := r.Context().Value(lostKey{}).(*error); ok {
			*lost = err
		}
	}
	return response, err
}

// WrappedRoundTripper lets client-go find the transport.
func (n lostNoter) WrappedRoundTripper() http.RoundTripper { return n.next }

// unreachable is a connection that could not be made or was lost before an answer. To a
// reflector it is a refused one, after which it waits and goes on from where it was,
// instead of reading everything again.
type unreachable struct{ err error }

func (u unreachable) Error() string   { return u.err.Error() }
func (u unreachable) Unwrap() []error { return []error{syscall.ECONNREFUSED, u.err} }
