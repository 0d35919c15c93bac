package kubeapi

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// terminalPhases are the phases in which a pod has given its address back: it may
// be another pod's by now.
var terminalPhases = []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}

func (s Shrinker) pod(p *corev1.Pod) *Object {
	o := s.meta(&p.ObjectMeta, p.Spec.Subdomain)
	if slices.Contains(terminalPhases, p.Status.Phase) {
		return o
	}
	addr, ok := s.podAddress(o, &p.Status)
	if !ok {
		return o
	}
	ready := podReady(&p.Status)
	o.Members = []Member{{
		ID:          p.Name,
		IsPod:       true,
		Hostname:    p.Spec.Hostname,
		Address:     addr,
		Ready:       ready,
		Serving:     ready,
		Terminating: p.DeletionTimestamp != nil,
	}}
	o.keepNames(&o.Members[0])
	o.keepPorts(containerPorts(&p.Spec), s.ports)
	return o
}

// podAddress returns the pod's first address of the wanted family. It adds texts that are no
// address to o.Invalid.
func (s Shrinker) podAddress(o *Object, status *corev1.PodStatus) (netip.Addr, bool) {
	texts := make([]string, 0, 2)
	for _, ip := range status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 && status.PodIP != "" {
		texts = append(texts, status.PodIP)
	}
	for _, text := range texts {
		if addr, ok := s.address(o, text); ok && s.family.has(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func podReady(status *corev1.PodStatus) bool {
	for _, c := range status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// containerPorts returns the named ports of containers and of sidecars, which are init
// containers that keep running. Other init containers have ended by the time that the pod runs.
func containerPorts(spec *corev1.PodSpec) []Port {
	var ports []Port
	for i := range spec.Containers {
		ports = appendPorts(ports, &spec.Containers[i])
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			ports = appendPorts(ports, c)
		}
	}
	return ports
}

func appendPorts(ports []Port, c *corev1.Container) []Port {
	for _, p := range c.Ports {
		if number, ok := portNumber(p.ContainerPort); ok && p.Name != "" {
			ports = append(ports, Port{Name: p.Name, Protocol: protocol(p.Protocol), Number: number})
		}
	}
	return ports
}

func protocol(p corev1.Protocol) string {
	if p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p)
}
