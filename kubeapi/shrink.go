package kubeapi

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Shrinker reduces Pods and EndpointSlices to Objects. It is for one goroutine at a time.
type Shrinker struct {
	labels []string
	ports  []string // see Config.Ports
	family Family
	local  bool // loopback addresses are members': files may be about nodes of this host
	shared *templates
}

// NewShrinker returns one for Config.Labels, Config.Ports, Config.Family and Config.Manifests.
func NewShrinker(c *Config) Shrinker {
	return Shrinker{labels: c.Labels, ports: c.Ports, family: c.Family, local: len(c.Manifests) > 0, shared: newTemplates()}
}

// Shrink takes a *corev1.Pod, a *discoveryv1.EndpointSlice or a *shrunk.
func (s Shrinker) Shrink(obj any) (*Object, error) {
	switch obj := obj.(type) {
	case *shrunk:
		return obj.object, nil
	case *corev1.Pod:
		return s.share(s.pod(obj)), nil
	case *discoveryv1.EndpointSlice:
		return s.share(s.slice(obj)), nil
	}
	return nil, fmt.Errorf("expected a Pod or an EndpointSlice, got %T", obj)
}

// shrunk is Shrink, but also keeps whether the object announces its end.
func (s Shrinker) shrunk(obj any) (*shrunk, error) {
	o, err := s.Shrink(obj)
	if err != nil {
		return nil, err
	}
	return &shrunk{o, announcesEnd(obj)}, nil
}

func (s Shrinker) share(o *Object) *Object {
	o.Template = s.shared.shared(o.Template)
	return o
}

func (s Shrinker) meta(m *metav1.ObjectMeta, service string) *Object {
	o := &Object{
		Template: &Template{Namespace: m.Namespace},
		Name:     m.Name, Version: version(m.ResourceVersion), Created: created(m.CreationTimestamp),
	}
	o.Service = o.label(service)
	if len(s.labels) > 0 {
		o.Labels = make([]Label, len(s.labels))
		for i, key := range s.labels {
			value, ok := m.Labels[key]
			o.Labels[i] = Label{o.label(value), ok}
		}
	}
	return o
}

// version parses a resourceVersion, which Kubernetes promises to be a number that
// grows (KEP-5504). Anything else counts as unknown.
func version(text string) uint64 {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// created returns a time as Object.Created has it.
func created(t metav1.Time) uint32 {
	if at := t.Unix(); at > 0 && at <= math.MaxUint32 {
		return uint32(at)
	}
	return 0
}

// address parses an address that a member can have, and adds any other text to o.Invalid.
func (s Shrinker) address(o *Object, text string) (netip.Addr, bool) {
	a, what := read(text)
	if what == "" || what == loopback && s.local {
		return a, true
	}
	o.invalid(text)
	return netip.Addr{}, false
}

// NoAddress describes an element of Template.Invalid: why it is no address of a member.
func NoAddress(text string) string {
	_, what := read(text)
	return what
}

const loopback = "a loopback address"

// read parses an address, and says what it is if other nodes cannot reach one node by it.
func read(text string) (a netip.Addr, what string) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
		return a, "no address"
	case a.Is4In6():
		return a, "IPv4-mapped"
	case a.IsUnspecified():
		return a, "the unspecified address"
	case a.IsLoopback():
		return a, loopback
	case a.IsLinkLocalUnicast():
		return a, "a link-local address"
	case a.IsMulticast():
		return a, "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return a, "the broadcast address"
	}
	return a, ""
}

// shrunk is an Object on its way through the reflector, which asks for its name.
type shrunk struct {
	object *Object
	ends   bool // see announcesEnd
}

var (
	_ metav1.ObjectMetaAccessor = (*shrunk)(nil)
	_ runtime.Object            = (*shrunk)(nil)
)

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (s *shrunk) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: s.object.Namespace, Name: s.object.Name}
}

// GetObjectKind implements runtime.Object.
func (*shrunk) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Objects do not change.
func (s *shrunk) DeepCopyObject() runtime.Object { return &shrunk{s.object, s.ends} }

// announcesEnd reports whether a state of an object says that the pod ends, or has ended.
func announcesEnd(obj any) bool {
	switch obj := obj.(type) {
	case *shrunk:
		return obj.ends
	case *corev1.Pod:
		return obj.DeletionTimestamp != nil || slices.Contains(terminalPhases, obj.Status.Phase)
	}
	return false
}
