package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// intercept stands between the wire of a stage and its API server, and understands what it carries.
type intercept struct {
	server *http.Server
	addr   string

	mu sync.Mutex // protects following
	// answer, if there is one, answers in the API server's place when it gives true.
	answer func(w http.ResponseWriter, r *http.Request) bool
	// event, if there is one, gets each line of each watch, and gives what to send instead.
	event func(on *stream, line string) string
	open  map[*stream]bool
}

// newIntercept leads the wire through one, until the trial is over.
func (s *stage) newIntercept() *intercept {
	ca, err := os.ReadFile(s.pki.Path("ca.crt"))
	s.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	i := &intercept{open: make(map[*stream]bool)}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: apiAddress})
			// JSON has an event on each line.
			r.Out.Header.Set("Accept", "application/json")
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return s.plane.dial(ctx, network, address)
			},
		},
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Has("watch") && r.StatusCode == http.StatusOK {
				r.Body = i.newStream(r)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	i.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.mu.Lock()
			answer := i.answer
			i.mu.Unlock()
			if answer == nil || !answer(w, r) {
				proxy.ServeHTTP(w, r)
			}
		}),
	}
	l, err := s.plane.listen("127.0.0.1:0")
	s.must(err)
	i.addr = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = i.server.ServeTLS(l, s.pki.Path("apiserver.crt"), s.pki.Path("apiserver.key"))
	}()
	s.cleanup(func() {
		i.server.Close()
		<-done
	})
	s.proxy.lead(i.addr)
	return i
}

// answers has it answer by itself, or leave that to the API server again.
func (i *intercept) answers(how func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = how
}

// events has each line of each watch be changed.
func (i *intercept) events(how func(on *stream, line string) string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.event = how
}

// watches is an error until there is one of each part of a path.
func (i *intercept) watches(parts ...string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, part := range parts {
		found := false
		for s := range i.open {
			found = found || strings.Contains(s.path, part)
		}
		if !found {
			return errors.New("nobody watches " + part)
		}
	}
	return nil
}

// send sends a line on all watches whose path has a part.
func (i *intercept) send(part, line string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.open {
		if strings.Contains(s.path, part) {
			s.push(line)
		}
	}
}

// end ends all watches.
func (i *intercept) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.open {
		s.finish(io.EOF)
	}
}

// stream is the body of a watch: the API server's lines, with ours between them.
type stream struct {
	i    *intercept
	path string
	body io.Closer
	*io.PipeReader
	to *io.PipeWriter

	lines chan string
	done  chan struct{}
	once  sync.Once
}

func (i *intercept) newStream(r *http.Response) io.ReadCloser {
	in, out := io.Pipe()
	s := &stream{i: i, path: r.Request.URL.Path, body: r.Body, PipeReader: in, to: out, lines: make(chan string, 16), done: make(chan struct{})}
	i.mu.Lock()
	i.open[s] = true
	i.mu.Unlock()
	go s.read(r.Body)
	go s.write()
	return s
}

func (s *stream) read(body io.Reader) {
	reader := bufio.NewReader(body)
	for {
		line, err := reader.ReadString('\n')
		if err == nil {
			s.i.mu.Lock()
			event := s.i.event
			s.i.mu.Unlock()
			if event != nil {
				line = event(s, line)
			}
		}
		if err != nil {
			s.finish(err)
			return
		}
		s.push(line)
	}
}

func (s *stream) push(line string) {
	select {
	case s.lines <- line:
	case <-s.done:
	}
}

func (s *stream) write() {
	for {
		select {
		case line := <-s.lines:
			if _, err := io.WriteString(s.to, line); err != nil {
				s.finish(err)
				return
			}
		case <-s.done:
			return
		}
	}
}

func (s *stream) finish(err error) {
	s.once.Do(func() {
		close(s.done)
		s.to.CloseWithError(err)
	})
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.finish(io.ErrClosedPipe)
	s.i.mu.Lock()
	delete(s.i.open, s)
	s.i.mu.Unlock()
	return errors.Join(s.PipeReader.Close(), s.body.Close())
}
