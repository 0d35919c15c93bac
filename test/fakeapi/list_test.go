package fakeapi_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/longnames/longnames/test/fakeapi"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestListSelects(t *testing.T) {
	s := fakeapi.New(t)
	failed, addressed := pod("failed", "app=x"), pod("b/addressed")
	failed.Status.Phase = corev1.PodFailed
	addressed.Status.PodIP = "10.0.0.9"
	addressed.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.9"}, {IP: "fd00::9"}}
	s.Put(pod("one", "app=x"), pod("two", "app=y"), failed, addressed, slice("one"))
	s.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "a"}})

	for _, tc := range []struct {
		name, path string
		query      []string
		want       []string
	}{
		{"all namespaces", allPods, nil, []string{"a/failed", "a/one", "a/two", "b/addressed"}},
		{"one namespace", podsOfA, nil, []string{"a/failed", "a/one", "a/two"}},
		{"an empty namespace", "/api/v1/namespaces/none/pods", nil, []string{}},
		{"another resource", allSlices, nil, []string{"a/one"}},
		{"label", allPods, []string{"labelSelector=app=x"}, []string{"a/failed", "a/one"}},
		{"set of labels", allPods, []string{"labelSelector=app in (x,y),app!=y"}, []string{"a/failed", "a/one"}},
		{"phase", allPods, []string{"fieldSelector=status.phase!=Succeeded,status.phase!=Failed"}, []string{"a/one", "a/two", "b/addressed"}},
		{"name", allPods, []string{"fieldSelector=metadata.name=two"}, []string{"a/two"}},
		{"namespace field", allPods, []string{"fieldSelector=metadata.namespace=b"}, []string{"b/addressed"}},
		{"address", allPods, []string{"fieldSelector=status.podIP=10.0.0.9"}, []string{"b/addressed"}},
		{"label and field", allPods, []string{"labelSelector=app", "fieldSelector=status.phase=Failed"}, []string{"a/failed"}},
		{"services", "/api/v1/services", nil, []string{"a/web"}},
		{"namespaces", "/api/v1/namespaces", nil, []string{"/a"}},
		{"slice by name", allSlices, []string{"fieldSelector=metadata.name=none"}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list := get(t, s, tc.path, tc.query...)
			if got := list.names(); list.status != http.StatusOK || !slices.Equal(got, tc.want) {
				t.Errorf("want 200 %q, got %d %q", tc.want, list.status, got)
			}
			if got, want := list.Metadata.ResourceVersion, s.ResourceVersion(); got != want {
				t.Errorf("resource version: want %s, got %s", want, got)
			}
		})
	}
}

func TestListRefuses(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one"))
	old := s.ResourceVersion()
	s.Put(pod("one"))
	s.Compact()
	for _, tc := range []struct {
		name, path string
		query      []string
		code       int
		reason     metav1.StatusReason
	}{
		{"unknown field", allPods, []string{"fieldSelector=spec.host=x"}, 400, metav1.StatusReasonBadRequest},
		{"phase of a slice", allSlices, []string{"fieldSelector=status.phase=Failed"}, 400, metav1.StatusReasonBadRequest},
		{"broken selector", allPods, []string{"labelSelector=a in"}, 400, metav1.StatusReasonBadRequest},
		{"broken version", allPods, []string{"resourceVersion=x"}, 400, metav1.StatusReasonBadRequest},
		{"broken continue", allPods, []string{"continue=???"}, 400, metav1.StatusReasonBadRequest},
		{"initial events in a list", allPods, []string{"sendInitialEvents=true"}, 422, metav1.StatusReasonInvalid},
		{"exact match without a version", allPods, []string{"resourceVersionMatch=Exact"}, 422, metav1.StatusReasonInvalid},
		{"exact version that is compacted", allPods, []string{"resourceVersionMatch=Exact", "resourceVersion=" + old}, 410, metav1.StatusReasonExpired},
		{"a page of a compacted version", allPods, []string{"limit=1", "resourceVersion=" + old}, 410, metav1.StatusReasonExpired},
		{"version of the future", allPods, []string{"resourceVersion=1000"}, 504, metav1.StatusReasonTimeout},
		{"unknown resource", "/api/v1/nodes", nil, 404, metav1.StatusReasonNotFound},
		{"single object", podsOfA + "/one", nil, 404, metav1.StatusReasonNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := get(t, s, tc.path, tc.query...)
			if got.status != tc.code || got.Code != tc.code || got.Reason != string(tc.reason) || got.Kind != "Status" {
				t.Errorf("want %d %s, got %d with %+v", tc.code, tc.reason, got.status, got.item)
			}
		})
	}
	if list := get(t, s, allPods, "resourceVersion="+old); len(list.Items) != 1 {
		t.Errorf("not older than a compacted version: want 1 pod, got %q", list.names())
	}
	if status := get(t, s, allPods, "resourceVersion=1000"); len(status.Details.Causes) != 1 || status.Details.Causes[0].Type != metav1.CauseTypeResourceVersionTooLarge {
		t.Errorf("want the cause %s, got %+v", metav1.CauseTypeResourceVersionTooLarge, status.Details)
	}
}

