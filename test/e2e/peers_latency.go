package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What is written to: clusters of these sizes, and others meanwhile.
const (
	quietSize     = 50
	busySize      = 1000
	sliceSize     = 100 // endpoints in a slice, as many as Kubernetes' own controller puts there
	elsewhere     = 20  // clusters
	elsewhereSize = 10
	elsewhereRate = 100 // changes a second in these

	elsewhereLeast = 90 // of them, or it was not measured what should be
	warmUps        = 20 // writes after each start that do not count
)

// latency is about how long it takes from when a write is acknowledged until an answer shows it.
func (p *peers) latency(t *trial) {
	w := &writer{trial: t, namespace: t.namespace("prod", podPolicy{})}
	w.cluster(sized(quietSize), quietSize)
	w.cluster(sized(busySize), busySize)
	for i := range elsewhere {
		w.cluster(elsewhereName(i), elsewhereSize)
	}
	ours := &shower{peer: t.newPeer("longnames", 0, t.longnamesPlugin(w.namespace, groupByService, "ttl 0")), name: ourName}
	theirs := &shower{peer: t.newPeer("kubernetes", 1, t.kubernetesPlugin(w.namespace, "ttl 0")), name: theirName}
	both := []*shower{ours, theirs}
	for range p.rounds {
		for _, s := range both {
			s.start()
			s.knows(s.name(sized(busySize), w.namespace), "A", busySize)
			w.delays(s, "udp", sized(quietSize), warmUps)
			s.quiet = append(s.quiet, w.delays(s, "udp", sized(quietSize), p.writes)...)
			end := w.disturb()
			w.delays(s, "tcp", sized(busySize), warmUps)
			p.profiled(s.peer, "changes", func() { s.busy = append(s.busy, w.delays(s, "tcp", sized(busySize), p.writes)...) })
			s.rates = append(s.rates, end())
			s.stop()
		}
		slices.Reverse(both)
	}
	rate := min(median(ours.rates), median(theirs.rates))
	p.quicker("write to answer, 50 members", ours.quiet, theirs.quiet, true)
	p.quicker(fmt.Sprintf("write to answer, 1 000 members, %.0f changes/s elsewhere", rate), ours.busy, theirs.busy, rate >= elsewhereLeast)
}

// quicker adds goals for the middle and for the worst of some delays, in milliseconds. Neither is met if they were not
// measured as they should be.
func (p *peers) quicker(work string, ours, theirs []float64, valid bool) {
	for _, share := range []float64{0.5, 0.99} {
		our, their := quantile(ours, share), quantile(theirs, share)
		want, met := "≤ 1", our <= their
		if share > 0.5 {
			want, met = "≤ 1 and ≤ 10 ms", met && our <= 10
		}
		p.compare(fmt.Sprintf("%s, p%.0f", work, 100*share), "kubernetes",
			[2]string{fmt.Sprintf("%.2f ms", our), fmt.Sprintf("%.2f ms", their)}, our, their, want, valid && met)
	}
}

// shower is a server that is to show what was written.
type shower struct {
	*peer
	name        func(service, namespace string) string
	quiet, busy []float64 // how long it took, in milliseconds
	rates       []float64 // changes a second elsewhere, meanwhile
}

// writer writes EndpointSlices itself: no controller is to be measured.
type writer struct {
	*trial
	namespace string
	fresh     atomic.Int64
}

func elsewhereName(i int) string { return fmt.Sprintf("other-%d", i) }

func sliceName(cluster string, i int) string { return fmt.Sprintf("%s-%d", cluster, i) }

// address gives one that nobody has ever had.
func (w *writer) address() netip.Addr {
	n := w.fresh.Add(1)
	return netip.MustParseAddr(fmt.Sprintf("10.%d.%d.%d", 100+n/62500, n/250%250, n%250+1))
}

func (w *writer) cluster(name string, size int) {
	w.service(w.namespace, name, noSelector)
	for first := 0; first < size; first += sliceSize {
		var endpoints []discoveryv1.Endpoint
		for range min(sliceSize, size-first) {
			endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{w.address().String()}})
		}
		w.slice(w.namespace, name, sliceName(name, first/sliceSize), endpoints...)
	}
}

// change gives the first endpoint of a slice another address.
func (w *writer) change(ctx context.Context, slice string, to netip.Addr) error {
	patch := fmt.Appendf(nil, `[{"op":"replace","path":"/endpoints/0/addresses","value":[%q]}]`, to)
	_, err := w.client.DiscoveryV1().EndpointSlices(w.namespace).Patch(ctx, slice, types.JSONPatchType, patch, metav1.PatchOptions{})
	return err
}

// delays gives how long each of some writes took to be shown. It is asked for all the time, also while it is written: it
// may be shown before it is acknowledged, which counts as at once.
func (w *writer) delays(s *shower, network, cluster string, writes int) []float64 {
	ask := s.asker(network, s.name(cluster, w.namespace), "A", 4096)
	defer ask.close()
	out := make([]float64, 0, writes)
	for range writes {
		to := w.address()
		var acknowledged time.Time
		var g errgroup.Group
		g.Go(func() error {
			err := w.change(w.ctx, sliceName(cluster, 0), to)
			acknowledged = time.Now()
			return err
		})
		shown, err := ask.shows(to)
		if err != nil {
			w.failf("%s: %w", s.peer.name, errors.Join(err, g.Wait()))
		}
		w.must(g.Wait())
		out = append(out, max(shown.Sub(acknowledged), 0).Seconds()*1000)
	}
	return out
}

// disturb changes other clusters all the time, until the function that it gives is called, which tells how many changes
// there were in a second.
func (w *writer) disturb() (end func() (rate float64)) {
	ctx, cancel := context.WithCancel(w.ctx)
	begin, done := time.Now(), make(chan error, 1)
	changes := 0
	go func() {
		var g errgroup.Group
		g.SetLimit(8)
		ticker := time.NewTicker(time.Second / elsewhereRate)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-ticker.C:
				slice := sliceName(elsewhereName(changes%elsewhere), 0)
				changes++
				g.Go(func() error { return w.change(w.ctx, slice, w.address()) })
			}
		}
		done <- g.Wait()
	}()
	return func() float64 {
		cancel()
		w.must(<-done)
		return float64(changes) / time.Since(begin).Seconds()
	}
}
