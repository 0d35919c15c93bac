package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outageLog logs when the API server stops and starts answering, once each instead of at every try.
type outageLog struct {
	log      Logger
	resource string // with its group, for messages
	now      func() time.Time

	mu sync.Mutex // protects following
	// Each of these may last while the others come and go.
	unanswered outage // requests without an answer, or whose answer is a fault
	forbidden  outage // requests without the right to them
	untrusted  outage // watches that were open
}

// outage lasts from the first request that fails until none fails any more.
type outage struct {
	end     string // the message
	since   time.Time
	failing map[request]bool
	logged  map[string]bool // by reason
}

// request is the unit that fails: each verb has its own right in each namespace.
type request struct{ verb, namespace string }

func newOutageLog(log Logger, resource string) *outageLog {
	return &outageLog{
		log: log, resource: resource, now: time.Now,
		unanswered: outage{end: "API server answers again after %s"},
		forbidden:  outage{end: "API server grants access again after %s"},
		untrusted:  outage{end: "API server's watches can be relied on again after %s"},
	}
}

// observe takes the outcome of one request.
func (l *outageLog) observe(r request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var untrusted untrustedWatch
	switch {
	case err == nil:
		l.end(&l.unanswered, r)
		l.end(&l.forbidden, r)
	case errors.As(err, &untrusted):
		l.begin(&l.untrusted, r, endReason(err), l.log.Warningf, fmt.Sprintf("API server's watch of %s%s cannot be relied on: %v: "+
			"everything is read again, as often as this happens", l.resource, in(r.namespace), err))
	case errors.Is(err, context.Canceled), isVersionUnavailable(err):
	case apierrors.IsForbidden(err):
		l.end(&l.unanswered, r) // it is an answer
		l.begin(&l.forbidden, r, fmt.Sprint(r), l.log.Errorf, fmt.Sprintf("API server forbids to %s %s%s: "+
			"grant the verb %q on the resource %q there with a Role or ClusterRole: %v",
			r.verb, l.resource, in(r.namespace), r.verb, l.resource, err))
	default:
		reason, message := l.explain(r, err)
		l.begin(&l.unanswered, r, reason, l.log.Errorf, message)
	}
}

// trust takes a watch over which events have come in time, for long enough.
func (l *outageLog) trust(r request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(&l.untrusted, r)
}

// explain returns a message, and the reason, which is the same for failures that are logged once.
func (l *outageLog) explain(r request, err error) (reason, message string) {
	var (
		junk   undecodable
		status apierrors.APIStatus
	)
	if errors.As(err, &junk) {
		return WatchInvalid, fmt.Sprintf("API server sends what cannot be understood: cannot %s %s%s: %v", r.verb, l.resource, in(r.namespace), err)
	}
	if !errors.As(err, &status) || status.Status().Code == 0 {
		return WatchUnreachable, fmt.Sprintf("API server cannot be reached: cannot %s %s%s: %v", r.verb, l.resource, in(r.namespace), err)
	}
	code := int(status.Status().Code)
	return strconv.Itoa(code), fmt.Sprintf("API server answers %d %s: cannot %s %s%s: %v",
		code, http.StatusText(code), r.verb, l.resource, in(r.namespace), err)
}

func (l *outageLog) begin(o *outage, r request, reason string, log func(string, ...any), message string) {
	if len(o.failing) == 0 {
		o.since, o.failing, o.logged = l.now(), make(map[request]bool), make(map[string]bool)
	}
	o.failing[r] = true
	if !o.logged[reason] {
		o.logged[reason] = true
		log("%s; what is known stays in use", message)
	}
}

func (l *outageLog) end(o *outage, r request) {
	if len(o.failing) == 0 {
		return
	}
	delete(o.failing, r)
	if r.verb == "watch" {
		// Once a watch is open, nothing needs to be listed, and the reflector does not try.
		delete(o.failing, request{"list", r.namespace})
	}
	if len(o.failing) == 0 {
		l.log.Infof(o.end, l.now().Sub(o.since).Round(time.Second))
	}
}

func in(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return " in all namespaces"
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}
