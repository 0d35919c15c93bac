package main

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// app labels all objects of an app.
func app(name string) map[string]string { return map[string]string{"app": name} }

// podSpec is of a pod that nobody starts.
func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "app", Image: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 4000}, {Name: "dist", ContainerPort: 9100}},
	}}}
}

// service makes a headless Service for an app. It has the labels of the app, and so have its slices.
func (t *trial) service(namespace, name string, change ...func(*corev1.Service)) {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: app(name)},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Selector: app(name),
			Ports: []corev1.ServicePort{{Name: "http", Port: 4000}},
		},
	}
	for _, c := range change {
		c(s)
	}
	_, err := t.client.CoreV1().Services(namespace).Create(t.ctx, s, metav1.CreateOptions{})
	t.must(err)
}

// families makes a Service have addresses of these only, or of both.
func families(f ...corev1.IPFamily) func(*corev1.Service) {
	policy := corev1.IPFamilyPolicySingleStack
	if len(f) > 1 {
		policy = corev1.IPFamilyPolicyRequireDualStack
	}
	return func(s *corev1.Service) {
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy = f, &policy
	}
}

func withLabels(l map[string]string) func(*corev1.Service) {
	return func(s *corev1.Service) { maps.Copy(s.Labels, l) }
}

// pod makes a pod of an app; its addresses are new unless they are given, with a comma between two.
func (t *trial) pod(namespace, app, name, addresses string, change ...func(*corev1.Pod)) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}, Annotations: map[string]string{addressesKey: addresses}},
		Spec:       podSpec(),
	}
	p.Spec.NodeName = fakeNode
	for _, c := range change {
		c(p)
	}
	_, err := t.client.CoreV1().Pods(namespace).Create(t.ctx, p, metav1.CreateOptions{})
	t.must(err)
}

// hosted is a pod with a hostname in a Service.
func hosted(service string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = p.Name, service }
}

// deployment makes a Deployment of the app shop.
func (t *trial) deployment(namespace string, replicas int32) {
	const name = "shop"
	_, err := t.client.AppsV1().Deployments(namespace).Create(t.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: app(name)},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app(name)}, Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	t.must(err)
}

// statefulSet makes a StatefulSet of an app, whose pods have their hostnames in a Service and start all at once.
func (t *trial) statefulSet(namespace, name, service string, replicas int32) {
	_, err := t.client.AppsV1().StatefulSets(namespace).Create(t.ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: app(name)},
			ServiceName: service, PodManagementPolicy: appsv1.ParallelPodManagement,
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app(name)}, Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	t.must(err)
}

// scale changes the replicas of the Deployment or StatefulSet of the app shop.
func (t *trial) scale(kind, namespace string, replicas int32) {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	err := t.bed.client.AppsV1().RESTClient().Patch("application/merge-patch+json").
		Namespace(namespace).Resource(kind).Name("shop").Body(patch).Do(t.ctx).Error()
	t.must(err)
}

// patienceForOne is how much longer many pods may take, each.
const patienceForOne = 200 * time.Millisecond

// podsOf waits until an app has exactly n pods that run and are not being deleted, and gives them in order of name.
func (t *trial) podsOf(namespace, name string, n int) []corev1.Pod {
	var out []corev1.Pod
	t.within(patience+time.Duration(n)*patienceForOne, fmt.Sprintf("%d pods of %s run", n, name), func() error {
		list, err := t.client.CoreV1().Pods(namespace).List(t.ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(app(name))})
		if err != nil {
			return err
		}
		out = out[:0]
		for _, pod := range list.Items {
			if pod.DeletionTimestamp == nil && pod.Status.PodIP != "" && pod.Status.Phase == corev1.PodRunning {
				out = append(out, pod)
			}
		}
		if len(out) != n || len(list.Items) != n {
			return fmt.Errorf("%d of %d pods run", len(out), len(list.Items))
		}
		return nil
	})
	return out
}

// endpoints waits until the slices of a Service have exactly n, and gives these.
func (t *trial) endpoints(namespace, service string, n int) []discoveryv1.Endpoint {
	var out []discoveryv1.Endpoint
	t.within(patience+time.Duration(n)*patienceForOne, fmt.Sprintf("%d endpoints of %s are there", n, service), func() error {
		list, err := t.client.DiscoveryV1().EndpointSlices(namespace).List(t.ctx,
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
		if err != nil {
			return err
		}
		out = out[:0]
		for _, s := range list.Items {
			out = append(out, s.Endpoints...)
		}
		if len(out) != n {
			return fmt.Errorf("%d slices with %d endpoints", len(list.Items), len(out))
		}
		return nil
	})
	return out
}

func (t *trial) deletePod(namespace, name string) {
	t.must(t.client.CoreV1().Pods(namespace).Delete(t.ctx, name, metav1.DeleteOptions{}))
}

// addresses of pods, the primary ones.
func addressesOf(pods []corev1.Pod) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		out = append(out, p.Status.PodIP)
	}
	return out
}

// hostOf is what Kubernetes' and libcluster's documentation tell people to put behind the @ of a node's name: written
// down here a second time, for the plugin must not be its own judge.
func hostOf(mode string, pod corev1.Pod, domain string) string {
	switch mode {
	case "dns":
		return strings.NewReplacer(".", "-", ":", "-").Replace(pod.Status.PodIP) + "." + pod.Namespace + ".pod." + domain
	case "hostname":
		return pod.Spec.Hostname + "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + domain
	default:
		return pod.Status.PodIP
	}
}

// longnames puts a basename before each host.
func longnames(basename string, hosts []string) []string {
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		out = append(out, basename+"@"+h)
	}
	return out
}

// many does n things, some at once.
func (t *trial) many(n int, do func(i int)) {
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() (err error) {
			defer func() {
				switch r := recover().(type) {
				case nil:
				case failure:
					err = r.error
				default:
					panic(r)
				}
			}()
			do(i)
			return nil
		})
	}
	t.must(g.Wait())
}
