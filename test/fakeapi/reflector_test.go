package fakeapi_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/longnames/longnames/test/fakeapi"
)

// mirror is a reflector's store that can be waited for.
type mirror struct {
	cache.Store
	mu      sync.Mutex
	changed chan struct{}
}

func newMirror() *mirror {
	return &mirror{Store: cache.NewStore(cache.MetaNamespaceKeyFunc), changed: make(chan struct{})}
}

func (m *mirror) tell(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
	return err
}

func (m *mirror) Add(obj any) error    { return m.tell(m.Store.Add(obj)) }
func (m *mirror) Update(obj any) error { return m.tell(m.Store.Update(obj)) }
func (m *mirror) Delete(obj any) error { return m.tell(m.Store.Delete(obj)) }
func (m *mirror) Replace(objs []any, version string) error {
	return m.tell(m.Store.Replace(objs, version))
}

// want waits until the store has just these keys.
func (m *mirror) want(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		got := slices.Sorted(slices.Values(m.ListKeys()))
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("want %q, got %q", want, got)
		}
	}
}

// reflect runs a reflector until the test ends.
func reflect(t *testing.T, s *fakeapi.Server, gv metav1.GroupVersion, resource string, example runtime.Object, contentType string, pageSize int64) *mirror {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	conf := &rest.Config{Host: s.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: s.CAPEM()}}
	conf.ContentType = contentType
	conf.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	conf.GroupVersion = &corev1.SchemeGroupVersion
	conf.APIPath = "/api"
	if gv.Group != "" {
		conf.GroupVersion, conf.APIPath = &discoveryv1.SchemeGroupVersion, "/apis"
	}
	c, err := rest.RESTClientFor(conf)
	if err != nil {
		t.Fatal(err)
	}
	m := newMirror()
	all := func(*metav1.ListOptions) {}
	r := cache.NewReflectorWithOptions(cache.NewFilteredListWatchFromClient(c, resource, "a", all), example, m,
		cache.ReflectorOptions{Backoff: &wait.Backoff{Duration: 10 * time.Millisecond, Factor: 1, Steps: math.MaxInt}})
	r.WatchListPageSize = pageSize
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.RunWithContext(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return m
}

func TestReflectorFollows(t *testing.T) {
	const proto = runtime.ContentTypeProtobuf
	for _, tc := range []struct {
		name        string
		opts        []fakeapi.Option
		contentType string
		pageSize    int64
		want        []string // the verbs of the first sync
	}{
		{"WatchList", nil, "", 0, []string{"watch"}},
		{"WatchList in protobuf", nil, proto, 0, []string{"watch"}},
		{"WatchList over TLS", []fakeapi.Option{fakeapi.WithTLS()}, proto, 0, []string{"watch"}},
		{"list", []fakeapi.Option{fakeapi.WithoutWatchList()}, "", 0, []string{"watch", "list", "watch"}},
		{"list in protobuf", []fakeapi.Option{fakeapi.WithoutWatchList()}, proto, 0, []string{"watch", "list", "watch"}},
		{"list in pages", []fakeapi.Option{fakeapi.WithoutWatchList(), fakeapi.WithoutWatchCache()}, proto, 1, []string{"watch", "list", "list", "watch"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fakeapi.New(t, tc.opts...)
			s.Put(pod("one"), pod("two"), pod("b/other"))
			m := reflect(t, s, metav1.GroupVersion{}, "pods", &corev1.Pod{}, tc.contentType, tc.pageSize)
			m.want(t, "a/one", "a/two")
			s.WaitForWatches(1)
			if got := verbs(s.Requests()); !slices.Equal(got, tc.want) {
				t.Errorf("first sync: want %q, got %q", tc.want, got)
			}
			s.Put(pod("three", "app=x"))
			s.Delete(pod("one"))
			m.want(t, "a/three", "a/two")

			lists := len(s.Requests(fakeapi.Verb("list")))
			s.Cut()
			s.Put(pod("four"))
			m.want(t, "a/four", "a/three", "a/two")
			if got := len(s.Requests(fakeapi.Verb("list"))); got != lists {
				t.Errorf("after a cut: want the watch to go on, got %d lists", got-lists)
			}

			s.WaitForWatches(1)
			s.Fail(503, metav1.StatusReasonServiceUnavailable, "")
			s.Cut()
			s.Delete(pod("two"))
			s.Compact()
			s.Recover()
			m.want(t, "a/four", "a/three")
			if pod, _, _ := m.GetByKey("a/three"); pod.(*corev1.Pod).Labels["app"] != "x" {
				t.Errorf("want the label, got %v", pod)
			}
		})
	}
}

func TestReflectorOfSlices(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(slice("one"))
	gv := metav1.GroupVersion{Group: "discovery.k8s.io", Version: "v1"}
	m := reflect(t, s, gv, "endpointslices", &discoveryv1.EndpointSlice{}, runtime.ContentTypeProtobuf, 0)
	m.want(t, "a/one")
	if got := s.Requests()[0].Accept(); !strings.HasPrefix(got, runtime.ContentTypeProtobuf) {
		t.Errorf("want protobuf asked for, got %q", got)
	}
	s.Stop()
	s.Put(slice("two"))
	s.Start()
	m.want(t, "a/one", "a/two")
}

func TestReflectorSurvivesWhatIsSent(t *testing.T) {
	for _, contentType := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(contentType, func(t *testing.T) {
			s := fakeapi.New(t)
			s.Put(pod("one"))
			m := reflect(t, s, metav1.GroupVersion{}, "pods", &corev1.Pod{}, contentType, 0)
			m.want(t, "a/one")
			odd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": "Odd"}}
			for i, disturb := range []func(){
				func() { s.Send("SIDEWAYS", pod("odd")) },
				func() { s.Send("ADDED", slice("odd")); s.EndWatches() },
				func() { s.Send("ADDED", odd) },
				func() { s.Send("ERROR", &metav1.Status{Status: "Failure", Code: 500}) },
				func() { s.SendRaw([]byte("\x00\x00\x00\x04junk")) }, // a whole frame in protobuf, none in JSON
				func() { s.Rewind(1); s.Cut() },
			} {
				disturb()
				s.WaitForOpened(i + 2)
			}
			s.Put(pod("two"))
			m.want(t, "a/one", "a/two")
		})
	}
}

func verbs(requests []fakeapi.Request) []string {
	verbs := make([]string, 0, len(requests))
	for _, r := range requests {
		verbs = append(verbs, r.Verb)
	}
	return verbs
}
