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
	ready func(t *trial, namespace string, nodes int) (begin func() (stop stopClients))
	// least is how many requests there are at the very least in a time, if it is the clients that were measured.
	least func(nodes int, long time.Duration) float64
}

// stopClients ends clients. If they can be asked, they have to know so many members.
type stopClients func(members int)

// The kinds, in the order of the table.
const (
	costNone = iota // what the control plane costs itself
	costLongnames
	costLibcluster
)

var costKinds = []costKind{
	costNone: {
		name:    "none",
		clients: func(int) string { return "none" },
		ready:   func(*trial, string, int) func() stopClients { return func() stopClients { return func(int) {} } },
		least:   func(int, time.Duration) float64 { return 0 },
	},
	costLongnames: {
		name:    "longnames",
		clients: func(int) string { return fmt.Sprintf("longnames, %d replicas", costReplicas) },
		ready:   (*trial).watching,
		least:   func(int, time.Duration) float64 { return costReplicas },
	},
	costLibcluster: {
		name:    "libcluster",
		clients: func(nodes int) string { return fmt.Sprintf("libcluster, %d nodes", nodes) },
		ready:   (*trial).polling,
		least: func(nodes int, long time.Duration) float64 {
			return 0.9 * float64(nodes) * long.Seconds() / pollPause.Seconds()
		},
	},
}

// costGoalTime is for how long the API server has to be looked at to tell whether the goal is met.
const costGoalTime = 10 * time.Minute

// control is about what the API server has to do for nodes that know of each other, while one of them changes now and then.
// Each kind of client has an API server of its own, side by side: what else there is on the machine is the same for all.
func (p *peers) control(t *trial) {
	costs := make([][]cost, len(costKinds))
	g, ctx := errgroup.WithContext(t.ctx)
	for i, kind := range costKinds {
		g.Go(func() (err error) {
			costs[i], err = p.costsOf(ctx, t, kind)
			return err
		})
	}
	t.must(g.Wait())
	for size, nodes := range costNodes {
		for i := range costKinds {
			p.costs = append(p.costs, costs[i][size])
		}
		if nodes == slices.Max(costNodes) {
			ours, theirs := costs[costLongnames][size].requests, costs[costLibcluster][size].requests
			g := goal{
				work: fmt.Sprintf("API requests of %d nodes in %s", nodes, p.cost), ours: fmt.Sprintf("%.0f", ours),
				theirs: fmt.Sprintf("libcluster %.0f", theirs), ratio: fmt.Sprintf("%.5f", ours/theirs),
			}
			if p.cost >= costGoalTime {
				g.want, g.met = "< 50", ours < 50
			}
			p.goals = append(p.goals, g)
		}
	}
}

// costsOf measures a kind of client with clusters of all sizes, one after the other.
func (p *peers) costsOf(ctx context.Context, t *trial, kind costKind) (costs []cost, err error) {
	own, err := t.run.within("cost-" + kind.name)
	if err != nil {
		return nil, err
	}
	b, err := openBed(ctx, own, t.binary, t.coredns)
	defer b.close()
	if err != nil {
		return nil, err
	}
	err = attempt(ctx, b, scenario{"cost", func(t *trial) {
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
	before := t.spent()
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
	if ready {
		t.must(setReady(t.ctx, t.client, namespace, sized(nodes)+"-0", false))
	}
	stop(nodes - 1) // one less than they began with: who has missed the changes does not know
	t.must(setReady(t.ctx, t.client, namespace, sized(nodes)+"-0", true))
	c := t.spent()
	c.nodes, c.clients = nodes, kind.clients(nodes)
	c.requests -= before.requests
	c.bytes -= before.bytes
	c.cpu -= before.cpu
	fmt.Printf("%d nodes, %s: %.0f requests, %.0f bytes, %.2f s\n", nodes, c.clients, c.requests, c.bytes, c.cpu)
	if least := kind.least(nodes, p.cost); c.requests < least || least > 0 && c.bytes <= 0 {
		t.failf("%d nodes, %s: got %.0f requests and %.0f bytes, want at least %.0f requests, and some bytes",
			nodes, c.clients, c.requests, c.bytes, least)
	}
	return c
}

// spent is what the API server itself says. Of all clients only those that are measured have service accounts, so it
// counts their requests apart from others, by the name under which it takes turns with them. It does not tell bytes
// apart by clients, but by what they are about: answers about Endpoints and EndpointSlices, and watches of them.
func (t *trial) spent() (c cost) {
	text, err := t.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.ctx)
	t.must(err)
	sum := func(name string, labels ...string) float64 {
		n, found, err := sumOf(string(text), name, labels...)
		if err == nil && !found {
			err = fmt.Errorf("the API server has no metric %s", name)
		}
		t.must(err)
		return n
	}
	c.requests = sum("apiserver_flowcontrol_dispatched_requests_total", `flow_schema="service-accounts"`)
	for _, name := range []string{"apiserver_response_sizes_sum", "apiserver_watch_events_sizes_sum"} {
		c.bytes += sum(name, `resource="endpoints"`) + sum(name, `resource="endpointslices"`)
	}
	c.cpu = sum("process_cpu_seconds_total")
	return c
}

// watching has replicas of CoreDNS.
func (t *trial) watching(namespace string, nodes int) (begin func() (stop stopClients)) {
	plugin := fmt.Sprintf("longnames shop.erl.internal {\nendpoint https://%s\nservice_account %s\nnamespaces %s\nselector app=%s\nbasename shop\n}",
		apiAddress, t.server.account, namespace, sized(nodes))
	return func() stopClients {
		replicas := make([]*peer, 0, costReplicas)
		for i := range costReplicas {
			r := t.newPeer(fmt.Sprintf("longnames-%d", i), i, plugin)
			r.start()
			r.knows("shop.erl.internal.", "A", nodes)
			replicas = append(replicas, r)
		}
		return func(members int) {
			for _, r := range replicas {
				r.knows("shop.erl.internal.", "A", members) // or its watch has not been one
				r.stop()
			}
		}
	}
}

// polling has each node ask as libcluster's strategy Kubernetes does: it lists the endpoints by label as JSON, with the
// token of its pod, over a connection that stays, and again so long after it has the answer.
func (t *trial) polling(namespace string, nodes int) (begin func() (stop stopClients)) {
	tokens := make([]string, nodes)
	t.many(nodes, func(i int) { tokens[i] = t.token(namespace, nil) })
	address := fmt.Sprintf("https://%s/api/v1/namespaces/%s/endpoints?labelSelector=%s", apiAddress, namespace, url.QueryEscape("app="+sized(nodes)))
	return func() stopClients {
		ctx, cancel := context.WithCancel(t.ctx)
		var g errgroup.Group
		for _, token := range tokens {
			g.Go(func() error { return t.poll(ctx, address, token) })
		}
		return func(int) {
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
