package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/longnames/longnames/test/e2e/cluster"
)

const (
	clusterName = "shop.prod.svc.erl.internal"
	// standaloneAddress is what the component fixed-address gives the Service.
	standaloneAddress = "10.96.0.15:53"
	clusterDNSAddress = cluster.ClusterDNS + ":53"
	// unpulled is the image of the manifests as they are.
	unpulled = "image.invalid/longnames/coredns:edit-me"
)

// start starts a cluster with what deploy/README.md has users install: the standalone CoreDNS, which the cluster's DNS
// asks, and three BEAM nodes that ask that.
func start(t *testing.T) *bed {
	t.Helper()
	options := cluster.Options{Nodes: 2, Images: []string{cluster.CoreDNS, cluster.Stock, cluster.BEAM}}
	b := &bed{T: t, Cluster: cluster.Start(t, options)}
	b.deploy()
	return b
}

// TestNode is about what real nodes do with what deploy/README.md has users install.
func TestNode(t *testing.T) {
	together(t, calm)
	start(t).each(
		part{"Standalone", (*bed).standalone},
		part{"NeverSilent", (*bed).neverSilent},
		part{"OutOfMemory", (*bed).outOfMemory},
		part{"Policies", (*bed).policies},
		part{"NodeLocalDNS", (*bed).nodeLocalDNS},
		part{"Rollback", (*bed).rollback},
		part{"APIServerAway", (*bed).apiServerAway},
		part{"ClusterDNS", (*bed).clusterDNS},
	)
}

// repository makes one of a user, as deploy/README.md wants it: a copy of deploy in longnames, and an overlay in
// overlays/prod with a Corefile.
func (b *bed) repository() string {
	dir := b.TempDir()
	script := blocks(b.T, deployPage, "What to edit", "sh", "")[0]
	b.Shell(b.T, checkout, strings.ReplaceAll(script, "../platform", dir))
	b.write(dir+"/overlays/prod/kustomization.yaml", blocks(b.T, deployPage, "What to edit", "yaml", "")[0])
	return dir
}

// applyRepository applies its overlay in place of the one that the commands of deploy/README.md apply.
func (b *bed) applyRepository(dir string) {
	script := blocks(b.T, deployPage, "Standalone", "sh", "apply")[0]
	b.Shell(b.T, dir, strings.Replace(script, "deploy/overlays/standalone", "overlays/prod", 1))
}

func (b *bed) deploy() {
	b.DeployDNS(b.T)
	b.kubectl("create --validate=strict -f ../testdata/servicemonitor.yaml")
	b.wait("crd/servicemonitors.monitoring.coreos.com", "condition=Established")
	b.applyRepository(b.repository())
	b.letNodesAsk()
	b.CreateNamespace(b, "prod")
	b.Shell(b.T, checkout, blocks(b.T, deployPage, "Standalone", "sh", "label")[0])
	stubDomain := blocks(b.T, deployPage, "Stub domain", "sh", "")
	assert.Regexp(b, `^\.:53 {`, b.Shell(b.T, checkout, stubDomain[0]), "the Corefile of the cluster's DNS")
	diff := b.Shell(b.T, checkout, strings.Replace(stubDomain[1], "kubectl diff", "! kubectl diff", 1))
	assert.Contains(b, diff, "forward . 10.96.0.15", "the stub domain")
	// Pods that have just started may have the Corefile before, and would take their time to see the new one.
	dns := b.at("kube-system")
	dns.kubectl("rollout restart deployment/coredns")
	shop := b.at("prod")
	shop.workload("StatefulSet", 3, beam(""))
	dns.rolledOut("deployment/coredns")
	b.at("longnames").rolledOut("deployment/longnames")
	shop.rolledOut("statefulset/shop")
}

// beam is a spec of a pod with a BEAM node of mode ip, with more of the container's fields. It finds others as
// libcluster's strategy for SRV records does, and gives them up soon if they are lost.
func beam(more string) string {
	return `
    containers:
    - name: shop
      image: ` + cluster.BEAM + `
      imagePullPolicy: Never
      command: [erl, -noinput, -pa, /app, +S, "1:1", -name, shop@$(POD_IP), -setcookie, e2e, -kernel, net_ticktime, "15",
        -s, downs, main, -s, cluster, main, -extra, srv, shop.$(POD_NAMESPACE).svc.erl.internal., shop]
      env:
      - {name: HOME, value: /tmp}
      - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
` + more
}

// service is headless. Its EndpointSlices have its labels. The selector may be followed by more of the spec.
const service = `
apiVersion: v1
kind: Service
metadata: {name: %s, labels: {app: shop, longnames.dev/basename: shop}}
spec: {clusterIP: None, selector: %s, ports: [{name: epmd, port: 4369}]}
---`

