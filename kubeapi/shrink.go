package kubeapi

import (
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shrinker reduces Kubernetes objects to Objects.
type shrinker struct {
	labels []string
	family Family
	shared *templates // nil if objects are not kept
}

func (c *Config) shrinker() shrinker {
	return shrinker{labels: c.Labels, family: c.Family, shared: newTemplates()}
}

func (s shrinker) shrink(obj any) (*Object, error) {
	switch obj := obj.(type) {
	case *Object:
		return obj, nil
	case *shrunk:
		return obj.object, nil
	case *corev1.Pod:
		return s.share(s.pod(obj)), nil
	case *discoveryv1.EndpointSlice:
		return s.share(s.slice(obj)), nil
	}
	return nil, fmt.Errorf("expected a Pod or an EndpointSlice, got %T", obj)
}

func (s shrinker) share(o *Object) *Object {
	if s.shared != nil {
		o.Template = s.shared.shared(o.Template)
	}
	return o
}

func (s shrinker) meta(m *metav1.ObjectMeta, service string) *Object {
	o := &Object{
		Template: &Template{Namespace: m.Namespace, Service: service},
		Name:     m.Name, Version: version(m.ResourceVersion),
	}
	if len(s.labels) > 0 {
		o.Labels = make([]Label, len(s.labels))
		for i, key := range s.labels {
			o.Labels[i].Value, o.Labels[i].Set = m.Labels[key]
		}
	}
	return o
}

// version reads a resourceVersion, which Kubernetes promises to be a number that
// grows (KEP-5504). Anything else counts as unknown.
func version(text string) uint64 {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// address reads an address that one node can have.
func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, false
	}
	return a, true
}

func portNumber(n int32) (uint16, bool) {
	return uint16(n), n > 0 && n <= 65535 //nolint:gosec // not used unless it is in range
}
