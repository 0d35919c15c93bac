package longnames

import (
	"context"
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// plan notes when the next suspect of a cluster is given up. Any edit may change it for all.
func (t *table) plan(c *cluster, suspects []*suspect) {
	c.due = time.Time{}
	if len(suspects) == 0 {
		c.pulse, c.ledger = nil, nil
		delete(t.pending, c)
		return
	}
	t.pending[c] = struct{}{}
	for _, s := range suspects {
		if at := c.pulse.until(s, t.config.hold); !at.IsZero() && (c.due.IsZero() || at.Before(c.due)) {
			c.due = at
		}
	}
	if !c.due.IsZero() {
		t.wake()
	}
}

// expire gives up the suspects whose time is up, and returns when the next one's will be, if ever.
func (t *table) expire(now time.Time) (changed bool, next time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := make(map[*cluster]*edit)
	for c := range t.pending {
		if c.due.IsZero() || c.due.After(now) {
			continue
		}
		r := c.roster.Load()
		stay := slices.DeleteFunc(slices.Clone(r.suspects), func(s *suspect) bool {
			at := c.pulse.until(s, t.config.hold)
			return !at.IsZero() && !at.After(now)
		})
		edits[c] = &edit{roster: &roster{objects: r.objects, suspects: stay}}
		t.dirty[c] = struct{}{}
		if len(stay) > 0 {
			c.ledger = t.config.newLedger(edits[c].roster) // an IPv6 address may count now
			c.pulse.count(c.ledger.alive, stay, now)
		}
		t.plan(c, stay)
		t.countEnds(&ends{givenUp: len(r.suspects) - len(stay)})
	}
	t.replace(edits)
	for c := range t.pending {
		if at := c.due; !at.IsZero() && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	return len(edits) > 0, next, ok
}

// run gives up suspects as their time comes.
func (t *table) run(ctx context.Context) {
	for {
		var due <-chan time.Time
		if at, ok := t.release(time.Now()); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.woken:
		case <-due:
		}
	}
}

// release does what run is for.
func (t *table) release(now time.Time) (next time.Time, ok bool) {
	changed, next, ok := t.expire(now)
	if changed {
		t.changes()
	}
	return next, ok
}

func (t *table) wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// departs reports whether any cluster lists suspects.
func (t *table) departs() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) > 0
}

// suspected returns the suspects of all clusters as a snapshot keeps them.
func (t *table) suspected() []kubeapi.Suspects {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]kubeapi.Suspects, 0, len(t.pending))
	for c := range t.pending {
		p := c.pulse
		of := kubeapi.Suspects{Most: p.most, Few: p.few, Enough: p.enough, Probes: p.probes, Returns: p.returns}
		for _, s := range c.roster.Load().suspects {
			of.Members = append(of.Members, kubeapi.Suspect{Object: s.object, Reason: s.reason.String(), Since: s.since, From: s.from})
		}
		all = append(all, of)
	}
	return all
}
