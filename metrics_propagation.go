package longnames

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// longestPropagation bounds what counts as one. Some objects tell a time long before their
// change: what changes while Kubernetes' controller is away gets the Service's creation.
const longestPropagation = 10 * time.Minute

// propagation has few buckets below a second, for Kubernetes' times are cut to whole ones.
var propagation = histogram("propagation_duration_seconds",
	"From the change of an object to when the first answer able to show it could be given, in seconds.",
	[]float64{.25, .5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, longestPropagation.Seconds()}, "zone")

// propagated counts changes that questions are answered with from now on.
func (t *table) propagated(edits map[*cluster]*edit) {
	if !t.synced.Load() {
		return
	}
	now := time.Now()
	for home, e := range edits {
		if home == t.misfits {
			continue
		}
		for _, at := range e.changed {
			if took := now.Sub(at); took <= longestPropagation {
				// Two clocks may differ.
				propagation.WithLabelValues(t.config.name()).Observe(max(0, took).Seconds())
			}
		}
	}
}

// shows tells whether answers can differ after a change. They do not with conditions that
// include does not look at, nor with members that have no longname before and after.
func (c *config) shows(change *kubeapi.Change) bool {
	old, now := c.candidatesIn(change.Old), c.candidatesIn(change.New)
	if len(old) == 0 || len(now) == 0 {
		return len(old) != len(now)
	}
	return !slices.Equal(old, now) || !slices.Equal(change.Old.Ports, change.New.Ports) ||
		change.Old.Service != change.New.Service || !slices.Equal(change.Old.Labels, change.New.Labels)
}

// candidatesIn are the members of an object that have what makes a longname, with Ready
// instead of all conditions for those that include lets in. The object may be nil.
func (c *config) candidatesIn(o *kubeapi.Object) []kubeapi.Member {
	if o == nil {
		return nil
	}
	members := make([]kubeapi.Member, 0, len(o.Members))
	for _, m := range o.Members {
		if c.naming.problemOf(o, &m) == noProblem {
			m.Ready, m.Serving, m.Terminating = c.include.passes(&m), false, false
			members = append(members, m)
		}
	}
	return members
}
