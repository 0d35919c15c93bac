package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// testStream is a stream over a source that the test plays.
type testStream struct {
	*stream

	source  *watch.FakeWatcher
	log     *kubetest.Log
	monitor *recordingMonitor
	cancel  context.CancelFunc
}

// newTestStream opens a watch from a version, or a streamed list if it is empty.
func newTestStream(t *testing.T, from string) *testStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &testStream{source: watch.NewFakeWithChanSize(100, false), log: &kubetest.Log{}, monitor: &recordingMonitor{}, cancel: cancel}
	l := &listWatch{
		namespace: "prod", outages: newOutageLog(s.log, "pods"), monitor: s.monitor,
		times: times{silence: silenceLimit, settle: settleTime}, forbidden: func(bool) {},
	}
	tracker := l.track(ctx, "watch")
	tracker.complete = true // unless a test says otherwise, the source ends when the answer does
	o := metav1.ListOptions{ResourceVersion: from}
	if from == "" {
		list := true
		o.SendInitialEvents = &list
	}
	s.stream = newStream(ctx, l, tracker, o, s.source)
	t.Cleanup(s.Stop)
	return s
}

// pod is a pod with a version.
func pod(version string) *corev1.Pod {
	p := kubetest.NewPod("prod/a", "10.0.0.1")
	p.ResourceVersion = version
	return p
}

// listEnd is the bookmark that ends a streamed list.
func listEnd(version string) watch.Event {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	p.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	return watch.Event{Type: watch.Bookmark, Object: p}
}

func added(version string) watch.Event { return watch.Event{Type: watch.Added, Object: pod(version)} }
func modified(version string) watch.Event {
	return watch.Event{Type: watch.Modified, Object: pod(version)}
}
func deleted(version string) watch.Event {
	return watch.Event{Type: watch.Deleted, Object: pod(version)}
}
func bookmark(version string) watch.Event {
	return watch.Event{Type: watch.Bookmark, Object: pod(version)}
}

func failed(err *apierrors.StatusError) watch.Event {
	return watch.Event{Type: watch.Error, Object: &err.ErrStatus}
}

// drain returns the events until the stream ends, as "TYPE version" or "ERROR code".
func (s *testStream) drain() (got []string) {
	for event := range s.ResultChan() {
		switch obj := event.Object.(type) {
		case *corev1.Pod:
			got = append(got, fmt.Sprint(event.Type, " ", obj.ResourceVersion))
		case *metav1.Status:
			got = append(got, fmt.Sprint(event.Type, " ", obj.Code))
		}
	}
	return got
}

