package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
)

// costNodes are the sizes of clusters whose nodes want to know of each other.
var costNodes = []int{10, 100, 500}

const (
	costReplicas = 2
	pollPause    = 5 * time.Second  // of libcluster, by default
	changePause  = 10 * time.Second // between two changes in the cluster
)

// cost is what some clients have cost the API server.
type cost struct {
	nodes    int
	clients  string
	requests float64
	bytes    float64
	cpu      float64 // seconds
}

func (p *peers) costLines() [][]string {
	lines := make([][]string, 0, 1+len(p.costs))
	lines = append(lines, []string{"nodes", "clients", "requests", "bytes", "CPU time of kube-apiserver"})
	for _, c := range p.costs {
		lines = append(lines, []string{strconv.Itoa(c.nodes), c.clients, fmt.Sprintf("%.0f", c.requests),
			fmt.Sprintf("%.2f MB", c.bytes/megabyte), fmt.Sprintf("%.1f s", c.cpu)})
	}
	return lines
}

// costKind is a way to know of the nodes of a cluster.
type costKind struct {
	name    string
	clients func(nodes int) string
	// ready does what is not to be counted, and gives what lets the clients begin.
	ready func(t *trial, namespace string, nodes int) (begin func() (stop func()))
}

var costKinds = []costKind{
	// Without any, it is what the control plane costs itself.
	{"none", func(int) string { return "none" }, func(*trial, string, int) func() func() {
		return func() func() { return func() {} }
	}},
	{"longnames", func(int) string { return fmt.Sprintf("longnames, %d replicas", costReplicas) }, (*trial).watching},
	{"libcluster", func(nodes int) string { return fmt.Sprintf("libcluster, %d nodes", nodes) }, (*trial).polling},
}

// apiCost is about what the API server has to do for nodes that know of each other, while one of them changes now and then.
// Each kind of client has an API server of its own, side by side: what else there is on the machine is the same for all.
func (p *peers) apiCost(t *trial) {
	costs := make([][]cost, len(costKinds))
	var g errgroup.Group
	for i, kind := range costKinds {
		g.Go(func() (err error) {
			costs[i], err = p.costsOf(t, kind)
			return err
		})
	}
	t.must(g.Wait())
	for size, nodes := range costNodes {
		for i := range costKinds {
			p.costs = append(p.costs, costs[i][size])
		}
		if nodes == slices.Max(costNodes) {
			ours, theirs := costs[1][size], costs[2][size]
			p.goals = append(p.goals, goal{
				work: fmt.Sprintf("API requests of %d nodes in %s", nodes, p.cost), ours: fmt.Sprintf("%.0f", ours.requests),
				theirs: fmt.Sprintf("libcluster %.0f", theirs.requests), ratio: fmt.Sprintf("%.5f", ours.requests/theirs.requests),
				want: "< 50", met: ours.requests < 50,
			})
		}
	}
}

// costsOf measures a kind of client with clusters of all sizes, one after the other.
func (p *peers) costsOf(t *trial, kind costKind) (costs []cost, err error) {
	own, err := t.run.within("cost-" + kind.name)
	if err != nil {
		return nil, err
	}
	b, err := openBed(t.ctx, own, t.binary, t.coredns)
	defer b.close()
	if err != nil {
		return nil, err
	}
	err = attempt(t.ctx, b, scenario{"cost", func(t *trial) {
		ns := t.clustersOf(costNodes...)
		t.account(ns)
		t.grantAll(ns, []rbacv1.PolicyRule{
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"list"}},
		})
		for _, nodes := range costNodes {
			costs = append(costs, p.costOf(t, kind, ns, nodes))
		}
	}}, t.number)
	if err != nil {
		err = errors.Join(append([]error{fmt.Errorf("%s: %w", kind.name, err)}, b.dead()...)...)
	}
	return costs, err
}

