// Package objects makes objects as kubeapi reads them, for tests, and has what else these share.
package objects

import (
	"fmt"
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// Slice returns an EndpointSlice of a Service in namespace prod.
func Slice(service string, members ...kubeapi.Member) *kubeapi.Object {
	return &kubeapi.Object{
		Template: &kubeapi.Template{Namespace: "prod", Service: service},
		Name:     service + "-abcde", Version: 1, Members: members,
	}
}

// Named gives an object another name.
func Named(name string, o *kubeapi.Object) *kubeapi.Object {
	o.Name = name
	return o
}

// Labels are those of an object, by key.
type Labels map[string]string

// Labelled gives an object the labels of some keys.
func Labelled(keys []string, set Labels, o *kubeapi.Object) *kubeapi.Object {
	o.Labels = make([]kubeapi.Label, len(keys))
	for i, key := range keys {
		o.Labels[i].Value, o.Labels[i].Set = set[key]
	}
	return o
}

// Endpoint returns a ready endpoint that is a pod.
func Endpoint(pod, address string) kubeapi.Member {
	return kubeapi.Member{
		ID: pod, IsPod: true, Address: netip.MustParseAddr(address), Ready: true, Serving: true,
	}
}

// Hosted gives an endpoint a hostname, as a StatefulSet does.
func Hosted(m kubeapi.Member) kubeapi.Member {
	m.Hostname = m.ID
	return m
}

// Called gives an endpoint a hostname.
func Called(hostname string, m kubeapi.Member) kubeapi.Member {
	m.Hostname = hostname
	return m
}

// Unready returns an endpoint whose probe fails.
func Unready(m kubeapi.Member) kubeapi.Member {
	m.Ready, m.Serving = false, false
	return m
}

// Terminating returns an endpoint that is going, but still serves.
func Terminating(m kubeapi.Member) kubeapi.Member {
	m.Ready, m.Terminating = false, true
	return m
}

// Ported gives an object ports.
func Ported(o *kubeapi.Object, ports ...kubeapi.Port) *kubeapi.Object {
	o.Ports = ports
	return o
}

// ManyPorts returns as many ports as an object may have, with names of their own.
func ManyPorts(of int) []kubeapi.Port {
	ports := make([]kubeapi.Port, kubeapi.MaxPorts)
	for i := range ports {
		ports[i] = kubeapi.Port{Name: fmt.Sprintf("p%d-%d", of, i), Protocol: "TCP", Number: uint16(i + 1)}
	}
	return ports
}
