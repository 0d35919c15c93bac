package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// nodes is about pods that a node, or somebody who wants it empty, does away with.
func (b bed) nodes(t *testing.T) {
	t.Run("Eviction", b.eviction)
	t.Run("EvictionOfBEAM", b.evictionOfBEAM)
	t.Run("EvictionByKubelet", func(t *testing.T) {
		o := b.own(t)
		o.evictedByKubelet()
		o.end()
	})
	t.Run("Lost", func(t *testing.T) { b.own(t).lost() })
}

func (b bed) evict(t *testing.T, pod corev1.Pod) error {
	t.Helper()
	return b.Client.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
}

// eviction is of both pods of CoreDNS, of which the disruption budget lets one go at a time.
func (b bed) eviction(t *testing.T) {
	b.answers(t, b.Nodes[0], "udp", standaloneAddress)
	stop := b.ask(t, b.Nodes[0], standaloneAddress)
	before := b.pods(t, "longnames", ours)
	if err := b.evict(t, before[0]); err != nil {
		t.Fatal(err)
	}
	const want = "disruption budget"
	if err := b.evict(t, before[1]); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("the second eviction: got %v, want it to be refused for the %s", err, want)
	}
	cluster.Eventually(t, patience, "the second pod can go, for there is another one that is ready", func() error { return b.evict(t, before[1]) })
	b.gone(t, before)
	b.rolledOut(t, "longnames", "deployment/longnames")
	stop().neverLost(t, standaloneAddress)
}

