package longnames

import (
	"context"
	"slices"
	"time"
)

// run ends holds and doubts when their time has come, and forgets bursts and failures that are
// over.
func (t *table) run(ctx context.Context) {
	for {
		var due <-chan time.Time
		if until, ok := t.release(time.Now()); ok {
			due = time.After(time.Until(until))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.held:
		case <-due:
		}
	}
}

// release does what run is for, and tells when to do so again, if ever.
func (t *table) release(now time.Time) (next time.Time, ok bool) {
	events, next, ok := t.expire(now)
	if len(events) > 0 {
		// The answers have changed only now, but the version of the change that led to it has been
		// taken already. A replica that has not held the cluster is at a lower one, until the next
		// change.
		t.advance()
	}
	t.tell(events)
	return next, ok
}

func (t *table) expire(now time.Time) (events []event, next time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := make(map[*cluster]*edit)
	events = slices.Concat(t.endHolds(now, edits), t.endDoubts(now, edits))
	if len(edits) > 0 {
		t.replace(edits)
	}
	t.forget(now)
	next, ok = t.due()
	return events, next, ok
}

// endHolds ends those that are over or settled by now, and adds the edits that lead to what there
// is.
func (t *table) endHolds(now time.Time, edits map[*cluster]*edit) (events []event) {
	end := func(c *cluster) {
		e := event{givenUp, c, c.roster.Load()}
		t.doubtAfterHold(c)
		edits[c] = t.endHold(c)
		if t.config.namesAny(c.actual.objects) {
			e = event{returned, c, c.actual}
		}
		t.dirty[c] = struct{}{}
		events = append(events, e)
	}
	for len(t.settles) > 0 && (t.settles[0].isOver() || !t.settles[0].at.After(now)) {
		if s := t.settles[0]; !s.isOver() {
			end(s.hold.cluster)
		}
		t.settles = t.settles[1:]
	}
	for len(t.holds) > 0 && (t.holds[0].cluster == nil || !t.holds[0].until.After(now)) {
		if c := t.holds[0].cluster; c != nil {
			end(c)
		}
		t.holds = t.holds[1:]
	}
	if len(t.settles) == 0 {
		t.settles = nil // and not an array that only grows
	}
	if len(t.holds) == 0 {
		t.holds = nil
	}
	return events
}

// endDoubts ends those that are over by now, and adds the edits that lead to what probes say.
func (t *table) endDoubts(now time.Time, edits map[*cluster]*edit) (events []event) {
	for len(t.doubts) > 0 && (t.doubts[0].isOver() || !t.doubts[0].at.After(now)) {
		d := t.doubts[0]
		t.doubts = t.doubts[1:]
		switch {
		case d.isOver():
		case !t.config.passesAny(d.doubt.cluster.actual.objects): // so that all are listed anyway
			t.putOff(d.doubt, now.Add(t.config.hold))
		default:
			c := d.doubt.cluster
			before := t.listedIn(c, c.actual)
			e := t.believe(c)
			if held := edits[c]; held != nil { // until just now
				held.roster = e.roster
			} else {
				edits[c] = e
			}
			t.dirty[c] = struct{}{}
			if t.listedIn(c, c.actual) < before {
				events = append(events, event{someStillFail, c, c.actual})
			}
		}
	}
	if len(t.doubts) == 0 {
		t.doubts = nil
	}
	return events
}

// due tells when something ends next, if anything.
func (t *table) due() (next time.Time, ok bool) {
	soonest := func(at time.Time) {
		if !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	if len(t.holds) > 0 {
		soonest(t.holds[0].until)
	}
	if len(t.settles) > 0 {
		soonest(t.settles[0].at)
	}
	if len(t.doubts) > 0 {
		soonest(t.doubts[0].at)
	}
	if len(t.bursts) > 0 || len(t.failures) > 0 {
		soonest(t.sweep)
	}
	return next, ok
}

func (t *table) wake() {
	select {
	case t.held <- struct{}{}:
	default:
	}
}

// departs tells whether any cluster is answered otherwise than what there is would be by itself.
func (t *table) departs() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.holds, func(h *hold) bool { return h.cluster != nil }) ||
		slices.ContainsFunc(t.doubts, func(d doubting) bool { return !d.isOver() })
}
