package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// strategyKey is the variable that has nodes ask the API server ("api") or CoreDNS.
const strategyKey = "E2E_STRATEGY"

// tryMigration has nodes that list endpoints at the API server be replaced by ones that ask CoreDNS, one after the other,
// and then the other way round: by the block and the resolver of docs/migrating-from-libcluster.md. Each polls each
// second and disconnects whom it does not find.
func tryMigration(t *trial, mode string) {
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.grantAll(ns, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"list"}}})
	t.erlangConfig(ns)
	p := t.page(mode, "4", ns)
	// As the page has it, after step 4.
	block := longnamesLine.ReplaceAllString(t.snippet(migratingPage, "Option by option", "corefile", ns), "${0}\ninclude all")
	kind := "api_hostname"
	if mode == "ip" {
		kind = "api"
		block = strings.Replace(withMode(block, mode), "        service shop\n", "", 1)
		t.serveBlocks(block)
	} else {
		p.lines = strings.ReplaceAll(p.lines, "svc.erl.internal", "svc.cluster.local")
		p.manifest = strings.Replace(p.manifest, "  clusterIP: None\n", "  clusterIP: None\n  publishNotReadyAddresses: true\n", 1)
		t.serveBlocks(block, t.kubernetesBlock(ns))
	}
	api := t.podsToAPI()
	list := "https://" + api + "/api/v1/namespaces/" + ns + "/endpoints?labelSelector=" + url.QueryEscape("app=shop")
	token := t.token(ns, nil)
	t.policy(ns, podPolicy{
		process: t.release(p.lines+"export TOKEN='"+token+"' SUBDOMAIN='shop."+ns+".svc.cluster.local'\n", func(env []string) []string {
			if slices.Contains(env, strategyKey+"=api") {
				return []string{kind, list, "shop"}
			}
			return []string{"remembered_srv", "shop", "shop"} // the resolver knows what to ask for
		}, t.compiledElixir(migratingPage, "Which strategy next")...),
		readyWhen: regexp.MustCompile(`(?m)^NODES`),
	})
	n := &nodes{basename: "shop", mode: mode, domain: "cluster.local"}
	gone := t.departures(ns, n)
	t.applyText("shop", migrating(p.manifest, "api"))
	t.rolled(ns, "api", n)
	for _, next := range []string{"srv", "api"} {
		t.applyText("shop", migrating(p.manifest, next))
		t.rolled(ns, next, n)
		t.notLost(gone())
		t.note("all nodes are connected that ask with %s", next)
	}
}

