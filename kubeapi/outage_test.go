package kubeapi

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

var (
	podResource = schema.GroupResource{Resource: "pods"}
	refused     = &url.Error{Op: "Get", URL: "https://10.0.0.1/api/v1/pods", Err: syscall.ECONNREFUSED}
	forbidden   = apierrors.NewForbidden(podResource, "", errors.New("no right"))
	overloaded  = apierrors.NewTooManyRequestsError("slow down")
	broken      = apierrors.NewInternalError(errors.New("etcd"))
	expired     = apierrors.NewResourceExpired("too old")
	behind      = &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}}}}
	unauthorized = apierrors.NewUnauthorized("who?")
	untrusted    = &url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}
	gone         = apierrors.NewGenericServerResponse(http.StatusGone, "get", podResource, "", "", 0, true)
)

func TestOutageLog(t *testing.T) {
	type outcome struct {
		verb, namespace string
		err             error
	}
	list, watch := func(err error) outcome { return outcome{"list", "a", err} }, func(err error) outcome { return outcome{"watch", "a", err} }
	const (
		lost      = "ERROR|cannot be reached|what is known stays in use"
		regained  = "INFO|answers again after"
		granted   = "INFO|grants access again after"
		no500     = "ERROR|answers 500 Internal Server Error"
		mayNotSee = `ERROR|forbids to watch pods in namespace "a"|grant the verb "watch" on the resource "pods" there`
		junk      = "ERROR|sends what cannot be understood|cannot watch pods in namespace \"a\": who are you?|what is known stays in use"
		no401     = "ERROR|answers 401 Unauthorized"
		doubtful  = `WARNING|watch of pods in namespace "a" cannot be relied on: nothing has come|read again|what is known stays in use`
		wentBack  = "WARNING|cannot be relied on: versions went back"
		mayNotAsk = `ERROR|forbids to list pods in namespace "a"|grant the verb "list" on the resource "pods" there`
	)
	for _, tc := range []struct {
		name     string
		outcomes []outcome
		want     []string
	}{
		{"all is well", []outcome{watch(nil), list(nil)}, nil},
		{"an outage is one line, and so is its end", []outcome{watch(nil), watch(refused), list(refused), watch(refused), list(refused), watch(nil), watch(nil)}, []string{lost, regained}},
		{"two outages", []outcome{watch(refused), watch(nil), watch(refused), watch(nil)}, []string{lost, regained, lost, regained}},
		{"no contact from the start", []outcome{watch(refused), list(refused)}, []string{lost}},
		{"all verbs that are missing are named", []outcome{watch(forbidden), list(forbidden), watch(forbidden), list(forbidden), watch(nil)}, []string{mayNotSee, mayNotAsk, granted}},
		{"list does not help a forbidden watch", []outcome{watch(forbidden), list(nil), watch(forbidden), list(nil), watch(forbidden), list(nil)}, []string{mayNotSee}},
		{"list does not help a watch that a proxy breaks", []outcome{watch(refused), list(nil), watch(refused), list(nil), watch(nil)}, []string{lost, regained}},
		{"a watch makes lists needless", []outcome{watch(refused), list(refused), watch(nil)}, []string{lost, regained}},
		{"another reason is another line", []outcome{watch(refused), watch(broken), watch(forbidden), watch(nil)}, []string{lost, no500, regained, mayNotSee, granted}},
		{"reasons that alternate are told once", []outcome{watch(refused), watch(broken), watch(refused), watch(broken), watch(nil)}, []string{lost, no500, regained}},
		{"too many requests", []outcome{watch(overloaded), watch(overloaded), watch(nil)}, []string{"ERROR|answers 429 Too Many Requests", regained}},
		{"an old version is no outage", []outcome{watch(expired), watch(gone), list(expired), watch(nil)}, nil},
		{"an old version is no end of one", []outcome{watch(refused), watch(expired), watch(refused), watch(nil)}, []string{lost, regained}},
		{"being stopped is no outage", []outcome{watch(context.Canceled), list(fmt.Errorf("list: %w", &url.Error{Err: context.Canceled}))}, nil},
		{"running out of time is one", []outcome{watch(&url.Error{Err: context.DeadlineExceeded})}, []string{lost}},
		{"namespaces have their own rights", []outcome{
			{"watch", "a", forbidden}, {"watch", "b", forbidden}, {"watch", "a", nil}, {"watch", "a", nil}, {"watch", "b", nil},
		}, []string{mayNotSee, `forbids to watch pods in namespace "b"`, granted}},
		{"one that is forbidden for good hides no outage", []outcome{
			{"watch", "b", forbidden},
			{"watch", "a", refused}, {"watch", "b", refused}, {"watch", "a", nil}, {"watch", "b", forbidden},
			{"watch", "b", refused}, {"watch", "a", refused}, {"watch", "b", forbidden}, {"watch", "a", nil},
		}, []string{`forbids to watch pods in namespace "b"`, lost, regained, lost, regained}},
		{"a server that is behind is no outage", []outcome{list(behind)}, nil},
		{"an outage is over when all namespaces are back", []outcome{
			{"watch", "a", refused}, {"watch", "b", refused}, {"watch", "a", nil}, {"watch", "b", refused}, {"watch", "b", nil},
		}, []string{lost, regained}},
		{"no credential", []outcome{watch(unauthorized), list(unauthorized), watch(unauthorized), watch(nil)}, []string{no401, regained}},
		{"no trust in the certificate", []outcome{watch(untrusted), list(untrusted), watch(nil)}, []string{lost, regained}},
		{"junk", []outcome{watch(undecodable{errors.New("who are you?")}), watch(undecodable{errors.New("and now?")}), watch(nil)}, []string{junk, regained}},
		{"no answer in time", []outcome{watch(errSilent), list(errSilent), watch(nil)}, []string{lost, regained}},
		{"a silent watch is no outage", []outcome{watch(untrustedWatch{errSilent}), watch(nil), watch(untrustedWatch{errSilent}), watch(nil)}, []string{doubtful}},
		{"a silent watch in an outage", []outcome{watch(untrustedWatch{errSilent}), watch(refused), watch(nil)}, []string{doubtful, lost, regained}},
		{"versions that went back", []outcome{watch(untrustedWatch{errBackwards}), watch(untrustedWatch{errBackwards})}, []string{wentBack}},
		{"all namespaces", []outcome{{"watch", "", forbidden}}, []string{`forbids to watch pods in all namespaces|on the resource "pods" there`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := &kubetest.Log{}
			c := newOutageLog(log, "pods")
			for _, o := range tc.outcomes {
				c.observe(request{o.verb, o.namespace}, o.err)
			}
			log.Want(t, tc.want...)
		})
	}
}

func TestOutageLogTellsHowLongItWasLost(t *testing.T) {
	log := &kubetest.Log{}
	c := newOutageLog(log, "pods")
	now := time.Unix(0, 0)
	c.now = func() time.Time { return now }
	for range 10 {
		c.observe(request{"watch", "a"}, refused)
		now = now.Add(9 * time.Second)
	}
	c.observe(request{"watch", "a"}, nil)
	log.Want(t, "ERROR|", "INFO API server answers again after 1m30s")
}

func TestOutageLogTellsWhenWatchesAreReliedOnAgain(t *testing.T) {
	log := &kubetest.Log{}
	c := newOutageLog(log, "pods")
	a, b := request{"watch", "a"}, request{"watch", "b"}
	c.trust(a) // there was no doubt
	c.observe(a, untrustedWatch{errSilent})
	c.observe(b, untrustedWatch{errSilent})
	c.trust(a)
	c.trust(a)
	log.Want(t, "WARNING|")
	c.trust(b)
	log.Want(t, "WARNING|", "INFO API server's watches can be relied on again after 0s")
}
