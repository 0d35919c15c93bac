package faults

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// intercept stands between the wire of a stage and its API server. It can answer in the API server's place.
type intercept struct {
	mu      sync.Mutex // protects following
	code    int        // of all its answers, if it is not 0
	watches context.Context
	end     context.CancelFunc // of the watches that there are
	watched map[string]bool    // label selectors of these
}

// newIntercept leads the wire through one until it is healed. It waits until CoreDNS watches through it: else a fault could
// be over before CoreDNS, which has just lost its connection, tries again.
func (s *stage) newIntercept() *intercept {
	transport, err := rest.TransportFor(&rest.Config{
		TLSClientConfig: rest.TLSClientConfig{CAFile: s.Config.CAFile}, Dial: s.Config.Dial,
	})
	require.NoError(s, err)
	i := new(intercept)
	i.refuse(0)
	discard := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "https", Host: cluster.APIServer}) },
		Transport: transport, FlushInterval: -1, ErrorLog: discard, ModifyResponse: i.watch,
	}
	l, err := s.wire.Listen("tcp", "127.0.0.1:0")
	require.NoError(s, err)
	server := &http.Server{ErrorLog: discard, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		code := i.code
		i.mu.Unlock()
		if code == 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(code), code)
	})}
	pki := filepath.Dir(s.Config.CAFile)
	go func() {
		_ = server.ServeTLS(l, filepath.Join(pki, "apiserver.crt"), filepath.Join(pki, "apiserver.key"))
	}()
	s.Cleanup(func() { server.Close() })
	s.wire.to(l.Addr().String())
	s.within(2*patience, "all clusters are watched through the interceptor", func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, m := range s.meshes {
			if !i.watched["app="+m.name] {
				return errors.New(m.name + " is not")
			}
		}
		return nil
	})
	return i
}

// watch has a watch end well when refuse says so, and not by an error.
func (i *intercept) watch(r *http.Response) error {
	query := r.Request.URL.Query()
	if !query.Has("watch") || r.StatusCode != http.StatusOK {
		return nil
	}
	in, out := io.Pipe()
	go func(body io.ReadCloser) {
		defer body.Close()
		_, err := io.Copy(out, body)
		out.CloseWithError(err)
	}(r.Body)
	r.Body = in
	i.mu.Lock()
	defer i.mu.Unlock()
	i.watched[query.Get("labelSelector")] = true
	context.AfterFunc(i.watches, func() { out.Close() })
	return nil
}

// refuse ends all watches, and answers all requests with a code; with 0 it does not.
func (i *intercept) refuse(code int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.end != nil {
		i.end()
	}
	i.watches, i.end = context.WithCancel(context.Background())
	i.code, i.watched = code, make(map[string]bool)
}

// refuses has the API server answer a code to everything for a while.
func (s *stage) refuses(code int) {
	i := s.newIntercept()
	s.through(func() { i.refuse(code) }, func() { i.refuse(0) })
}
