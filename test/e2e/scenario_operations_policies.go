package main

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// tryNetworkPolicies has the API server look at the examples: it knows every field, and adds nothing. Then each is asked
// about connections.
func tryNetworkPolicies(t *trial) {
	wanted := map[string]struct {
		of          corev1.Pod // whose connections are asked about
		connections func(namespace string) []connection
	}{
		"longnames-who-may-ask": {corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: ours}}, questionConnections},
		"shop-distribution":     {corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: app("shop")}}, distributionConnections},
	}
	for _, text := range t.examples("yaml") {
		var policy networkingv1.NetworkPolicy
		t.must(yaml.UnmarshalStrict([]byte(text), &policy))
		want, known := wanted[policy.Name]
		if policy.Kind != "NetworkPolicy" || !known {
			t.failf("%s: got a %s %s, want a NetworkPolicy that is tried", operationsPage, policy.Kind, policy.Name)
		}
		delete(wanted, policy.Name)
		policy.Namespace = t.namespace(policy.Name, podPolicy{})
		made, err := t.client.NetworkingV1().NetworkPolicies(policy.Namespace).Create(t.ctx, &policy, metav1.CreateOptions{FieldValidation: "Strict"})
		t.must(err)
		if !equality.Semantic.DeepEqual(made.Spec, policy.Spec) {
			t.failf("%s: got %v, want %v", policy.Name, made.Spec, policy.Spec)
		}
		pod := want.of
		pod.Namespace = policy.Namespace
		t.connects(pod, want.connections(policy.Namespace)...)
	}
	if len(wanted) > 0 {
		t.failf("%s has not all of the policies that are tried: %v is left", operationsPage, wanted)
	}
}

// questionConnections are those of a CoreDNS that the example is for. Where it may connect to is not bounded.
func questionConnections(string) []connection {
	api := peerOf{what: "the API server", address: netip.MustParseAddr("192.168.1.1")}
	bounded := slices.DeleteFunc(standaloneConnections(), func(c connection) bool { return c.egress })
	return append(bounded, connection{api, true, 6443, corev1.ProtocolTCP, true})
}

// distributionConnections are those of a node, in a namespace.
func distributionConnections(namespace string) []connection {
	member := peerOf{what: "another node", namespace: labelsOfNamespace(namespace, "beam"), pod: app("shop")}
	neighbour := peerOf{what: "another app of the namespace", namespace: labelsOfNamespace(namespace, "beam"), pod: app("web")}
	double := peerOf{what: "who has the app's labels elsewhere", namespace: labelsOfNamespace("other", "beam"), pod: app("shop")}
	clusterDNS := peerOf{what: "the cluster's DNS", namespace: labelsOfNamespace("kube-system"), pod: kubeDNS}
	standalone := peerOf{what: "the standalone CoreDNS", namespace: labelsOfNamespace("longnames"), pod: ours}
	user := peerOf{what: "who uses the application", address: netip.MustParseAddr("192.0.2.1")}
	out := slices.Concat(
		both(clusterDNS, true, 53, true),
		both(standalone, true, 1053, true),
		[]connection{
			{user, false, 4000, corev1.ProtocolTCP, true},
			{neighbour, false, 4000, corev1.ProtocolTCP, true},
			{user, false, 4369, corev1.ProtocolTCP, false},
			{user, true, 443, corev1.ProtocolTCP, true},
			{user, true, 5432, corev1.ProtocolTCP, true},
			{user, true, 80, corev1.ProtocolTCP, false},
		},
	)
	for _, egress := range []bool{false, true} {
		for _, port := range []int32{4369, 9100, 9105} {
			out = append(out,
				connection{member, egress, port, corev1.ProtocolTCP, true},
				connection{neighbour, egress, port, corev1.ProtocolTCP, false},
				connection{double, egress, port, corev1.ProtocolTCP, false})
		}
		out = append(out, connection{member, egress, 9106, corev1.ProtocolTCP, false})
	}
	return out
}
