package fakeapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fault is a failure that requests are answered with instead of what they ask for. Open watches do not notice.
type Fault struct {
	Status     int // HTTP status
	Reason     metav1.StatusReason
	Message    string        // default: what an API server says
	RetryAfter time.Duration // whole seconds; client-go then retries by itself, without a word to its caller
	Body       string        // sent as HTML instead of a metav1.Status, as a proxy in between does
	Times      int           // how many requests fail; 0 for all until Recover
	Only       []Match       // which requests fail: those that all of these match

	failed int
}

// Fail answers all following requests that match with a metav1.Status, until Recover.
func (s *Server) Fail(status int, reason metav1.StatusReason, message string, only ...Match) {
	s.Inject(Fault{Status: status, Reason: reason, Message: message, Only: only})
}

// Inject makes following requests fail. Where several faults match, the newest is taken.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.failed = 0
	s.faults = append(s.faults, &f)
}

// Recover takes back all faults. It does not start what was stopped or resume what hangs.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Hang makes the server silent without closing anything, like a host that drops off the network: connections are still
// accepted, but nothing is read from them and nothing written, TLS and HTTP/2 pings included. Requests are neither
// seen nor recorded until Resume, and neither are clients that leave.
func (s *Server) Hang() { s.gate.shut() }

// Resume ends a Hang. What was held back is delivered.
func (s *Server) Resume() { s.gate.open() }

// fault finds a request's fault and counts it. It needs s.mu.
func (s *Server) fault(r Request) *Fault {
	for _, f := range slices.Backward(s.faults) {
		if f.Times > 0 && f.failed == f.Times || !matchAll(r, f.Only) {
			continue
		}
		f.failed++
		return f
	}
	return nil
}

func (f *Fault) error(r route) error {
	req := r.request
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Reason: f.Reason, Message: cmp.Or(f.Message, defaultMessage(f.Status, req)),
		Code: int32(f.Status), //nolint:gosec // an HTTP status is small
		Details: &metav1.StatusDetails{
			Group: req.Group, Kind: req.Resource,
			RetryAfterSeconds: int32(f.RetryAfter / time.Second), //nolint:gosec // as long as a test can wait
		},
	}}
}

func defaultMessage(status int, r Request) string {
	if status != http.StatusForbidden {
		return http.StatusText(status)
	}
	where := "at the cluster scope"
	if r.Namespace != "" {
		where = fmt.Sprintf("in the namespace %q", r.Namespace)
	}
	return fmt.Sprintf("%s is forbidden: User %q cannot %s resource %q in API group %q %s",
		r.groupResource(), cmp.Or(r.User, "fake"), r.Verb, r.Resource, r.Group, where)
}
