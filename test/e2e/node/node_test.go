// Package node tests longnames on a real cluster: what users install from deploy/, in pods of real nodes.
package node

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// patience is how long a busy machine may take for what takes seconds.
const patience = 3 * time.Minute

const clusterName = "shop.prod.svc.erl.internal"

// bed is a cluster with what deploy/README.md has users install: the standalone CoreDNS, which the cluster's DNS asks,
// and three BEAM nodes that ask that.
type bed struct {
	*cluster.Cluster
}

// start starts a bed for a test that waits most of the time, and so runs beside others.
func start(t *testing.T) bed {
	t.Helper()
	t.Parallel()
	b := bed{cluster.Start(t, cluster.Options{Nodes: 2, Images: []string{cluster.CoreDNS, cluster.Stock, cluster.BEAM}})}
	b.deploy(t)
	return b
}

// TestNode is about what real nodes do with what deploy/README.md has users install.
func TestNode(t *testing.T) {
	b := start(t)
	t.Run("Standalone", b.standalone)
	t.Run("BEAM", b.beam)
	t.Run("NeverSilent", b.neverSilent)
	t.Run("EndsAreAnnounced", b.endsAreAnnounced)
	t.Run("Killed", b.killed)
	t.Run("Policies", b.policies)
	t.Run("NodeLocalDNS", b.nodeLocalDNS)
	t.Run("Rollback", b.rollback)
	t.Run("APIServerAway", b.apiServerAway)
	t.Run("ClusterDNS", b.clusterDNS)
}

// TestMembers is about who is in a cluster, and what becomes of that.
func TestMembers(t *testing.T) {
	b := start(t)
	t.Run("Nodes", b.nodes)
	t.Run("Helm", b.helm)
	t.Run("Sets", b.sets)
	t.Run("Life", b.life)
}

// overlay writes a kustomization on top of ours, as users would. In its text, DEPLOY is the way to our directory.
func overlay(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	to, err := filepath.Abs("../../../deploy")
	if err == nil {
		to, err = filepath.Rel(dir, to)
	}
	if err != nil {
		t.Fatal(err)
	}
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + strings.ReplaceAll(text, "DEPLOY", to)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (b bed) deploy(t *testing.T) {
	t.Helper()
	begin := time.Now()
	b.DeployDNS(t)
	b.Kubectl(t, "create", "--validate=strict", "-f", "../testdata/servicemonitor.yaml")
	b.Kubectl(t, "wait", "--for=condition=Established", "--timeout="+patience.String(), "crd/servicemonitors.monitoring.coreos.com")
	newRepository(t).apply(t, b)
	b.letNodesAsk(t)
	b.Kubectl(t, "create", "namespace", "prod")
	b.Shell(t, checkout, codeBlocks(t, deployPage, "Standalone", "sh")[1])
	stubDomain := codeBlocks(t, deployPage, "Stub domain", "sh")
	if got := b.Shell(t, checkout, stubDomain[0]); !strings.HasPrefix(got, ".:53 {") {
		t.Errorf("got %q, want the Corefile of the cluster's DNS", got)
	}
	if diff := b.Shell(t, checkout, strings.Replace(stubDomain[1], "kubectl diff", "! kubectl diff", 1)); !strings.Contains(diff, "forward . 10.96.0.15") {
		t.Errorf("kubectl diff: got %s, want the stub domain", diff)
	}
	// Pods that have just started may have the Corefile before, and would take their time to see the new one.
	b.Kubectl(t, "-n", "kube-system", "rollout", "restart", "deployment/coredns")

	b.Kubectl(t, "create", "--validate=strict", "-f", "testdata/shop.yaml")
	for _, what := range [][]string{{"kube-system", "deployment/coredns"}, {"longnames", "deployment/longnames"}, {"prod", "statefulset/shop"}} {
		b.rolledOut(t, what[0], what[1])
	}
	t.Logf("all is deployed after %.1f s", time.Since(begin).Seconds())
}

// pods returns those with a label that are not about to end, by name.
func (b bed) pods(t *testing.T, namespace, selector string) []corev1.Pod {
	t.Helper()
	list, err := b.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

const ours = "app.kubernetes.io/name=longnames"

// node is where a pod runs.
func (b bed) node(t *testing.T, pod corev1.Pod) *cluster.Node {
	t.Helper()
	i := slices.IndexFunc(b.Nodes, func(n *cluster.Node) bool { return n.Name() == pod.Spec.NodeName })
	if i < 0 {
		t.Fatalf("%s is on no node, but %q", pod.Name, pod.Spec.NodeName)
	}
	return b.Nodes[i]
}

// onNode runs a script on the node of a pod. In it, $pid is the process of the pod's CoreDNS there.
func (b bed) onNode(t *testing.T, pod corev1.Pod, script string) (string, error) {
	t.Helper()
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	const find = `pid=$(ctr --namespace k8s.io tasks list | awk -v id="$1" '$1 == id { print $2 }'); test -n "$pid"; `
	return b.node(t, pod).Run(t.Context(), "sh", "-euc", find+script, "sh", id)
}

// values returns the data of an answer in order, or else its response code. Host names are without the final dot.
func values(m *dns.Msg) []string {
	if m.Rcode != dns.RcodeSuccess {
		return []string{dns.RcodeToString[m.Rcode]}
	}
	var out []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		case *dns.SRV:
			out = append(out, strings.TrimSuffix(rr.Target, "."))
		case *dns.PTR:
			out = append(out, strings.TrimSuffix(rr.Ptr, "."))
		case *dns.TXT:
			out = append(out, strings.Join(rr.Txt, ""))
		default:
			out = append(out, rr.String())
		}
	}
	slices.Sort(out)
	return out
}

