package fakeapi_test

import (
	"errors"
	"io"
	"testing"

	"github.com/longnames/longnames/test/fakeapi"
)

// watchList is how client-go asks for a list in a watch.
var watchList = []string{"sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "allowWatchBookmarks=true"}

func TestWatchStarts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []fakeapi.Option
		query   []string
		want    []string
	}{
		{"with the present and its end", nil, watchList, []string{"ADDED a/one", "ADDED a/two", "END"}},
		{"with the present at a version it has passed", nil, append([]string{"resourceVersion=2"}, watchList...), []string{"ADDED a/one", "ADDED a/two", "END"}},
		{"with the present but no bookmark unasked", nil, watchList[:2], []string{"ADDED a/one", "ADDED a/two"}},
		{"with the present by default", nil, []string{"resourceVersion=0", "allowWatchBookmarks=true"}, []string{"ADDED a/one", "ADDED a/two", "END"}},
		{"with the present by default on an old server", []fakeapi.Option{fakeapi.WithoutWatchList()}, []string{"allowWatchBookmarks=true"}, []string{"ADDED a/one", "ADDED a/two"}},
		{"with the missed changes", nil, []string{"resourceVersion=2"}, []string{"ADDED a/gone", "ADDED a/two", "DELETED a/gone"}},
		{"from now on", nil, []string{"resourceVersion=5"}, nil},
		{"from now on without initial events", nil, []string{"sendInitialEvents=false", "resourceVersionMatch=NotOlderThan"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fakeapi.New(t, tc.options...)
			s.Put(pod("one"), pod("gone"), pod("two")) // versions 2, 3 and 4
			s.Delete(pod("gone"))
			st := watch(t, s, allPods, tc.query...)
			s.WaitForWatches(1)
			s.Put(pod("later"))
			st.want(append(tc.want, "ADDED a/later")...)
		})
	}
}

func TestWatchShowsChangesThroughItsSelector(t *testing.T) {
	s := fakeapi.New(t)
	byLabel := watch(t, s, podsOfA, "labelSelector=app=x")
	byPhase := watch(t, s, allPods, "fieldSelector=status.phase!=Failed")
	slices := watch(t, s, allSlices)
	s.WaitForWatches(3)

	failed := pod("one", "app=x")
	failed.Status.Phase = "Failed"
	s.Put(pod("one"))
	s.Put(pod("one", "app=x"))
	s.Put(failed)
	s.Put(pod("one", "app=y"))
	s.Put(pod("b/one", "app=x"))
	s.Put(slice("one"))
	s.Delete(pod("one"), pod("never"), slice("one"))

	byLabel.want("ADDED a/one", "MODIFIED a/one", "DELETED a/one")
	byPhase.want("ADDED a/one", "MODIFIED a/one", "DELETED a/one", "ADDED a/one", "ADDED b/one", "DELETED a/one")
	slices.want("ADDED a/one", "DELETED a/one")
}

func TestDeletedCarriesTheDeletionsVersion(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one", "app=x"))
	st := watch(t, s, allPods, "resourceVersion="+s.ResourceVersion())
	s.WaitForWatches(1)
	s.Delete(pod("one"))
	if got, want := st.next().Object.Metadata.ResourceVersion, s.ResourceVersion(); got != want {
		t.Errorf("want version %s, got %s", want, got)
	}
}

func TestCompactExpiresVersions(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one"))
	old := s.ResourceVersion()
	open := watch(t, s, allPods, "resourceVersion="+old)
	s.WaitForWatches(1)
	s.Compact()

	late := watch(t, s, allPods, "resourceVersion="+old)
	if got := late.next().Object; got.Code != 410 || got.Reason != "Expired" || got.Kind != "Status" {
		t.Errorf("want the status 410 Expired, got %+v", got)
	}
	if err := late.end(); !errors.Is(err, io.EOF) {
		t.Errorf("after the error: want EOF, got %v", err)
	}
	watch(t, s, allPods, append([]string{"resourceVersion=" + old}, watchList...)...).want("ADDED a/one", "END")
	s.Put(pod("two"))
	open.want("ADDED a/two")
}

func TestRewindMakesVersionsTooLarge(t *testing.T) {
	s := fakeapi.New(t)
	s.Put(pod("one"), pod("two"))
	late := s.ResourceVersion()
	s.Rewind(2)
	watch(t, s, allPods, append([]string{"resourceVersion=" + late}, watchList...)...).want("ERROR Timeout")
	st := watch(t, s, allPods, watchList...)
	for _, want := range []string{"one", "two"} {
		if got := st.next().Object.Metadata; got.Name != want || got.ResourceVersion != "2" {
			t.Errorf("want %s at 2, got %+v", want, got)
		}
	}
}

func TestWatchRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		opts  []fakeapi.Option
		query []string
		code  int
	}{
		{"initial events on an old server", []fakeapi.Option{fakeapi.WithoutWatchList()}, watchList, 422},
		{"initial events without a match", nil, []string{"sendInitialEvents=true"}, 422},
		{"a match without initial events", nil, []string{"resourceVersionMatch=NotOlderThan"}, 422},
		{"an unknown field", nil, []string{"fieldSelector=spec.x=y"}, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fakeapi.New(t, tc.opts...)
			if got := get(t, s, allPods, append([]string{"watch=true"}, tc.query...)...); got.status != tc.code {
				t.Errorf("want %d, got %d: %s", tc.code, got.status, got.Message)
			}
			if got := s.Requests(fakeapi.Verb("watch")); len(got) != 1 {
				t.Errorf("want it recorded, got %v", got)
			}
		})
	}
}

func TestWatchEndsAfterItsTimeout(t *testing.T) {
	s := fakeapi.New(t)
	if err := watch(t, s, allPods, "timeoutSeconds=1").end(); !errors.Is(err, io.EOF) {
		t.Errorf("want EOF, got %v", err)
	}
	s.WaitForWatches(0)
}
