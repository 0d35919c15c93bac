package fakeapi

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// object is what the store holds.
type object interface {
	runtime.Object
	metav1.Object
}

// kind is what differs between the resources.
type kind struct {
	schema.GroupVersionKind
	resource string
	global   bool          // its objects are in no namespace
	empty    func() object // for bookmarks
	fields   func(object) fields.Set
	list     func([]object, metav1.ListMeta) runtime.Object
}

var (
	pods = &kind{
		GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"),
		resource:         "pods",
		empty:            func() object { return &corev1.Pod{} },
		fields: func(o object) fields.Set {
			pod, set := o.(*corev1.Pod), nameFields(o)
			set["spec.nodeName"] = pod.Spec.NodeName
			set["status.phase"] = string(pod.Status.Phase)
			set["status.podIP"] = pod.Status.PodIP
			if len(pod.Status.PodIPs) > 0 { // the API server selects by the first of them
				set["status.podIP"] = pod.Status.PodIPs[0].IP
			}
			return set
		},
		list: func(objects []object, meta metav1.ListMeta) runtime.Object {
			list := &corev1.PodList{ListMeta: meta, Items: items[corev1.Pod](objects)}
			list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
			return list
		},
	}
	endpointSlices = &kind{
		GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
		resource:         "endpointslices",
		empty:            func() object { return &discoveryv1.EndpointSlice{} },
		fields:           nameFields,
		list: func(objects []object, meta metav1.ListMeta) runtime.Object {
			list := &discoveryv1.EndpointSliceList{ListMeta: meta, Items: items[discoveryv1.EndpointSlice](objects)}
			list.SetGroupVersionKind(discoveryv1.SchemeGroupVersion.WithKind("EndpointSliceList"))
			return list
		},
	}
	services = &kind{
		GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service"),
		resource:         "services",
		empty:            func() object { return &corev1.Service{} },
		fields:           nameFields,
		list: func(objects []object, meta metav1.ListMeta) runtime.Object {
			list := &corev1.ServiceList{ListMeta: meta, Items: items[corev1.Service](objects)}
			list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceList"))
			return list
		},
	}
	namespaces = &kind{
		GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"),
		resource:         "namespaces",
		global:           true,
		empty:            func() object { return &corev1.Namespace{} },
		fields:           nameFields,
		list: func(objects []object, meta metav1.ListMeta) runtime.Object {
			list := &corev1.NamespaceList{ListMeta: meta, Items: items[corev1.Namespace](objects)}
			list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
			return list
		},
	}

	kinds = []*kind{pods, endpointSlices, services, namespaces}
)

// items are those of a typed list, which carry no types of their own.
func items[T any, P interface {
	*T
	object
}](objects []object) []T {
	out := make([]T, len(objects))
	for i, o := range objects {
		out[i] = *o.(P)
		P(&out[i]).GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return out
}

func nameFields(o object) fields.Set {
	return fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()}
}

// kindOf returns nil for what the store does not hold.
func kindOf(obj runtime.Object) *kind {
	switch obj.(type) {
	case *corev1.Pod:
		return pods
	case *discoveryv1.EndpointSlice:
		return endpointSlices
	case *corev1.Service:
		return services
	case *corev1.Namespace:
		return namespaces
	}
	return nil
}

// bookmark is an object of the kind with nothing but a resource version.
func (k *kind) bookmark(version uint64) object {
	o := k.empty()
	o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	o.SetResourceVersion(format(version))
	return o
}
