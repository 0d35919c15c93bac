package longnames

import (
	"maps"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// burstTime is how long a cluster that gets smaller is expected to get smaller still: an
// accident often comes as one event for each pod, or for each slice of a Service.
const burstTime = 2 * time.Second

// burst is what a cluster loses in events that follow each other.
type burst struct {
	before *roster // with those who have come since
	lost   int     // members, without as many as have come since
	most   int     // that lost has been
	until  time.Time
}

func (b *burst) isOver(now time.Time) bool { return !now.Before(b.until) }

// follow takes note of what a cluster that had a roster loses or gains by an edit. Changes
// are many and losses few: nothing is named here.
func (t *table) follow(c *cluster, had *roster, e *edit) {
	if t.config.hold == 0 || c == t.misfits {
		return
	}
	lost := t.config.namable(e.removed) - t.config.namable(e.added)
	b := t.bursts[c]
	if b == nil && lost <= 0 {
		return
	}
	now := time.Now()
	if b == nil || b.isOver(now) {
		b = &burst{before: had}
		t.remember(c, b, now)
	}
	b.lost += lost
	if b.lost <= 0 {
		delete(t.bursts, c)
		return
	}
	// Only as long as it gets smaller than ever: a rolling update may go on for long, and
	// who was there before it is then no member any more.
	if b.lost > b.most {
		b.most, b.until = b.lost, now.Add(burstTime)
	}
	b.before = b.before.along(e.added, t.config.namable)
}

// namable counts the members that have what makes a longname, at little cost: nothing is
// named, and who is counted twice here is so everywhere. No more than these can be listed.
func (c *config) namable(objects []*kubeapi.Object) int {
	n := 0
	for _, o := range objects {
		if !isBasename(c.naming.basenameOf(o)) {
			continue
		}
		for i := range o.Members {
			if c.naming.hostProblem(o, &o.Members[i]) == noProblem {
				n++
			}
		}
	}
	return n
}

func (t *table) remember(c *cluster, b *burst, now time.Time) {
	if t.bursts == nil {
		t.bursts = make(map[*cluster]*burst)
	}
	t.sweepLater(now)
	t.bursts[c] = b
}

// sweepLater has bursts and failures be looked through, if there were none.
func (t *table) sweepLater(now time.Time) {
	if len(t.bursts) == 0 && len(t.failures) == 0 {
		t.sweep = now.Add(burstTime)
		t.wake()
	}
}

// forget drops the bursts and the failures that are over, if it is time to.
func (t *table) forget(now time.Time) {
	if !now.Before(t.sweep) {
		maps.DeleteFunc(t.bursts, func(_ *cluster, b *burst) bool { return b.isOver(now) })
		maps.DeleteFunc(t.failures, func(_ *cluster, f failure) bool { return !now.Before(f.until) })
		t.sweep = now.Add(burstTime)
	}
	if len(t.bursts) == 0 {
		t.bursts = nil // and not a map that only grows
	}
	if len(t.failures) == 0 {
		t.failures = nil
	}
}

// recall gives the roster to hold for a cluster that has nobody left: that from before the
// burst, which is over with that, unless more are listed now.
func (t *table) recall(c *cluster) *roster {
	last, b := c.roster.Load(), t.bursts[c]
	delete(t.bursts, c)
	if b == nil || b.isOver(time.Now()) || t.listedIn(c, b.before) < t.listedIn(c, last) {
		return last
	}
	return b.before
}
