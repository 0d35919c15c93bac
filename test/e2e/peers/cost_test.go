package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	pollPause   = 5 * time.Second  // of libcluster, by default
	changePause = 10 * time.Second // between two changes in the cluster
)

// costKinds are ways to know of the nodes of a cluster: what starts and what stops the clients, and how many requests they
// send at least, if it is they who were measured.
var costKinds = []struct {
	clients string
	start   func(b *bed, nodes int) (stop func())
	least   func(nodes int) float64
}{
	{"none", func(*bed, int) func() { return func() {} }, func(int) float64 { return 0 }},
	{"longnames, 2 replicas", (*bed).replicas, func(int) float64 { return 2 }},
	{"libcluster, N nodes", (*bed).pollers, func(nodes int) float64 {
		return 0.9 * float64(nodes) * costTime.Seconds() / pollPause.Seconds()
	}},
}

// measureCost is about what the API server does for nodes that know of each other, while one of them changes now and then.
// Each kind of client has a control plane of its own, side by side: what else there is on the machine is the same for all.
func measureCost(first *bed, r *report) {
	sizes, beds := []int{10, 500}, []*bed{first, newBed(first), newBed(first)}
	for _, b := range beds {
		b.clusters(sizes...)
		b.Account(b, b.namespace, "coredns", filepath.Join(b.dir, "account"))
		b.Kubectl(b, "create", "role", "-n", b.namespace, "coredns", "--verb=list,watch",
			"--resource=endpointslices.discovery.k8s.io,endpoints")
		b.Kubectl(b, "create", "rolebinding", "-n", b.namespace, "coredns", "--role=coredns",
			"--serviceaccount="+b.namespace+":coredns")
		for range sizes[1] {
			b.tokens = append(b.tokens, b.Token(b, b.namespace, "coredns"))
		}
	}
	for _, nodes := range sizes {
		requests := make([]float64, len(costKinds))
		for i, c := range costsOf(beds, nodes) {
			kind := costKinds[i]
			clients := strings.Replace(kind.clients, "N", strconv.Itoa(nodes), 1)
			add(first, &r.costs, strconv.Itoa(nodes), clients, fmt.Sprintf("%.0f", c.requests),
				fmt.Sprintf("%.2f MB", c.bytes/megabyte),
				fmt.Sprintf("%.1f s", c.cpu))
			if least := kind.least(nodes); least > 0 {
				require.GreaterOrEqual(first, c.requests, least, "requests of %s", clients)
				require.Positive(first, c.bytes, "bytes for %s", clients)
			}
			requests[i] = c.requests
		}
		few := goal{want: "< 50", part: requests[1] / 49}
		if *costTime < 10*time.Minute {
			few = goal{} // that says too little
		}
		if nodes == sizes[1] {
			r.add(first, fmt.Sprintf("API requests of %d nodes in %s", nodes, costTime), fmt.Sprintf("%.0f", requests[1]),
				fmt.Sprintf("libcluster %.0f", requests[2]), requests[1]/requests[2], few)
		}
	}
}

// cost is what an API server has had to do.
type cost struct{ requests, bytes, cpu float64 }

// costsOf looks at the API servers before clients begin, and after they have ended.
func costsOf(beds []*bed, nodes int) (costs []cost) {
	for _, b := range beds {
		costs = append(costs, b.spent())
	}
	over := time.Now().Add(*costTime)
	var stops []func()
	for i, b := range beds {
		stops = append(stops, costKinds[i].start(b, nodes))
	}
	set := func(ready bool) {
		for _, b := range beds {
			b.SetReady(b, b.namespace, sized(nodes)+"-0", ready)
		}
	}
	for ready := false; time.Until(over) > changePause; ready = !ready {
		time.Sleep(changePause)
		set(ready)
	}
	time.Sleep(time.Until(over))
	set(false) // at the end, so that clients that have missed the changes do not know
	for _, stop := range stops {
		stop()
	}
	set(true)
	for i, b := range beds {
		c := b.spent()
		costs[i] = cost{c.requests - costs[i].requests, c.bytes - costs[i].bytes, c.cpu - costs[i].cpu}
	}
	return costs
}

// spent is what the API server itself says. Of all clients only those that are measured have service accounts outside of
// kube-system, so it counts their requests apart from others, by the name under which it takes turns with them. It does
// not tell bytes apart by clients, but by what they are about: answers about Endpoints and EndpointSlices, and watches of
// them.
func (b *bed) spent() cost {
	text, err := b.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(b.Context())
	require.NoError(b, err)
	// A metric is there, but need not have any series.
	sum := func(metric, labels string) float64 {
		return b.number(`(?m)^(?:# TYPE `+metric+` .*|`+metric+labels+` (\S+))$`, text)
	}
	const about = `\{.*resource="(?:endpoints|endpointslices)".*\}`
	return cost{
		requests: sum("apiserver_flowcontrol_dispatched_requests_total", `\{.*flow_schema="service-accounts".*\}`),
		bytes:    sum("apiserver_response_sizes_sum", about) + sum("apiserver_watch_events_sizes_sum", about),
		cpu:      sum("process_cpu_seconds_total", ""),
	}
}

// replicas starts two of CoreDNS. Before they stop, they have to know of the last change, or their watch has not been one.
func (b *bed) replicas(nodes int) (stop func()) {
	plugin := fmt.Sprintf("longnames shop.erl.internal {\nendpoint %s\nservice_account %s\nnamespaces %s\n"+
		"selector app=%s\nbasename shop\n}", b.Config.Host, filepath.Join(b.dir, "account"), b.namespace, sized(nodes))
	both := []*server{b.newServer("longnames-0", plugin), b.newServer("longnames-1", plugin)}
	for _, s := range both {
		s.start()
		s.knows("shop.erl.internal.", "A", nodes)
	}
	return func() {
		for _, s := range both {
			s.knows("shop.erl.internal.", "A", nodes-1)
			s.stop()
		}
	}
}

// pollers starts nodes that ask as libcluster's strategy Kubernetes does: each lists the endpoints by label as JSON, with
// the token of its pod, over a connection that stays, and again so long after it has the answer.
func (b *bed) pollers(nodes int) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var g errgroup.Group
	for _, token := range b.tokens[:nodes] {
		config := rest.AnonymousClientConfig(b.Config)
		config.BearerToken, config.DisableCompression, config.NextProtos = token, true, []string{"http/1.1"}
		client, err := kubernetes.NewForConfig(config)
		require.NoError(b, err)
		list := client.Discovery().RESTClient().Get().AbsPath("/api/v1/namespaces", b.namespace, "endpoints").
			SetHeader("Accept", "application/json").Param("labelSelector", "app="+sized(nodes))
		g.Go(func() error {
			for pause := rand.N(pollPause); ; pause = pollPause { // nodes do not start all at once
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(pause):
				}
				if _, err := list.DoRaw(ctx); err != nil && ctx.Err() == nil {
					return err
				}
			}
		})
	}
	return func() {
		cancel()
		require.NoError(b, g.Wait())
	}
}
