package kubeapi

import (
	discoveryv1 "k8s.io/api/discovery/v1"
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
		if p.Name == nil || *p.Name == "" || p.Port == nil {
			continue
		}
		number, ok := portNumber(*p.Port)
		if !ok {
			continue
		}
		port := Port{Name: *p.Name, Protocol: "TCP", Number: number}
		if p.Protocol != nil {
			port.Protocol = protocol(*p.Protocol)
		}
		ports = append(ports, port)
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
	ready := isTrue(e.Conditions.Ready, true)
	m := Member{
		Ready:       ready,
		Serving:     isTrue(e.Conditions.Serving, ready),
		Terminating: isTrue(e.Conditions.Terminating, false),
	}
	if e.TargetRef != nil {
		// A pod's UID would make two of a pod that is replaced, and adds to the memory of all.
		if m.ID, m.IsPod = e.TargetRef.Name, e.TargetRef.Kind == "Pod" && e.TargetRef.Name != ""; !m.IsPod {
			m.ID = string(e.TargetRef.UID)
		}
	}
	if e.Hostname != nil {
		m.Hostname = *e.Hostname
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

// isTrue returns a condition of an endpoint, or what it means if it is unset.
func isTrue(condition *bool, unset bool) bool {
	if condition == nil {
		return unset
	}
	return *condition
}
