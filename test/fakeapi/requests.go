package fakeapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Request is what the server was asked, whatever it answered.
type Request struct {
	Verb      string // list, watch; for anything else the method in lower case
	Group     string // empty for pods
	Resource  string // such as pods; empty for what is not served
	Namespace string // empty for all namespaces
	Method    string
	Path      string
	Query     url.Values
	Header    http.Header
	User      string // the common name of the client's certificate
}

// Accept is the header that tells which encodings the client takes.
func (r Request) Accept() string { return r.Header.Get("Accept") }

// UserAgent is the header that tells who asks.
func (r Request) UserAgent() string { return r.Header.Get("User-Agent") }

// Authorization is the header with the bearer token.
func (r Request) Authorization() string { return r.Header.Get("Authorization") }

// String is short enough for a test's message.
func (r Request) String() string {
	if r.Resource == "" {
		return r.Method + " " + r.Path
	}
	return fmt.Sprintf("%s %s in %q ?%s", r.Verb, r.Resource, r.Namespace, r.Query.Encode())
}

func (r Request) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Resource}
}

// Match chooses requests, and open watches by the request that opened them. It must not call the server back.
type Match func(Request) bool

// Verb matches list or watch requests.
func Verb(verb string) Match { return func(r Request) bool { return r.Verb == verb } }

// Resource matches requests for one, such as pods.
func Resource(resource string) Match { return func(r Request) bool { return r.Resource == resource } }

// Namespace matches requests for one namespace, or with "" for all namespaces at once.
func Namespace(namespace string) Match {
	return func(r Request) bool { return r.Namespace == namespace }
}

func matchAll(r Request, only []Match) bool {
	for _, match := range only {
		if !match(r) {
			return false
		}
	}
	return true
}

// Requests returns the requests so far that match, in the order of their arrival.
func (s *Server) Requests(only ...Match) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return choose(s.requests, only)
}

// Watches returns the requests of the watches that are open now, in no order.
func (s *Server) Watches(only ...Match) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watching(only)
}

// WaitForWatches waits until exactly n matching watches are open. A change after that is delivered to all of them. One
// that its client has given up counts until the server notices: after that, WaitForOpened is the better question.
func (s *Server) WaitForWatches(n int, only ...Match) {
	s.tb.Helper()
	s.wait(func() (bool, string) {
		open := s.watching(only)
		return len(open) == n, fmt.Sprintf("want %d open watches, got %d:%s", n, len(open), lines(open))
	})
}

// WaitForOpened waits until at least n matching watches have been opened since the start, whether still open or not.
func (s *Server) WaitForOpened(n int, only ...Match) {
	s.tb.Helper()
	s.wait(func() (bool, string) {
		opened := choose(s.opened, only)
		return len(opened) >= n, fmt.Sprintf("want %d watches opened so far, got %d:%s", n, len(opened), lines(opened))
	})
}

// WaitForRequests waits until at least n matching requests have come and returns all that have.
func (s *Server) WaitForRequests(n int, only ...Match) (requests []Request) {
	s.tb.Helper()
	s.wait(func() (bool, string) {
		requests = choose(s.requests, only)
		return len(requests) >= n, fmt.Sprintf("want %d matching requests, got %d of all these:%s", n, len(requests), lines(s.requests))
	})
	return requests
}

// SetWarning adds a Warning header to all following responses; an empty text ends that.
func (s *Server) SetWarning(text string) {
	s.tb.Helper()
	header := ""
	if text != "" {
		var err error
		if header, err = utilnet.NewWarningHeader(299, "-", text); err != nil {
			s.tb.Errorf("fakeapi: %v", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warning = header
}

// wait asks again after every change of requests or watches. The condition runs under the lock.
func (s *Server) wait(condition func() (bool, string)) {
	s.tb.Helper()
	deadline := time.NewTimer(s.conf.waitLimit)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		done, got := condition()
		changed := s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			s.tb.Fatalf("fakeapi: after %v: %s", s.conf.waitLimit, got)
		}
	}
}

// announce wakes those who wait. It needs s.mu.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) record(r Request) (fault *Fault, warning string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	s.announce()
	return s.fault(r), s.warning
}

func choose(requests []Request, only []Match) (chosen []Request) {
	for _, r := range requests {
		if matchAll(r, only) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

func (s *Server) watching(only []Match) (open []Request) {
	for w := range s.watches {
		if matchAll(w.request, only) {
			open = append(open, w.request)
		}
	}
	return open
}

func lines(requests []Request) string {
	var b strings.Builder
	for _, r := range requests {
		b.WriteString("\n\t" + r.String())
	}
	return b.String()
}
