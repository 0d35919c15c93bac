package snapshot

import (
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/kubeapi"
)

// expander is the inverse of kubeapi.Shrinker: it makes Kubernetes objects that shrink to the
// same Objects again. They have nothing that an Object does not keep.
type expander struct {
	lookup  kubeapi.Lookup
	labels  []string
	implied map[string]string
}

func newExpander(c *kubeapi.Config) expander {
	return expander{lookup: c.Lookup, labels: c.Labels, implied: impliedLabels(c.Selector)}
}

// impliedLabels returns the labels that a selector names with their value: objects that it selects
// have them, though an Object may not keep them.
func impliedLabels(selector string) map[string]string {
	requirements, err := labels.ParseToRequirements(selector)
	if err != nil {
		return nil // has been checked before
	}
	implied := make(map[string]string)
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if values := r.Values(); values.Len() == 1 {
				implied[r.Key()] = values.UnsortedList()[0]
			}
		}
	}
	return implied
}

func (e expander) expand(o *kubeapi.Object) metav1.Object {
	if e.lookup == kubeapi.Pods {
		return e.pod(o)
	}
	return e.slice(o)
}

func (e expander) meta(o *kubeapi.Object) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, Labels: make(map[string]string)}
	if o.Version != 0 {
		m.ResourceVersion = strconv.FormatUint(o.Version, 10)
	}
	if o.Created != 0 {
		m.CreationTimestamp = metav1.Unix(int64(o.Created), 0)
	}
	maps.Copy(m.Labels, e.implied)
	for i, key := range e.labels {
		if l := o.Labels[i]; l.Set {
			m.Labels[key] = l.Value
		} else {
			delete(m.Labels, key)
		}
	}
	return m
}

func (e expander) pod(o *kubeapi.Object) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Pod"},
		ObjectMeta: e.meta(o),
		Spec:       corev1.PodSpec{Subdomain: o.Service},
	}
	for _, text := range o.Invalid { // read up to the first that is valid
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: text})
	}
	if len(o.Members) == 0 {
		return p
	}
	m := &o.Members[0]
	p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: m.Address.String()})
	p.Spec.Hostname = m.Hostname
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: conditionStatus(m.Ready)}}
	if m.Terminating {
		p.DeletionTimestamp = new(metav1.Unix(0, 0)) // the time is not known, and of no use
	}
	p.Spec.Containers = containers(o.Ports)
	return p
}

func conditionStatus(is bool) corev1.ConditionStatus {
	if is {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// containers returns one container with all ports.
func containers(ports []kubeapi.Port) []corev1.Container {
	if len(ports) == 0 {
		return nil
	}
	c := corev1.Container{Name: "ports"}
	for _, p := range ports {
		c.Ports = append(c.Ports, corev1.ContainerPort{
			Name: p.Name, Protocol: corev1.Protocol(p.Protocol), ContainerPort: int32(p.Number),
		})
	}
	return []corev1.Container{c}
}

func (e expander) slice(o *kubeapi.Object) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta:  e.meta(o),
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   make([]discoveryv1.Endpoint, 0, len(o.Members)),
	}
	if s.Labels[discoveryv1.LabelServiceName] != o.Service {
		s.Labels[discoveryv1.LabelServiceName] = o.Service
	}
	// Kubernetes has one family in a slice. Where an Object has both, the type is wrong
	// for some, but Shrinker does not look at it.
	if len(o.Members) > 0 && o.Members[0].Address.Is6() {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	for _, p := range o.Ports {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{
			Name: &p.Name, Protocol: new(corev1.Protocol(p.Protocol)), Port: new(int32(p.Number)),
		})
	}
	for i := range o.Members {
		s.Endpoints = append(s.Endpoints, endpoint(&o.Members[i]))
	}
	if len(o.Invalid) > 0 {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: o.Invalid})
	}
	return s
}

func endpoint(m *kubeapi.Member) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses: []string{m.Address.String()},
		Conditions: discoveryv1.EndpointConditions{
			Ready: new(m.Ready), Serving: new(m.Serving), Terminating: new(m.Terminating),
		},
		TargetRef: target(m),
	}
	if m.Hostname != "" {
		e.Hostname = new(m.Hostname)
	}
	return e
}

// target returns a reference to the object that has an address, nil if that is not known.
func target(m *kubeapi.Member) *corev1.ObjectReference {
	switch {
	case m.IsPod:
		return &corev1.ObjectReference{Kind: "Pod", Name: m.ID}
	case m.ID != "":
		return &corev1.ObjectReference{UID: types.UID(m.ID)}
	}
	return nil
}
