package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NoNode is the node that pods without containers are on. No kubelet runs it. The controller of EndpointSlices leaves out
// pods whose node does not exist.
const NoNode = "none"

// CreatePod creates a pod without containers, which runs with addresses as far as the API server knows, and is ready or
// not. Nothing else changes it: it stays until DeletePod if it is deleted otherwise. Only the cluster without nodes has it
// stay ready.
func (c *Cluster) CreatePod(t testing.TB, pod *corev1.Pod, ready bool, addresses ...netip.Addr) *corev1.Pod {
	t.Helper()
	pods := c.Client.CoreV1().Pods(pod.Namespace)
	_, err := c.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: NoNode}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pod = pod.DeepCopy()
	pod.Spec.NodeName = NoNode
	if pod.Spec.Containers == nil {
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "none"}}
	}
	if pod, err = pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod.Status = RunningStatus(ready, addresses...)
	if pod, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return pod
}

// RunningStatus is that of a pod that runs.
func RunningStatus(ready bool, addresses ...netip.Addr) corev1.PodStatus {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	s := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, Conditions: conditions(ready)}
	for _, a := range addresses {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: a.String()})
	}
	if len(addresses) > 0 {
		s.PodIP = addresses[0].String()
	}
	return s
}

func conditions(ready bool) []corev1.PodCondition {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	now := metav1.Now()
	return []corev1.PodCondition{
		{Type: corev1.PodReady, Status: status, LastTransitionTime: now},
		{Type: corev1.ContainersReady, Status: status, LastTransitionTime: now},
	}
}

// SetReady has such a pod become ready, or not ready.
func (c *Cluster) SetReady(t testing.TB, namespace, name string, ready bool) {
	t.Helper()
	c.UpdatePodStatus(t, namespace, name, func(s *corev1.PodStatus) {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady || c.Type == corev1.ContainersReady
		})
		s.Conditions = append(s.Conditions, conditions(ready)...)
	})
}

// UpdatePodStatus changes the status of such a pod.
func (c *Cluster) UpdatePodStatus(t testing.TB, namespace, name string, change func(*corev1.PodStatus)) {
	t.Helper()
	pods := c.Client.CoreV1().Pods(namespace)
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err == nil {
		change(&pod.Status)
		_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// DeletePod deletes such a pod as its node would: once it has been terminating, if it is not yet, it is gone.
func (c *Cluster) DeletePod(t testing.TB, namespace, name string) {
	t.Helper()
	pods := c.Client.CoreV1().Pods(namespace)
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err == nil && pod.DeletionTimestamp == nil {
		err = pods.Delete(t.Context(), name, metav1.DeleteOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	// Its containers would take longer to end than the controller takes to say so.
	Eventually(t, startTime, name+" is terminating in all EndpointSlices", func() error {
		slices, err := c.Client.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				if e.TargetRef != nil && e.TargetRef.UID == pod.UID && (e.Conditions.Terminating == nil || !*e.Conditions.Terminating) {
					return fmt.Errorf("got conditions %+v in %s", e.Conditions, s.Name)
				}
			}
		}
		return nil
	})
	now := int64(0)
	if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}}); err != nil {
		t.Fatal(err)
	}
}
