package node

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/watch"
)

// readEndpointSlices is all that the account of our pods may do.
const readEndpointSlices = "endpointslices.discovery.k8s.io [list watch]"

// rights checks what an account may do in a namespace, besides what every account may do.
func (b *bed) rights(home, account, namespace string, want ...string) {
	may := func(account string) (out []string) {
		list := b.kubectl("auth can-i --list --no-headers -n %s --as=system:serviceaccount:%s:%s", namespace, home, account)
		for line := range strings.Lines(list) {
			out = append(out, strings.Join(strings.Fields(strings.ReplaceAll(line, "[]", "")), " "))
		}
		return out
	}
	usual := may("nobody")
	got := slices.DeleteFunc(may(account), func(right string) bool { return slices.Contains(usual, right) })
	b.should(watch.Same("rights of "+account+" in "+namespace, got, want))
}

// confined is what the kernel says besides of what the Pod Security level restricted allows.
var confined = []string{"CapBnd:\t0000000000000000", "Seccomp:\t2"}

// installed checks pods of CoreDNS: what the kernel says of their processes, snapshots, and logs.
func (b *bed) installed(namespace string, pods []corev1.Pod, more ...string) {
	require.Len(b, pods, 2)
	for _, pod := range pods {
		status := b.mustOnNode(pod, `cat "/proc/$pid/status"`)
		const none, user = ":\t0000000000000000", ":\t65532\t65532\t65532\t65532"
		for _, want := range append([]string{
			"Uid" + user, "Gid" + user, "CapInh" + none, "CapPrm" + none, "CapEff" + none, "CapAmb" + none, "NoNewPrivs:\t1",
		}, more...) {
			assert.Contains(b, status, want+"\n", pod.Name)
		}
		assert.Regexp(b, "^overlay / overlay ro,", b.mustOnNode(pod, `cat "/proc/$pid/mounts"`), "the root of %s is read-only", pod.Name)
		b.snapshot(pod)
	}
	b.at(namespace).silent("ERROR|WARNING", pods)
}

// snapshot waits until a pod has a member in its snapshot.
func (b *bed) snapshot(pod corev1.Pod) {
	b.eventually(pod.Name+" has a snapshot", func() error {
		text, err := b.onNode(pod, `cat "/proc/$pid/root/var/lib/coredns/svc.erl.internal.json"`)
		if err == nil && !strings.Contains(text, `shop`) {
			err = errors.New("it has no member")
		}
		return err
	})
}

func (b *bed) evict(pod corev1.Pod) error {
	return b.Client.PolicyV1().Evictions(pod.Namespace).Evict(b.Context(),
		&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
}

// newPod waits until a pod waits for a reason. Two others are ready.
func (b *bed) newPod(reason string) {
	b.prints(reason, "get pods -o jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}")
	require.Equal(b, "2", b.get("deployment/longnames", ".status.availableReplicas"))
}

// rollback upgrades, and rolls back in both ways of deploy/README.md, while questions are asked all the time. What
// cannot start goes no further than one pod.
func (b *bed) rollback() {
	b = b.at("longnames")
	dir, begin, members := b.repository(), time.Now(), b.members("prod")
	edit := func(file, from, to string) {
		b.Shell(b.T, dir, fmt.Sprintf("sed -Ei 's/%s/%s/w /dev/stderr' overlays/prod/%s 2>&1 | grep -q .", from, to, file))
	}
	apply := func(ttl string) {
		edit("Corefile", `ttl \S+`, "ttl "+ttl)
		b.kubectl("apply --server-side --force-conflicts -k %s", dir+"/overlays/prod")
	}
	goes := func(ttl uint32) {
		b.rolledOut("deployment/longnames")
		for _, pod := range b.ours() {
			answer, err := watch.Exchange(b.Context(), b.node(pod), "udp", pod.Status.PodIP+":1053", clusterName, "TXT", 0)
			require.NoError(b, err)
			require.NotEmpty(b, answer.Answer, pod.Name)
			assert.Equal(b, ttl, answer.Answer[0].Header().Ttl, pod.Name)
		}
	}
	undo := func() { b.Shell(b.T, dir, "kubectl -n longnames rollout undo deployment/longnames") }
	standalone := b.keepAsking(b.Nodes[0], standaloneAddress, members, 0)
	stub := b.keepAsking(b.Nodes[1], clusterDNSAddress, members, 0)

	apply("7")
	goes(7)
	b.Shell(b.T, dir, "cp longnames/deploy/base/Corefile overlays/prod")
	b.applyRepository(dir) // as `git checkout` would have it
	goes(0)
	apply("7")
	goes(7)
	undo()
	goes(0)
	_, err := b.try("apply --server-side -k %s", dir+"/overlays/prod")
	assert.ErrorContains(b, err, "conflict")
	apply("7")
	goes(7)
	apply("0")
	goes(0)

	// As a tool that prunes.
	used := b.get("pods", ".items[*].spec.volumes[*].configMap.name")
	for name := range strings.FieldsSeq(b.get("configmaps -l "+ours, ".items[*].metadata.name")) {
		if !slices.Contains(strings.Fields(used), name) {
			b.kubectl("delete configmap %s", name)
		}
	}
	undo()
	b.newPod("ContainerCreating")
	apply("0")
	goes(0)

	apply("a-while")
	b.newPod("CrashLoopBackOff")
	_, err = b.try("rollout status --timeout=1s deployment/longnames")
	assert.Error(b, err, "the status of a rollout that cannot end")
	apply("0")
	goes(0)
	edit("kustomization.yaml", "newTag: v1.2.3", "newTag: v0")
	b.kubectl("apply --server-side -k %s", dir+"/overlays/prod")
	b.newPod("ImagePullBackOff")
	edit("kustomization.yaml", "newTag: v0", "newTag: v1.2.3")
	b.applyRepository(dir)
	goes(0)
	standalone()
	stub()
	b.notDropped(begin)
}

var restored = regexp.MustCompile(`snapshot: \d+ objects of .* from /var/lib/coredns/svc\.erl\.internal\.json`)

// apiServerAway kills CoreDNS while there is no API server. Kubelet starts it again without, and it answers from the
// snapshot in the volume of its pod.
func (b *bed) apiServerAway() {
	pod, shop := b.ours()[0], b.at("prod")
	node, server, members := b.node(pod), pod.Status.PodIP+":1053", b.members("prod")
	b.answered(node, server, members)
	b.snapshot(pod)
	b.Part("kube-apiserver").Stop(0)
	func() {
		defer func() { b.Restart(b.T, "kube-apiserver"); b.Back(b.T) }()
		b.mustOnNode(pod, `kill -KILL "$pid"`)
		log := fmt.Sprintf("/var/log/pods/%s_%s_%s/coredns/%d.log", pod.Namespace, pod.Name, pod.UID,
			pod.Status.ContainerStatuses[0].RestartCount+1)
		b.eventually("another container reads the snapshot", func() error {
			said, err := node.Run(b.Context(), "cat", log)
			if err == nil && !restored.MatchString(said) {
				err = fmt.Errorf("got %s", said)
			}
			return err
		})
		b.answered(node, server, members)
	}()
	shop.kubectl("scale statefulset/shop --replicas=4")
	shop.rolledOut("statefulset/shop")
	b.answered(node, server, b.members("prod"))
	b.at("longnames").wait("pod/"+pod.Name, "condition=Ready")
	shop.kubectl("scale statefulset/shop --replicas=3")
	b.meshed(3)
}
