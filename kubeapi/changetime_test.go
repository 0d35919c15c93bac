package kubeapi

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// noon is when things happen; second is a time that is so many seconds later.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func second(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

// wantTime compares with a time; with none if that is zero.
func wantTime(t *testing.T, got *time.Time, want time.Time) {
	t.Helper()
	if got == nil != want.IsZero() || got != nil && !got.Equal(want) {
		t.Errorf("time: want %v, got %v", want, got)
	}
}

// conditioned adds a condition to a pod that has changed at a second.
func conditioned(p *corev1.Pod, condition corev1.PodConditionType, is bool, at int) *corev1.Pod {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: condition, Status: status, LastTransitionTime: metav1.NewTime(second(at)),
	})
	return p
}

// ending lets a pod terminate, as was asked for at a second.
func ending(p *corev1.Pod, at int, grace int64) *corev1.Pod {
	p.DeletionTimestamp = new(metav1.NewTime(second(at + int(grace))))
	p.DeletionGracePeriodSeconds = &grace
	return p
}

func TestAPodTellsWhenItChanged(t *testing.T) {
	bare := func() *corev1.Pod {
		return conditioned(kubetest.NewPod("prod/a", ""), corev1.PodScheduled, true, 1)
	}
	started := func(ip string) *corev1.Pod {
		return conditioned(conditioned(kubetest.NewPod("prod/a", ip), corev1.PodScheduled, true, 1), corev1.PodReadyToStartContainers, true, 3)
	}
	ready := func(is bool, at int) *corev1.Pod {
		return conditioned(started("10.0.0.1"), corev1.PodReady, is, at)
	}
	relabelled := ready(true, 5)
	relabelled.Labels = map[string]string{"app": "other"}
	ended := ready(false, 9)
	ended.Status.Phase = corev1.PodSucceeded
	soon := ready(true, 5)
	soon.DeletionTimestamp = new(metav1.NewTime(second(20)))
	for _, tc := range []struct {
		name     string
		was, now *corev1.Pod
		want     time.Time
	}{
		{"a new pod", nil, bare(), time.Time{}},
		{"one that has been selected only now", nil, ready(true, 5), time.Time{}},
		{"it gets an address", bare(), started("10.0.0.1"), second(3)},
		{"it gets an address and is ready at once", bare(), ready(true, 5), second(5)},
		{"it gets an address, but has no condition", kubetest.NewPod("prod/a", ""), kubetest.NewPod("prod/a", "10.0.0.1"), time.Time{}},
		{"another address", started("10.0.0.2"), started("10.0.0.1"), second(3)},
		{"ready", ready(false, 3), ready(true, 5), second(5)},
		{"not ready any more", ready(true, 5), ready(false, 9), second(9)},
		{"it begins to terminate", ready(true, 5), ending(ready(true, 5), 20, 30), second(20)},
		{"it begins to terminate, and is not ready any more", ready(true, 5), ending(ready(false, 22), 20, 30), second(22)},
		{"it begins to terminate, with no time given", ready(true, 5), soon, second(20)},
		{"terminating, not ready any more", ending(ready(true, 5), 20, 30), ending(ready(false, 22), 20, 30), second(22)},
		{"terminating, with less time", ending(ready(true, 5), 20, 30), ending(ready(true, 5), 20, 1), time.Time{}},
		{"other labels", ready(true, 5), relabelled, time.Time{}},
		{"it has ended", ready(true, 5), ended, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Shrinker{labels: []string{"app"}}
			var old *Object
			if tc.was != nil {
				old = s.pod(tc.was)
			}
			wantTime(t, changedAt(tc.now, old, s.pod(tc.now)), tc.want)
		})
	}
}

// triggered is a slice that was written since something changed.
func triggered(e *discoveryv1.EndpointSlice, text string) *discoveryv1.EndpointSlice {
	metav1.SetMetaDataAnnotation(&e.ObjectMeta, corev1.EndpointsLastChangeTriggerTime, text)
	return e
}

func TestASliceTellsWhenItChanged(t *testing.T) {
	for _, tc := range []struct {
		name  string
		slice *discoveryv1.EndpointSlice
		want  time.Time
	}{
		{"as Kubernetes writes it", triggered(kubetest.NewSlice("prod/a"), "2026-11-21T12:00:07Z"), second(7)},
		{"another zone", triggered(kubetest.NewSlice("prod/a"), "2026-11-21T13:00:07+01:00"), second(7)},
		{"with a fraction", triggered(kubetest.NewSlice("prod/a"), "2026-11-21T12:00:07.5Z"), second(7).Add(time.Second / 2)},
		{"no annotation", kubetest.NewSlice("prod/a"), time.Time{}},
		{"an empty one", triggered(kubetest.NewSlice("prod/a"), ""), time.Time{}},
		{"one that is no time", triggered(kubetest.NewSlice("prod/a"), "yesterday"), time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantTime(t, changedAt(tc.slice, nil, Shrinker{}.slice(tc.slice)), tc.want)
		})
	}
}

// A list says nothing of changes, and a deletion has no time.
func TestOnlyWhatAWatchBringsHasATime(t *testing.T) {
	at := func(version, ip string) *discoveryv1.EndpointSlice {
		e := triggered(kubetest.NewSlice("prod/a", ip), "2026-11-21T12:00:07Z")
		e.ResourceVersion = version
		return e
	}
	for _, tc := range []struct {
		name string
		do   func(*store) error
		want time.Time
	}{
		{"added", func(s *store) error { return s.Add(at("5", "10.0.0.9")) }, second(7)},
		{"updated", func(s *store) error { return s.Update(at("5", "10.0.0.9")) }, second(7)},
		{"deleted", func(s *store) error { return s.Delete(at("5", "10.0.0.1")) }, time.Time{}},
		{"listed", func(s *store) error { return s.Replace([]any{at("5", "10.0.0.9")}, "5") }, time.Time{}},
		{"streamed", func(s *store) error {
			obj, err := s.Transformer()(at("5", "10.0.0.9"))
			if err != nil {
				return err
			}
			return s.Replace([]any{obj}, "5")
		}, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sink := newSink(t)
			s := storeFor(NewShrinker(&Config{}), sink)
			if err := s.Replace([]any{at("4", "10.0.0.1")}, "4"); err != nil {
				t.Fatal(err)
			}
			sink.reset()
			if err := tc.do(s); err != nil {
				t.Fatal(err)
			}
			got := sink.calls()
			if len(got) != 1 || len(got[0].changes) != 1 {
				t.Fatalf("want one change, got %+v", got)
			}
			wantTime(t, got[0].changes[0].At, tc.want)
			late := newSink(t)
			s.feed.join(late)
			for _, b := range late.calls() {
				for _, c := range b.changes {
					wantTime(t, c.At, time.Time{})
				}
			}
		})
	}
}
