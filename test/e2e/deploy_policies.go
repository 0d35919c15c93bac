package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// peerOf is who may be at one end of a connection, as network policies see it: a pod, by labels, or else an address.
type peerOf struct {
	what      string
	namespace map[string]string // labels; none for who is no pod
	pod       map[string]string
	address   netip.Addr // of who is no pod, if it matters
}

// labelsOfNamespace gives the labels of a namespace: its name, as Kubernetes adds it, and more with the value true.
func labelsOfNamespace(name string, more ...string) map[string]string {
	out := map[string]string{corev1.LabelMetadataName: name}
	for _, label := range more {
		out[label] = "true"
	}
	return out
}

// connection is one that network policies are asked about. The port is that of the pod that is connected to.
type connection struct {
	peer     peerOf
	egress   bool
	port     int32
	protocol corev1.Protocol
	allowed  bool
}

// both gives a connection over UDP and the same over TCP, as a question needs it.
func both(peer peerOf, egress bool, port int32, allowed bool) []connection {
	return []connection{{peer, egress, port, corev1.ProtocolUDP, allowed}, {peer, egress, port, corev1.ProtocolTCP, allowed}}
}

// connects wants the network policies of a pod's namespace to allow just what they should. There is no network here that
// would heed them, so they are taken at their word.
// https://kubernetes.io/docs/concepts/services-networking/network-policies
func (t *trial) connects(pod corev1.Pod, connections ...connection) {
	list, err := t.client.NetworkingV1().NetworkPolicies(pod.Namespace).List(t.ctx, metav1.ListOptions{})
	t.must(err)
	for _, c := range connections {
		got, err := c.judge(pod, list.Items)
		t.must(err)
		if got != c.allowed {
			t.failf("egress %t, %s, port %d/%s: got allowed %t, want %t", c.egress, c.peer.what, c.port, c.protocol, got, c.allowed)
		}
	}
	t.note("network policies allow %d connections as they should", len(connections))
}

// judge tells whether one of the policies that are about the pod and the direction allows a connection, or none is.
func (c connection) judge(pod corev1.Pod, policies []networkingv1.NetworkPolicy) (bool, error) {
	direction := networkingv1.PolicyTypeIngress
	if c.egress {
		direction = networkingv1.PolicyTypeEgress
	}
	isolated := false
	for _, p := range policies {
		selected, err := matches(&p.Spec.PodSelector, pod.Labels)
		if err != nil {
			return false, err
		}
		if !selected || !slices.Contains(p.Spec.PolicyTypes, direction) {
			continue
		}
		isolated = true
		rules := p.Spec.Ingress
		if c.egress {
			rules = nil
			for _, r := range p.Spec.Egress {
				rules = append(rules, networkingv1.NetworkPolicyIngressRule{From: r.To, Ports: r.Ports})
			}
		}
		for _, r := range rules {
			yes, err := c.ruled(pod.Namespace, r)
			if yes || err != nil {
				return yes, err
			}
		}
	}
	return !isolated, nil
}

// ruled tells whether a rule of a policy in a namespace allows the connection.
func (c connection) ruled(namespace string, r networkingv1.NetworkPolicyIngressRule) (bool, error) {
	port := len(r.Ports) == 0
	for _, p := range r.Ports {
		if p.Port == nil || p.Port.Type != intstr.Int || p.Protocol == nil {
			return false, errors.New("a policy names a port other than by a number and a protocol")
		}
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		port = port || p.Port.IntVal <= c.port && c.port <= last && *p.Protocol == c.protocol
	}
	if !port || len(r.From) == 0 {
		return port, nil
	}
	for _, from := range r.From {
		yes, err := c.peer.is(namespace, from)
		if yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// is tells whether a policy in a namespace means this peer. A pod is meant by its labels only: what its address is when
// the network looks at it, nobody knows.
func (p peerOf) is(namespace string, meant networkingv1.NetworkPolicyPeer) (bool, error) {
	if meant.IPBlock != nil {
		if p.namespace != nil || !p.address.IsValid() {
			return false, nil
		}
		return within(*meant.IPBlock, p.address)
	}
	if p.namespace == nil {
		return false, nil
	}
	inside := p.namespace[corev1.LabelMetadataName] == namespace
	if meant.NamespaceSelector != nil {
		var err error
		if inside, err = matches(meant.NamespaceSelector, p.namespace); err != nil {
			return false, err
		}
	}
	if !inside || meant.PodSelector == nil {
		return inside, nil
	}
	return matches(meant.PodSelector, p.pod)
}

// within tells whether a block has an address.
func within(block networkingv1.IPBlock, address netip.Addr) (bool, error) {
	for i, text := range append([]string{block.CIDR}, block.Except...) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return false, fmt.Errorf("ipBlock: %w", err)
		}
		if excepted := i > 0; prefix.Contains(address) == excepted {
			return false, nil
		}
	}
	return true, nil
}

func matches(selector *metav1.LabelSelector, of map[string]string) (bool, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, fmt.Errorf("selector: %w", err)
	}
	return s.Matches(labels.Set(of)), nil
}