func TestPagesShowOneMoment(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("1"), pod("2"), pod("3"), pod("4"), pod("5"))
	first := get(t, s, allPods, "limit=2")
	s.Delete(pod("3"))
	s.Put(pod("4", "new=yes"), pod("6"))
	second := get(t, s, allPods, "limit=2", "continue="+first.Metadata.Continue)
	third := get(t, s, allPods, "limit=2", "continue="+second.Metadata.Continue)

	if got, want := slices.Concat(first.names(), second.names(), third.names()), []string{"a/1", "a/2", "a/3", "a/4", "a/5"}; !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
	if got := first.Metadata.RemainingItemCount; got == nil || *got != 3 {
		t.Errorf("remaining after the first page: want 3, got %v", got)
	}
	if third.Metadata.Continue != "" || third.Metadata.ResourceVersion != first.Metadata.ResourceVersion {
		t.Errorf("last page: want no continue and version %s, got %+v", first.Metadata.ResourceVersion, third.Metadata)
	}
}

func TestPageExpiresWithTheHistory(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("1"), pod("2"), pod("3"))
	first := get(t, s, allPods, "limit=1")
	s.Delete(pod("2"))
	s.Compact()
	expired := get(t, s, allPods, "limit=1", "continue="+first.Metadata.Continue)
	if expired.Code != http.StatusGone || expired.Reason != string(metav1.StatusReasonExpired) {
		t.Fatalf("want 410 Expired, got %+v", expired)
	}
	rest := get(t, s, allPods, "continue="+expired.Metadata.Continue)
	if got, want := rest.names(), []string{"a/3"}; !slices.Equal(got, want) {
		t.Errorf("inconsistent rest: want %q, got %q", want, got)
	}
}

func TestLimitAtAnyVersion(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []fakeapi.Option
		want int
	}{
		{"is ignored by a watch cache", nil, 3},
		{"counts without one", []fakeapi.Option{fakeapi.WithoutWatchCache()}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fakeapi.New(t, tc.opts...)
			s.Put(pod("1"), pod("2"), pod("3"))
			if list := get(t, s, allPods, "limit=2", "resourceVersion=0"); len(list.Items) != tc.want {
				t.Errorf("want %d pods, got %q", tc.want, list.names())
			}
		})
	}
}

func TestListShowsAnExactVersion(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("1"))
	then := s.ResourceVersion()
	s.Delete(pod("1"))
	s.Put(pod("2"))
	list := get(t, s, allPods, "resourceVersionMatch=Exact", "resourceVersion="+then)
	if got, want := list.names(), []string{"a/1"}; !slices.Equal(got, want) || list.Metadata.ResourceVersion != then {
		t.Errorf("want %q at %s, got %q at %s", want, then, got, list.Metadata.ResourceVersion)
	}
}

func TestPutLeavesTheGivenObjectAlone(t *testing.T) {
	s := fakeapi.New(t)
	given := pod("one")
	given.Namespace = ""
	s.Put(given)
	before := get(t, s, allPods)
	s.Put(given)
	after := get(t, s, allPods)
	if given.UID != "" || given.ResourceVersion != "" || given.Namespace != "" {
		t.Errorf("want the object as given, got %+v", given.ObjectMeta)
	}
	is, was := after.Items[0].Metadata, before.Items[0].Metadata
	if was.Namespace != "default" || was.UID == "" || is.UID != was.UID || is.ResourceVersion == was.ResourceVersion {
		t.Errorf("want a namespace, one UID and two versions, got %+v and %+v", was, is)
	}
	s.Delete(given)
	s.Put(given)
	if again := get(t, s, allPods); again.Items[0].Metadata.UID == was.UID {
		t.Error("created again: want a new UID, got the old one")
	}
}

func TestEncodingFollowsTheAcceptHeader(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one"))
	for _, tc := range []struct {
		accept, want string
		code         int
	}{
		{"", runtime.ContentTypeJSON, 200},
		{"application/vnd.kubernetes.protobuf,application/json", runtime.ContentTypeProtobuf, 200},
		{"application/json;as=Table;v=v1,application/json", runtime.ContentTypeJSON, 200},
		{"text/html, */*;q=0.8", runtime.ContentTypeJSON, 200},
		{"text/html", runtime.ContentTypeJSON, 406},
	} {
		got, err := fetch(t, client(t), s.URL+allPods, "Accept="+tc.accept)
		if contentType := got.header.Get("Content-Type"); err != nil || got.status != tc.code || contentType != tc.want {
			t.Errorf("Accept %q: want %d %s, got %d %s, %v", tc.accept, tc.code, tc.want, got.status, contentType, err)
		}
	}
}
