package node

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
)

const (
	deployPage = "deploy/README.md"
	// unpulled is the image of the manifests as they are.
	unpulled = "image.invalid/longnames/coredns:edit-me"
)

// harmless checks that the CoreDNS of a pod has said nothing of an error.
func (b bed) harmless(t *testing.T, pods ...corev1.Pod) {
	t.Helper()
	for _, pod := range pods {
		said := b.Kubectl(t, "-n", pod.Namespace, "logs", pod.Name)
		if found := regexp.MustCompile(`(?m)^\[(ERROR|WARNING)\].*|^panic.*`).FindString(said); found != "" {
			t.Errorf("%s has logged %s", pod.Name, found)
		}
	}
}

// readEndpointSlices is all that the account of our pods may do.
const readEndpointSlices = "list,watch endpointslices.discovery.k8s.io"

// rights checks what an account may do in a namespace, besides what every account may do.
func (b bed) rights(t *testing.T, home, account, namespace string, want ...string) {
	t.Helper()
	may := func(account string) (out []string) {
		config := rest.CopyConfig(b.Config)
		config.Impersonate = rest.ImpersonationConfig{
			UserName: "system:serviceaccount:" + home + ":" + account,
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"},
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{
			Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
		}, metav1.CreateOptions{})
		if err != nil || review.Status.Incomplete {
			t.Fatal(err, review.Status)
		}
		for _, r := range review.Status.ResourceRules {
			line := strings.Join(r.Verbs, ",") + " " + strings.Join(r.Resources, ",") + "." + strings.Join(r.APIGroups, ",")
			out = append(out, strings.Trim(line+" "+strings.Join(r.ResourceNames, ","), ". "))
		}
		for _, r := range review.Status.NonResourceRules {
			out = append(out, strings.Join(r.Verbs, ",")+" "+strings.Join(r.NonResourceURLs, ","))
		}
		return out
	}
	usual := may("nobody")
	if got := slices.DeleteFunc(may(account), func(r string) bool { return slices.Contains(usual, r) }); !slices.Equal(got, want) {
		t.Errorf("rights of %s in %s: got %q, want %q", account, namespace, got, want)
	}
}

// restricted checks what the kernel says of a pod's process.
func (b bed) restricted(t *testing.T, pod corev1.Pod, more ...string) {
	t.Helper()
	status := b.mustOnNode(t, pod, `cat "/proc/$pid/status"`)
	for _, want := range append([]string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
	}, more...) {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("%s: /proc/PID/status lacks %q:\n%s", pod.Name, want, status)
		}
	}
	if mounts := b.mustOnNode(t, pod, `cat "/proc/$pid/mounts"`); !strings.HasPrefix(mounts, "overlay / overlay ro,") {
		t.Errorf("%s: the root is not read-only: %s", pod.Name, mounts)
	}
}

// snapshots waits until a pod has a member in its snapshot.
func (b bed) snapshots(t *testing.T, pod corev1.Pod) {
	t.Helper()
	cluster.Eventually(t, patience, pod.Name+" has a snapshot", func() error {
		text, err := b.onNode(t, pod, `cat "/proc/$pid/root/var/lib/coredns/svc.erl.internal.json"`)
		if err == nil && !strings.Contains(text, `shop`) {
			err = errors.New("it has no member")
		}
		return err
	})
}

// hasImage gives each node our image under one more name.
func (b bed) hasImage(t *testing.T, name string) {
	t.Helper()
	for _, n := range b.Nodes {
		if _, err := n.Run(t.Context(), "ctr", "--namespace", "k8s.io", "images", "tag", "--force", cluster.CoreDNS, name); err != nil {
			t.Fatal(err)
		}
	}
}

// members are the nodes of the cluster, as TXT records have them.
func (b bed) members(t *testing.T) question {
	t.Helper()
	return question{clusterName, "TXT", longnames(b.pods(t, "prod", "app=shop"))}
}

// stillReady checks that n pods are ready, whatever others there are.
func (b bed) stillReady(t *testing.T, n int) {
	t.Helper()
	d, err := b.Client.AppsV1().Deployments("longnames").Get(t.Context(), "longnames", metav1.GetOptions{})
	if err != nil || d.Status.AvailableReplicas != int32(n) {
		t.Fatalf("got %+v and error %v, want %d available replicas", d.Status, err, n)
	}
}

// newPod waits until a pod waits for a reason.
func (b bed) newPod(t *testing.T, reason string) {
	t.Helper()
	cluster.Eventually(t, patience, "a pod has "+reason, func() error {
		for _, pod := range b.pods(t, "longnames", ours) {
			for _, s := range pod.Status.ContainerStatuses {
				if w := s.State.Waiting; w != nil && w.Reason == reason {
					return nil
				}
			}
		}
		return errors.New("there is none")
	})
	b.stillReady(t, 2)
}