// ask asks a server from a node for the members' longnames.
func ask(t *testing.T, from dialer, network, server string) ([]string, error) {
	t.Helper()
	answer, err := query(t, from, network, server, clusterName, "TXT")
	if err != nil || len(answer.Answer) == 0 {
		return nil, err
	}
	return values(answer), nil
}

// answers waits until a server answers with all nodes of the cluster.
func (b bed) answers(t *testing.T, from dialer, network, server string) {
	t.Helper()
	cluster.Eventually(t, patience, server+" knows all nodes", func() error {
		got, err := ask(t, from, network, server)
		if want := longnames(b.pods(t, "prod", "app=shop")); err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	})
}

// longnames are those of nodes in mode ip.
func longnames(pods []corev1.Pod) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		out = append(out, "shop@"+p.Status.PodIP)
	}
	slices.Sort(out)
	return out
}

// standalone is about pods of overlays/standalone.
func (b bed) standalone(t *testing.T) {
	pods := b.pods(t, "longnames", ours)
	if len(pods) != 2 || pods[0].Spec.NodeName == pods[1].Spec.NodeName {
		t.Fatalf("got %d pods, want one on each of two nodes", len(pods))
	}
	for _, pod := range pods {
		b.restricted(t, pod, "CapBnd:\t0000000000000000", "Seccomp:\t2")
		b.snapshots(t, pod)
		b.harmless(t, pod)
		token := b.mustOnNode(t, pod, `cat "/proc/$pid/root/var/run/secrets/kubernetes.io/serviceaccount/token"`)
		if got := claims(t, token); got.Kubernetes.Pod.Name != pod.Name || got.Kubernetes.Account.Name != "longnames" || got.Expires < time.Now().Unix() {
			t.Errorf("%s: got a token with %+v, want one that is bound to the pod", pod.Name, got)
		}
	}
	for _, namespace := range []string{"prod", "kube-system"} {
		b.rights(t, "longnames", "longnames", namespace, readEndpointSlices)
	}
	refused(t, b.Nodes[0], standaloneAddress, upstream.name, dns.RcodeRefused) // nothing can go round in a loop
	refused(t, b.Nodes[0], standaloneAddress, "other.prod.svc.erl.internal", dns.RcodeNameError)
	b.Kubectl(t, "-n", "longnames", "get", "servicemonitor", "longnames")
	t.Run("RefusesPrivileges", func(t *testing.T) {
		out, err := b.TryKubectl(t.Context(), "-n", "longnames", "run", "x", "--image=x", "--dry-run=server")
		if want := `violates PodSecurity "restricted`; err == nil || !strings.Contains(out, want) {
			t.Errorf("got %s, want %s", out, want)
		}
	})
	service, err := b.Client.CoreV1().Services("longnames").Get(t.Context(), "longnames", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range b.Nodes {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+"/"+from.Name(), func(t *testing.T) { b.answers(t, from, network, service.Spec.ClusterIP+":53") })
		}
	}
}