func TestStreamPassesOnWhatCanBeBelieved(t *testing.T) {
	junk := apierrors.NewClientErrorReporter(500, "GET", "ClientWatchDecoding").AsObject(errors.New("junk")).(*metav1.Status)
	const backwards = "WARNING|watch of pods in namespace \"prod\" cannot be relied on: versions went back from "
	for _, tc := range []struct {
		name   string
		from   string
		events []watch.Event // then the source ends
		want   []string
		reason string
		log    []string
		fresh  bool
	}{
		{"growing versions", "5", []watch.Event{added("6"), modified("7"), deleted("9"), bookmark("9"), bookmark("12")}, []string{"ADDED 6", "MODIFIED 7", "DELETED 9", "BOOKMARK 9", "BOOKMARK 12"}, WatchClosed, nil, false},
		{"the same event again", "5", []watch.Event{modified("6"), modified("6")}, []string{"MODIFIED 6", "MODIFIED 6"}, WatchClosed, nil, false},
		{"an event that is older", "5", []watch.Event{modified("8"), modified("7"), modified("9")}, []string{"MODIFIED 8", "ERROR 410"}, WatchBackwards, []string{backwards + "8 to 7"}, true},
		{"a bookmark that is older", "5", []watch.Event{modified("8"), bookmark("3")}, []string{"MODIFIED 8", "ERROR 410"}, WatchBackwards, []string{backwards + "8 to 3"}, true},
		{"an event that is older than a bookmark", "5", []watch.Event{bookmark("8"), deleted("7")}, []string{"BOOKMARK 8", "ERROR 410"}, WatchBackwards, []string{backwards + "8 to 7"}, true},
		{"older than the version asked for", "5", []watch.Event{added("4")}, []string{"ERROR 410"}, WatchBackwards, []string{backwards + "5 to 4"}, true},
		{"versions that are none", "5", []watch.Event{modified(""), modified("x"), modified("6")}, []string{"MODIFIED ", "MODIFIED x", "MODIFIED 6"}, WatchClosed, nil, false},
		{"a list in no order", "", []watch.Event{added("9"), added("2"), added("7"), listEnd("12"), modified("13")}, []string{"ADDED 9", "ADDED 2", "ADDED 7", "BOOKMARK 12", "MODIFIED 13"}, WatchClosed, nil, false},
		{"older than a list", "", []watch.Event{added("9"), listEnd("12"), added("11")}, []string{"ADDED 9", "BOOKMARK 12", "ERROR 410"}, WatchBackwards, []string{backwards + "12 to 11"}, true},
		{"changes before a list is complete", "", []watch.Event{added("9"), modified("14"), added("3"), listEnd("14")}, []string{"ADDED 9", "MODIFIED 14", "ADDED 3", "BOOKMARK 14"}, WatchClosed, nil, false},
		{"all there is, as an old server sends it", "0", []watch.Event{added("9"), added("2"), modified("10"), added("11")}, []string{"ADDED 9", "ADDED 2", "MODIFIED 10", "ADDED 11"}, WatchClosed, nil, false},
		{"an incomplete list", "", []watch.Event{added("9")}, []string{"ADDED 9", "ERROR 500"}, WatchClosed, []string{"ERROR|cannot be reached"}, false},
		{"nothing at all", "5", nil, []string{"ERROR 500"}, WatchClosed, []string{"ERROR|cannot be reached"}, false},
		{"an expired version", "5", []watch.Event{failed(expired)}, []string{"ERROR 410"}, WatchExpired, nil, false},
		{"an expired version that nobody asked for", "", []watch.Event{failed(expired)}, []string{"ERROR 500"}, WatchExpired, []string{"ERROR|answers 500"}, false},
		{"a server that is behind", "5", []watch.Event{failed(behind)}, []string{"ERROR 504"}, WatchExpired, nil, false},
		{"a server error", "5", []watch.Event{modified("6"), failed(broken)}, []string{"MODIFIED 6", "ERROR 500"}, WatchServerError, []string{"ERROR|answers 500"}, false},
		{"too many requests", "5", []watch.Event{failed(overloaded)}, []string{"ERROR 429"}, WatchThrottled, []string{"ERROR|answers 429"}, false},
		{"a right that was taken away", "5", []watch.Event{failed(forbidden)}, []string{"ERROR 403"}, WatchForbidden, []string{"ERROR|forbids to watch pods"}, false},
		{"junk", "5", []watch.Event{modified("6"), {Type: watch.Error, Object: junk}}, []string{"MODIFIED 6", "ERROR 500"}, WatchInvalid, []string{"ERROR|cannot be understood|junk"}, false},
		{"an error that is none", "5", []watch.Event{{Type: watch.Error, Object: pod("6")}}, []string{"ERROR 500"}, WatchInvalid, []string{"ERROR|cannot be understood"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, tc.from)
				for _, event := range tc.events {
					s.source.Action(event.Type, event.Object)
				}
				s.source.Stop()
				if got := s.drain(); !slices.Equal(got, tc.want) {
					t.Errorf("want %q, got %q", tc.want, got)
				}
				s.monitor.want(t, tc.reason)
				s.log.Want(t, tc.log...)
				if got := s.fresh.Load(); got != tc.fresh {
					t.Errorf("next list is a fresh one: want %v, got %v", tc.fresh, got)
				}
			})
		})
	}
}

// play is what a source does: it sends a bookmark after each of these times.
func (s *testStream) play(pauses ...time.Duration) {
	for i, pause := range pauses {
		time.Sleep(pause)
		s.source.Action(watch.Bookmark, pod(fmt.Sprint(10+i)))
		s.tracker.timer.Reset(silenceLimit) // as reading from a connection does
	}
}

func TestStreamEndsInSilence(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name   string
		from   string
		pauses []time.Duration
		want   []string
		lasts  time.Duration
	}{
		{"nothing from the start", "5", nil, []string{"ERROR 410"}, silenceLimit},
		{"a list that never begins", "", nil, []string{"ERROR 500"}, silenceLimit},
		{"a list that stalls", "", []time.Duration{minute}, []string{"BOOKMARK 10", "ERROR 500"}, minute + silenceLimit},
		{"bookmarks that stop", "5", []time.Duration{minute, minute, minute}, []string{"BOOKMARK 10", "BOOKMARK 11", "BOOKMARK 12", "ERROR 410"}, 3*minute + silenceLimit},
		{"one bookmark that is missing", "5", []time.Duration{minute, 2 * minute, minute}, []string{"BOOKMARK 10", "BOOKMARK 11", "BOOKMARK 12", "ERROR 410"}, 4*minute + silenceLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := newTestStream(t, tc.from), time.Now()
				go s.play(tc.pauses...)
				if got := s.drain(); !slices.Equal(got, tc.want) {
					t.Errorf("want %q, got %q", tc.want, got)
				}
				if got := time.Since(start); got != tc.lasts {
					t.Errorf("want an end after %v, got %v", tc.lasts, got)
				}
				s.monitor.want(t, WatchSilent)
				if !s.fresh.Load() {
					t.Error("want a fresh list next")
				}
				if got := s.log.Logged(); len(got) == 0 || !kubetest.Match(got[len(got)-1:], []string{"WARNING|cannot be relied on: nothing has come for 2m30s"}) {
					t.Errorf("want one line about it at the end, got %q", got)
				}
			})
		})
	}
}

