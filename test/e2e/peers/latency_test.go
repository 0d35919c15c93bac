package peers

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	xrate "golang.org/x/time/rate"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The clusters whose changes are measured, and how many others change meanwhile.
const (
	quietSize     = 50
	busySize      = 1000
	elsewhere     = 20
	elsewhereRate = 100  // changes a second
	warmUps       = 20   // writes after each start that do not count
	least         = 0.01 // ms, for shorter times cannot be told from none
)

// measureLatency is about how long it takes from when a write is acknowledged until an answer shows it.
func measureLatency(b *bed, r *report) {
	b.byHand(sized(quietSize), quietSize)
	b.byHand(sized(busySize), busySize)
	for i := range elsewhere {
		b.byHand(fmt.Sprintf("other-%d", i), 10)
	}
	ours, theirs := b.newPair("ttl 0\n"+groupByService, "ttl 0")
	both, name := []*server{ours, theirs}, map[*server]func(string) string{ours: b.ourName, theirs: b.theirName}
	for range *rounds {
		for _, s := range both {
			delays := func(network string, size, writes int) []float64 {
				return s.delays(network, name[s](sized(size)), writes, func(to netip.Addr) error { return b.change(sized(size), to) })
			}
			s.start()
			s.knows(name[s](sized(busySize)), "A", busySize)
			delays("udp", quietSize, warmUps)
			s.add("quiet", delays("udp", quietSize, *writes)...)
			end := b.meanwhile(elsewhereRate, func(n int) error {
				return b.change(fmt.Sprintf("other-%d", n%elsewhere), b.address())
			})
			delays("tcp", busySize, warmUps)
			s.add("busy", delays("tcp", busySize, *writes)...)
			s.add("rate", end())
			s.stop()
		}
		slices.Reverse(both)
	}
	rate := min(ours.median("rate"), theirs.median("rate"))
	assert.GreaterOrEqual(b, rate, 0.9*elsewhereRate, "changes/s elsewhere")
	busy := fmt.Sprintf("1 000 members, %.0f changes/s elsewhere", rate)
	for _, of := range []struct {
		figures, work, want string
		share, most, noise  float64
	}{
		{"quiet", "50 members", "≤ 1", 0.5, math.Inf(1), 0.15},
		{"quiet", "50 members", "≤ 1 and ≤ 10 ms", 0.99, 10, 0.25},
		{"busy", busy, "≤ 1", 0.5, math.Inf(1), 0.15},
		{"busy", busy, "≤ 1 and ≤ 10 ms", 0.99, 10, 0.25},
	} {
		// Most answers of small clusters show a write before it is acknowledged.
		our, their := max(least, quantile(ours.figures[of.figures], of.share)), max(least, quantile(theirs.figures[of.figures], of.share))
		r.add(b, fmt.Sprintf("write to answer, %s, p%.0f", of.work, 100*of.share), fmt.Sprintf("%.2f ms", our),
			fmt.Sprintf("kubernetes %.2f ms", their), our/their, goal{of.want, max(our/their, our/of.most), of.noise})
	}
}

// meanwhile does something so many times a second until the function that it returns is called, which tells how many
// times that were in a second.
func (b *bed) meanwhile(rate float64, do func(n int) error) (end func() (rate float64)) {
	begin, n := time.Now(), 0
	ctx, cancel := context.WithCancel(b.Context())
	limit := xrate.NewLimiter(xrate.Limit(rate), 10)
	var all, g errgroup.Group
	g.SetLimit(8)
	all.Go(func() error {
		for ; limit.Wait(ctx) == nil; n++ {
			each := n
			g.Go(func() error { return do(each) })
		}
		return g.Wait()
	})
	return func() float64 {
		cancel()
		require.NoError(b, all.Wait())
		return float64(n) / time.Since(begin).Seconds()
	}
}

// ending are the conditions of an endpoint whose pod has been told to end.
var ending = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false), Terminating: new(true)}

// byHand creates a Service and EndpointSlices of 100 endpoints, as Kubernetes' controller makes them. That is not to be
// measured.
func (b *bed) byHand(service string, size int) {
	b.CreateService(b, b.namespace, service)
	port, portName, labels := int32(4000), "http", app(service)
	labels[discoveryv1.LabelServiceName] = service
	for first := 0; first < size; first += 100 {
		var endpoints []discoveryv1.Endpoint
		for range min(100, size-first) {
			endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{b.address().String()}})
		}
		if first == 0 {
			endpoints = slices.Insert(endpoints, 1, discoveryv1.Endpoint{Addresses: []string{b.address().String()}, Conditions: ending})
		}
		_, err := b.Client.DiscoveryV1().EndpointSlices(b.namespace).Create(b.Context(), &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", service, first/100), Labels: labels},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   endpoints, Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
		}, metav1.CreateOptions{})
		require.NoError(b, err)
	}
}

// change replaces the first endpoint of such a Service, which comes in place of the one that was about to end.
func (b *bed) change(service string, to netip.Addr) error {
	patch := fmt.Appendf(nil, `[{"op":"copy","from":"/endpoints/0/addresses","path":"/endpoints/1/addresses"},
		{"op":"replace","path":"/endpoints/0/addresses","value":[%q]}]`, to)
	_, err := b.Client.DiscoveryV1().EndpointSlices(b.namespace).Patch(b.Context(), service+"-0", types.JSONPatchType,
		patch, metav1.PatchOptions{})
	return err
}
