package main

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodHostsNamesThePodItself(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	v4, v6 := netip.MustParseAddr("10.1.0.21"), netip.MustParseAddr("fd00::15")
	for _, tt := range []struct {
		name      string
		spec      corev1.PodSpec
		addresses []netip.Addr
		want      string
	}{
		{"a Deployment's", corev1.PodSpec{}, []netip.Addr{v4}, "10.1.0.21\tq-0\n"},
		{"hostname alone", corev1.PodSpec{Hostname: "mq"}, []netip.Addr{v4}, "10.1.0.21\tmq\n"},
		{"subdomain alone", corev1.PodSpec{Subdomain: "q"}, []netip.Addr{v4}, "10.1.0.21\tq-0.q.prod.svc.cluster.local\tq-0\n"},
		{
			"a StatefulSet's, of two families", corev1.PodSpec{Hostname: "q-0", Subdomain: "q"}, []netip.Addr{v4, v6},
			"10.1.0.21\tq-0.q.prod.svc.cluster.local\tq-0\nfd00::15\tq-0.q.prod.svc.cluster.local\tq-0\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "q-0", Namespace: "prod"}, Spec: tt.spec}
			if got := podHosts(pod, tt.addresses); got != local+tt.want {
				t.Errorf("got %q, want %q", got, local+tt.want)
			}
		})
	}
}
