package kubeapi

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// wire is an object as the API server sends it.
type wire interface {
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
}

// benchVariables make a pod of 5 KB.
const benchVariables = 46

// benchPod is one of 5 KB, most of which is nothing to us: as in real pods, that is many small
// fields, of the environment and of who manages what.
func benchPod(i int) wire {
	app := fmt.Sprintf("app-%d", i/10)
	name := fmt.Sprintf("%s-7d4b9c6f5-%05d", app, i)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "production", Name: name, UID: types.UID(fmt.Sprintf("3b1f0d5e-8c7a-4a59-9d39-%012d", i)),
			ResourceVersion: fmt.Sprint(1_000_000 + i),
			Labels:          map[string]string{"app": app, "pod-template-hash": "7d4b9c6f5"},
		},
		Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i%100), Containers: []corev1.Container{{
			Name: "app", Image: "example.com/app:1.2.3",
			Ports: []corev1.ContainerPort{{Name: "epmd", ContainerPort: 4369, Protocol: corev1.ProtocolTCP}, {Name: "http", ContainerPort: 4000, Protocol: corev1.ProtocolTCP}},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: benchAddress(i), PodIPs: []corev1.PodIP{{IP: benchAddress(i)}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	container := &p.Spec.Containers[0]
	var fields strings.Builder
	for n := range benchVariables {
		variable := fmt.Sprintf("VARIABLE_%d", n)
		container.Env = append(container.Env, corev1.EnvVar{Name: variable, Value: fmt.Sprintf("value %d of pod %d", n, i)})
		fmt.Fprintf(&fields, `"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}},`, variable)
	}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{` + fields.String() + `".":{}}}}}}`),
	}}
	return p
}

// benchSlice is one of 100 endpoints.
func benchSlice(i int) wire {
	e := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "production", Name: fmt.Sprintf("app-%d-x7k2p", i), ResourceVersion: fmt.Sprint(1_000_000 + i),
			Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("app-%d", i), "app": fmt.Sprintf("app-%d", i)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("epmd"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(4369))}},
	}
	for n := range 100 {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{benchAddress(100*i + n)},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			NodeName:   new(fmt.Sprintf("node-%d", n)),
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: "production", Name: fmt.Sprintf("app-%d-7d4b9c6f5-%05d", i, n),
				UID: types.UID(fmt.Sprintf("3b1f0d5e-8c7a-4a59-%04d-%012d", n, i)),
			},
		})
	}
	return e
}

func benchAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

// benchKinds are what there is to watch.
var benchKinds = []struct {
	name    string
	members int // of an object
	made    func(i int) wire
	empty   func() wire
}{
	{"pods", 1, benchPod, func() wire { return &corev1.Pod{} }},
	{"endpoints", 100, benchSlice, func() wire { return &discoveryv1.EndpointSlice{} }},
}

// BenchmarkRead shows what it costs to read a list, first and again, from the wire to the
// store, and the live heap that it takes. The list is made only for what is run.
func BenchmarkRead(b *testing.B) {
	for _, kind := range benchKinds {
		for _, members := range []int{20_000, 100_000} {
			b.Run(fmt.Sprintf("%s/members=%d", kind.name, members), func(b *testing.B) {
				sent := make([][]byte, members/kind.members)
				for i := range sent {
					data, err := kind.made(i).Marshal()
					if err != nil {
						b.Fatal(err)
					}
					sent[i] = data
				}
				read := func(st *store) {
					list := make([]any, len(sent))
					for i, data := range sent {
						o := kind.empty()
						if err := o.Unmarshal(data); err != nil {
							b.Fatal(err)
						}
						small, err := st.Transformer()(o)
						if err != nil {
							b.Fatal(err)
						}
						list[i] = small
					}
					if err := st.Replace(list, "2000000"); err != nil {
						b.Fatal(err)
					}
				}
				fresh := func() *store {
					return new(feed).newStore((&Config{Labels: []string{"app"}}).shrinker(), "")
				}
				b.Run("first", func(b *testing.B) {
					before := liveHeap()
					var st *store
					b.ReportAllocs()
					for b.Loop() {
						st = fresh()
						read(st)
					}
					b.ReportMetric(float64(liveHeap()-before)/float64(members), "live-B/member")
					sink := &countingSink{}
					st.feed.join(sink)
					sink.want(b, len(sent), members)
				})
				b.Run("again", func(b *testing.B) {
					st, sink := fresh(), &countingSink{}
					read(st)
					st.feed.join(sink)
					b.ReportAllocs()
					for b.Loop() {
						read(st)
					}
					sink.want(b, len(sent), members) // of nothing since
				})
			})
		}
	}
}

// liveHeap gives the bytes that are reachable.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only marked for finalizing or unlinked
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSnapshot shows what it costs to write what is known, and to read it and start from
// it: a sink is told of all of that.
func BenchmarkSnapshot(b *testing.B) {
	const members = 20_000
	for _, kind := range benchKinds {
		b.Run(kind.name, func(b *testing.B) {
			c := &Config{Lookup: Lookup(kind.name), Labels: []string{"app"}, Log: &recordingLog{}}
			f := newSnapshotFile(c, filepath.Join(b.TempDir(), "snapshot.json"), origin{})
			s := &snapshot{}
			for i := range members / kind.members {
				o, err := f.shrinker.shrink(kind.made(i))
				if err != nil {
					b.Fatal(err)
				}
				s.objects = append(s.objects, o)
			}
			if err := f.write(b.Context(), s); err != nil { // reading may be all that is measured
				b.Fatal(err)
			}
			b.Run("write", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f.write(b.Context(), s); err != nil {
						b.Fatal(err)
					}
				}
			})
			for _, start := range []bool{false, true} {
				b.Run(fmt.Sprintf("read/start=%t", start), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						read, err := f.read()
						if err != nil || len(read.objects) != len(s.objects) {
							b.Fatalf("got %v, want %d objects", err, len(s.objects))
						}
						if !start {
							continue
						}
						fresh, sink := &feed{}, &countingSink{}
						fresh.newStore(f.shrinker, "")
						fresh.restore(read.objects)
						fresh.join(sink)
						sink.want(b, len(s.objects), members)
						if !sink.restored {
							b.Fatal("want the sink told that it is from before, got nothing")
						}
					}
				})
			}
		})
	}
}

// countingSink only counts.
type countingSink struct {
	changes, members int
	restored         bool
}

func (s *countingSink) Apply(changes []Change) {
	s.changes += len(changes)
	for _, c := range changes {
		s.members += len(c.New.Members)
	}
}

func (s *countingSink) Restored() { s.restored = true }
func (*countingSink) Synced()     {}

// want fails unless a sink was told of that many objects with that many members.
func (s *countingSink) want(b *testing.B, objects, members int) {
	b.Helper()
	if s.changes != objects || s.members != members {
		b.Fatalf("a sink was told of %d objects with %d members, want %d with %d", s.changes, s.members, objects, members)
	}
}
