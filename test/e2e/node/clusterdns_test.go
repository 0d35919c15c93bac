package node

import (
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// upstream is a name that the nameserver of the nodes knows.
var upstream = question{"example.org.", "A", []string{"192.0.2.1"}}

// serveUpstream has that nameserver run until the test ends.
func (b *bed) serveUpstream() {
	binary, err := filepath.Abs(checkout + "/bin/coredns")
	require.NoError(b, err)
	const corefile = ".:53 {\n    hosts {\n        192.0.2.1 example.org\n    }\n}\n"
	h := b.NewHost(b, "upstream", cluster.Upstream)
	h.Start(b, "coredns", nil, binary, "-conf", b.write(b.TempDir()+"/Corefile", corefile))
}

// plain are questions that the cluster's DNS answers whatever else it does, and that for the members.
func (b *bed) plain() []question {
	pod := b.shop()[0]
	return []question{
		{"kubernetes.default.svc.cluster.local.", "A", []string{"10.96.0.1"}},
		{"1.0.96.10.in-addr.arpa.", "PTR", []string{"kubernetes.default.svc.cluster.local"}},
		{pod.Name + ".shop.prod.svc.cluster.local.", "A", []string{pod.Status.PodIP}},
		{watch.Dashed(pod) + ".prod.pod.cluster.local.", "A", []string{pod.Status.PodIP}},
		upstream,
		b.members("prod"),
	}
}

// reloaded waits until all pods of the cluster's DNS have found another Corefile, which takes up to two minutes. Until
// then, some have the one before.
func (b *bed) reloaded(since time.Time) {
	for _, pod := range b.pods("k8s-app=kube-dns") {
		b.prints("Reloading complete", "logs --since-time=%s %s", since.Format(time.RFC3339), pod.Name)
	}
}

// runs waits until the cluster's DNS runs an image.
func (b *bed) runs(want string) {
	b.rolledOut("deployment/coredns")
	for _, pod := range b.pods("k8s-app=kube-dns") {
		assert.Equal(b, want, pod.Spec.Containers[0].Image, pod.Name)
	}
}

var (
	ourBlock   = regexp.MustCompile(`(?m)^\+ .*basename label longnames.dev/basename`)
	stockImage = regexp.MustCompile(`(?m)^\s+Image:\s+coredns/coredns:`)
)

// clusterDNS gives the cluster's DNS our image and then our Corefile, by the commands of deploy/README.md, and takes
// both back. Meanwhile it answers as it always did.
func (b *bed) clusterDNS() {
	b = b.at("kube-system")
	script := blocks(b.T, deployPage, "As the cluster's CoreDNS", "sh", "")
	require.Len(b, script, 4)
	b.serveUpstream()
	b.tag(unpulled)
	assert.Equal(b, "yes\nyes\n", b.Shell(b.T, checkout, script[2]), "may its account read?")
	begin, from, questions := time.Now(), b.Nodes[0], b.plain()
	b.answered(from, clusterDNSAddress, questions...)
	var stops []func()
	for _, q := range []question{questions[0], b.members("prod")} {
		stops = append(stops, b.keepAsking(b.Nodes[1], clusterDNSAddress, q, 0))
	}

	b.Shell(b.T, checkout, script[0])
	b.runs(unpulled)
	since := time.Now()
	assert.Regexp(b, ourBlock, b.Shell(b.T, checkout, strings.Replace(script[1], "kubectl diff", "! kubectl diff", 1)))
	b.reloaded(since)
	b.answered(from, clusterDNSAddress, questions...)
	b.installed("kube-system", b.pods("k8s-app=kube-dns"))
	b.rights("kube-system", "coredns", "prod", readEndpointSlices,
		"endpoints [list watch]", "services [list watch]", "pods [list watch]", "namespaces [list watch]")
	b.kubectl("rollout restart deployment/coredns")
	b.runs(unpulled)
	b.meshed(3)

	since = time.Now()
	b.kubectl("apply --server-side --force-conflicts -k %s/deploy/overlays/stub-domain/coredns", checkout)
	b.reloaded(since)
	assert.Regexp(b, stockImage, b.Shell(b.T, checkout, script[3]), "revision 1 has another image than at first")
	b.runs("coredns/coredns:stock")
	b.answered(from, clusterDNSAddress, questions...)
	for _, stop := range stops {
		stop()
	}
	b.notDropped(begin)
}

// nodeCache is a CoreDNS that knows nothing of longnames, in place of node-cache, which would fill in the Corefile, and
// give the node the addresses, by itself.
const nodeCache = `
apiVersion: v1
kind: Pod
metadata: {name: node-local-dns}
spec:
  nodeName: %s
  hostNetwork: true
  dnsPolicy: Default
  containers:
  - name: node-cache
    image: ` + cluster.Stock + `
    args: [-conf, /corefile/Corefile]
    volumeMounts: [{name: corefile, mountPath: /corefile}]
  volumes: [{name: corefile, configMap: {name: corefile}}]
`

// nodeLocalDNS has a node's own cache ask the standalone CoreDNS.
func (b *bed) nodeLocalDNS() {
	const local = "169.254.20.10"
	b.serveUpstream()
	node, dns := b.Nodes[1], b.at("kube-system")
	run := func(script string) {
		_, err := node.Run(b.Context(), "sh", "-euc", script)
		b.should(err)
	}
	run("ip addr add " + local + "/32 dev lo; ip addr add " + cluster.ClusterDNS + "/32 dev lo")
	defer run("ip addr del " + local + "/32 dev lo; ip addr del " + cluster.ClusterDNS + "/32 dev lo")
	corefile := strings.NewReplacer(
		"__PILLAR__CLUSTER__DNS__", dns.get("service/kube-dns-upstream", ".spec.clusterIP"),
		"__PILLAR__UPSTREAM__SERVERS__", "/etc/resolv.conf",
	).Replace(dns.get("configmap/node-local-dns", ".data.Corefile"))
	b.own()
	b.kubectl("create configmap corefile --from-file=Corefile=%s", b.write(b.TempDir()+"/Corefile", corefile))
	b.create(nodeCache, node.Name())
	p := b.newPeers()
	p.guest("asker", b.namespace, "app=asker", node)
	for _, from := range []watch.Dialer{node, p.all["asker"]} {
		b.answered(from, local+":53", b.plain()...)
	}
	for _, n := range []int{4, 2, 3} {
		b.kubectl("-n prod scale statefulset/shop --replicas=%d", n)
		b.meshed(n)
		b.answered(node, local+":53", b.members("prod")) // nothing keeps what was answered before
	}
}