// workload makes a Service shop, and a Deployment or StatefulSet for it. It is of pods that only hold an address,
// unless it has a spec of its own.
func (b *bed) workload(kind string, replicas int, spec string) {
	more := ""
	if kind == "StatefulSet" {
		more = "serviceName: shop\n  podManagementPolicy: Parallel\n  "
	}
	if spec == "" {
		spec = "\n    containers: [{name: pause, image: localhost/pause:e2e, imagePullPolicy: Never}]\n"
	}
	b.create(service+`
apiVersion: apps/v1
kind: %s
metadata: {name: shop}
spec:
  %sreplicas: %d
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: %s
`, "shop", "{app: shop}", kind, more, replicas, strings.ReplaceAll(spec, "\n", "\n  "))
}

// shop are the pods of the BEAM nodes, and ours those of the standalone CoreDNS.
func (b *bed) shop() []corev1.Pod { return b.at("prod").pods("app=shop") }
func (b *bed) ours() []corev1.Pod { return b.at("longnames").pods(ours) }

// members are what is answered for a cluster of a namespace, whose nodes are of mode ip.
func (b *bed) members(namespace string) question {
	pods := b.at(namespace).pods("app=shop")
	return question{"shop." + namespace + ".svc.erl.internal", "TXT", hosts("ip", pods, "", "shop@")}
}

// meshed waits until each of n nodes has found all others by itself, and is connected to these.
func (b *bed) meshed(n int) {
	b.at("prod").mesh("shop", "ip", "", n)
}

// standalone is about pods of overlays/standalone.
func (b *bed) standalone() {
	pods := b.ours()
	require.Len(b, pods, 2)
	require.NotEqual(b, pods[0].Spec.NodeName, pods[1].Spec.NodeName)
	b.installed("longnames", pods, confined...)
	for _, namespace := range []string{"prod", "kube-system"} {
		b.rights("longnames", "longnames", namespace, readEndpointSlices)
	}
	for _, from := range b.Nodes {
		b.answered(from, standaloneAddress, b.members("prod"))
	}
	// Nothing can go round in a loop.
	b.answered(b.Nodes[0], standaloneAddress, question{upstream.name, "A", []string{"REFUSED"}})
	b.answered(b.Nodes[0], standaloneAddress, question{"other.prod.svc.erl.internal", "A", []string{"NXDOMAIN"}})
	b.kubectl("-n longnames get servicemonitor longnames")
	_, err := b.try("-n longnames run x --image=x --dry-run=server")
	assert.ErrorContains(b, err, `violates PodSecurity "restricted`, "a pod with privileges")
}

// neverSilent: no question is lost while pods of CoreDNS are replaced. Some have to be asked once more: kube-proxy lets
// a UDP flow go on to an endpoint that is terminating, and flows are told apart by nothing but ports, of which some
// come again.
func (b *bed) neverSilent() {
	node, dns := b.Nodes[1].Name(), b.at("longnames")
	there := func(pod corev1.Pod) bool { return pod.Spec.NodeName == node }
	stop := b.keepAsking(b.Nodes[0], standaloneAddress, question{name: clusterName, qtype: "TXT"}, 1)
	b.kubectl("drain %s --delete-emptydir-data --timeout=%s", node, patience)
	dns.rolledOut("deployment/longnames")
	assert.False(b, slices.ContainsFunc(b.ours(), there), "a pod is on %s, which is drained", node)
	b.kubectl("uncordon %s", node)
	b.at("prod").rolledOut("statefulset/shop")

	// The disruption budget lets one pod go at a time.
	before := b.ours()
	require.NoError(b, b.evict(before[0]))
	err := b.evict(before[1])
	assert.True(b, apierrors.IsTooManyRequests(err), "the second eviction")
	assert.ErrorContains(b, err, "disruption budget")
	b.eventually("the second pod can go", func() error { return b.evict(before[1]) })
	dns.gone(before)
	dns.rolledOut("deployment/longnames")
	stop()
	b.meshed(3)
}

// outOfMemory: something else eats up what the container may have. CoreDNS is the first to be killed then, by its
// oom_score_adj. It is started again, and answers.
func (b *bed) outOfMemory() {
	pod := b.ours()[0]
	out, err := b.onNode(pod, `
		group=$(sed -n 's/.*:memory://p' "/proc/$pid/cgroup")
		test "$(cat "/sys/fs/cgroup/memory$group/memory.limit_in_bytes")" = $((170 << 20))
		echo 0 >"/sys/fs/cgroup/memory$group/cgroup.procs"
		tail /dev/zero || exit 0`)
	b.Log(out, err)
	b.prints(fmt.Sprintf("^true/%d/OOMKilled$", pod.Status.ContainerStatuses[0].RestartCount+1),
		"-n longnames get pod/%s -o jsonpath={%[2]s.ready}/{%[2]s.restartCount}/{%[2]s.lastState.terminated.reason}",
		pod.Name, ".status.containerStatuses[0]")
	b.answered(b.node(pod), pod.Status.PodIP+":1053", b.members("prod"))
}

// notDropped checks that no node has disconnected others because it did not find them.
func (b *bed) notDropped(since time.Time) {
	for _, pod := range b.shop() {
		said := b.kubectl("-n prod logs --since-time=%s %s", since.Format(time.RFC3339), pod.Name)
		assert.NotContains(b, said, "DROPPED", "%s has disconnected others", pod.Name)
	}
}
