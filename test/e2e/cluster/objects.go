package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CreateNamespace creates a namespace in which there can be pods: they need its account.
func (c *Cluster) CreateNamespace(t testing.TB, name string) {
	t.Helper()
	c.Kubectl(t, "create", "namespace", name)
	c.Kubectl(t, "wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=1m")
}

// CreateService creates a headless Service for an app, whose slices have a label app, too.
func (c *Cluster) CreateService(t testing.TB, namespace, app string) {
	t.Helper()
	c.Kubectl(t, "create", "service", "clusterip", app, "--clusterip=None", "--tcp=4000", "--namespace", namespace)
}

// Account creates a service account, and writes what a pod of it has mounted to a directory: ca.crt, namespace, token.
func (c *Cluster) Account(t testing.TB, namespace, name, dir string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.Client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	ca, err := os.ReadFile(c.Config.CAFile)
	require.NoError(t, errors.Join(err, os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600), //nolint:gosec // the caller says where
		os.WriteFile(filepath.Join(dir, "namespace"), []byte(namespace), 0o600),
		os.WriteFile(filepath.Join(dir, "token"), []byte(c.Token(t, namespace, name)), 0o600)))
}

// Token requests a token of an account.
func (c *Cluster) Token(t testing.TB, namespace, account string) string {
	t.Helper()
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	return token.Status.Token
}

// NoNode is the node that pods without containers are on. No kubelet runs it. The controller of EndpointSlices leaves out
// pods whose node does not exist.
const NoNode = "none"

// CreatePod creates a pod without containers, which runs with an address as far as the API server knows, and is ready or
// not. Nothing else changes it: it stays until DeletePod if it is deleted otherwise. Only the cluster without nodes has it
// stay ready.
func (c *Cluster) CreatePod(t testing.TB, pod *corev1.Pod, ready bool, address string) *corev1.Pod {
	t.Helper()
	none := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: NoNode}}
	// Each time, for etcd may be wiped; pods of a node that does not exist are deleted.
	if _, err := c.Client.CoreV1().Nodes().Create(t.Context(), none, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	pod = pod.DeepCopy()
	pod.Spec.NodeName = NoNode
	if pod.Spec.Containers == nil {
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "none"}}
	}
	pods := c.Client.CoreV1().Pods(pod.Namespace)
	pod, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
	if err == nil {
		pod.Status = RunningStatus(ready, address)
		pod, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	}
	require.NoError(t, err)
	return pod
}

// RunningStatus is that of a pod that runs.
func RunningStatus(ready bool, address string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, StartTime: new(metav1.NewTime(time.Now().Truncate(time.Second))),
		Conditions: conditions(ready), PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}}
}

func conditions(ready bool) (out []corev1.PodCondition) {
	status := map[bool]corev1.ConditionStatus{false: corev1.ConditionFalse, true: corev1.ConditionTrue}[ready]
	for _, kind := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		out = append(out, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.Now()})
	}
	return out
}

// SetReady has such a pod become ready, or not ready.
func (c *Cluster) SetReady(t testing.TB, namespace, name string, ready bool) {
	t.Helper()
	c.UpdatePodStatus(t, namespace, name, func(s *corev1.PodStatus) { s.Conditions = conditions(ready) })
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
	require.NoError(t, err)
}

// DeletePod deletes such a pod as its node would: once it has been terminating, if it is not yet, it is gone.
func (c *Cluster) DeletePod(t testing.TB, namespace, name string) {
	t.Helper()
	pods := c.Client.CoreV1().Pods(namespace)
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err == nil && pod.DeletionTimestamp == nil {
		err = pods.Delete(t.Context(), name, metav1.DeleteOptions{})
	}
	require.NoError(t, err)
	// Its containers would take longer to end than the controller takes to say so.
	Eventually(t, startTime, name+" is terminating in all EndpointSlices", func() error {
		slices, err := c.Client.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				terminating := e.Conditions.Terminating != nil && *e.Conditions.Terminating
				if e.TargetRef != nil && e.TargetRef.UID == pod.UID && !terminating {
					return fmt.Errorf("got conditions %+v in %s", e.Conditions, s.Name)
				}
			}
		}
		return nil
	})
	options := metav1.NewPreconditionDeleteOptions(string(pod.UID))
	options.GracePeriodSeconds = new(int64)
	require.NoError(t, pods.Delete(t.Context(), name, *options))
}
