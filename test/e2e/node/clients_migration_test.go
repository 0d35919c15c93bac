package node

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// chronicle has what nodes of shop say for as long as they live, and their pods as they were last.
type chronicle struct {
	mu   sync.Mutex
	said map[types.UID][]string
	pods map[types.UID]corev1.Pod
}

func (p *place) chronicle() *chronicle {
	p.t.Helper()
	c := &chronicle{said: map[types.UID][]string{}, pods: map[types.UID]corev1.Pod{}}
	ctx, cancel := context.WithCancel(p.t.Context())
	api := p.Client.CoreV1().Pods(p.namespace)
	w, err := api.Watch(ctx, metav1.ListOptions{LabelSelector: "app=shop"})
	p.must(err)
	var wg sync.WaitGroup
	begin := metav1.Now()
	follow := func(pod *corev1.Pod) {
		stream, err := api.GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true, SinceTime: &begin}).Stream(ctx)
		for ; err != nil; stream, err = api.GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true, SinceTime: &begin}).Stream(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond): // kubelet tells of the container before it has its log
			}
		}
		defer stream.Close()
		for lines := bufio.NewScanner(stream); lines.Scan(); {
			c.mu.Lock()
			c.said[pod.UID] = append(c.said[pod.UID], lines.Text())
			c.mu.Unlock()
		}
	}
	wg.Go(func() {
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.Status.Phase != corev1.PodRunning {
				continue
			}
			c.mu.Lock()
			if _, known := c.pods[pod.UID]; !known {
				wg.Go(func() { follow(pod) })
			}
			c.pods[pod.UID] = *pod
			c.mu.Unlock()
		}
	})
	p.t.Cleanup(func() { w.Stop(); cancel(); wg.Wait() })
	return c
}

// lossTime is within which time it is noticed everywhere that a node has ended: the net_ticktime of the nodes, and more.
const lossTime = 30 * time.Second

// losses returns how often a node has lost another. None may have disconnected one unless one of the two had been told to
// end just before. With ended, which end in good order, nobody may have lost anybody else for any reason. Otherwise that
// is right when a pod has just ended: libcluster's strategy for Kubernetes disconnects it before others do, and global
// has nodes that stay part for a moment, as docs/clients.md says.
func (p *place) losses(c *chronicle, mode, domain string, ended ...corev1.Pod) (n int) {
	p.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	ends := make(map[string][]time.Time) // by pod, by node, and all
	for uid, pod := range c.pods {
		if !slices.ContainsFunc(c.said[uid], func(line string) bool { return strings.HasPrefix(line, "FOUND ") }) {
			p.t.Errorf("%s has said nothing of others", pod.Name)
		}
		if pod.DeletionTimestamp == nil {
			continue
		}
		at := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
		for _, name := range []string{pod.Name, "shop@" + host(mode, pod, domain), ""} {
			ends[name] = append(ends[name], at)
		}
	}
	for uid, pod := range c.pods {
		var at time.Time // of the last loss, which is said before what was done
		for _, line := range c.said[uid] {
			f := strings.Fields(line)
			var because []time.Time
			switch {
			case len(f) > 2 && f[0] == "LOST":
				ms, err := strconv.ParseInt(f[1], 10, 64)
				p.must(err)
				at, f, because = time.UnixMilli(ms), f[2:], ends[""]
				n += len(f)
			case len(f) > 1 && f[0] == "DROPPED":
				f = f[1:]
			default:
				continue
			}
			for _, node := range f {
				right := slices.ContainsFunc(slices.Concat(because, ends[node], ends[pod.Name]), func(end time.Time) bool {
					return !at.Before(end) && at.Sub(end) < lossTime
				})
				if len(ended) > 0 {
					right = slices.ContainsFunc(ended, func(e corev1.Pod) bool { return e.UID == uid || node == "shop@"+e.Status.PodIP })
				}
				if !right {
					p.t.Errorf("%s has lost %s at %s: %s", pod.Name, node, at.Format(time.StampMilli), line)
				}
			}
		}
	}
	p.t.Logf("%d times a node has lost another", n)
	return n
}

// replacing is for a manifest whose pods are replaced so slowly that nodes ask some times in between. A probe that goes on
// would have nodes that list endpoints lose one that is late to answer it.
const replacing = `spec:
  replicas: 5
  minReadySeconds: 2
  template:
    spec:
      automountServiceAccountToken: true
      terminationGracePeriodSeconds: 900
      containers:
      - name: shop
        startupProbe: {tcpSocket: {port: dist}, periodSeconds: 1, failureThreshold: 100}
        env: [{name: STRATEGY, value: "ASKING"}]
`

