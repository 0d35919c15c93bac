package kubeapi

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

// A load balancer without backends takes connections and closes them.
func TestConnectionsThatAreClosedAreAnOutage(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	}()
	log := &kubetest.Log{}
	source, err := New(Config{Lookup: Pods, Namespaces: []string{"a"}, Endpoint: "http://" + l.Addr().String(), Log: log, Monitor: &recordingMonitor{}})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, source, newSink(t))
	kubetest.Eventually(t, func() (bool, string) {
		n := accepted.Load()
		return n >= 3, fmt.Sprint(n, " connections")
	})
	stop()
	log.Want(t, lostLine)
}

// An API server whose etcd is away opens a watch, only to send an error.
func TestAWatchThatOnlyBringsAnErrorIsNoContact(t *testing.T) {
	t.Parallel()
	const failure = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"etcd"}`
	var asked atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") != "" {
			fmt.Fprintf(w, `{"type":"ERROR","object":%s}`, failure)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, failure)
	}))
	t.Cleanup(api.Close)
	log := &kubetest.Log{}
	source, err := New(Config{Lookup: Pods, Namespaces: []string{"a"}, Endpoint: api.URL, Log: log, Monitor: &recordingMonitor{}})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, source, newSink(t))
	kubetest.Eventually(t, func() (bool, string) {
		n := asked.Load()
		return n >= 6, fmt.Sprint(n, " requests")
	})
	stop()
	log.Want(t, "ERROR API server answers 500 Internal Server Error")
}

func TestPagesOfAListAreShrunk(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	for i := range 3 {
		api.Put(kubetest.NewPod(fmt.Sprint("prod/p", i), fmt.Sprint("10.0.0.", i+1)))
	}
	w, _, err := newWatcher(&Config{Lookup: Pods, Namespaces: []string{"prod"}, Endpoint: api.URL, Log: &kubetest.Log{}, Monitor: &recordingMonitor{}}, &feed{})
	if err != nil {
		t.Fatal(err)
	}
	w.endConnectionsWith(t.Context())
	client, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	o := metav1.ListOptions{Limit: 2}
	for pages := 1; ; pages++ {
		list, err := w.listWatch(client, w.stores[0]).list(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		about, err := apimeta.ListAccessor(list)
		if err != nil {
			t.Fatal(err)
		}
		if about.GetResourceVersion() != api.ResourceVersion() {
			t.Errorf("version: got %q, want %q", about.GetResourceVersion(), api.ResourceVersion())
		}
		err = apimeta.EachListItem(list, func(obj runtime.Object) error {
			if _, full := obj.(*corev1.Pod); full {
				t.Error("got a whole pod, want what is kept of it")
			}
			got = append(got, obj.(*shrunk).object.Name)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if o.Continue = about.GetContinue(); o.Continue == "" {
			if pages != 2 || fmt.Sprint(got) != "[p0 p1 p2]" {
				t.Errorf("got %v on %d pages, want [p0 p1 p2] on 2", got, pages)
			}
			return
		}
	}
}
