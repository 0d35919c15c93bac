package main

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func TestNetworkPoliciesAreJudgedAsKubernetesDoes(t *testing.T) {
	const (
		selected = "podSelector: {matchLabels: {app: dns}}\n"
		inside   = selected + "policyTypes: [Ingress]\ningress: [{from: [{podSelector: {matchLabels: {app: x}}}]}]\n"
		block    = selected + "policyTypes: [Ingress]\ningress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]\n"
		ports    = selected + "policyTypes: [Ingress]\ningress: [{ports: [{port: 9100, endPort: 9105, protocol: TCP}]}]\n"
		from     = selected + "policyTypes: [Ingress]\ningress: [{from: [{namespaceSelector: {matchLabels: {name: a}}, podSelector: {matchLabels: {app: x}}}], " +
			"ports: [{port: 53, protocol: UDP}]}]\n"
	)
	peer := func(namespace, pod string) peerOf {
		return peerOf{namespace: map[string]string{"name": namespace, corev1.LabelMetadataName: namespace}, pod: app(pod)}
	}
	host := func(address string) connection {
		return connection{peer: peerOf{address: netip.MustParseAddr(address)}, port: 53, protocol: corev1.ProtocolUDP}
	}
	ingress := func(p peerOf) connection { return connection{peer: p, port: 53, protocol: corev1.ProtocolUDP} }
	tests := []struct {
		name       string
		policy     string
		connection connection
		want       bool
		wantErr    bool
	}{
		{name: "no policy", connection: ingress(peer("a", "x")), want: true},
		{name: "policy for another pod", policy: "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Ingress]\n", connection: ingress(peer("a", "x")), want: true},
		{name: "policy for another direction", policy: selected + "policyTypes: [Egress]\n", connection: ingress(peer("a", "x")), want: true},
		{name: "policy without rules", policy: selected + "policyTypes: [Ingress]\n", connection: ingress(peer("a", "x"))},
		{name: "rule for all", policy: selected + "policyTypes: [Ingress]\ningress: [{}]\n", connection: ingress(peer("a", "x")), want: true},
		{name: "namespace and pod", policy: from, connection: ingress(peer("a", "x")), want: true},
		{name: "another namespace", policy: from, connection: ingress(peer("b", "x"))},
		{name: "another pod", policy: from, connection: ingress(peer("a", "y"))},
		{name: "no pod", policy: from, connection: ingress(peerOf{})},
		{name: "another port", policy: from, connection: connection{peer: peer("a", "x"), port: 54, protocol: corev1.ProtocolUDP}},
		{name: "another protocol", policy: from, connection: connection{peer: peer("a", "x"), port: 53, protocol: corev1.ProtocolTCP}},
		{
			name: "egress to a port", policy: selected + "policyTypes: [Egress]\negress: [{ports: [{port: 443, protocol: TCP}]}]\n",
			connection: connection{egress: true, port: 443, protocol: corev1.ProtocolTCP}, want: true,
		},
		{
			name: "egress to another port", policy: selected + "policyTypes: [Egress]\negress: [{ports: [{port: 443, protocol: TCP}]}]\n",
			connection: connection{egress: true, port: 80, protocol: corev1.ProtocolTCP},
		},
		{name: "pod of the same namespace", policy: inside, connection: ingress(peer("own", "x")), want: true},
		{name: "another pod of the same namespace", policy: inside, connection: ingress(peer("own", "y"))},
		{name: "pod of another namespace", policy: inside, connection: ingress(peer("a", "x"))},
		{name: "address in a block", policy: block, connection: host("10.2.0.1"), want: true},
		{name: "address that is excepted", policy: block, connection: host("10.1.0.1")},
		{name: "address outside", policy: block, connection: host("192.168.0.1")},
		{name: "pod, whatever its address", policy: block, connection: ingress(peer("a", "x"))},
		{
			name: "block that is none", policy: selected + "policyTypes: [Ingress]\ningress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]\n",
			connection: host("10.0.0.0"), wantErr: true,
		},
		{name: "first of some ports", policy: ports, connection: connection{port: 9100, protocol: corev1.ProtocolTCP}, want: true},
		{name: "last of some ports", policy: ports, connection: connection{port: 9105, protocol: corev1.ProtocolTCP}, want: true},
		{name: "port after the last", policy: ports, connection: connection{port: 9106, protocol: corev1.ProtocolTCP}},
		{
			name: "a port by name, which not every network knows", policy: selected + "policyTypes: [Ingress]\ningress: [{ports: [{port: dns, protocol: UDP}]}]\n",
			connection: ingress(peer("a", "x")), wantErr: true,
		},
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "own", Labels: app("dns")}}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var policies []networkingv1.NetworkPolicy
			if tc.policy != "" {
				var p networkingv1.NetworkPolicy
				if err := yaml.UnmarshalStrict([]byte(tc.policy), &p.Spec); err != nil {
					t.Fatal(err)
				}
				policies = append(policies, p)
			}
			got, err := tc.connection.judge(pod, policies)
			if (err != nil) != tc.wantErr || got != tc.want {
				t.Errorf("got %t and error %v, want %t and an error: %t", got, err, tc.want, tc.wantErr)
			}
		})
	}
}
