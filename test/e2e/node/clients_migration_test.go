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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// chronicle has what nodes of shop say for as long as they live, and their pods as they were last.
type chronicle struct {
	mu   sync.Mutex
	said map[types.UID][]string
	pods map[types.UID]corev1.Pod
}

func (b *bed) chronicle() *chronicle {
	c := &chronicle{said: map[types.UID][]string{}, pods: map[types.UID]corev1.Pod{}}
	ctx, cancel := context.WithCancel(b.Context())
	api := b.Client.CoreV1().Pods(b.namespace)
	w, err := api.Watch(ctx, metav1.ListOptions{LabelSelector: "app=shop"})
	require.NoError(b, err)
	var wg sync.WaitGroup
	options := &corev1.PodLogOptions{Follow: true, SinceTime: new(metav1.Now())}
	follow := func(pod *corev1.Pod) {
		for ctx.Err() == nil {
			stream, err := api.GetLogs(pod.Name, options).Stream(ctx)
			if err != nil { // kubelet tells of the container before it has its log
				time.Sleep(100 * time.Millisecond)
				continue
			}
			defer stream.Close()
			lines := bufio.NewScanner(stream)
			for lines.Scan() {
				c.mu.Lock()
				c.said[pod.UID] = append(c.said[pod.UID], lines.Text())
				c.mu.Unlock()
			}
			if ctx.Err() == nil {
				assert.NoError(b, lines.Err(), "the log of %s", pod.Name)
			}
			return
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
	b.Cleanup(func() { w.Stop(); cancel(); wg.Wait() })
	return c
}

// lossTime is within which time it is noticed everywhere that a node has ended: the net_ticktime of the nodes, and
// more.
const lossTime = 30 * time.Second

// losses returns how often a node has lost another. None may have disconnected one unless one of the two had been told
// to end just before. With ended, which end in good order, nobody may have lost anybody else for any reason. Otherwise
// that is right when a pod has just ended: libcluster's strategy for Kubernetes disconnects it before others do, and
// global has nodes that stay part for a moment, as docs/clients.md says.
func (b *bed) losses(c *chronicle, mode, domain string, ended ...corev1.Pod) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ends := make(map[string][]time.Time) // by pod, by node, and all
	for uid, pod := range c.pods {
		assert.Contains(b, strings.Join(c.said[uid], "\n"), "FOUND ", "%s says whom it has found", pod.Name)
		if pod.DeletionTimestamp == nil {
			continue
		}
		at := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
		for _, name := range []string{pod.Name, "shop@" + watch.Host(mode, pod, domain), ""} {
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
				require.NoError(b, err)
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
				assert.True(b, right, "%s has lost %s at %s: %s", pod.Name, node, at.Format(time.StampMilli), line)
			}
		}
	}
	b.Logf("%d times a node has lost another", n)
	return n
}

// replacing is for a manifest whose pods are replaced so slowly that nodes ask some times in between. A probe that goes
// on would have nodes that list endpoints lose one that is late to answer it.
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
func (b *bed) leaving() {
	patch := b.replaced(replacing, "ASKING", "") +
		"        lifecycle: {preStop: {exec: {command: [sh, -c, \"while [ ! -e /tmp/end ]; do sleep 1; done\"]}}}\n"
	b.apply(b.manifestOf("ip", "4"), patch, surging)
	b.rolledOut("deployment/shop")
	before := b.mesh("shop", "ip", "", 5)
	c := b.chronicle()
	b.kubectl("rollout restart deployment/shop")
	b.rolledOut("deployment/shop")
	b.mesh("shop", "ip", "", 10)
	assert.Zero(b, b.losses(c, "ip", "", before...), "times that nodes have lost others, none of which had ended")
	for _, pod := range before {
		b.exec(pod.Name, "touch", "/tmp/end")
	}
	b.gone(before)
	b.mesh("shop", "ip", "", 5)
	b.losses(c, "ip", "", before...)
}

// migration has nodes that list endpoints at the API server be replaced by ones that ask CoreDNS, one after the other,
// and then the other way round: by the block and the resolver of docs/migrating-from-libcluster.md. Each polls each
// second, and disconnects whom it does not find.
func (b *bed) migration(mode string) {
	served := with(b.pageBlock(migratingPage, "Option by option", "corefile", ""), "include all") // as after step 4
	lines, manifest := b.page("Mode "+mode, "sh", ""), b.manifestOf(mode, "4")
	kind, asking, patches := "statefulset/shop", "api_hostname", []string{replacing}
	if mode == "ip" {
		served = b.replaced(withMode(served, mode), "        service shop\n", "")
		kind, asking, patches = "deployment/shop", "api", append(patches, surging)
	} else {
		lines = strings.ReplaceAll(lines, "svc.erl.internal", "svc.cluster.local")
		manifest = b.replaced(manifest, "  clusterIP: None\n", "  clusterIP: None\n  publishNotReadyAddresses: true\n")
	}
	b.serve("4", served, forwarding)
	b.release(map[string]string{
		"env.sh":        lines + "export SUBDOMAIN=shop." + b.namespace + ".svc.cluster.local\n",
		"questions-api": b.here(asking + " https://kubernetes.default.svc/api/v1/namespaces/prod/endpoints?labelSelector=app%3Dshop shop"),
		"questions-dns": "remembered_srv shop shop", // the resolver knows what to ask for
		"peers.ex":      b.pageBlock(migratingPage, "Which strategy next", "elixir", "defmodule"),
	})
	b.allow("default", "list", "endpoints") // as libcluster's strategy needs it
	c := b.chronicle()
	for _, next := range []string{"api", "dns", "api"} {
		patches[0] = b.replaced(replacing, "ASKING", next)
		b.apply(manifest, patches...)
		b.rolledOut(kind)
		b.mesh("shop", mode, "cluster.local", 5)
		b.Logf("all nodes are connected that ask by %s", next)
	}
	assert.NotZero(b, b.losses(c, mode, "cluster.local"), "times that nodes have lost others, which were replaced")
}

