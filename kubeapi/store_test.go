package kubeapi

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// at sets the resourceVersion.
func at(version string, p *corev1.Pod) *corev1.Pod {
	p.ResourceVersion = version
	return p
}

// toldToEnd deletes a pod, which has not ended yet.
func toldToEnd(p *corev1.Pod) *corev1.Pod {
	p.DeletionTimestamp = new(metav1.NewTime(time.Unix(8, 0)))
	return p
}

// phased returns a pod in a phase.
func phased(phase corev1.PodPhase, p *corev1.Pod) *corev1.Pod {
	p.Status.Phase = phase
	return p
}

func TestStoreTellsChanges(t *testing.T) {
	type step struct {
		do  func(*store) error
		obj any
	}
	add, update, remove := func(obj any) step { return step{obj: obj, do: func(s *store) error { return s.Add(obj) }} },
		func(obj any) step { return step{obj: obj, do: func(s *store) error { return s.Update(obj) }} },
		func(obj any) step { return step{obj: obj, do: func(s *store) error { return s.Delete(obj) }} }
	busy := at("7", kubetest.NewPod("prod/a", "10.0.0.1"))
	busy.Annotations = map[string]string{"heartbeat": "7"}
	busy.Labels = map[string]string{"unasked": "x"}
	busy.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, LastTransitionTime: metav1.NewTime(time.Unix(7, 0))}}
	first := at("5", kubetest.NewPod("prod/a", "10.0.0.1"))

	for _, tc := range []struct {
		name  string
		steps []step
		want  []string // of the last step; none for no call
	}{
		{"new", []step{add(first)}, []string{"+prod/a"}},
		{"other address", []step{add(first), update(at("6", kubetest.NewPod("prod/a", "10.0.0.2")))}, []string{"prod/a"}},
		{"only another version", []step{add(first), update(at("6", kubetest.NewPod("prod/a", "10.0.0.1")))}, nil},
		{"only fields that do not count", []step{add(first), update(busy)}, nil},
		{"out of order", []step{add(first), update(at("4", kubetest.NewPod("prod/a", "10.0.0.9")))}, nil},
		{"no version", []step{add(first), update(at("", kubetest.NewPod("prod/a", "10.0.0.9")))}, []string{"prod/a"}},
		{"update of the unknown", []step{update(first)}, []string{"+prod/a"}},
		{"deleted", []step{add(first), remove(at("9", kubetest.NewPod("prod/a", "10.0.0.1")))}, []string{"-prod/a"}},
		{"deletion out of order", []step{add(first), remove(at("4", kubetest.NewPod("prod/a", "10.0.0.1")))}, nil},
		{"deletion of the unknown", []step{remove(first)}, nil},
		{"deleted after it was told to end", []step{add(first), update(at("8", toldToEnd(kubetest.NewPod("prod/a", "10.0.0.1")))), remove(at("9", toldToEnd(kubetest.NewPod("prod/a", "10.0.0.1"))))}, []string{"-prod/a ended"}},
		{"told to end, and deleted at once", []step{add(first), remove(at("9", toldToEnd(kubetest.NewPod("prod/a", "10.0.0.1"))))}, []string{"-prod/a ended"}},
		{"succeeded", []step{add(first), update(at("9", phased(corev1.PodSucceeded, kubetest.NewPod("prod/a", "10.0.0.1"))))}, []string{"-prod/a ended"}},
		{"failed, and deleted", []step{add(first), update(at("9", phased(corev1.PodFailed, kubetest.NewPod("prod/a", "10.0.0.1")))), remove(at("10", phased(corev1.PodFailed, kubetest.NewPod("prod/a", "10.0.0.1"))))}, nil},
		{"failed before it was known", []step{add(at("9", phased(corev1.PodFailed, kubetest.NewPod("prod/a", "10.0.0.1"))))}, nil},
		{"deleted twice", []step{add(first), remove(first), remove(first)}, nil},
		{"back again with an older version", []step{add(first), remove(first), add(at("3", kubetest.NewPod("prod/a", "10.0.0.1")))}, []string{"+prod/a"}},
		{"same name elsewhere", []step{add(first), add(at("6", kubetest.NewPod("dev/a", "10.0.0.1")))}, []string{"+dev/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sink := newSink(t)
			s := storeFor(NewShrinker(&Config{}), sink)
			if err := s.Replace(nil, "1"); err != nil {
				t.Fatal(err)
			}
			for _, st := range tc.steps {
				sink.reset()
				if err := st.do(s); err != nil {
					t.Fatal(err)
				}
			}
			got := sink.calls()
			if tc.want == nil {
				if len(got) > 0 {
					t.Errorf("want no call, got %+v", got)
				}
				return
			}
			if len(got) != 1 || !slices.Equal(describe(got[0].changes), tc.want) {
				t.Errorf("want %q, got %+v", tc.want, got)
			}
		})
	}
}

func TestStoreRefusesStrangers(t *testing.T) {
	sink := newSink(t)
	s := storeFor(NewShrinker(&Config{}), sink)
	service := &corev1.Service{}
	for name, err := range map[string]error{
		"Add": s.Add(service), "Update": s.Update(service), "Delete": s.Delete(service),
		"Replace": s.Replace([]any{kubetest.NewPod("prod/a", "10.0.0.1"), service}, "1"),
	} {
		if err == nil {
			t.Errorf("%s: want an error, got none", name)
		}
	}
	if _, err := s.Transformer()(service); err == nil {
		t.Error("Transformer: want an error, got none")
	}
	sink.want(t)
	sink.wantSynced(t, 0)
}