// evictionOfBEAM: the end of the node is announced, and it is in no answer any more when its pod is gone.
func (b bed) evictionOfBEAM(t *testing.T) {
	pod := b.pods(t, "prod", "app=shop")[0]
	e := b.watchEnds(t, "prod", "shop")
	if err := b.evict(t, pod); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, patience, "the end is seen", func() error {
		announced, unannounced := e.seen()
		if len(unannounced) > 0 {
			t.Fatalf("%q vanished without having been terminating", unannounced)
		}
		if !slices.Equal(announced, []string{pod.Status.PodIP}) {
			return fmt.Errorf("got %q, want %s", announced, pod.Status.PodIP)
		}
		return nil
	})
	cluster.Eventually(t, patience, pod.Status.PodIP+" is not answered", func() error {
		got, err := ask(t, b.Nodes[0], "udp", standaloneAddress)
		if err == nil && (len(got) == 0 || slices.Contains(got, "shop@"+pod.Status.PodIP)) {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
	b.rolledOut(t, "prod", "statefulset/shop")
	b.meshed(t, 3)
}

// beam creates BEAM nodes that find each other through the cluster's DNS, one on each of some nodes of Kubernetes', and
// returns their addresses. These give them up soon if they are lost.
func (o *own) beam(nodes ...string) []string {
	o.Helper()
	o.Kubectl(o.T, "label", "namespace", o.namespace, "beam=true")
	o.Kubectl(o.T, "-n", o.namespace, "create", "configmap", "beam", "--from-file="+cluster.Modules(o.T, "cluster.erl", "downs.erl", "clients.erl"))
	o.create(o.namespace, service, "shop", "{app: shop, beam: shop}", "{app: shop}")
	for i, node := range nodes {
		o.create(o.namespace, `
apiVersion: v1
kind: Pod
metadata: {name: shop-%d, labels: {app: shop, on: %[2]s}}
spec:
  nodeName: %[2]s
  tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 3}]
  volumes: [{name: beam, configMap: {name: beam}}, {name: data, emptyDir: {sizeLimit: 1Mi}}]
  containers:
  - name: beam
    image: `+cluster.BEAM+`
    imagePullPolicy: Never
    command: [erl, -noinput, -pa, /beam, +S, "1:1", -name, "shop@$(POD_IP)", -setcookie, e2e, -kernel, net_ticktime, "15",
      -s, downs, main, -s, cluster, main, -extra, srv, shop.%[3]s.svc.erl.internal., shop]
    env: [{name: HOME, value: /tmp}, {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: beam, mountPath: /beam}, {name: data, mountPath: /data}]
`, i, node, o.namespace)
	}
	return addresses(o.members(o.namespace, len(nodes)))
}

// evictedByKubelet has a BEAM node whose pod takes more of its node's disk than it may.
func (o *own) evictedByKubelet() {
	o.grant("endpointslices", o.namespace)
	o.grant("pods", o.namespace)
	all := o.beam("node-1", "node-2", "node-1")
	o.serve(block("pods.erl.internal", "lookup pods") + block("endpoints.erl.internal", "include all"))
	zones := []string{"pods.erl.internal", "endpoints.erl.internal"}
	for _, zone := range zones {
		o.wantsCluster(zone, "shop", all, all)
	}
	o.connected("shop-1", all[0], all[2])
	e := o.watchEnds(o.T, o.namespace, "shop")
	begin := time.Now()
	o.exec("shop-1", "dd if=/dev/zero of=/data/x bs=1M count=4")
	cluster.Eventually(o.T, patience, "kubelet evicts shop-1", func() error {
		pod, err := o.Client.CoreV1().Pods(o.namespace).Get(o.Context(), "shop-1", metav1.GetOptions{})
		if err == nil && pod.Status.Phase == corev1.PodRunning {
			err = errors.New("it runs")
		}
		return err
	})
	o.Logf("evicted after %.1f s", time.Since(begin).Seconds())
	// Its phase is Succeeded if the VM was quick enough to end in order, and nothing in its status tells why it has.
	if got := o.Kubectl(o.T, "-n", o.namespace, "get", "events", "-o", "name", "--field-selector", "reason=Evicted,involvedObject.name=shop-1"); got == "" {
		o.Error("no event says that shop-1 was evicted")
	}
	for _, zone := range zones {
		o.wantsCluster(zone, "shop", []string{all[0], all[2]}, []string{all[0], all[2]})
		o.wants("shop-1."+zone, "A", "NXDOMAIN")
	}
	// Nobody has asked for its deletion, and so no endpoint of it was ever terminating.
	if announced, unannounced := e.seen(); len(announced) > 0 || !slices.Equal(unannounced, all[1:2]) {
		o.Errorf("got %q announced and %q not, want only that %s was not", announced, unannounced, all[1])
	}
	o.connected("shop-0", all[2])
}

// lost has BEAM nodes on a node of Kubernetes' that is lost. In one cluster they are some, in another they are all.
func (o *own) lost() {
	doomed := o.AddNode(o.T)
	o.create(o.namespace, service, "fallen", "{beam: shop}", "{on: "+doomed.Name()+"}")
	all := o.beam("node-1", doomed.Name(), "node-2", doomed.Name())
	living, dead := []string{all[0], all[2]}, []string{all[1], all[3]}
	shop, fallen := "shop."+o.namespace+".svc.erl.internal", "fallen."+o.namespace+".svc.erl.internal"
	o.server = standaloneAddress
	o.wants(shop, "A", all...)
	o.wants(fallen, "A", dead...)
	o.connected("shop-0", all[2], all[1], all[3])
	o.connected("shop-2", all[0], all[1], all[3])
	e := o.watchEnds(o.T, o.namespace, "shop")

	begin := time.Now()
	doomed.Kill()
	o.connected("shop-0", all[2])
	o.connected("shop-2", all[0])
	o.Logf("BEAM has noticed after %.1f s", time.Since(begin).Seconds())
	cluster.Eventually(o.T, patience, "the node controller has the pods deleted", func() error {
		for _, pod := range []string{"shop-1", "shop-3"} {
			p, err := o.Client.CoreV1().Pods(o.namespace).Get(o.Context(), pod, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if p.DeletionTimestamp == nil {
				return fmt.Errorf("%s: got conditions %+v", pod, p.Status.Conditions)
			}
		}
		return nil
	})
	o.Logf("the pods are to end after %.1f s", time.Since(begin).Seconds())
	// Nobody is there to end them, so all are listed as before.
	o.wants(shop, "A", all...)
	o.wants(fallen, "A", dead...)
	if announced, unannounced := e.seen(); len(announced)+len(unannounced) > 0 {
		o.Errorf("%q and %q vanished, but their pods are there", announced, unannounced)
	}
	// Somebody has to say that they are gone for good, of a pod or of the node.
	o.Kubectl(o.T, "-n", o.namespace, "delete", "pod/shop-1", "--grace-period=0", "--force")
	o.wants(shop, "A", all[0], all[2], all[3])
	o.Kubectl(o.T, "delete", "node/"+doomed.Name())
	o.wants(shop, "A", living...)
	// They were terminating from when the node controller had them deleted.
	if announced, unannounced := e.seen(); !slices.Equal(slices.Sorted(slices.Values(announced)), slices.Sorted(slices.Values(dead))) || len(unannounced) > 0 {
		o.Errorf("got %q announced and %q not, want %q announced", announced, unannounced, dead)
	}
	// The other cluster has lost its last member, which may be an accident. The one before counts, too, if that was not long ago.
	cluster.Eventually(o.T, patience, "the last member stays", func() error {
		answer, err := query(o.T, o.Nodes[0], "udp", o.server, fallen, "A")
		if err != nil {
			return err
		}
		if got := values(answer); !slices.Equal(got, dead[1:]) && !slices.Equal(got, slices.Sorted(slices.Values(dead))) {
			return fmt.Errorf("got %q, want %s, or also %s", got, dead[1], dead[0])
		}
		return nil
	})
	o.wants("shop-3."+fallen, "A", dead[1])
	o.wants("shop-3."+shop, "A", "NXDOMAIN")
	for _, pod := range []string{"shop-0", "shop-2"} {
		for line := range strings.Lines(o.Kubectl(o.T, "-n", o.namespace, "logs", pod)) {
			if strings.HasPrefix(line, "LOST ") && (strings.Contains(line, living[0]) || strings.Contains(line, living[1])) {
				o.Errorf("%s has lost a node that lives: %s", pod, line)
			}
		}
	}
	o.connected("shop-0", all[2])
	o.connected("shop-2", all[0])
}

// connected waits until a BEAM node is connected to those at these addresses, and to no others.
func (o *own) connected(pod string, to ...string) {
	o.Helper()
	want := make([]string, 0, len(to))
	for _, a := range to {
		want = append(want, "shop@"+a)
	}
	slices.Sort(want)
	cluster.Eventually(o.T, patience, pod+" is connected", func() error {
		said, err := o.TryKubectl(o.Context(), "-n", o.namespace, "logs", pod)
		if got := slices.Sorted(slices.Values(lastLine(said, "NODES "))); err == nil && !slices.Equal(got, want) {
			err = errors.New("got " + strings.Join(got, " "))
		}
		return err
	})
}