// rollback upgrades, and rolls back in both ways of deploy/README.md, while questions are asked all the time. What cannot
// start goes no further than one pod.
func (b bed) rollback(t *testing.T) {
	const corefile, kustomization = "overlays/prod/Corefile", "overlays/prod/kustomization.yaml"
	r, begin := newRepository(t), time.Now()
	apply := func(ttl string) {
		t.Helper()
		text := r.read(t, corefile)
		r.write(t, corefile, regexp.MustCompile(`ttl \S+`).ReplaceAllString(text, "ttl "+ttl))
		b.Kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", r.path("overlays/prod"))
	}
	goes := func(ttl uint32) {
		t.Helper()
		b.rolledOut(t, "longnames", "deployment/longnames")
		for _, pod := range b.pods(t, "longnames", ours) {
			answer, err := query(t, b.node(t, pod), "udp", pod.Status.PodIP+":1053", clusterName, "TXT")
			if err != nil || len(answer.Answer) == 0 || answer.Answer[0].Header().Ttl != ttl {
				t.Errorf("%s: got %v and error %v, want TTL %d", pod.Name, answer, err, ttl)
			}
		}
	}
	undo := func() { b.Shell(t, string(r), "kubectl -n longnames rollout undo deployment/longnames") }
	stops := []func() stream{b.members(t).keepAsking(t, b.Nodes[0], standaloneAddress), b.members(t).keepAsking(t, b.Nodes[1], cluster.ClusterDNS+":53")}

	apply("7")
	goes(7)
	r.write(t, corefile, r.read(t, "longnames/deploy/base/Corefile"))
	r.apply(t, b) // as `git checkout` would have it
	goes(0)
	apply("7")
	goes(7)
	undo()
	goes(0)
	if out, err := b.TryKubectl(t.Context(), "apply", "--server-side", "-k", r.path("overlays/prod")); err == nil || !strings.Contains(out, "conflict") {
		t.Errorf("apply after undo: got %s, want a conflict", out)
	}
	apply("7")
	goes(7)
	apply("0")
	goes(0)

	// As a tool that prunes.
	used := b.pods(t, "longnames", ours)[0].Spec.Volumes
	maps, err := b.Client.CoreV1().ConfigMaps("longnames").List(t.Context(), metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range maps.Items {
		if !slices.ContainsFunc(used, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == m.Name }) {
			b.Kubectl(t, "-n", "longnames", "delete", "configmap", m.Name)
		}
	}
	undo()
	b.newPod(t, "ContainerCreating")
	apply("0")
	goes(0)

	apply("a-while")
	b.newPod(t, "CrashLoopBackOff")
	if out, err := b.TryKubectl(t.Context(), "-n", "longnames", "rollout", "status", "--timeout=1s", "deployment/longnames"); err == nil {
		t.Errorf("the status of a rollout that cannot end: got %s, want an error", out)
	}
	apply("0")
	goes(0)
	r.replace(t, kustomization, "newTag: v1.2.3", "newTag: v0")
	b.Kubectl(t, "apply", "--server-side", "-k", r.path("overlays/prod"))
	b.newPod(t, "ImagePullBackOff")
	r.replace(t, kustomization, "newTag: v0", "newTag: v1.2.3")
	r.apply(t, b)
	goes(0)
	for _, stop := range stops {
		stop().neverLost(t, "members")
	}
	b.notDropped(t, begin)
}

// notDropped checks that no node has disconnected others because it did not find them.
func (b bed) notDropped(t *testing.T, since time.Time) {
	t.Helper()
	for _, pod := range b.pods(t, "prod", "app=shop") {
		if said := b.Kubectl(t, "-n", "prod", "logs", "--since-time="+since.Format(time.RFC3339), pod.Name); strings.Contains(said, "DROPPED") {
			t.Errorf("%s has disconnected others:\n%s", pod.Name, said)
		}
	}
}

// apiServerAway kills CoreDNS while there is no API server. Kubelet starts it again without, and it answers from the
// snapshot in the volume of its pod.
func (b bed) apiServerAway(t *testing.T) {
	pod := b.pods(t, "longnames", ours)[0]
	node, server, members := b.node(t, pod), pod.Status.PodIP+":1053", b.members(t)
	answered(t, node, server, members)
	b.snapshots(t, pod)
	restarts := pod.Status.ContainerStatuses[0].RestartCount + 1
	b.Part("kube-apiserver").Stop(0)
	func() {
		defer func() { b.Restart(t, "kube-apiserver"); b.Ready(t) }()
		if out, err := b.onNode(t, pod, `kill -KILL "$pid"`); err != nil {
			t.Fatal(err, out)
		}
		log := fmt.Sprintf("/var/log/pods/%s_%s_%s/coredns/%d.log", pod.Namespace, pod.Name, pod.UID, restarts)
		cluster.Eventually(t, patience, "another container reads the snapshot", func() error {
			said, err := node.Run(t.Context(), "cat", log)
			if err == nil && !regexp.MustCompile(`snapshot: \d+ objects of .* from /var/lib/coredns/svc\.erl\.internal\.json`).MatchString(said) {
				err = fmt.Errorf("got %s", said)
			}
			return err
		})
		answered(t, node, server, members)
	}()
	b.Kubectl(t, "-n", "prod", "scale", "statefulset/shop", "--replicas=4")
	b.rolledOut(t, "prod", "statefulset/shop")
	answered(t, node, server, b.members(t))
	b.Kubectl(t, "-n", "longnames", "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/"+pod.Name)
	b.Kubectl(t, "-n", "prod", "scale", "statefulset/shop", "--replicas=3")
	b.meshed(t, 3)
}
