package kubeapi

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// world is a simple model of an API server's pods: what a store has to come to.
type world struct {
	version uint64
	pods    map[string]*corev1.Pod
}

func (w *world) pod(name, address string) *corev1.Pod {
	return at(strconv.FormatUint(w.version, 10), kubetest.NewPod(name, address))
}

func (w *world) list() (items []any, version string) {
	for _, p := range w.pods {
		items = append(items, p)
	}
	return items, strconv.FormatUint(w.version, 10)
}

func (w *world) members() []string {
	var texts []string
	for _, p := range w.pods {
		texts = append(texts, p.Namespace+"/"+p.Name+" "+p.Status.PodIP)
	}
	slices.Sort(texts)
	return texts
}

// step does what two bytes say, to the model and to the store.
func (w *world) step(s *store, op, arg byte) error {
	name := fmt.Sprintf("prod/p%d", arg%5)
	address := fmt.Sprintf("10.0.0.%d", 1+arg%7)
	known := w.pods[name]
	w.version++
	switch op % 9 {
	case 0, 1: // a pod is new, or has changed
		w.pods[name] = w.pod(name, address)
		if op%9 == 0 {
			return s.Add(w.pods[name])
		}
		return s.Update(w.pods[name])
	case 2: // a pod is gone
		delete(w.pods, name)
		return s.Delete(w.pod(name, address))
	case 3: // the same event once more
		if known != nil {
			return s.Update(known)
		}
	case 4: // an event that is older than the known object
		if known != nil && w.version > 1 {
			old := known.DeepCopy()
			v, _ := strconv.ParseUint(old.ResourceVersion, 10, 64)
			old.ResourceVersion, old.Status.PodIP = strconv.FormatUint(max(v-1, 1), 10), "10.9.9.9"
			old.Status.PodIPs = nil
			if v-1 < 1 {
				return nil
			}
			if arg%2 == 0 {
				return s.Delete(old)
			}
			return s.Update(old)
		}
	case 5: // nothing that a store knows
		if s.Add(&corev1.Service{}) == nil {
			return fmt.Errorf("want an error of a Service")
		}
	case 6: // events are missed, and all is read again
		delete(w.pods, name)
		other := fmt.Sprintf("prod/p%d", (arg+1)%5)
		w.pods[other] = w.pod(other, address)
		return s.Replace(w.list())
	case 7: // all is read again
		return s.Replace(w.list())
	case 8: // versions begin again, as after the restore of a backup
		w.version /= 3
		for name, p := range w.pods {
			w.version++
			w.pods[name] = w.pod(name, p.Status.PodIP)
		}
		return s.Replace(w.list())
	}
	return nil
}

// FuzzEvents sends a store any sequence of events, among them such as no API server should
// send. It has to know what there is after each, and to tell exactly that.
func FuzzEvents(f *testing.F) {
	for _, seed := range [][]byte{
		{0, 1, 0, 2, 2, 1}, {0, 1, 3, 1, 4, 1, 4, 2}, {0, 0, 0, 1, 6, 1, 7, 0, 2, 2}, {0, 0, 8, 0, 1, 0, 2, 0}, {5, 0, 7, 0, 0, 3, 2, 3, 2, 3},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		ops = ops[:min(len(ops), 200)]
		w := &world{pods: make(map[string]*corev1.Pod)}
		sink := newSink(t)
		s := storeFor(NewShrinker(&Config{}), sink)
		_ = s.Replace(w.list())
		for ; len(ops) >= 2; ops = ops[2:] {
			if err := w.step(s, ops[0], ops[1]); err != nil {
				t.Fatal(err)
			}
			sink.want(t, w.members()...)
			if t.Failed() {
				t.Fatalf("after the step %d %d", ops[0]%9, ops[1])
			}
		}
		late := newSink(t)
		s.feed.join(late)
		late.want(t, w.members()...)
	})
}
