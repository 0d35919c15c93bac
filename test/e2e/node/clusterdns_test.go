package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// upstream is a name that the nameserver of the nodes knows.
var upstream = question{"example.org.", "A", []string{"192.0.2.1"}}

func (b bed) serveUpstream(t *testing.T) {
	t.Helper()
	b.ServeDNS(t, dns.HandlerFunc(func(w dns.ResponseWriter, asked *dns.Msg) {
		m := new(dns.Msg).SetReply(asked)
		if q := asked.Question[0]; q.Name != upstream.name {
			m.Rcode = dns.RcodeNameError
		} else if q.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Name + " A " + upstream.want[0])
			m.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(m) // the client notices
	}))
}

// plain are questions that the cluster's DNS answers whatever else it does.
func (b bed) plain(t *testing.T) []question {
	t.Helper()
	pod := b.pods(t, "prod", "app=shop")[0]
	return []question{
		{"kubernetes.default.svc.cluster.local.", "A", []string{"10.96.0.1"}},
		{"1.0.96.10.in-addr.arpa.", "PTR", []string{"kubernetes.default.svc.cluster.local."}},
		{pod.Name + ".shop.prod.svc.cluster.local.", "A", []string{pod.Status.PodIP}},
		{strings.ReplaceAll(pod.Status.PodIP, ".", "-") + ".prod.pod.cluster.local.", "A", []string{pod.Status.PodIP}},
		upstream,
	}
}

// reloaded waits until all pods of the cluster's DNS have found another Corefile, which takes up to two minutes. Until
// then, some have the one before.
func (b bed) reloaded(t *testing.T, since time.Time) {
	t.Helper()
	for _, pod := range b.pods(t, "kube-system", "k8s-app=kube-dns") {
		cluster.Eventually(t, patience, pod.Name+" has the other Corefile", func() error {
			said, err := b.TryKubectl(t.Context(), "-n", "kube-system", "logs", "--since-time="+since.Format(time.RFC3339), pod.Name)
			if err == nil && !strings.Contains(said, "Reloading complete") {
				err = errors.New("it does not say so")
			}
			return err
		})
	}
	t.Logf("all pods have reloaded after %.1f s", time.Since(since).Seconds())
}

// runs waits until the cluster's DNS runs an image.
func (b bed) runs(t *testing.T, want string) {
	t.Helper()
	b.rolledOut(t, "kube-system", "deployment/coredns")
	for _, pod := range b.pods(t, "kube-system", "k8s-app=kube-dns") {
		if got := pod.Spec.Containers[0].Image; got != want {
			t.Errorf("%s: got image %s, want %s", pod.Name, got, want)
		}
	}
}

