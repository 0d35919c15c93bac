package kubeapi

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestPodIsAMember(t *testing.T) {
	p := kubetest.NewPod("prod/shop-0", "10.0.0.1")
	p.ResourceVersion = "4711"
	p.Spec.Hostname, p.Spec.Subdomain = "shop-0", "shop-nodes"
	p.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue},
	}
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "epmd", ContainerPort: 4369}}}}
	got := Shrinker{}.pod(p)
	want := &Object{
		Template: &Template{Namespace: "prod", Service: "shop-nodes", Ports: []Port{{"epmd", "TCP", 4369}}},
		Name:     "shop-0", Version: 4711,
		Members: []Member{{ID: "shop-0", IsPod: true, Hostname: "shop-0", Address: addr("10.0.0.1"), Ready: true, Serving: true}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\nwant %+v\n got %+v", want, got)
	}
}

func TestPodPhases(t *testing.T) {
	for _, tc := range []struct {
		phase corev1.PodPhase
		want  int
	}{
		{corev1.PodPending, 1},
		{corev1.PodRunning, 1},
		{corev1.PodUnknown, 1},
		{"", 1},
		{"Resting", 1},
		{corev1.PodSucceeded, 0},
		{corev1.PodFailed, 0},
	} {
		t.Run(string(tc.phase), func(t *testing.T) {
			p := kubetest.NewPod("prod/job", "10.0.0.1")
			p.Status.Phase = tc.phase
			if got := len(Shrinker{}.pod(p).Members); got != tc.want {
				t.Errorf("members: want %d, got %d", tc.want, got)
			}
		})
	}
}

func TestPodConditions(t *testing.T) {
	now := metav1.Now()
	for _, tc := range []struct {
		name       string
		conditions []corev1.PodCondition
		deleted    *metav1.Time
		want       Member
	}{
		{"none", nil, nil, Member{}},
		{"ready", []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, nil, Member{Ready: true, Serving: true}},
		{"not ready", []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}, nil, Member{}},
		{"unknown, as on a lost node", []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionUnknown}}, nil, Member{}},
		{"only containers ready", []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}}, nil, Member{}},
		{"terminating and still serving", []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, &now, Member{Ready: true, Serving: true, Terminating: true}},
		{"terminating", nil, &now, Member{Terminating: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := kubetest.NewPod("prod/shop-0", "10.0.0.1")
			p.Status.Conditions, p.DeletionTimestamp = tc.conditions, tc.deleted
			tc.want.ID, tc.want.IsPod, tc.want.Address = "shop-0", true, addr("10.0.0.1")
			if got := (Shrinker{}).pod(p).Members; !slices.Equal(got, []Member{tc.want}) {
				t.Errorf("\nwant %+v\n got %+v", tc.want, got)
			}
		})
	}
}

func TestPodAddress(t *testing.T) {
	long := strings.Repeat("1", 300)
	for _, tc := range []struct {
		name    string
		family  Family
		podIP   string
		podIPs  []string
		want    string // empty for none
		invalid []string
	}{
		{name: "none"},
		{name: "primary", podIP: "10.0.0.1", podIPs: []string{"10.0.0.1", "fd00::1"}, want: "10.0.0.1"},
		{name: "primary IPv6", podIP: "fd00::1", podIPs: []string{"fd00::1", "10.0.0.1"}, want: "fd00::1"},
		{name: "only the old field", podIP: "10.0.0.1", want: "10.0.0.1"},
		{name: "only the new field", podIPs: []string{"10.0.0.1"}, want: "10.0.0.1"},
		{name: "IPv4 of both", family: IPv4, podIPs: []string{"fd00::1", "10.0.0.1"}, want: "10.0.0.1"},
		{name: "IPv6 of both", family: IPv6, podIPs: []string{"10.0.0.1", "fd00::1"}, want: "fd00::1"},
		{name: "none of the family", family: IPv6, podIP: "10.0.0.1"},
		{name: "IPv6 as nobody writes it", podIPs: []string{"FD00:0:0::0001"}, want: "fd00::1"},
		{name: "first is none, second is one", podIPs: []string{"10.0.0.300", "10.0.0.1"}, want: "10.0.0.1", invalid: []string{"10.0.0.300"}},
		{name: "absurdly long", podIPs: []string{long, "10.0.0.1"}, want: "10.0.0.1", invalid: []string{long[:maxInvalidText]}},
		{name: "empty text", podIPs: []string{""}, invalid: []string{""}},
		{name: "none is valid", podIPs: []string{"x", "y"}, invalid: []string{"x", "y"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := kubetest.NewPod("prod/shop-0", "")
			p.Status.PodIP = tc.podIP
			for _, text := range tc.podIPs {
				p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: text})
			}
			o := Shrinker{family: tc.family}.pod(p)
			got := ""
			if len(o.Members) > 0 {
				got = o.Members[0].Address.String()
			}
			if got != tc.want || len(o.Members) > 1 {
				t.Errorf("address: want %q, got %q of %+v", tc.want, got, o.Members)
			}
			if !slices.Equal(o.Invalid, tc.invalid) {
				t.Errorf("invalid: want %q, got %q", tc.invalid, o.Invalid)
			}
		})
	}
}

func TestContainerPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	container := func(ports ...corev1.ContainerPort) corev1.Container { return corev1.Container{Ports: ports} }
	p := kubetest.NewPod("prod/shop-0", "10.0.0.1")
	p.Spec.Containers = []corev1.Container{
		container(
			corev1.ContainerPort{Name: "epmd", ContainerPort: 4369},
			corev1.ContainerPort{Name: "dns", Protocol: corev1.ProtocolUDP, ContainerPort: 53},
			corev1.ContainerPort{ContainerPort: 8080},
		),
		container(
			corev1.ContainerPort{Name: "zero"},
			corev1.ContainerPort{Name: "negative", ContainerPort: -1},
			corev1.ContainerPort{Name: "high", ContainerPort: 65536},
			corev1.ContainerPort{Name: "highest", ContainerPort: 65535},
		),
	}
	sidecar := container(corev1.ContainerPort{Name: "proxy", ContainerPort: 15001})
	sidecar.RestartPolicy = &always
	p.Spec.InitContainers = []corev1.Container{container(corev1.ContainerPort{Name: "migrate", ContainerPort: 9999}), sidecar}
	want := []Port{{"epmd", "TCP", 4369}, {"dns", "UDP", 53}, {"highest", "TCP", 65535}, {"proxy", "TCP", 15001}}
	if got := (Shrinker{}).pod(p).Ports; !slices.Equal(got, want) {
		t.Errorf("\nwant %v\n got %v", want, got)
	}
}
