package kubeapi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// The API may look at none of these, so that an object of a megabyte can be one name.
func TestLongTextsAreNotKept(t *testing.T) {
	const megabyte = 1 << 20
	text := func(n int) string { return strings.Repeat("a", n) }
	for _, tc := range []struct {
		name                      string
		port, protocol, label, id int
		want                      []string
		ports, labelled           int
	}{
		{"what fits", 63, 63, 256, 253, nil, 1, 256},
		{"the name of a port", 64, 3, 1, 1, []string{"63 characters in the name of a port"}, 0, 1},
		{"a protocol", 3, 64, 1, 1, []string{"63 characters in the name of a port"}, 0, 1},
		{"a label", 3, 3, 257, 1, []string{"256 characters in a label"}, 1, 256},
		{"the name of a pod", 3, 3, 1, 254, []string{"253 characters in a name"}, 1, 1},
		{"all of it", megabyte, 3, megabyte, megabyte, []string{"253 characters in a name", "256 characters in a label", "63 characters in the name of a port"}, 0, 256},
	} {
		pod, slice := kubetest.NewPod("prod/shop", "10.0.0.1"), kubetest.NewSlice("prod/shop", "10.0.0.1")
		pod.Name, pod.Spec.Subdomain = text(tc.id), text(tc.label)
		pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: text(tc.port), ContainerPort: 1, Protocol: corev1.Protocol(text(tc.protocol))}}}}
		slice.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: text(tc.id)}
		slice.Ports = []discoveryv1.EndpointPort{{Name: new(text(tc.port)), Port: new(int32(1)), Protocol: new(corev1.Protocol(text(tc.protocol)))}}
		pod.Labels, slice.Labels = map[string]string{"app": text(tc.label)}, map[string]string{"app": text(tc.label), discoveryv1.LabelServiceName: text(tc.label)}
		s := Shrinker{labels: []string{"app"}}
		for kind, o := range map[string]*Object{"pod": s.pod(pod), "slice": s.slice(slice)} {
			if slices.Sort(o.Cut); !slices.Equal(o.Cut, tc.want) {
				t.Errorf("%s, %s: got cut %q, want %q", tc.name, kind, o.Cut, tc.want)
			}
			if len(o.Ports) != tc.ports || len(o.Labels[0].Value) != tc.labelled || len(o.Service) != tc.labelled || len(o.Members[0].ID) > maxName {
				t.Errorf("%s, %s: got %d ports, a label of %d bytes, a Service of %d and an ID of %d, want %d, %d, %d, and few",
					tc.name, kind, len(o.Ports), len(o.Labels[0].Value), len(o.Service), len(o.Members[0].ID), tc.ports, tc.labelled, tc.labelled)
			}
		}
	}
}
