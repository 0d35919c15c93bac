package faults

import (
	"bufio"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// intercept stands between the wire of a stage and its API server, and understands what it carries.
type intercept struct {
	mu   sync.Mutex // protects following
	code int        // it answers this to everything in the API server's place, if it is not 0
	told int        // how often it has
	// event, if there is one, gets each line of each watch, and returns what to send instead.
	event   func(on *stream, line string) string
	streams map[*stream]bool
}

// stream is the body of a watch. What is written to it comes between the API server's lines.
type stream struct {
	*io.PipeWriter
	path string
}

// newIntercept leads the wire through one, until it is healed.
func (s *stage) newIntercept() *intercept {
	transport, err := rest.TransportFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: s.Config.CAFile}, Dial: s.Config.Dial, DisableCompression: true})
	s.must(err)
	i := &intercept{streams: make(map[*stream]bool)}
	discard := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: cluster.APIServer})
			r.Out.Header.Set("Accept", "application/json") // has an event on each line
		},
		Transport: transport, FlushInterval: -1, ErrorLog: discard, ModifyResponse: i.watch,
	}
	l, err := s.wire.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	server := &http.Server{ErrorLog: discard, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := i.answers(); code == 0 {
			proxy.ServeHTTP(w, r)
		} else {
			w.Header().Set("Retry-After", "1")
			http.Error(w, http.StatusText(code), code)
		}
	})}
	pki := filepath.Dir(s.Config.CAFile)
	go func() {
		_ = server.ServeTLS(l, filepath.Join(pki, "apiserver.crt"), filepath.Join(pki, "apiserver.key"))
	}()
	s.Cleanup(func() { server.Close() })
	s.wire.to(l.Addr().String())
	return i
}

// watch replaces the body of a watch.
func (i *intercept) watch(r *http.Response) error {
	if !r.Request.URL.Query().Has("watch") || r.StatusCode != http.StatusOK {
		return nil
	}
	in, out := io.Pipe()
	s, body := &stream{out, r.Request.URL.Path}, r.Body
	r.Body = in
	i.mu.Lock()
	defer i.mu.Unlock()
	i.streams[s] = true
	go func() {
		defer body.Close()
		lines := bufio.NewReader(body)
		for err := error(nil); err == nil; {
			var line string
			if line, err = lines.ReadString('\n'); err == nil {
				_, err = io.WriteString(s, i.changed(s, line))
			}
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.streams, s)
		s.Close()
	}()
	return nil
}

func (i *intercept) answers() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.code != 0 {
		i.told++
	}
	return i.code
}

func (i *intercept) changed(s *stream, line string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.event == nil {
		return line
	}
	return i.event(s, line)
}

// events has each line of each watch be changed.
func (i *intercept) events(how func(on *stream, line string) string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.event = how
}

// refuse answers all requests with a code, and ends all watches; 0 ends that. It returns how many it has refused so far.
func (i *intercept) refuse(code int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.code = code
	for s := range i.streams {
		s.Close()
	}
	return i.told
}

// of returns the watches of a path, once there are any. Without one, a fault could be over before CoreDNS tries again: it
// has just lost its connection.
func (s *stage) of(i *intercept, path string) (out []*stream) {
	s.within(2*patience, path+" is watched through the interceptor", func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		out = slices.DeleteFunc(slices.Collect(maps.Keys(i.streams)), func(s *stream) bool { return !strings.HasSuffix(s.path, path) })
		if len(out) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	return out
}
