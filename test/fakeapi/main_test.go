package fakeapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/fakeapi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

const (
	allPods   = "/api/v1/pods"
	podsOfA   = "/api/v1/namespaces/a/pods"
	allSlices = "/apis/discovery.k8s.io/v1/endpointslices"
)

// pod is "name" or "namespace/name", with labels as key=value.
func pod(name string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	p.Namespace, p.Name = "a", name
	if namespace, name, ok := strings.Cut(name, "/"); ok {
		p.Namespace, p.Name = namespace, name
	}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		metav1.SetMetaDataLabel(&p.ObjectMeta, key, value)
	}
	return p
}

func slice(name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, AddressType: discoveryv1.AddressTypeIPv4}
}

// item is what the tests look at in an object, a list or a status.
type item struct {
	metav1.TypeMeta
	Metadata struct {
		Name, Namespace, UID, ResourceVersion, Continue string
		RemainingItemCount                              *int64
		Annotations                                     map[string]string
	}
	Items   []item
	Code    int
	Reason  string
	Message string
	Details struct{ Causes []metav1.StatusCause }
}

func (i item) names() []string {
	names := make([]string, 0, len(i.Items))
	for _, one := range i.Items {
		names = append(names, one.Metadata.Namespace+"/"+one.Metadata.Name)
	}
	return names
}

// client leaves no connection behind.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func query(pairs ...string) string {
	values := url.Values{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		values.Set(key, value)
	}
	return "?" + values.Encode()
}

// reply is a whole answer.
type reply struct {
	item   // of the body, if it is JSON
	status int
	proto  string
	header http.Header
	body   []byte
}

func get(t *testing.T, s *fakeapi.Server, path string, pairs ...string) reply {
	t.Helper()
	r, err := fetch(t, client(t), s.URL+path+query(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fetch gets a URL with headers given as key=value.
func fetch(t *testing.T, c *http.Client, url string, headers ...string) (r reply, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		key, value, _ := strings.Cut(header, "=")
		req.Header.Set(key, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.status, r.proto, r.header = resp.StatusCode, resp.Proto, resp.Header
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, err
	}
	_ = json.Unmarshal(r.body, &r.item) // what is no JSON has no item
	return r, nil
}

type event struct {
	Type   string
	Object item
}

// String is the event without what most tests do not ask for: "ADDED a/one".
func (e event) String() string {
	switch {
	case e.Type == "BOOKMARK" && e.Object.Metadata.Annotations[metav1.InitialEventsAnnotationKey] == "true":
		return "END"
	case e.Type == "BOOKMARK":
		return e.Type
	case e.Type == "ERROR":
		return e.Type + " " + e.Object.Reason
	}
	return e.Type + " " + e.Object.Metadata.Namespace + "/" + e.Object.Metadata.Name
}

// stream is one open watch, read by hand.
type stream struct {
	t      *testing.T
	events chan event
	err    chan error
}

// watch opens a watch and returns when the server has answered.
func watch(t *testing.T, s *fakeapi.Server, path string, pairs ...string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path+query(pairs...)+"&watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req) //nolint:bodyclose // by the goroutine that reads it
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		t.Fatalf("watch %s: want 200, got %s", path, resp.Status)
	}
	st := &stream{t, make(chan event), make(chan error, 1)}
	go func() {
		defer resp.Body.Close()
		decoder := json.NewDecoder(resp.Body)
		for {
			var e event
			if err := decoder.Decode(&e); err != nil {
				st.err <- err
				return
			}
			select {
			case st.events <- e:
			case <-t.Context().Done():
				return
			}
		}
	}()
	return st
}

func (st *stream) next() event {
	st.t.Helper()
	select {
	case e := <-st.events:
		return e
	case err := <-st.err:
		st.t.Fatalf("want an event, got the stream's end: %v", err)
	case <-time.After(patience):
		st.t.Fatal("want an event, got none")
	}
	return event{}
}

// want compares the following events with these.
func (st *stream) want(want ...string) {
	st.t.Helper()
	got := make([]string, 0, len(want))
	for range want {
		got = append(got, st.next().String())
	}
	if !slices.Equal(got, want) {
		st.t.Errorf("events:\nwant %q\n got %q", want, got)
	}
}

// drain reads on without a look.
func (st *stream) drain() {
	go func() {
		for {
			select {
			case <-st.events:
			case <-st.t.Context().Done():
				return
			}
		}
	}()
}

// end returns how the stream ends: io.EOF in good order.
func (st *stream) end() error {
	st.t.Helper()
	select {
	case e := <-st.events:
		st.t.Fatalf("want the stream's end, got %v", e)
	case err := <-st.err:
		return err
	case <-time.After(patience):
		st.t.Fatal("want the stream's end, got nothing")
	}
	return io.EOF
}
