package kubeapi

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// changedAt returns the time at which an object of a watch changed from old, nil if it is new, to now. It
// is nil if the object does not say. Kubernetes cuts these times to whole seconds.
func changedAt(obj any, old, now *Object) *time.Time {
	var at time.Time
	switch obj := obj.(type) {
	case *discoveryv1.EndpointSlice:
		at = triggeredAt(obj)
	case *corev1.Pod:
		at = podChangedAt(obj, old, now)
	}
	if at.IsZero() {
		return nil
	}
	return &at
}

// triggeredAt returns the time of the change of a pod or a Service that made Kubernetes write the slice;
// of several, the first. It is never an earlier state's: with each state that is written, the
// annotation is set anew or removed.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#endpoints-kubernetes-io-last-change-trigger-time
func triggeredAt(e *discoveryv1.EndpointSlice) time.Time {
	at, err := time.Parse(time.RFC3339Nano, e.Annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil {
		return time.Time{} // there is none
	}
	return at
}

// podChangedAt returns the time of the change of a pod. Each field has a time of its own. A pod that
// was not known may have been like that for long, and only now have got the labels of the selector.
// Changes of labels have no time, nor has the loss of an address.
func podChangedAt(p *corev1.Pod, old, now *Object) time.Time {
	if old == nil || len(now.Members) == 0 {
		return time.Time{}
	}
	var was Member
	if len(old.Members) > 0 {
		was = old.Members[0]
	}
	var at time.Time
	is := &now.Members[0]
	if is.Address != was.Address || is.Ready != was.Ready {
		at = lastTransition(&p.Status)
	}
	if is.Terminating && !was.Terminating {
		if deleted := deletedAt(p); deleted.After(at) {
			at = deleted
		}
	}
	return at
}

// lastTransition returns the latest transition time of the pod's conditions: its status
// cannot be older than that.
func lastTransition(status *corev1.PodStatus) time.Time {
	var last time.Time
	for i := range status.Conditions {
		if at := status.Conditions[i].LastTransitionTime.Time; at.After(last) {
			last = at
		}
	}
	return last
}

// deletedAt returns the time at which a pod that terminates was deleted: its deletionTimestamp is the
// end of its grace period.
func deletedAt(p *corev1.Pod) time.Time {
	return p.DeletionTimestamp.Add(-time.Duration(ptr.Deref(p.DeletionGracePeriodSeconds, 0)) * time.Second)
}
