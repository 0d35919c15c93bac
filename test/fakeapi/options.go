package fakeapi

import "time"

// defaultWaitLimit outlasts a reflector's longest usual pauses on a slow machine.
const defaultWaitLimit = 30 * time.Second

// config is what does not change while the server lives.
type config struct {
	tls          bool
	clientCert   bool
	noWatchList  bool
	noWatchCache bool
	waitLimit    time.Duration
}

// Option changes how a server behaves from its start.
type Option func(*Server)

// WithTLS serves HTTPS, HTTP/2 included, with a certificate for 127.0.0.1 from an authority of its own: see CAPEM.
func WithTLS() Option { return func(s *Server) { s.conf.tls = true } }

// WithClientCert serves HTTPS and answers 401 to clients without a certificate of ClientCert (or the token, if any).
func WithClientCert() Option {
	return func(s *Server) { s.conf.tls, s.conf.clientCert = true, true }
}

// WithToken answers 401 to requests without this bearer token. See SetToken.
func WithToken(token string) Option { return func(s *Server) { s.token = token } }

// WithoutWatchList is a server with the WatchList feature off: it answers 422 to sendInitialEvents.
func WithoutWatchList() Option { return func(s *Server) { s.conf.noWatchList = true } }

// WithoutWatchCache is a server that pages lists at resourceVersion=0 too, where others ignore the limit.
func WithoutWatchCache() Option { return func(s *Server) { s.conf.noWatchCache = true } }

// WithWaitLimit sets how long WaitForWatches and WaitForRequests wait before they fail the test. Default 30 s.
func WithWaitLimit(d time.Duration) Option { return func(s *Server) { s.conf.waitLimit = d } }
