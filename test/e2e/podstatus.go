package main

import (
	"context"
	"encoding/json"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// statusOf is the status of a pod that runs.
func statusOf(addresses []netip.Addr, ready bool) corev1.PodStatus {
	now := metav1.Now()
	s := corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now, Conditions: readiness(ready),
		HostIP: "127.0.0.1", HostIPs: []corev1.HostIP{{IP: "127.0.0.1"}},
	}
	for _, a := range addresses {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: a.String()})
	}
	s.PodIP = s.PodIPs[0].IP
	return s
}

func readiness(ready bool) []corev1.PodCondition {
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

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// setReady does what a kubelet does when a readiness probe changes its mind.
func setReady(ctx context.Context, client kubernetes.Interface, namespace, name string, ready bool) error {
	return patchStatus(ctx, client, namespace, name, corev1.PodStatus{Conditions: readiness(ready)})
}

// setPhase does what a kubelet does when all containers have ended. The pod keeps its address in its status.
func setPhase(ctx context.Context, client kubernetes.Interface, namespace, name string, phase corev1.PodPhase) error {
	return patchStatus(ctx, client, namespace, name, corev1.PodStatus{Phase: phase, Conditions: readiness(false)})
}

func patchStatus(ctx context.Context, client kubernetes.Interface, namespace, name string, status corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