// costOf looks at the API server before clients begin, and after they have ended.
func (p *peers) costOf(t *trial, kind costKind, namespace string, nodes int) cost {
	begin := kind.ready(t, namespace, nodes)
	before := t.apiCost()
	over := time.NewTimer(p.cost)
	stop := begin()
	ready := true
	change := time.NewTicker(changePause)
	defer change.Stop()
	for done := false; !done; {
		select {
		case <-t.ctx.Done():
			t.must(t.ctx.Err())
		case <-over.C:
			done = true
		case <-change.C:
			ready = !ready
			t.must(setReady(t.ctx, t.client, namespace, sized(nodes)+"-0", ready))
		}
	}
	stop()
	if !ready {
		t.must(setReady(t.ctx, t.client, namespace, sized(nodes)+"-0", true))
	}
	c := t.apiCost()
	c.nodes, c.clients = nodes, kind.clients(nodes)
	c.requests -= before.requests
	c.bytes -= before.bytes
	c.cpu -= before.cpu
	fmt.Printf("%d nodes, %s: %.0f requests, %.0f bytes, %.2f s\n", nodes, c.clients, c.requests, c.bytes, c.cpu)
	return c
}

// apiCost is what the API server itself says. Of all clients only those that are measured have service accounts, so it
// counts their requests apart from others, by the name under which it takes turns with them. It does not tell bytes
// apart by clients, but by what was read: lists of endpoints, and watches of both forms of them.
func (t *trial) apiCost() (c cost) {
	text, err := t.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.ctx)
	t.must(err)
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, "{")
		value := func() float64 {
			fields := strings.Fields(line)
			return t.figure(fields[len(fields)-1])
		}
		endpoints := strings.Contains(rest, `resource="endpoints"`) || strings.Contains(rest, `resource="endpointslices"`)
		switch {
		case name == "apiserver_flowcontrol_dispatched_requests_total" && strings.Contains(rest, `flow_schema="service-accounts"`):
			c.requests += value()
		case (name == "apiserver_response_sizes_sum" || name == "apiserver_watch_events_sizes_sum") && endpoints:
			c.bytes += value()
		case strings.HasPrefix(line, "process_cpu_seconds_total "):
			c.cpu = value()
		}
	}
	return c
}

// watching has replicas of CoreDNS.
func (t *trial) watching(namespace string, nodes int) (begin func() (stop func())) {
	plugin := fmt.Sprintf("longnames shop.erl.internal {\nendpoint https://%s\nservice_account %s\nnamespaces %s\nselector app=%s\nbasename shop\n}",
		apiAddress, t.server.account, namespace, sized(nodes))
	return func() func() {
		replicas := make([]*peer, 0, costReplicas)
		for i := range costReplicas {
			r := t.newPeer(fmt.Sprintf("longnames-%d", i), i, plugin)
			r.start()
			r.knows("shop.erl.internal.", "A", nodes)
			replicas = append(replicas, r)
		}
		return func() {
			for _, r := range replicas {
				r.stop()
			}
		}
	}
}

// polling has each node ask as libcluster's strategy Kubernetes does: it lists the endpoints by label as JSON, with the
// token of its pod, over a connection that stays, and again so long after it has the answer.
func (t *trial) polling(namespace string, nodes int) (begin func() (stop func())) {
	tokens := make([]string, nodes)
	t.many(nodes, func(i int) { tokens[i] = t.token(namespace, nil) })
	address := fmt.Sprintf("https://%s/api/v1/namespaces/%s/endpoints?labelSelector=%s", apiAddress, namespace, url.QueryEscape("app="+sized(nodes)))
	return func() func() {
		ctx, cancel := context.WithCancel(t.ctx)
		var g errgroup.Group
		for _, token := range tokens {
			g.Go(func() error { return t.poll(ctx, address, token) })
		}
		return func() {
			cancel()
			t.must(g.Wait())
		}
	}
}

func (t *trial) poll(ctx context.Context, address, token string) error {
	config := t.config(token)
	config.DisableCompression = true
	config.NextProtos = []string{"http/1.1"}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	pause := rand.N(pollPause) //nolint:gosec // nodes do not start all at once
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := list(ctx, client, address); err != nil && ctx.Err() == nil {
			return err
		}
		pause = pollPause
	}
}

func list(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return errors.Join(err, response.Body.Close())
}