func (b bed) mustOnNode(t *testing.T, pod corev1.Pod, script string) string {
	t.Helper()
	out, err := b.onNode(t, pod, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// token is what is of interest in one of a service account.
type token struct {
	Expires    int64 `json:"exp"`
	Kubernetes struct {
		Pod     struct{ Name string } `json:"pod"`
		Account struct{ Name string } `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

func claims(t *testing.T, jwt string) (out token) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a token", jwt)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// beam is about nodes that form a cluster, and about what kubelet gives them.
func (b bed) beam(t *testing.T) {
	pods := b.pods(t, "prod", "app=shop")
	for _, pod := range pods {
		got := b.Kubectl(t, "-n", "prod", "exec", pod.Name, "--", "cat", "/etc/resolv.conf")
		if want := "search prod.svc.cluster.local svc.cluster.local cluster.local\nnameserver " + cluster.ClusterDNS + "\noptions ndots:5\n"; got != want {
			t.Errorf("%s: got /etc/resolv.conf %q, want %q", pod.Name, got, want)
		}
		got = b.Kubectl(t, "-n", "prod", "exec", pod.Name, "--", "cat", "/etc/hosts")
		if want := fmt.Sprintf("\n%s\t%s.shop.prod.svc.cluster.local\t%[2]s\n", pod.Status.PodIP, pod.Name); !strings.Contains(got, want) {
			t.Errorf("%s: got /etc/hosts %q, want %q in it", pod.Name, got, want)
		}
	}
	b.meshed(t, 3)
}

// meshed waits until each of n nodes has found all others by itself, and is connected to these.
func (b bed) meshed(t *testing.T, n int) {
	t.Helper()
	(&place{bed: b, t: t, namespace: "prod"}).mesh("shop", "ip", "", n)
}

// lastLine returns the words of the last line with a prefix.
func lastLine(text, prefix string) []string {
	lines := strings.Split(text, "\n")
	for _, line := range slices.Backward(lines[:len(lines)-1]) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// killed is about a CoreDNS that ends without a word: it is started again, and answers.
func (b bed) killed(t *testing.T) {
	tests := []struct {
		name, script, reason string
	}{
		{"BySIGKILL", `kill -KILL "$pid"`, "Error"},
		// Something else eats up what the container may have. CoreDNS is the first to be killed then, by its oom_score_adj.
		{"ByTheLimitOfMemory", `
			group=$(sed -n 's/.*:memory://p' "/proc/$pid/cgroup")
			test "$(cat "/sys/fs/cgroup/memory$group/memory.limit_in_bytes")" = $((170 << 20))
			echo 0 >"/sys/fs/cgroup/memory$group/cgroup.procs"
			tail /dev/zero || exit 0`, "OOMKilled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := b.pods(t, "longnames", ours)[0]
			before := pod.Status.ContainerStatuses[0].RestartCount
			begin := time.Now()
			out, err := b.onNode(t, pod, tt.script)
			t.Log(out, err)
			cluster.Eventually(t, patience, pod.Name+" is started again, and ready", func() error {
				now, err := b.Client.CoreV1().Pods("longnames").Get(t.Context(), pod.Name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				s := now.Status.ContainerStatuses[0]
				if !s.Ready || s.RestartCount != before+1 || s.LastTerminationState.Terminated == nil {
					return fmt.Errorf("got status %+v", s)
				}
				if got := s.LastTerminationState.Terminated.Reason; got != tt.reason {
					t.Fatalf("got reason %s, want %s", got, tt.reason)
				}
				return nil
			})
			t.Logf("ready again after %.1f s", time.Since(begin).Seconds())
			b.answers(t, b.node(t, pod), "udp", pod.Status.PodIP+":1053")
		})
	}
}
