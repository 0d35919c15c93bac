package kubetest

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func meta(name string, labels ...string) metav1.ObjectMeta {
	namespace, name, _ := strings.Cut(name, "/")
	m := metav1.ObjectMeta{Namespace: namespace, Name: name}
	for _, label := range labels {
		k, v, _ := strings.Cut(label, "=")
		metav1.SetMetaDataLabel(&m, k, v)
	}
	return m
}

// NewPod returns a running pod. Its name is "namespace/name", its labels are key=value.
func NewPod(name, address string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name, labels...), Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address}}
	if address != "" {
		p.Status.PodIPs = []corev1.PodIP{{IP: address}}
	}
	return p
}

// NewSlice returns a slice with an endpoint for each address, and the label app=shop.
func NewSlice(name string, addresses ...string) *discoveryv1.EndpointSlice {
	e := &discoveryv1.EndpointSlice{ObjectMeta: meta(name, "app=shop"), AddressType: discoveryv1.AddressTypeIPv4}
	for _, address := range addresses {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
	}
	return e
}

// Wire is an object as the API server sends it.
type Wire interface {
	Marshal() ([]byte, error)
	Unmarshal(data []byte) error
}

// benchVariables make a pod of 5 KB.
const benchVariables = 46

// benchPod returns one of 5 KB, most of which is not kept: as in real pods, that is many small
// fields, of the environment and of managedFields.
func benchPod(i int) Wire {
	app := fmt.Sprintf("app-%d", i/10)
	name := fmt.Sprintf("%s-7d4b9c6f5-%05d", app, i)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "production", Name: name, UID: types.UID(fmt.Sprintf("3b1f0d5e-8c7a-4a59-9d39-%012d", i)),
			ResourceVersion: strconv.Itoa(1_000_000 + i),
			Labels:          map[string]string{"app": app, "pod-template-hash": "7d4b9c6f5"},
		},
		Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i%100), Containers: []corev1.Container{{
			Name: "app", Image: "example.com/app:1.2.3",
			Ports: []corev1.ContainerPort{{Name: "epmd", ContainerPort: 4369, Protocol: corev1.ProtocolTCP}, {Name: "http", ContainerPort: 4000, Protocol: corev1.ProtocolTCP}},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: benchAddress(i), PodIPs: []corev1.PodIP{{IP: benchAddress(i)}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	container := &p.Spec.Containers[0]
	var fields strings.Builder
	for n := range benchVariables {
		variable := fmt.Sprintf("VARIABLE_%d", n)
		container.Env = append(container.Env, corev1.EnvVar{Name: variable, Value: fmt.Sprintf("value %d of pod %d", n, i)})
		fmt.Fprintf(&fields, `"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}},`, variable)
	}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{` + fields.String() + `".":{}}}}}}`),
	}}
	return p
}

// benchSlice returns one of 100 endpoints.
func benchSlice(i int) Wire {
	e := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "production", Name: fmt.Sprintf("app-%d-x7k2p", i), ResourceVersion: strconv.Itoa(1_000_000 + i),
			Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("app-%d", i), "app": fmt.Sprintf("app-%d", i)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("epmd"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(4369))}},
	}
	for n := range 100 {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{benchAddress(100*i + n)},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			NodeName:   new(fmt.Sprintf("node-%d", n)),
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: "production", Name: fmt.Sprintf("app-%d-7d4b9c6f5-%05d", i, n),
				UID: types.UID(fmt.Sprintf("3b1f0d5e-8c7a-4a59-%04d-%012d", n, i)),
			},
		})
	}
	return e
}

func benchAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }

// BenchKinds are the kinds of objects that can be looked up.
var BenchKinds = []struct {
	Name    string // of the lookup
	Members int    // of an object
	Made    func(i int) Wire
	Empty   func() Wire
}{
	{"pods", 1, benchPod, func() Wire { return &corev1.Pod{} }},
	{"endpoints", 100, benchSlice, func() Wire { return &discoveryv1.EndpointSlice{} }},
}

// PodYAML returns a document with a pod of the namespace prod.
func PodYAML(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: prod}\nstatus: {podIP: 10.0.0.1}\n"
}

// PodJSON returns a JSON object with a pod of the namespace prod.
func PodJSON(name string) string {
	return `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "` + name + `", "namespace": "prod"}}`
}

// SliceYAML returns a document with a slice of the namespace prod.
func SliceYAML(name string) string {
	return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " + name + ", namespace: prod}\naddressType: IPv4\nendpoints: []\n"
}
