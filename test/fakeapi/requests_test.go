package fakeapi_test

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longnames/longnames/test/fakeapi"
)

func TestRequestsAreRecorded(t *testing.T) {
	s := fakeapi.New(t, fakeapi.WithToken("secret"))
	s.SetWarning("v1 pods are old")
	refused, err := fetch(t, client(t), s.URL+podsOfA+query("watch=1", "labelSelector=app=x"),
		"Accept=application/json", "User-Agent=test", "Authorization=Bearer wrong")
	if err != nil || refused.status != http.StatusUnauthorized {
		t.Errorf("want 401, got %d, %v", refused.status, err)
	}
	if got, want := refused.header.Get("Warning"), `299 - "v1 pods are old"`; got != want {
		t.Errorf("warning: want %s, got %s", want, got)
	}
	s.SetWarning("")
	if got := get(t, s, "/version").header.Get("Warning"); got != "" {
		t.Errorf("warning: want none, got %s", got)
	}

	all := s.WaitForRequests(2)
	watch, other := all[0], all[1]
	for name, pair := range map[string][2]string{
		"verb":          {"watch", watch.Verb},
		"resource":      {"pods", watch.Resource},
		"namespace":     {"a", watch.Namespace},
		"selector":      {"app=x", watch.Query.Get("labelSelector")},
		"accept":        {"application/json", watch.Accept()},
		"user agent":    {"test", watch.UserAgent()},
		"authorization": {"Bearer wrong", watch.Authorization()},
		"string":        {`watch pods in "a" ?labelSelector=app%3Dx&watch=1`, watch.String()},
		"other verb":    {"get", other.Verb},
		"other string":  {"GET /version", other.String()},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: want %q, got %q", name, pair[0], pair[1])
		}
	}
	if got := s.Requests(fakeapi.Resource("pods"), fakeapi.Namespace("b")); got != nil {
		t.Errorf("want no request in b, got %v", got)
	}
}

// failing ends the waiting goroutine as a test's Fatalf would, but not the test.
type failing struct {
	testing.TB
	mu      sync.Mutex
	message string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWaitFailsAtTheDeadline(t *testing.T) {
	tb := &failing{TB: t}
	s := fakeapi.New(tb, fakeapi.WithWaitLimit(10*time.Millisecond))
	watch(t, s, allPods)
	s.WaitForWatches(1, fakeapi.Resource("pods"))
	for _, tc := range []struct {
		wait func()
		want string
	}{
		{func() { s.WaitForWatches(2) }, "fakeapi: after 10ms: want 2 open watches, got 1:\n\twatch pods in \"\" ?watch=true"},
		{func() { s.WaitForRequests(1, fakeapi.Verb("list")) }, "fakeapi: after 10ms: want 1 matching requests, got 0 of all these:\n\twatch pods"},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			tc.wait()
		}()
		<-done
		if !strings.HasPrefix(tb.message, tc.want) {
			t.Errorf("want %q, got %q", tc.want, tb.message)
		}
	}
}

func TestMethodsAreSafeForConcurrentUse(t *testing.T) {
	s := fakeapi.New(t)
	watch(t, s, allPods, watchList...).drain()
	s.WaitForWatches(1)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 20 {
				name := fmt.Sprint(worker, "-", i)
				s.Put(pod(name), slice(name))
				s.Bookmark()
				s.Send("ADDED", pod(name))
				s.Inject(fakeapi.Fault{Status: 500, Times: 1, Only: []fakeapi.Match{fakeapi.Namespace("nowhere")}})
				s.SetToken("")
				s.Hang()
				s.Resume()
				if i == 10 {
					s.Compact()
				}
				s.Recover()
				s.Requests()
			}
		})
	}
	wg.Wait()
	list := get(t, s, allPods)
	if got := len(slices.Compact(list.names())); got != 80 {
		t.Errorf("want 80 pods, got %d", got)
	}
}

// TestAStoppedServerKeepsItsPort has others look for a port while it is stopped.
func TestAStoppedServerKeepsItsPort(t *testing.T) {
	s := fakeapi.New(t)
	s.Stop()
	_, address, _ := strings.Cut(s.URL, "://")
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Errorf("%s: want it refused", address)
	}
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() == address {
			t.Errorf("got %s for another server", address)
		}
		defer l.Close()
	}
	s.Start()
}
