package longnames

import (
	"time"

	"github.com/longnames/longnames/membership"
)

// longestPropagation bounds what counts as one. Some objects tell a time long before their
// change: what changes while Kubernetes' controller is away gets the Service's creation.
const longestPropagation = 10 * time.Minute

// propagation has few buckets below a second, for Kubernetes' times are cut to whole ones.
var propagation = histogram("propagation_duration_seconds",
	"From the change of an object to when the first answer able to show it could be given, in seconds.",
	[]float64{.25, .5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, longestPropagation.Seconds()}, "zone")

// observe counts how suspects ceased to be, and how long it took until questions get what has changed.
func (t *table) observe(edits []*membership.Edit) {
	zone, now := t.config.name(), time.Now()
	for _, e := range edits {
		countEnds(zone, &e.Ends)
		if !t.synced.Load() || e.Cluster == t.state.Ungrouped() {
			continue
		}
		for _, at := range e.Changed {
			if took := now.Sub(at); took <= longestPropagation {
				// Two clocks may differ.
				propagation.WithLabelValues(zone).Observe(max(0, took).Seconds())
			}
		}
	}
}

// countEnds counts how suspects ceased to be.
func countEnds(zone string, by *membership.Ends) {
	if *by == (membership.Ends{}) {
		return
	}
	withMetrics(zone, func() {
		for e, n := range by {
			suspectsEnded.WithLabelValues(zone, membership.End(e).String()).Add(float64(n))
		}
	})
}
