package fakeapi_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	watchapi "k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/test/fakeapi"
)

func TestFailAnswersWhatMatches(t *testing.T) {
	s := fakeapi.New(t)
	s.Fail(500, metav1.StatusReasonInternalError, "boom", fakeapi.Resource("endpointslices"))
	s.Fail(403, metav1.StatusReasonForbidden, "", fakeapi.Namespace("a"), fakeapi.Verb("list"))
	forbidden := `pods is forbidden: User "fake" cannot list resource "pods" in API group "" in the namespace "a"`
	for _, tc := range []struct {
		path, message string
		code          int
	}{
		{allPods, "", 200},
		{allSlices, "boom", 500},
		{podsOfA, forbidden, 403},
	} {
		if got := get(t, s, tc.path); got.status != tc.code || got.Message != tc.message {
			t.Errorf("%s: want %d %q, got %d %q", tc.path, tc.code, tc.message, got.status, got.Message)
		}
	}
	watch(t, s, podsOfA)
	s.Recover()
	if got := get(t, s, podsOfA).status; got != http.StatusOK {
		t.Errorf("recovered: want 200, got %d", got)
	}
}

func TestInjectedFault(t *testing.T) {
	s := fakeapi.New(t)
	s.Inject(fakeapi.Fault{Status: 429, Reason: metav1.StatusReasonTooManyRequests, RetryAfter: 3 * time.Second, Times: 1})
	got := get(t, s, allPods)
	if after := got.header.Get("Retry-After"); got.status != 429 || after != "3" || got.Message != "Too Many Requests" {
		t.Errorf("want 429, Retry-After 3 and a message, got %d, %q, %q", got.status, after, got.Message)
	}
	if got := get(t, s, allPods).status; got != http.StatusOK {
		t.Errorf("second time: want 200, got %d", got)
	}

	s.Inject(fakeapi.Fault{Status: 502, Body: "<h1>bad gateway</h1>"})
	page := get(t, s, allPods)
	if page.status != 502 || page.header.Get("Content-Type") != "text/html" || string(page.body) != "<h1>bad gateway</h1>" {
		t.Errorf("want a page with 502, got %d %q", page.status, page.body)
	}
}

func TestCutBreaksTheStream(t *testing.T) {
	s := fakeapi.New(t)
	cut, kept := watch(t, s, allPods), watch(t, s, allSlices)
	s.WaitForWatches(2)
	s.Cut(fakeapi.Resource("pods"))
	s.WaitForWatches(1)
	if err := cut.end(); errors.Is(err, io.EOF) {
		t.Error("want an error, got the stream's proper end")
	}
	s.Put(slice("one"))
	kept.want("ADDED a/one")
}

func TestEndWatchesSendsWhatIsQueued(t *testing.T) {
	s := fakeapi.New(t)
	st := watch(t, s, allPods)
	s.WaitForWatches(1)
	s.Put(pod("one"))
	s.EndWatches()
	s.WaitForWatches(0)
	s.Put(pod("two"))
	st.want("ADDED a/one")
	if err := st.end(); !errors.Is(err, io.EOF) {
		t.Errorf("want EOF, got %v", err)
	}
}

func TestHangHoldsEverythingBack(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []fakeapi.Option
	}{{"plain", nil}, {"TLS", []fakeapi.Option{fakeapi.WithTLS()}}} {
		t.Run(tc.name, func(t *testing.T) {
			s := fakeapi.New(t, tc.opts...)
			c := trusting(t, s, nil)
			resp, err := c.Get(s.URL + allPods + query("watch=true"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			s.WaitForWatches(1)
			s.Hang()
			s.Hang()
			s.Put(pod("one"))

			impatient := trusting(t, s, nil)
			impatient.Timeout = 50 * time.Millisecond
			if _, err := fetch(t, impatient, s.URL+allPods); err == nil {
				t.Error("want no answer, got one")
			}
			if got := s.Requests(fakeapi.Verb("list")); len(got) != 0 {
				t.Errorf("want nothing read, got %v", got)
			}
			s.Resume()
			s.Resume()
			line := make([]byte, 10)
			if _, err := io.ReadFull(resp.Body, line); err != nil || !strings.HasPrefix(string(line), `{"type":"A`) {
				t.Errorf("resumed: want the event, got %q, %v", line, err)
			}
		})
	}
}

func TestStopWhileHung(t *testing.T) {
	s := fakeapi.New(t, fakeapi.WithTLS())
	resp, err := trusting(t, s, nil).Get(s.URL + allPods + query("watch=true"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.WaitForWatches(1)
	s.Hang()
	s.Put(pod("one"))
	s.Stop()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("want a broken stream, got its proper end")
	}
}

func TestStopRefusesUntilStart(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one"))
	before := s.ResourceVersion()
	st := watch(t, s, allPods, "resourceVersion="+before)
	s.Stop()
	s.Stop()
	if err := st.end(); errors.Is(err, io.EOF) {
		t.Error("open watch: want an error, got the proper end")
	}
	if len(s.Watches()) != 0 {
		t.Errorf("want no watch, got %v", s.Watches())
	}
	if _, err := fetch(t, client(t), s.URL+allPods); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("want connection refused, got %v", err)
	}
	s.Put(pod("two"))
	s.Start()
	s.Start()
	watch(t, s, allPods, "resourceVersion="+before).want("ADDED a/two")
}

func TestSendSendsAnything(t *testing.T) {
	s := fakeapi.New(t)
	with, without := watch(t, s, allPods, "allowWatchBookmarks=true", "resourceVersion=1"), watch(t, s, allPods, "resourceVersion=1")
	s.WaitForWatches(2)
	s.Bookmark()
	s.Send("SIDEWAYS", pod("one"))
	s.Send(watchapi.Added, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.org/v1", "kind": "Thing", "metadata": map[string]any{"name": "x", "namespace": "y"},
	}})
	s.Send(watchapi.Error, &metav1.Status{Code: 500, Reason: metav1.StatusReasonInternalError})
	s.Send(watchapi.Modified, nil)

	if got := with.next(); got.String() != "BOOKMARK" || got.Object.Kind != "Pod" || got.Object.Metadata.ResourceVersion != s.ResourceVersion() {
		t.Errorf("want a pod's bookmark at %s, got %+v", s.ResourceVersion(), got)
	}
	want := []string{"SIDEWAYS a/one", "ADDED y/x", "ERROR InternalError", "MODIFIED /"}
	with.want(want...)
	without.want(want...)

	s.SendRaw([]byte("}{ junk"), func(r fakeapi.Request) bool { return r.Query.Has("allowWatchBookmarks") })
	if err := with.end(); err == nil || !strings.Contains(err.Error(), "invalid character") {
		t.Errorf("junk: want a syntax error, got %v", err)
	}
	s.Put(pod("two"))
	without.want("ADDED a/two")
}