func TestStreamThatIsStoppedIsNotCounted(t *testing.T) {
	for _, tc := range []struct {
		name string
		stop func(*testStream)
	}{
		{"by the reflector", func(s *testStream) { s.Stop() }},
		{"with the whole source", func(s *testStream) { s.cancel() }},
		{"twice", func(s *testStream) { s.Stop(); s.Stop() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, "5")
				synctest.Wait()
				tc.stop(s)
				if got := s.drain(); len(got) > 0 {
					t.Errorf("want nothing any more, got %q", got)
				}
				s.monitor.want(t)
				s.log.Want(t)
				if !s.source.IsStopped() {
					t.Error("want the source stopped")
				}
			})
		})
	}
}

// An event that is not read does not keep a stream from being stopped.
func TestStreamNeedsNoReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, "5")
		s.source.Action(watch.Modified, pod("6"))
		synctest.Wait()
		s.Stop()
		synctest.Wait() // the bubble fails if the goroutine is still there at its end
	})
}

func TestStreamHearsEveryEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStream(t, "5")
		for _, event := range []watch.Event{modified("6"), bookmark("7"), failed(expired)} {
			s.source.Action(event.Type, event.Object)
		}
		s.drain()
		if got := s.monitor.timesHeard(); got != 3 {
			t.Errorf("want 3 signs of life, got %d", got)
		}
	})
}

// An outage ends with a watch that stays open, not with one that only opens.
func TestStreamThatSettlesEndsAnOutage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		from   string
		events []watch.Event
		open   time.Duration
		over   bool
	}{
		{"opened only", "5", nil, settleTime / 2, false},
		{"open for a while", "5", nil, settleTime + 1, true},
		{"with an event, but not for long", "5", []watch.Event{modified("6")}, settleTime / 2, false},
		{"a list that is not complete", "", []watch.Event{added("6")}, 3 * settleTime, false},
		{"a complete list", "", []watch.Event{added("6"), listEnd("6")}, settleTime + 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, tc.from)
				s.outages.observe(s.watching(), broken)
				for _, event := range tc.events {
					s.source.Action(event.Type, event.Object)
				}
				time.AfterFunc(tc.open, s.Stop)
				s.drain()
				want := []string{"ERROR|answers 500"}
				if tc.over {
					want = append(want, regainedLine)
				}
				s.log.Want(t, want...)
			})
		})
	}
}

// A watch that breaks off is no trouble, though everything is read again; one that does so
// at once is.
func TestStreamThatBreaksOff(t *testing.T) {
	for _, tc := range []struct {
		name   string
		from   string
		events []watch.Event
		open   time.Duration
		want   []string
		logged bool
	}{
		{"after an event", "5", []watch.Event{modified("6")}, 0, []string{"MODIFIED 6", "ERROR 410"}, false},
		{"after a while", "5", nil, settleTime + 1, []string{"ERROR 410"}, false},
		{"at once", "5", nil, 0, []string{"ERROR 410"}, true},
		{"in the middle of a list", "", []watch.Event{added("6")}, 0, []string{"ADDED 6", "ERROR 500"}, true},
		{"after a list", "", []watch.Event{added("6"), listEnd("6")}, 0, []string{"ADDED 6", "BOOKMARK 6", "ERROR 410"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, tc.from)
				for _, event := range tc.events {
					s.source.Action(event.Type, event.Object)
				}
				time.AfterFunc(tc.open, func() {
					s.tracker.lost = errors.New("reset by peer")
					s.source.Stop()
				})
				if got := s.drain(); !slices.Equal(got, tc.want) {
					t.Errorf("want %q, got %q", tc.want, got)
				}
				s.monitor.want(t, WatchUnreachable)
				if got := s.log.Logged(); (len(got) > 0) != tc.logged {
					t.Errorf("want a line only if nothing came of it, got %q", got)
				}
			})
		})
	}
}

func TestStreamIsReliedOnAgain(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name   string
		pauses []time.Duration
		over   bool
	}{
		{"with all bookmarks", []time.Duration{minute, minute, minute}, true},
		{"with too few", []time.Duration{minute, minute}, false},
		{"after a silence", []time.Duration{minute}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStream(t, "5")
				s.outages.observe(s.watching(), untrustedWatch{errSilent})
				go s.play(tc.pauses...)
				s.drain()
				got := slices.ContainsFunc(s.log.Logged(), func(line string) bool { return kubetest.Match([]string{line}, []string{"INFO|can be relied on again"}) })
				if got != tc.over {
					t.Errorf("relied on again: want %v, got %v", tc.over, got)
				}
			})
		})
	}
}
