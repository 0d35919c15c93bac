package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// own is a namespace with a CoreDNS of a test's own, and with members for it.
type own struct {
	bed
	*testing.T
	namespace string
	server    string
}

// own makes a namespace with the name of the test.
func (b bed) own(t *testing.T) *own {
	t.Helper()
	o := &own{bed: b, T: t}
	o.namespace = o.another(strings.ToLower(strings.NewReplacer("TestNode/", "", "/", "-").Replace(t.Name())))
	return o
}

// another makes a namespace that ends with the test.
func (o *own) another(name string) string {
	o.Helper()
	o.Kubectl(o.T, "create", "namespace", name)
	o.Cleanup(func() { o.delete("namespace/" + name) })
	return name
}

// delete is for when the test is over, as its context is then.
func (o *own) delete(what string) {
	if _, err := o.TryKubectl(context.Background(), "delete", "--wait=false", what); err != nil {
		o.Error(err)
	}
}

// create makes objects from YAML.
func (o *own) create(namespace, format string, args ...any) {
	o.Helper()
	file := filepath.Join(o.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		o.Fatal(err)
	}
	o.Kubectl(o.T, "-n", namespace, "create", "--validate=strict", "-f", file)
}

// grant lets CoreDNS read a resource in some namespaces, or in all of them.
func (o *own) grant(resource string, namespaces ...string) {
	o.Helper()
	const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: %[1]sRole
metadata: {name: %[2]s}
rules: [{apiGroups: ["", discovery.k8s.io], resources: [%[3]s], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: %[1]sRoleBinding
metadata: {name: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[1]sRole, name: %[2]s}
subjects: [{kind: ServiceAccount, name: default, namespace: %[4]s}]
`
	name := o.namespace + "-" + resource
	for _, namespace := range namespaces {
		o.create(namespace, rights, "", name, resource, o.namespace)
	}
	if len(namespaces) == 0 {
		o.create("default", rights, "Cluster", name, resource, o.namespace)
		o.Cleanup(func() { o.delete("clusterrole/" + name); o.delete("clusterrolebinding/" + name) })
	}
}

// serve starts CoreDNS with plugins.
func (o *own) serve(plugins string) {
	o.Helper()
	corefile := ".:1053 {\nerrors\nlog\nready\n" + plugins + "\n}\n"
	o.create(o.namespace, `
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns}
data: {Corefile: %q}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns}
spec:
  restartPolicy: Never
  containers:
  - name: coredns
    image: `+cluster.CoreDNS+`
    imagePullPolicy: Never
    args: [-conf, /etc/coredns/Corefile]
    readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
    volumeMounts: [{name: config, mountPath: /etc/coredns}]
  volumes: [{name: config, configMap: {name: coredns}}]
`, corefile)
	o.Kubectl(o.T, "-n", o.namespace, "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/coredns")
	o.server = o.coredns().Status.PodIP + ":1053"
}

func (o *own) coredns() corev1.Pod {
	pod, err := o.Client.CoreV1().Pods(o.namespace).Get(o.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		o.Fatal(err)
	}
	return *pod
}

// wrong is what CoreDNS is never to log.
var wrong = regexp.MustCompile(`(?m)^(panic|fatal error|\[ERROR\]).*|.*Recovered from panic.*`)

// end has CoreDNS end in good order, and looks into its log.
func (o *own) end() {
	pod := o.coredns()
	o.mustOnNode(o.T, pod, `kill -TERM "$pid"`)
	cluster.Eventually(o.T, patience, "CoreDNS ends", func() error {
		pod = o.coredns()
		if pod.Status.Phase != corev1.PodSucceeded {
			return fmt.Errorf("got phase %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
	said, err := o.Client.CoreV1().Pods(o.namespace).GetLogs("coredns", new(corev1.PodLogOptions)).DoRaw(o.Context())
	if found := wrong.Find(said); found != nil || err != nil {
		o.Errorf("CoreDNS has logged %s, %v", found, err)
	}
}

// idle is a pod that is ready while it has a file, and ends only for another one. Its probe is no command: once a pod is to
// end, kubelet 1.36 runs none any more, and the pod stays as ready as it was.
const idle = `
    containers:
    - name: idle
      image: ` + cluster.BEAM + `
      imagePullPolicy: Never
      readinessProbe: {tcpSocket: {port: 4000}, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1}
      command: [perl, -MIO::Socket, -e]
      args:
      - |
        open my $ready, ">", "/tmp/ready" unless $ENV{UNREADY};
        for (my $l; !-e "/tmp/end"; select undef, undef, undef, 0.1) {
          if (!-e "/tmp/ready") { undef $l; next }
          $l ||= IO::Socket::INET->new(LocalPort => 4000, Listen => 9, ReuseAddr => 1, Blocking => 0);
          1 while $l->accept;
        }
`

// workload makes a headless Service shop, and a Deployment or StatefulSet for it. It is of pods that only hold an address,
// unless it has a spec of its own.
func (o *own) workload(namespace, kind string, replicas int, spec string) {
	o.Helper()
	more := ""
	if kind == "StatefulSet" {
		more = "serviceName: shop\n  podManagementPolicy: Parallel\n  "
	}
	if spec == "" {
		spec = "\n    containers: [{name: pause, image: localhost/pause:e2e, imagePullPolicy: Never}]\n"
	}
	o.create(namespace, service+`
---
apiVersion: apps/v1
kind: %s
metadata: {name: shop}
spec:
  %sreplicas: %d
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: %s
`, "shop", "{app: shop}", "{app: shop}", kind, more, replicas, strings.ReplaceAll(spec, "\n", "\n  "))
}

// service is headless. Its EndpointSlices have its labels. The selector may be followed by more of the spec.
const service = `
apiVersion: v1
kind: Service
metadata: {name: %s, labels: %s}
spec: {clusterIP: None, selector: %s, ports: [{name: http, port: 4000}]}
`

// members waits until the app shop has exactly n pods, all of which run, and returns them by name.
func (o *own) members(namespace string, n int) (pods []corev1.Pod) {
	o.Helper()
	cluster.Eventually(o.T, patience, fmt.Sprintf("%d pods run in %s", n, namespace), func() error {
		list, err := o.Client.CoreV1().Pods(namespace).List(o.Context(), metav1.ListOptions{LabelSelector: "app=shop"})
		if err != nil {
			return err
		}
		pods = list.Items
		running := !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning
		})
		if len(pods) != n || !running {
			return fmt.Errorf("got %d pods, all of them running: %t", len(pods), running)
		}
		return nil
	})
	return pods
}

// exec runs a script in a pod.
func (o *own) exec(pod, script string) string {
	o.Helper()
	return o.Kubectl(o.T, "-n", o.namespace, "exec", pod, "--", "sh", "-euc", script)
}

// withoutNode has the node of pods that are objects alone say all the time that it is ready. The node controller would
// take such pods for not ready else.
func (b bed) withoutNode(t *testing.T) {
	t.Helper()
	nodes := b.Client.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.NoNode}, Spec: corev1.NodeSpec{Unschedulable: true}}
	if _, err := nodes.Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			beat := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":%q}]}}`, time.Now().Format(time.RFC3339))
			if _, err := nodes.Patch(t.Context(), node.Name, types.StrategicMergePatchType, beat, metav1.PatchOptions{}, "status"); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
			select {
			case <-t.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
	}()
	t.Cleanup(func() { <-done; (&own{bed: b, T: t}).delete("node/" + node.Name) })
}

