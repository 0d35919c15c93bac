package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// restricted wants the process of a pod to have no more rights than it needs: what the kernel says, not the pod.
func (t *trial) restricted(pod corev1.Pod) {
	pid := t.pidOf(pod, "coredns")
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	t.must(err)
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "Groups:\t ",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1",
	} {
		if !slices.Contains(strings.Split(string(status), "\n"), want) {
			t.failf("%s: its process has no line %q in\n%s", pod.Name, want, status)
		}
	}
	mounts, err := os.ReadFile(filepath.Join("/proc", pid, "mounts"))
	t.must(err)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[1] == "/" && strings.HasPrefix(fields[3], "ro,") {
			t.note("%s: process %s is restricted", pod.Name, pid)
			return
		}
	}
	t.failf("%s: its root can be written to:\n%s", pod.Name, mounts)
}

// pidOf finds the process of a name in a pod.
func (t *trial) pidOf(pod corev1.Pod, name string) string {
	_, namespace := t.kubelet.process(pod.UID)
	pids, err := exec.CommandContext(t.ctx, "ip", "netns", "pids", namespace).Output()
	t.must(err)
	for pid := range strings.FieldsSeq(string(pids)) {
		if comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm")); err == nil && strings.TrimSpace(string(comm)) == name {
			return pid
		}
	}
	t.failf("%s runs no %s", pod.Name, name)
	return ""
}

// as gives a client with the token that is mounted in a pod.
func (t *trial) as(pod corev1.Pod) kubernetes.Interface {
	found, err := filepath.Glob(filepath.Join(t.dir, pod.Name, "volumes", "*", "token"))
	t.must(err)
	if len(found) != 1 {
		t.failf("%s has %d tokens, want 1", pod.Name, len(found))
	}
	token, err := os.ReadFile(found[0])
	t.must(err)
	return t.clientOf(string(token))
}

func (t *trial) clientOf(token string) kubernetes.Interface {
	client, err := kubernetes.NewForConfig(t.config(token))
	t.must(err)
	return client
}

// onlyRight is all that the account of a pod of ours may have.
const onlyRight = "list,watch endpointslices.discovery.k8s.io"

// mayOnly wants the account of a pod to have just these rights in a namespace, besides those that every account has.
func (t *trial) mayOnly(pod corev1.Pod, namespace string, want ...string) {
	t.must(same("rights in "+namespace, t.rightsBeyond(pod, namespace), want))
	t.note("%s has the rights %q in %s", pod.Spec.ServiceAccountName, want, namespace)
}

// rightsBeyond gives the rights of a pod's account which an account that was given none does not have.
func (t *trial) rightsBeyond(pod corev1.Pod, namespace string) []string {
	const nobody = "nobody"
	accounts := t.client.CoreV1().ServiceAccounts(pod.Namespace)
	_, err := accounts.Create(t.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: nobody}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		t.must(err)
	}
	token, err := accounts.CreateToken(t.ctx, nobody, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	t.must(err)
	usual := t.rights(t.clientOf(token.Status.Token), namespace)
	return slices.DeleteFunc(t.rights(t.as(pod), namespace), func(r string) bool { return slices.Contains(usual, r) })
}

// rights asks the API server what a client may do: each rule as VERBS RESOURCES.GROUPS or VERBS URLS.
func (t *trial) rights(client kubernetes.Interface, namespace string) []string {
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
	}, metav1.CreateOptions{})
	t.must(err)
	if review.Status.Incomplete {
		t.failf("rights in %s: %s", namespace, review.Status.EvaluationError)
	}
	out := make([]string, 0, len(review.Status.ResourceRules)+len(review.Status.NonResourceRules))
	for _, r := range review.Status.ResourceRules {
		line := strings.Join(r.Verbs, ",") + " " + strings.Join(r.Resources, ",")
		if groups := strings.Join(r.APIGroups, ","); groups != "" {
			line += "." + groups
		}
		out = append(out, strings.TrimSpace(line+" "+strings.Join(r.ResourceNames, ",")))
	}
	for _, r := range review.Status.NonResourceRules {
		out = append(out, strings.Join(r.Verbs, ",")+" "+strings.Join(r.NonResourceURLs, ","))
	}
	return out
}

// refused wants requests of a pod's account to be forbidden that are next to what it may do.
func (t *trial) refused(pod corev1.Pod, namespace string) {
	client := t.as(pod)
	for what, do := range map[string]func() error{
		"get an EndpointSlice": func() error {
			_, err := client.DiscoveryV1().EndpointSlices(namespace).Get(t.ctx, "any", metav1.GetOptions{})
			return err
		},
		"delete an EndpointSlice": func() error {
			return client.DiscoveryV1().EndpointSlices(namespace).Delete(t.ctx, "any", metav1.DeleteOptions{})
		},
		"list pods": func() error {
			_, err := client.CoreV1().Pods(namespace).List(t.ctx, metav1.ListOptions{})
			return err
		},
		"list secrets": func() error {
			_, err := client.CoreV1().Secrets(namespace).List(t.ctx, metav1.ListOptions{})
			return err
		},
		"get a ConfigMap": func() error {
			_, err := client.CoreV1().ConfigMaps(pod.Namespace).Get(t.ctx, "any", metav1.GetOptions{})
			return err
		},
	} {
		if err := do(); !apierrors.IsForbidden(err) {
			t.failf("%s may %s: %v", pod.Spec.ServiceAccountName, what, err)
		}
	}
}
