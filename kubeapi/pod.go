package kubeapi

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
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
	ips := status.PodIPs
	if len(ips) == 0 && status.PodIP != "" {
		ips = []corev1.PodIP{{IP: status.PodIP}}
	}
	for _, ip := range ips {
		if addr, ok := s.address(o, ip.IP); ok && s.family.has(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func podReady(status *corev1.PodStatus) bool {
	return slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
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
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			ports = appendPorts(ports, c)
		}
	}
	return ports
}

func appendPorts(ports []Port, c *corev1.Container) []Port {
	for _, p := range c.Ports {
		ports = appendPort(ports, p.Name, p.Protocol, p.ContainerPort)
	}
	return ports
}

// appendPort appends a port if it has a name and a valid number. The protocol is TCP by default.
func appendPort(ports []Port, name string, protocol corev1.Protocol, number int32) []Port {
	if name == "" || number <= 0 || number > 65535 {
		return ports
	}
	return append(ports, Port{Name: name, Protocol: string(cmp.Or(protocol, corev1.ProtocolTCP)), Number: uint16(number)})
}
