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

// contact notices when the API server stops and starts answering, and says so once
// each instead of at every try.
type contact struct {
	log      Logger
	resource string // with its group, for messages
	now      func() time.Time

	mu sync.Mutex // protects following
	// outage is about requests that got no answer, or one that tells of a fault; refusal
	// about those that have no right; doubt about watches that looked well. Each may last
	// while others come and go.
	outage, refusal, doubt trouble
}

// trouble goes from the first request that fails until none does any more.
type trouble struct {
	end     string // what to say then
	since   time.Time
	failing map[request]bool
	said    map[string]bool // reasons that have been logged
}

// request is what can fail by itself: each namespace and each verb has its own right.
type request struct{ verb, namespace string }

func newContact(log Logger, resource string) *contact {
	return &contact{
		log: log, resource: resource, now: time.Now,
		outage:  trouble{end: "API server answers again after %s"},
		refusal: trouble{end: "API server grants access again after %s"},
		doubt:   trouble{end: "API server's watches can be relied on again after %s"},
	}
}

// observe takes the outcome of one request.
func (c *contact) observe(r request, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var doubt distrust
	switch {
	case err == nil:
		c.over(&c.outage, r)
		c.over(&c.refusal, r)
	case errors.As(err, &doubt):
		c.begin(&c.doubt, r, endReason(err), c.log.Warningf, fmt.Sprintf("API server's watch of %s%s cannot be relied on: %v: "+
			"everything is read again, as often as this happens", c.resource, in(r.namespace), err))
	case errors.Is(err, context.Canceled), isVersionUnavailable(err):
	case apierrors.IsForbidden(err):
		c.over(&c.outage, r) // it is an answer
		c.begin(&c.refusal, r, fmt.Sprint(r), c.log.Errorf, fmt.Sprintf("API server forbids to %s %s%s: "+
			"grant the verb %q on the resource %q there with a Role or ClusterRole: %v",
			r.verb, c.resource, in(r.namespace), r.verb, c.resource, err))
	default:
		reason, message := c.explain(r, err)
		c.begin(&c.outage, r, reason, c.log.Errorf, message)
	}
}

// trust says that a watch has been heard of in time, for long enough.
func (c *contact) trust(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over(&c.doubt, r)
}

// isVersionUnavailable tells of answers about a resourceVersion that is too old, or too
// new for a server that is behind: the reflector knows what to do.
func isVersionUnavailable(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// explain gives the reason, by which failures count as the same, and a message.
func (c *contact) explain(r request, err error) (reason, message string) {
	var (
		junk   undecodable
		status apierrors.APIStatus
	)
	if errors.As(err, &junk) {
		return WatchInvalid, fmt.Sprintf("API server sends what cannot be understood: cannot %s %s%s: %v", r.verb, c.resource, in(r.namespace), err)
	}
	if !errors.As(err, &status) || status.Status().Code == 0 {
		return WatchUnreachable, fmt.Sprintf("API server cannot be reached: cannot %s %s%s: %v", r.verb, c.resource, in(r.namespace), err)
	}
	code := int(status.Status().Code)
	return strconv.Itoa(code), fmt.Sprintf("API server answers %d %s: cannot %s %s%s: %v",
		code, http.StatusText(code), r.verb, c.resource, in(r.namespace), err)
}

func (c *contact) begin(t *trouble, r request, reason string, log func(string, ...any), message string) {
	if len(t.failing) == 0 {
		t.since, t.failing, t.said = c.now(), make(map[request]bool), make(map[string]bool)
	}
	t.failing[r] = true
	if !t.said[reason] {
		t.said[reason] = true
		log("%s; what is known stays in use", message)
	}
}

func (c *contact) over(t *trouble, r request) {
	if len(t.failing) == 0 {
		return
	}
	delete(t.failing, r)
	if r.verb == "watch" {
		// Once a watch is open, nothing needs to be listed, and nobody tries.
		delete(t.failing, request{"list", r.namespace})
	}
	if len(t.failing) == 0 {
		c.log.Infof(t.end, c.now().Sub(t.since).Round(time.Second))
	}
}

func in(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return " in all namespaces"
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}
