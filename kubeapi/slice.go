package kubeapi

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

func (s Shrinker) slice(e *discoveryv1.EndpointSlice) *Object {
	o := s.meta(&e.ObjectMeta, e.Labels[discoveryv1.LabelServiceName])
	if e.AddressType == discoveryv1.AddressTypeFQDN {
		for i := range e.Endpoints {
			for _, name := range e.Endpoints[i].Addresses {
				_, _ = s.address(o, name) // which notes that it is none
			}
		}
		return o
	}
	var ports []Port
	for _, p := range e.Ports {
		ports = appendPort(ports, ptr.Deref(p.Name, ""), ptr.Deref(p.Protocol, corev1.ProtocolTCP), ptr.Deref(p.Port, 0))
	}
	o.keepPorts(ports, s.ports)
	if len(e.Endpoints) > 0 {
		o.Members = make([]Member, 0, min(len(e.Endpoints), MaxMembers))
	}
	for i := range e.Endpoints {
		s.endpoint(o, &e.Endpoints[i])
	}
	return o
}

func (s Shrinker) endpoint(o *Object, e *discoveryv1.Endpoint) {
	ready := ptr.Deref(e.Conditions.Ready, true)
	m := Member{
		Hostname:    ptr.Deref(e.Hostname, ""),
		Ready:       ready,
		Serving:     ptr.Deref(e.Conditions.Serving, ready),
		Terminating: ptr.Deref(e.Conditions.Terminating, false),
	}
	if e.TargetRef != nil {
		// A pod's UID would make two of a pod that is replaced, and adds to the memory of all.
		if m.ID, m.IsPod = e.TargetRef.Name, e.TargetRef.Kind == "Pod" && e.TargetRef.Name != ""; !m.IsPod {
			m.ID = string(e.TargetRef.UID)
		}
	}
	o.keepNames(&m)
	for i, text := range e.Addresses {
		addr, ok := s.address(o, text)
		if !ok || !s.family.has(addr) {
			continue
		}
		if len(o.Members) == MaxMembers {
			o.cut(keptMembers)
			return
		}
		m.Address = addr
		o.Members = append(o.Members, m)
		if len(e.Addresses) > i+1 {
			o.cut(keptAddress) // Kubernetes says nothing of what the others mean
		}
		return
	}
}