// surging is for a Deployment: one pod more, and none less.
const surging = "spec: {strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}}\n"

// leaving has a preStop hook instead of a node that takes its time. It ends when it is told to.
func (p *place) leaving() {
	patch := replaced(p.t, replacing, "ASKING", "") +
		"        lifecycle: {preStop: {exec: {command: [sh, -c, \"while [ ! -e /tmp/end ]; do sleep 1; done\"]}}}\n"
	p.apply(p.manifestOf("ip", "4"), patch, surging)
	p.rolledOut(p.t, p.namespace, "deployment/shop")
	before := p.mesh("shop", "ip", "", 5)
	c := p.chronicle()
	p.kubectl("rollout", "restart", "deployment/shop")
	p.rolledOut(p.t, p.namespace, "deployment/shop")
	p.mesh("shop", "ip", "", 10)
	if n := p.losses(c, "ip", "", before...); n > 0 {
		p.t.Errorf("nodes have lost others %d times, none of which had ended", n)
	}
	for _, pod := range before {
		p.in(pod.Name, "touch", "/tmp/end")
	}
	p.gone(p.t, before)
	p.mesh("shop", "ip", "", 5)
	p.losses(c, "ip", "", before...)
}

// listing gives pods the right that libcluster's strategy needs.
const listing = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: shop, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [endpoints], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: shop, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: shop}
subjects: [{kind: ServiceAccount, name: default, namespace: NAMESPACE}]
---
`

// migration has nodes that list endpoints at the API server be replaced by ones that ask CoreDNS, one after the other, and
// then the other way round: by the block and the resolver of docs/migrating-from-libcluster.md. Each polls each second,
// and disconnects whom it does not find.
func (p *place) migration(mode string) {
	served := with(pageBlock(p.t, migratingPage, "Option by option", "corefile", "", p.namespace), "include all") // as after step 4
	lines, manifest := p.page("Mode "+mode, "sh", ""), p.manifestOf(mode, "4")
	kind, asking, patches := "statefulset/shop", "api_hostname", []string{replacing}
	if mode == "ip" {
		served = replaced(p.t, withMode(served, mode), "        service shop\n", "")
		kind, asking, patches = "deployment/shop", "api", append(patches, surging)
	} else {
		lines = strings.ReplaceAll(lines, "svc.erl.internal", "svc.cluster.local")
		manifest = replaced(p.t, manifest, "  clusterIP: None\n", "  clusterIP: None\n  publishNotReadyAddresses: true\n")
	}
	p.serve("4", served, forwarding)
	p.release(map[string]string{
		"env.sh":        lines + "export SUBDOMAIN=shop." + p.namespace + ".svc.cluster.local\n",
		"questions-api": asking + " https://kubernetes.default.svc/api/v1/namespaces/" + p.namespace + "/endpoints?labelSelector=app%3Dshop shop",
		"questions-dns": "remembered_srv shop shop", // the resolver knows what to ask for
		"peers.ex":      pageBlock(p.t, migratingPage, "Which strategy next", "elixir", "defmodule", p.namespace),
	})
	c := p.chronicle()
	for _, next := range []string{"api", "dns", "api"} {
		patches[0] = replaced(p.t, replacing, "ASKING", next)
		p.apply(strings.ReplaceAll(listing, "NAMESPACE", p.namespace)+manifest, patches...)
		p.rolledOut(p.t, p.namespace, kind)
		p.mesh("shop", mode, "cluster.local", 5)
		p.t.Logf("all nodes are connected that ask by %s", next)
	}
	if p.losses(c, mode, "cluster.local") == 0 {
		p.t.Error("no node has lost any, although pods were replaced")
	}
}

// migrating are blocks for docs/migrating-from-libcluster.md, for all modes and lookups.
func (p *place) migrating() []string {
	p.t.Helper()
	named := func(name, basename, options string) string {
		return with(name+".erl.internal {\n    longnames {\n        namespaces "+p.namespace+"\n        selector app=shop\n        basename "+basename+"\n    }\n}\n", options)
	}
	out := []string{pageBlock(p.t, migratingPage, "Option by option", "corefile", "", p.namespace), named("other", "other", "")}
	for _, mode := range anyMode {
		for _, lookup := range []string{"endpoints", "pods"} {
			out = append(out, named(mode+"-"+lookup, "shop", "mode "+mode+"\nlookup "+lookup))
		}
	}
	return out
}

// bystanders are no members: one of another app, and one that has ended.
const bystanders = `apiVersion: v1
kind: Service
metadata: {name: other, namespace: NAMESPACE, labels: {app: other}}
spec: {clusterIP: None, selector: {app: other}, ports: [{port: 4369}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other-0, namespace: NAMESPACE, labels: {app: other}}
spec: {hostname: other-0, subdomain: other, terminationGracePeriodSeconds: 1, containers: [{name: other, image: "shop:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop-ended, namespace: NAMESPACE, labels: {app: shop}}
spec: {hostname: shop-ended, subdomain: shop, restartPolicy: Never, containers: [{name: shop, image: "shop:1", command: ["true"]}]}
`

// compare asks for the same pods in all modes and by both lookups, and has compare-members.sh compare these with what
// libcluster would list: the same, not the same, and what cannot be compared.
func (p *place) compare() {
	pods := p.pods(p.t, p.namespace, "app=shop")
	manifest := p.write(filepath.Join(p.t.TempDir(), "bystanders.yaml"), strings.ReplaceAll(bystanders, "NAMESPACE", p.namespace))
	p.kubectl("apply", "-f", manifest)
	defer p.kubectl("delete", "-f", manifest)
	p.kubectl("wait", "--for=condition=Ready", "pod/other-0", "--timeout="+patience.String())
	p.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/shop-ended", "--timeout="+patience.String())

	const command = "docs/compare-members.sh -n NAMESPACE -l app=shop -b shop "
	literal := pageBlock(p.t, migratingPage, "Step by step", "sh", "compare-members", p.namespace)
	ip := pods[0].Status.PodIP
	type comparison struct {
		before, command string
		code            int
		says            []string // parts of what it prints
	}
	tests := []comparison{
		{"", literal, 0, []string{"The same 3 members"}},
		{"", command + "-w 0 other.erl.internal", 1, []string{
			"Not the same: 3 members in Kubernetes, 3 in DNS.\n", "only in Kubernetes: shop@" + ip + "\n", "only in DNS:        other@" + ip + "\n",
		}},
		{"", command + "-w 0 -m dns ip-pods.erl.internal", 1, []string{"Not the same"}},
		{"", command + "nobody.other.erl.internal", 2, []string{"NXDOMAIN"}},
		{"", command + "-l app=nobody ip-pods.erl.internal", 2, []string{"none that is a member"}},
		{"", command + "-m ip", 2, []string{"usage: "}},
		{"", command + "-m hostname hostname-pods.erl.internal", 2, []string{"mode hostname needs -s SERVICE"}},
		{"", command + "-m fqdn ip-pods.erl.internal", 2, []string{"expected -m ip, dns or hostname, got fqdn"}},
		{"", command + "-k nodes ip-pods.erl.internal", 2, []string{"expected -k endpoints or pods, got nodes"}},
		{`KUBECTL="$KUBECTL --server http://127.0.0.1:1"; `, command + "ip-pods.erl.internal", 2, []string{"cannot list endpoints"}},
		{"DIG='dig @127.0.0.1 -p 1 +tries=1 +time=1'; ", command + "ip-pods.erl.internal", 2, []string{"ip-pods.erl.internal. TXT: "}},
	}
	for _, mode := range anyMode {
		names, all := hosts(mode, pods, "cluster.local", "shop@"), hosts(mode, pods, "cluster.local", "")
		for _, lookup := range []string{"endpoints", "pods"} {
			zone := mode + "-" + lookup + ".erl.internal"
			p.wantsCluster(zone, "shop", all, hosts("ip", pods, "", ""))
			for i, pod := range pods {
				p.member(zone, "A", pod, names[i])
			}
			says := append([]string{"The same 3 members in Kubernetes and in DNS:\n"}, names...)
			if lookup == "pods" {
				says = append(says, "left out, for its pod has ended: shop@")
			}
			tests = append(tests, comparison{"", command + "-m " + mode + " -k " + lookup + " -s shop " + zone, 0, says})
		}
	}
	// It waits for what is on its way: the pod is in Kubernetes at once, and in the answer when this member is read.
	tests = append(tests, comparison{"kubectl -n NAMESPACE scale statefulset/shop --replicas=4; kubectl -n NAMESPACE rollout status statefulset/shop; ",
		literal, 0, []string{"The same 4 members"}})
	root, err := filepath.Abs("../../..")
	p.must(err)
	for _, tt := range tests {
		script := strings.ReplaceAll(tt.before+tt.command, "NAMESPACE", p.namespace)
		said, err := p.Nodes[0].Shell(p.t.Context(), "export DIG='dig @"+p.server+"'; cd "+root+"; "+script)
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		if code != tt.code {
			p.t.Errorf("%s: got exit code %d, want %d: %s", script, code, tt.code, said)
		}
		for _, part := range tt.says {
			if !strings.Contains(said, part) {
				p.t.Errorf("%s: %q is not in %s", script, part, said)
			}
		}
	}
}