// object makes a pod that is an object alone.
func (o *own) object(namespace, app, name string, ready bool, addresses ...string) {
	o.Helper()
	parsed := make([]netip.Addr, 0, len(addresses))
	for _, a := range addresses {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	o.CreatePod(o.T, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Hostname: name, Subdomain: strings.ToLower(app), TerminationGracePeriodSeconds: new(int64)},
	}, ready, parsed...)
}

func (o *own) query(network, name, qtype string) (*dns.Msg, error) {
	return query(o.T, o.Nodes[0], network, o.server, name, qtype)
}

// wants waits until an answer has exactly these values, or this response code.
func (o *own) wants(name, qtype string, want ...string) {
	o.Helper()
	want = slices.Sorted(slices.Values(want)) // a copy
	cluster.Eventually(o.T, patience, name+" "+qtype, func() error {
		answer, err := o.query("tcp", name, qtype)
		if err == nil && !slices.Equal(values(answer), want) {
			err = fmt.Errorf("got %q, want %q", values(answer), want)
		}
		return err
	})
}

// wantsCluster waits until the name of a cluster has all of its records.
func (o *own) wantsCluster(name, basename string, hosts, addresses []string) {
	o.Helper()
	texts, v4, v6 := make([]string, 0, len(hosts)), []string(nil), []string(nil)
	for _, h := range hosts {
		texts = append(texts, basename+"@"+h)
	}
	for _, a := range addresses {
		if strings.Contains(a, ":") {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	o.wants(name, "SRV", hosts...)
	o.wants(name, "TXT", texts...)
	o.wants(name, "A", v4...)
	o.wants(name, "AAAA", v6...)
}

// steady asks for shop.erl.internal all the time until it is stopped. Each answer is to have some values at least, and
// certain ones among them.
func (o *own) steady(qtype string, least int, always ...string) (stop func()) {
	o.Helper()
	ask := o.askFor(o.T, o.Nodes[0], o.server, "shop.erl.internal", qtype, least, always...)
	return func() { o.Helper(); ask().neverLost(o.T, "shop.erl.internal") }
}

// addresses are the primary ones of pods.
func addresses(pods []corev1.Pod) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		out = append(out, p.Status.PodIP)
	}
	return out
}