// kubernetesBlock has *kubernetes* answer for hosts in cluster.local.
func (t *trial) kubernetesBlock(ns string) string {
	t.grantAll(ns, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"services", "namespaces"}, Verbs: []string{"list", "watch"}}})
	file := filepath.Join(t.dir, "kubeconfig")
	t.must(os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%s", certificate-authority: %s}}]
users: [{name: coredns, user: {tokenFile: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: coredns}}]
current-context: e2e
`, apiAddress, t.pki.Path("ca.crt"), filepath.Join(t.server.account, "token")), 0o600))
	return "cluster.local {\n    kubernetes {\nkubeconfig " + file + "\nttl 0\n}\n}\n"
}

// migrating is a manifest with a strategy, for which pods are replaced so slowly that nodes ask some times in between.
func migrating(manifest, strategy string) string {
	slowly := "  replicas: 5\n  minReadySeconds: 2\n"
	if strings.Contains(manifest, "kind: Deployment\n") {
		slowly += "  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}\n"
	}
	manifest = strings.Replace(manifest, "  replicas: 3\n", slowly, 1)
	return strings.Replace(manifest, "        env:\n", "        env:\n        - {name: "+strategyKey+", value: "+strategy+"}\n", 1)
}

// podsToAPI gives an address at which pods reach the API server.
func (t *trial) podsToAPI() string {
	l, err := t.plane.listen(net.JoinHostPort(t.server.v4, "0"))
	t.must(err)
	w := &wire{bed: t.bed, listener: l, to: apiAddress, conns: make(map[net.Conn]bool)}
	w.wg.Go(w.accept)
	t.cleanup(w.close)
	return w.address()
}

// rolled waits until all nodes have a strategy, and each is connected to all others.
func (t *trial) rolled(ns, strategy string, n *nodes) {
	var pods []corev1.Pod
	t.within(2*time.Minute, "all nodes ask with "+strategy, func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods = list.Items
		for _, p := range pods {
			if !slices.Contains(p.Spec.Containers[0].Env, corev1.EnvVar{Name: strategyKey, Value: strategy}) {
				return fmt.Errorf("%s does not", p.Name)
			}
			if p.Status.PodIP == "" || !isReady(&p) {
				return fmt.Errorf("%s is not ready", p.Name)
			}
		}
		if len(pods) != 5 {
			return fmt.Errorf("there are %d", len(pods))
		}
		return nil
	})
	t.mesh(n, pods)
	if n.mode == "ip" { // or they have names that others had before
		t.neverDropped(n, pods)
	}
}

// tryLeaving boots nodes, which become ready one after the other, and has all of them be replaced while those that are
// told to end live on for a while, as they do in good order. Nobody loses anybody until they have really ended, as
// docs/clients.md says of `include all`.
func tryLeaving(t *trial) {
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.erlangConfig(ns)
	p := t.page("ip", "4", ns)
	t.serveBlocks(p.blocks...)
	policy := podPolicy{
		process:   t.release(p.lines, func([]string) []string { return []string{"a", p.zones[zoneMode] + ".", "shop"} }),
		readyWhen: regexp.MustCompile(`(?m)^NODES`),
		lingers:   true,
	}
	t.policy(ns, policy)
	t.applyText("shop", migrating(p.manifest, "a"))
	n := &nodes{basename: "shop", mode: "ip"}
	t.rolled(ns, "a", n)
	before := t.podsOf(ns, "shop", 5)
	t.applyText("shop", migrating(p.manifest, "a-new"))
	all := t.beside(ns, 5)
	t.mesh(n, all)
	if lost := t.losses(); len(lost) > 0 {
		t.failf("nodes have lost others, none of which had ended: %v", lost)
	}
	now := []time.Time{time.Now()}
	policy.lingers = false
	t.policy(ns, policy)
	t.rolled(ns, "a-new", n)
	gone := make(map[string][]time.Time)
	for _, p := range before {
		gone[p.Name], gone["shop@"+p.Status.PodIP] = now, now
	}
	lost := t.losses()
	t.notLost(gone)
	t.note("nobody has lost anybody until they had ended; then, %d times", len(lost))
}

// departures watches when pods are told to end. The result is by pod and by node; who is not in it lives. Times have whole
// seconds, and are never too late.
func (t *trial) departures(ns string, n *nodes) func() map[string][]time.Time {
	ctx, cancel := context.WithCancel(t.ctx)
	watch, err := t.client.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{})
	t.must(err)
	var mu sync.Mutex
	var wg sync.WaitGroup
	known := make(map[types.UID]bool)
	seen := make(map[string][]time.Time)
	wg.Go(func() {
		for event := range watch.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.DeletionTimestamp == nil || pod.Status.PodIP == "" || known[pod.UID] {
				continue
			}
			known[pod.UID] = true
			at := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
			mu.Lock()
			for _, who := range []string{pod.Name, n.basename + "@" + hostOf(n.mode, *pod, n.domain)} {
				seen[who] = append(seen[who], at)
			}
			mu.Unlock()
		}
	})
	t.cleanup(func() { watch.Stop(); cancel(); wg.Wait() })
	return func() map[string][]time.Time {
		mu.Lock()
		defer mu.Unlock()
		out := make(map[string][]time.Time, len(seen))
		for who, times := range seen {
			out[who] = slices.Clone(times)
		}
		return out
	}
}

// loss is what a node has said when it disconnected another, or was disconnected.
type loss struct {
	pod  string // whose node has said it
	node string // the other
	at   time.Time
}

var lossLine = regexp.MustCompile(`(?m)^LOST (\d+) (.*)$`)

// losses gives what all nodes of the trial have ever said of that, also those that have ended.
func (t *trial) losses() []loss {
	logs, err := filepath.Glob(filepath.Join(t.dir, "shop-*.log"))
	t.must(err)
	if len(logs) == 0 {
		t.failf("no node has a log")
	}
	var out []loss
	for _, log := range logs {
		text, err := os.ReadFile(log)
		t.must(err)
		for _, found := range lossLine.FindAllStringSubmatch(string(text), -1) {
			ms, err := strconv.ParseInt(found[1], 10, 64)
			t.must(err)
			for node := range strings.FieldsSeq(found[2]) {
				pod, _, _ := strings.Cut(filepath.Base(log), ".")
				out = append(out, loss{pod, node, time.UnixMilli(ms)})
			}
		}
	}
	return out
}

// lossTime is within which time it is noticed everywhere that a node has ended: the net_ticktime of the nodes, and more.
const lossTime = 30 * time.Second

// notLost wants no node to have lost another, unless one of the two had been told to end just before.
func (t *trial) notLost(gone map[string][]time.Time) {
	lost := t.losses()
	for _, l := range lost {
		ended := func(who string) bool {
			return slices.ContainsFunc(gone[who], func(at time.Time) bool { return !l.at.Before(at) && l.at.Sub(at) < lossTime })
		}
		if !ended(l.node) && !ended(l.pod) {
			t.failf("%s has lost %s at %s, and none of the two had been told to end", l.pod, l.node, l.at.Format(clock))
		}
	}
	if len(lost) == 0 {
		t.failf("no node has lost any, although pods were replaced")
	}
	t.note("%d times a node has lost another, and one of the two had been told to end each time", len(lost))
}