// clusterDNS gives the cluster's DNS our image and then our Corefile, by the commands of deploy/README.md, and takes both
// back. Meanwhile it answers as it always did.
func (b bed) clusterDNS(t *testing.T) {
	const section, server = "As the cluster's CoreDNS", cluster.ClusterDNS + ":53"
	script := codeBlocks(t, deployPage, section, "sh")
	if len(script) != 4 {
		t.Fatalf("got %d scripts, want 4", len(script))
	}
	b.serveUpstream(t)
	b.hasImage(t, unpulled)
	if got := b.Shell(t, checkout, script[2]); got != "yes\nyes\n" {
		t.Errorf("may its account read? got %q, want yes", got)
	}
	begin, from, questions := time.Now(), b.Nodes[0], append(b.plain(t), b.members(t))
	answered(t, from, server, questions...)
	api, shop := questions[0].keepAsking(t, from, server), b.members(t).keepAsking(t, b.Nodes[1], server)

	b.Shell(t, checkout, script[0])
	b.runs(t, unpulled)
	since := time.Now()
	if diff := b.Shell(t, checkout, strings.Replace(script[1], "kubectl diff", "! kubectl diff", 1)); !regexp.MustCompile(`(?m)^\+ .*basename label beam`).MatchString(diff) {
		t.Errorf("kubectl diff: got %s, want our block", diff)
	}
	b.reloaded(t, since)
	answered(t, from, server, questions...)
	for _, pod := range b.pods(t, "kube-system", "k8s-app=kube-dns") {
		b.restricted(t, pod)
		b.snapshots(t, pod)
		b.harmless(t, pod)
	}
	b.rights(t, "kube-system", "coredns", "prod", "list,watch endpoints,services,pods,namespaces", readEndpointSlices)
	b.Kubectl(t, "-n", "kube-system", "rollout", "restart", "deployment/coredns")
	b.runs(t, unpulled)
	b.meshed(t, len(b.pods(t, "prod", "app=shop")))

	since = time.Now()
	b.Kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(checkout, "deploy/overlays/stub-domain/coredns"))
	b.reloaded(t, since)
	if out := b.Shell(t, checkout, script[3]); !regexp.MustCompile(`(?m)^\s+Image:\s+coredns/coredns:`).MatchString(out) {
		t.Errorf("revision 1 has another image than at first:\n%s", out)
	}
	b.runs(t, "coredns/coredns:stock")
	answered(t, from, server, questions...)
	api().neverLost(t, "the API server's name")
	shop().neverLost(t, "members")
	b.notDropped(t, begin)
}

// nodeLocalDNS has a node's own cache ask the standalone CoreDNS. It is a CoreDNS that knows nothing of longnames, in
// place of node-cache, which would fill in the Corefile, and give the node the addresses, by itself.
func (b bed) nodeLocalDNS(t *testing.T) {
	const local = "169.254.20.10"
	b.serveUpstream(t)
	node := b.Nodes[1]
	run := func(do string) {
		if _, err := node.Run(context.WithoutCancel(t.Context()), "sh", "-euc", do); err != nil {
			t.Error(err)
		}
	}
	run("ip addr add " + local + "/32 dev lo; ip addr add " + cluster.ClusterDNS + "/32 dev lo")
	t.Cleanup(func() { run("ip addr del " + local + "/32 dev lo; ip addr del " + cluster.ClusterDNS + "/32 dev lo") })
	service, err := b.Client.CoreV1().Services("kube-system").Get(t.Context(), "kube-dns-upstream", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := b.Client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "node-local-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	corefile := strings.NewReplacer("__PILLAR__CLUSTER__DNS__", service.Spec.ClusterIP, "__PILLAR__UPSTREAM__SERVERS__", "/etc/resolv.conf").Replace(config.Data["Corefile"])
	b.namespace(t, "node-local", nil)
	b.Kubectl(t, "-n", "node-local", "create", "configmap", "corefile", "--from-literal=Corefile="+corefile)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "node-local-dns"},
		Spec: corev1.PodSpec{
			NodeName: node.Name(), HostNetwork: true, DNSPolicy: corev1.DNSDefault,
			Containers: []corev1.Container{{
				Name: "node-cache", Image: cluster.Stock, Args: []string{"-conf", "/etc/coredns/Corefile"},
				VolumeMounts: []corev1.VolumeMount{{Name: "corefile", MountPath: "/etc/coredns"}},
			}},
			Volumes: []corev1.Volume{{Name: "corefile", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "corefile"}},
			}}},
		},
	}
	if _, err := b.Client.CoreV1().Pods("node-local").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := newPeers()
	b.host(t, node.Name(), p, guest{"asker", "node-local", nil})
	for _, from := range []dialer{node, p.places["asker"]} {
		answered(t, from, local+":53", append(b.plain(t), b.members(t))...)
	}
	for _, n := range []int{4, 2, 3} {
		b.Kubectl(t, "-n", "prod", "scale", "statefulset/shop", fmt.Sprintf("--replicas=%d", n))
		b.meshed(t, n)
		answered(t, node, local+":53", b.members(t)) // nothing keeps what was answered before
	}
}