// migrating are blocks for docs/migrating-from-libcluster.md, for all modes and lookups.
func (b *bed) migrating() []string {
	out := []string{
		b.pageBlock(migratingPage, "Option by option", "corefile", ""),
		strings.Replace(block("other.erl.internal"), "basename shop", "basename other", 1),
	}
	for _, mode := range []string{"ip", "dns", "hostname"} {
		for _, lookup := range []string{"endpoints", "pods"} {
			out = append(out, block(mode+"-"+lookup+".erl.internal", "mode "+mode, "lookup "+lookup))
		}
	}
	return out
}

// compare asks for the same pods in all modes and by both lookups, and has compare-members.sh compare these with what
// libcluster would list: the same, not the same, and what cannot be compared.
func (b *bed) compare() {
	pods := b.pods("app=shop")
	// These are no members: one of another app, and one that has ended. Nobody restricts them.
	b.kubectl("label namespace %s pod-security.kubernetes.io/enforce-", b.namespace)
	b.kubectl("run other-0 --labels=app=other --image=%s --command -- sleep 600", cluster.BEAM)
	b.kubectl("run shop-ended --labels=app=shop --image=%s --restart=Never --command -- true", cluster.BEAM)
	defer b.kubectl("delete pod/other-0 pod/shop-ended --grace-period=1")
	b.wait("pod/other-0", "condition=Ready")
	b.wait("pod/shop-ended", "jsonpath={.status.phase}=Succeeded")

	const command = "docs/compare-members.sh -n prod -l app=shop -b shop "
	literal := b.pageBlock(migratingPage, "Step by step", "sh", "compare-members")
	const noServer, noDNS = `export KUBECTL="kubectl --server http://127.0.0.1:1"; `, "DIG='dig @127.0.0.1 -p 1 +tries=1 +time=1'; "
	ip := pods[0].Status.PodIP
	type comparison struct {
		script string
		code   int
		says   []string // parts of what it prints
	}
	tests := []comparison{
		{literal, 0, []string{"The same 3 members"}},
		{command + "-w 0 other.erl.internal", 1, []string{
			"Not the same: 3 members in Kubernetes, 3 in DNS.\n",
			"only in Kubernetes: shop@" + ip + "\n", "only in DNS:        other@" + ip + "\n",
		}},
		{command + "-w 0 -m dns ip-pods.erl.internal", 1, []string{"Not the same"}},
		{command + "nobody.other.erl.internal", 2, []string{"NXDOMAIN"}},
		{command + "-l app=nobody ip-pods.erl.internal", 2, []string{"none that is a member"}},
		{command + "-m ip", 2, []string{"usage: "}},
		{command + "-m hostname hostname-pods.erl.internal", 2, []string{"mode hostname needs -s SERVICE"}},
		{command + "-m fqdn ip-pods.erl.internal", 2, []string{"expected -m ip, dns or hostname, got fqdn"}},
		{command + "-k nodes ip-pods.erl.internal", 2, []string{"expected -k endpoints or pods, got nodes"}},
		{noServer + command + "ip-pods.erl.internal", 2, []string{"cannot list endpoints"}},
		{noDNS + command + "ip-pods.erl.internal", 2, []string{"ip-pods.erl.internal. TXT: "}},
	}
	for _, mode := range []string{"ip", "dns", "hostname"} {
		names := hosts(mode, pods, "cluster.local", "shop@")
		for _, lookup := range []string{"endpoints", "pods"} {
			zone := mode + "-" + lookup + ".erl.internal"
			b.wants(zone, "TXT", names...) // not for hold the pod that has ended, which may have been ready
			says := append([]string{"The same 3 members in Kubernetes and in DNS:\n"}, names...)
			if lookup == "pods" {
				says = append(says, "left out, for its pod has ended: shop@")
			}
			tests = append(tests, comparison{command + "-m " + mode + " -k " + lookup + " -s shop " + zone, 0, says})
		}
	}
	// It waits for what is on its way: the pod is in Kubernetes at once, and in the answer when this member is read.
	const more = "kubectl -n prod scale statefulset/shop --replicas=4; kubectl -n prod rollout status statefulset/shop; "
	tests = append(tests, comparison{more + literal, 0, []string{"The same 4 members"}})
	root, err := filepath.Abs(checkout)
	require.NoError(b, err)
	server, _, _ := strings.Cut(b.server, ":")
	for _, tt := range tests {
		said, err := b.Nodes[0].Shell(b.Context(), "export DIG='dig @"+server+"'; cd "+root+"; "+b.here(tt.script))
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		assert.Equal(b, tt.code, code, "%s: exit code: %s", tt.script, said)
		for _, part := range tt.says {
			assert.Contains(b, said, part, tt.script)
		}
	}
}
