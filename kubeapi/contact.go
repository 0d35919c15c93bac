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

	mu      sync.Mutex // protects following
	failing map[request]bool
	since   time.Time       // when the first of them failed
	said    map[string]bool // reasons that were logged since then
}

// request is what can fail by itself: each namespace and each verb has its own right.
type request struct{ verb, namespace string }

func newContact(log Logger, resource string) *contact {
	return &contact{log: log, resource: resource, now: time.Now, failing: make(map[request]bool)}
}

// unreachable is the reason of all requests that got no answer from an API server.
const unreachable = "unreachable"

// observe takes the outcome of one request.
func (c *contact) observe(r request, err error) {
	if err == nil {
		c.heard(r)
		return
	}
	// A version that is too old is an answer, and the reflector knows what to do.
	if errors.Is(err, context.Canceled) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	c.failed(r, err)
}

func (c *contact) failed(r request, err error) {
	reason, message := c.explain(r, err)

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failing) == 0 {
		c.since = c.now()
		c.said = make(map[string]bool)
	}
	c.failing[r] = true
	if !c.said[reason] {
		c.said[reason] = true
		c.log.Errorf("%s; what is known stays in use", message)
	}
}

// explain gives the reason, by which failures count as the same, and a message.
func (c *contact) explain(r request, err error) (reason, message string) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code == 0 {
		return unreachable, fmt.Sprintf("API server cannot be reached: cannot %s %s%s: %v", r.verb, c.resource, in(r.namespace), err)
	}
	code := int(status.Status().Code)
	if code == http.StatusForbidden {
		return fmt.Sprint(code, r), fmt.Sprintf("API server forbids to %s %s%s: "+
			"grant the verb %q on the resource %q%s with a Role or ClusterRole: %v",
			r.verb, c.resource, in(r.namespace), r.verb, c.resource, in(r.namespace), err)
	}
	return strconv.Itoa(code), fmt.Sprintf("API server answers %d %s: cannot %s %s%s: %v",
		code, http.StatusText(code), r.verb, c.resource, in(r.namespace), err)
}

func (c *contact) heard(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failing) == 0 {
		return
	}
	delete(c.failing, r)
	if r.verb == "watch" {
		// Once a watch is open, nothing needs to be listed, and nobody tries.
		delete(c.failing, request{"list", r.namespace})
	}
	if len(c.failing) == 0 {
		c.log.Infof("API server answers again after %s", c.now().Sub(c.since).Round(time.Second))
	}
}

func in(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return " in all namespaces"
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}
