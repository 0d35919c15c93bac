package main

import (
	"context"
	"fmt"
	"maps"
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
)

// strategyKey is the variable that has nodes ask the API server ("api") or CoreDNS ("a").
const strategyKey = "E2E_STRATEGY"

// tryMigration has nodes that list endpoints at the API server be replaced by ones that ask CoreDNS, one after the other,
// and then the other way round. Each polls each second and disconnects whom it does not find. That may be one that is
// about to end, which OTP could take for a partition, no matter who asks whom: that is for tryLeaving, and off here.
func tryMigration(t *trial) {
	t.beam()
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.grantAll(ns, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"list"}}})
	t.erlangConfig(ns)
	p := t.page("ip", "4", ns)
	t.serveBlocks(p.blocks...)
	api := t.podsToAPI()
	list := "https://" + api + "/api/v1/namespaces/" + ns + "/endpoints?labelSelector=" + url.QueryEscape("app=shop")
	token := t.token(ns, nil)
	t.policy(ns, podPolicy{
		process: t.release(p.lines+"export TOKEN='"+token+"'\n", func(env []string) []string {
			if slices.Contains(env, strategyKey+"=api") {
				return []string{"api", list, "shop"}
			}
			return []string{"a", "shop.erl.internal.", "shop"}
		}, "-kernel", "prevent_overlapping_partitions", "false"),
		readyWhen: regexp.MustCompile(`(?m)^NODES`),
	})
	gone := t.departures(ns)
	t.applyText("shop", migrating(p.manifest, "api"))
	t.rolled(ns, "api")
	for _, next := range []string{"a", "api"} {
		t.applyText("shop", migrating(p.manifest, next))
		t.rolled(ns, next)
		t.notLost(gone())
		t.note("all nodes are connected that ask with %s", next)
	}
}

// migrating is a manifest with a strategy, for which pods are replaced so slowly that nodes ask some times in between.
func migrating(manifest, strategy string) string {
	manifest = strings.Replace(manifest, "  replicas: 3\n", "  replicas: 5\n  minReadySeconds: 2\n  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}\n", 1)
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
func (t *trial) rolled(ns, strategy string) {
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
	n := &nodes{basename: "shop", mode: "ip"}
	t.mesh(n, pods)
	t.neverDropped(n, pods)
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
		process:   t.release(p.lines, func([]string) []string { return []string{"a", "shop.erl.internal.", "shop"} }),
		readyWhen: regexp.MustCompile(`(?m)^NODES`),
		lingers:   true,
	}
	t.policy(ns, policy)
	t.applyText("shop", migrating(p.manifest, "a"))
	t.rolled(ns, "a")
	before := t.podsOf(ns, "shop", 5)
	t.applyText("shop", migrating(p.manifest, "a-new"))
	var all []corev1.Pod
	t.within(time.Minute, "there are five new pods, and the old ones end", func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		all = list.Items
		ending := 0
		for _, p := range all {
			if p.DeletionTimestamp != nil {
				ending++
			}
			if p.Status.PodIP == "" || !isReady(&p) {
				return fmt.Errorf("%s is not ready", p.Name)
			}
		}
		if len(all) != 10 || ending != 5 {
			return fmt.Errorf("%d of %d end", ending, len(all))
		}
		return nil
	})
	t.mesh(&nodes{basename: "shop", mode: "ip"}, all)
	if lost := t.losses(); len(lost) > 0 {
		t.failf("nodes have lost others, none of which had ended: %v", lost)
	}
	policy.lingers = false
	t.policy(ns, policy)
	t.rolled(ns, "a-new")
	gone := make(map[string]time.Time)
	for _, p := range before {
		gone[p.Name], gone["shop@"+p.Status.PodIP] = time.Time{}, time.Time{}
	}
	lost := t.losses()
	t.notLost(gone)
	t.note("nobody has lost anybody until they had ended; then, %d times", len(lost))
}

// departures watches when pods are told to end. The result is by pod and by node; who is not in it lives. Times have whole
// seconds, and are never too late.
func (t *trial) departures(ns string) func() map[string]time.Time {
	ctx, cancel := context.WithCancel(t.ctx)
	watch, err := t.client.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{})
	t.must(err)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[string]time.Time)
	wg.Go(func() {
		for event := range watch.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.DeletionTimestamp == nil || pod.Status.PodIP == "" {
				continue
			}
			mu.Lock()
			if _, known := seen[pod.Name]; !known {
				at := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
				seen[pod.Name], seen["shop@"+pod.Status.PodIP] = at, at
			}
			mu.Unlock()
		}
	})
	t.cleanup(func() { watch.Stop(); cancel(); wg.Wait() })
	return func() map[string]time.Time {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(seen)
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
				out = append(out, loss{strings.TrimSuffix(filepath.Base(log), ".log"), node, time.UnixMilli(ms)})
			}
		}
	}
	return out
}

// notLost wants no node to have lost another before one of the two had been told to end.
func (t *trial) notLost(gone map[string]time.Time) {
	lost := t.losses()
	for _, l := range lost {
		ended := func(who string) bool {
			at, known := gone[who]
			return known && !l.at.Before(at)
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
