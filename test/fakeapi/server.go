// Package fakeapi is a small Kubernetes API server for tests. It holds Pods and EndpointSlices, and what the kubernetes
// plugin of CoreDNS needs besides: Services and Namespaces. It answers list and watch requests over real HTTP the way a
// kube-apiserver does, and breaks on demand: refused, hung, cut, expired, forbidden.
package fakeapi

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// Server is a fake API server. All methods are safe for concurrent use; those that wait or write files must be called
// from the test's own goroutine, as they may end the test.
type Server struct {
	// URL is where the server listens. It stays the same over Stop and Start.
	URL string

	tb   testing.TB
	conf config
	ca   *authority // nil without TLS
	gate *gate

	power sync.Mutex // guards front: one Start or Stop at a time
	front *front     // nil while stopped

	mu       sync.Mutex    // guards all below
	changed  chan struct{} // closed and replaced when requests or watches change
	store    *store
	watches  map[*watcher]struct{}
	opened   []Request // of all watches ever
	requests []Request
	faults   []*Fault
	token    string
	warning  string
}

// front is what Stop takes away and Start puts back: the sockets.
type front struct {
	http     *httptest.Server
	listener *listener
}

// New starts a server that lives as long as the test.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s := &Server{
		tb:      tb,
		conf:    config{waitLimit: defaultWaitLimit},
		gate:    newGate(),
		changed: make(chan struct{}),
		store:   newStore(),
		watches: map[*watcher]struct{}{},
	}
	for _, opt := range opts {
		opt(s)
	}
	if s.conf.tls {
		s.ca = newAuthority(tb)
	}
	s.start(keepPort(tb))
	tb.Cleanup(s.Stop)
	return s
}

// Start listens again on the same address after a Stop, with the objects and the history it had.
func (s *Server) Start() {
	s.tb.Helper()
	_, address, _ := strings.Cut(s.URL, "://")
	s.start(address)
}

func (s *Server) start(address string) {
	s.tb.Helper()
	s.power.Lock()
	defer s.power.Unlock()
	if s.front != nil {
		return
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		s.tb.Fatalf("fakeapi: %v", err)
	}
	l := newListener(socket, s.gate)
	h := &httptest.Server{Listener: l, Config: &http.Server{ //nolint:gosec // no time-out: connections stay open in a Hang
		Handler:  http.HandlerFunc(s.serve),
		ErrorLog: log.New(io.Discard, "", 0), // broken handshakes and cut streams are what tests ask for
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, transportOf(c))
		},
	}}
	if s.ca == nil {
		h.Start()
	} else {
		h.TLS = &tls.Config{Certificates: []tls.Certificate{s.ca.server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		h.EnableHTTP2 = true // as every API server does
		h.StartTLS()
	}
	s.front = &front{http: h, listener: l}
	if s.URL == "" { // written once, as tests read it without a lock
		s.URL = h.URL
	}
}

// Stop closes the listener and all connections abruptly: from now on connections are refused. Stopping twice is fine.
func (s *Server) Stop() {
	s.power.Lock()
	defer s.power.Unlock()
	if s.front == nil {
		return
	}
	s.front.listener.shut()
	s.front.http.Close()
	s.front = nil

	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		s.drop(w)
	}
}

// serve is every request's way: recorded, then broken if a test wants so, authenticated, answered.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	route := routeOf(r)
	enc, acceptable := negotiate(r.Header.Get("Accept"))
	fault, warning := s.record(route.request)
	if warning != "" {
		w.Header().Set("Warning", warning)
	}
	switch {
	case fault != nil && fault.Body != "":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(fault.Status)
		_, _ = io.WriteString(w, fault.Body)
		return
	case fault != nil:
		writeError(w, enc, fault.error(route))
		return
	case !acceptable:
		writeError(w, enc, notAcceptable())
		return
	}
	if err := s.authenticate(r); err != nil {
		writeError(w, enc, err)
		return
	}
	opts, err := route.options(s.conf.noWatchList)
	if err != nil {
		writeError(w, enc, err)
		return
	}
	if opts.Watch {
		s.stream(w, r, enc, s.open(r, route, opts), opts.TimeoutSeconds)
		return
	}
	var list runtime.Object
	if list, err = s.list(route, opts); err != nil {
		writeError(w, enc, err)
		return
	}
	writeObject(w, enc, http.StatusOK, list)
}
