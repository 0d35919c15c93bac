package kubeapi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// A pod or a slice may declare any number of ports. A few are kept, whatever their order is, and those
// that SRV records depend on are among them.
func TestFewPortsAreKept(t *testing.T) {
	const many = 15_000
	s := Shrinker{ports: []string{"epmd", "dist"}}
	var want []Port
	for i := range MaxPorts - 2 {
		want = append(want, Port{fmt.Sprintf("a%05d", i), "TCP", uint16(i + 1)})
	}
	want = append(want, Port{"dist", "TCP", 9100}, Port{"epmd", "TCP", 4369})
	declared := []Port{{"epmd", "TCP", 4369}, {"dist", "TCP", 9100}}
	for i := range many {
		declared = append(declared, Port{fmt.Sprintf("a%05d", i), "TCP", uint16(i + 1)})
	}
	for seed := range uint64(3) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(declared), func(i, j int) { declared[i], declared[j] = declared[j], declared[i] })
		pod, slice := kubetest.NewPod("prod/shop-0", "10.0.0.1"), kubetest.NewSlice("prod/shop", "10.0.0.1")
		pod.Spec.Containers = make([]corev1.Container, 1)
		for _, p := range declared {
			pod.Spec.Containers[0].Ports = append(pod.Spec.Containers[0].Ports, corev1.ContainerPort{Name: p.Name, ContainerPort: int32(p.Number)})
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: new(int32(p.Number))})
		}
		for kind, o := range map[string]*Object{"pod": s.pod(pod), "slice": s.slice(slice)} {
			got := slices.SortedFunc(slices.Values(o.Ports), ComparePorts)
			if !slices.Equal(got, want) || !slices.Equal(o.Cut, []string{"100 named ports"}) {
				t.Errorf("ports of a %s: got %v, cut %q; want %v, cut", kind, got, o.Cut, want)
			}
			if got := cap(o.Ports); got > 2*MaxPorts {
				t.Errorf("memory of a %s: got room for %d ports, want about %d", kind, got, MaxPorts)
			}
		}
	}
}

func TestSourceThatKeepsOtherPortsIsAnother(t *testing.T) {
	of := func(ports ...string) identity {
		return newIdentity(&Config{Ports: ports}, "https://10.0.0.1", []string{"prod"})
	}
	for _, tc := range []struct {
		name string
		a, b identity
		want bool
	}{
		{"the same", of("epmd", "dist"), of("epmd", "dist"), true},
		{"another port", of("epmd", "dist"), of("epmd", "http"), false},
		{"one more", of("epmd"), of("epmd", "http"), false},
	} {
		if got := tc.a.same(tc.b); got != tc.want {
			t.Errorf("%s: got same %t, want %t", tc.name, got, tc.want)
		}
	}
}