func TestReplaceTellsTheDifference(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, after []any
		want          []string // none for no call
	}{
		{name: "nothing"},
		{name: "new", after: []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1")), at("11", kubetest.NewPod("prod/b", "10.0.0.2"))}, want: []string{"+prod/a", "+prod/b"}},
		{name: "new, but not seen when it was", after: []any{at("9", kubetest.NewPod("prod/a", "10.0.0.1"))}, want: []string{"+prod/a"}},
		{
			name:   "the same",
			before: []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1"))},
			after:  []any{at("6", kubetest.NewPod("prod/a", "10.0.0.1"))},
		},
		{
			name:   "some of each",
			before: []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1")), at("6", kubetest.NewPod("prod/b", "10.0.0.2")), at("7", kubetest.NewPod("prod/c", "10.0.0.3"))},
			after:  []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1")), at("8", kubetest.NewPod("prod/b", "10.0.0.9")), at("9", kubetest.NewPod("prod/d", "10.0.0.4"))},
			want:   []string{"+prod/d", "-prod/c", "prod/b"},
		},
		{
			name:   "ended",
			before: []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1")), at("6", kubetest.NewPod("prod/b", "10.0.0.2"))},
			after:  []any{at("8", phased(corev1.PodFailed, kubetest.NewPod("prod/a", "10.0.0.1"))), at("6", kubetest.NewPod("prod/b", "10.0.0.2"))},
			want:   []string{"-prod/a ended"},
		},
		{name: "all gone", before: []any{at("5", kubetest.NewPod("prod/a", "10.0.0.1"))}, want: []string{"-prod/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sink := newSink(t)
			s := storeFor(NewShrinker(&Config{}), sink)
			if err := s.Replace(tc.before, "10"); err != nil {
				t.Fatal(err)
			}
			sink.reset()
			if err := s.Replace(tc.after, "14"); err != nil {
				t.Fatal(err)
			}
			got := sink.calls()
			switch {
			case tc.want == nil && len(got) > 0:
				t.Errorf("want no call, got %+v", got)
			case tc.want != nil && (len(got) != 1 || !slices.Equal(describe(got[0].changes), tc.want)):
				t.Errorf("want %q in one call, got %+v", tc.want, got)
			}
			left := slices.DeleteFunc(slices.Clone(tc.after), func(o any) bool { return slices.Contains(terminalPhases, o.(*corev1.Pod).Status.Phase) })
			if len(slices.Collect(s.objects.all)) != len(left) {
				t.Errorf("want %d objects, got %v", len(left), s.objects)
			}
		})
	}
}

func TestReplaceKeepsWhatDidNotChange(t *testing.T) {
	sink := newSink(t)
	s := storeFor(NewShrinker(&Config{}), sink)
	_ = s.Add(at("5", kubetest.NewPod("prod/a", "10.0.0.1")))
	before := s.objects["prod"]["a"].Object
	_ = s.Replace([]any{at("6", kubetest.NewPod("prod/a", "10.0.0.1"))}, "6")
	if s.objects["prod"]["a"].Object != before || sink.objects[key{"prod", "a"}] != before {
		t.Errorf("want the same pointer %p everywhere, got %p and %p", before, s.objects["prod"]["a"].Object, sink.objects[key{"prod", "a"}])
	}
}

// An etcd that was restored from a backup starts from an older version again.
func TestReplaceGoesBackInTime(t *testing.T) {
	sink := newSink(t)
	s := storeFor(NewShrinker(&Config{}), sink)
	_ = s.Add(at("5000", kubetest.NewPod("prod/a", "10.0.0.1")))
	_ = s.Replace([]any{at("3000", kubetest.NewPod("prod/a", "10.0.0.1"))}, "3000")
	_ = s.Update(at("3001", kubetest.NewPod("prod/a", "10.0.0.2")))
	sink.want(t, "prod/a 10.0.0.2")
}

func TestStoreIsSyncedOnce(t *testing.T) {
	sink := newSink(t)
	s := storeFor(NewShrinker(&Config{}), sink)
	_ = s.Add(kubetest.NewPod("prod/a", "10.0.0.1"))
	sink.wantSynced(t, 0)
	for range 2 {
		_ = s.Replace(nil, "1")
		sink.wantSynced(t, 1)
	}
	if err := s.Resync(); err != nil {
		t.Error(err)
	}
}

func TestTransformerShrinks(t *testing.T) {
	sink := newSink(t)
	s := storeFor(NewShrinker(&Config{Labels: []string{"app"}}), sink)
	obj, err := s.Transformer()(kubetest.NewPod("prod/a", "10.0.0.1", "app=shop"))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok || m.GetObjectMeta().GetNamespace() != "prod" || m.GetObjectMeta().GetName() != "a" {
		t.Fatalf("want something called prod/a, got %+v", obj)
	}
	if err := s.Replace([]any{obj}, "1"); err != nil {
		t.Fatal(err)
	}
	sink.want(t, "prod/a 10.0.0.1")
	if got := sink.objects[key{"prod", "a"}].Labels; !slices.Equal(got, []Label{{"shop", true}}) {
		t.Errorf("want the label, got %+v", got)
	}
}
