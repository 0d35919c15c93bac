package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Many pods: how large each is as it is sent, and how many make up a cluster.
const (
	massSize     = 20_000
	massTogether = 10
	massBytes    = 5000
)

// mass are very many pods in a namespace of their own that nobody looks after.
type mass struct {
	*trial
	namespace string
	since     metav1.Time
}

func newMass(t *trial) *mass {
	t.kubelet.close() // it would read all of them, too
	m := &mass{trial: t, namespace: t.name + "-mass", since: metav1.NewTime(time.Now().Truncate(time.Second))}
	_, err := t.client.CoreV1().Namespaces().Create(t.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.namespace}}, metav1.CreateOptions{})
	t.must(err)
	return m
}

// plantAll makes all of them. Kubernetes never makes several with one version: who begins to watch amid those would miss
// the others. So the last one has a version of its own, and is waited for.
func (m *mass) plantAll() {
	m.plant(massSize, m.member)
	m.must(m.put(massSize-1, massSize, m.member))
}

func massApp(i int) string { return fmt.Sprintf("app-%d", i/massTogether) }

func (m *mass) address(i int) string {
	return fmt.Sprintf("10.%d.%d.%d", m.number, 100+i/250, i%250+1)
}

// member is as large as pods are in real life: half of it is the environment, and who manages which field of it.
func (m *mass) member(i int) *corev1.Pod {
	name := fmt.Sprintf("%s-%d", massApp(i), i)
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: m.namespace, UID: types.UID(name), Labels: app(massApp(i)), CreationTimestamp: m.since,
		},
		Spec:   podSpec(),
		Status: statusOf([]netip.Addr{netip.MustParseAddr(m.address(i))}, true),
	}
	p.Spec.NodeName = fakeNode
	container := &p.Spec.Containers[0]
	var fields strings.Builder
	for n := 0; p.Size() < massBytes; n++ {
		variable := fmt.Sprintf("VARIABLE_%d", n)
		container.Env = append(container.Env, corev1.EnvVar{Name: variable, Value: fmt.Sprintf("value %d of pod %d", n, i)})
		fmt.Fprintf(&fields, `"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}},`, variable)
		p.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &m.since, FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{` + fields.String() + `".":{}}}}}}`),
		}}
	}
	return p
}

// growUnseen adds a pod while nobody can see it, and has it be impossible to go on from what was seen before.
func (m *mass) growUnseen(i int) {
	m.away()
	m.must(m.put(i, i+1, m.member))
	m.bump(m.revision() + 10)
	m.back()
}
