package longnames

import (
	"context"
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// settleTime is how long members that come back are waited for, once some are there: they
// come one after the other, and those that have come first are not all.
const settleTime = time.Second

// hold keeps the last members of a cluster that has lost all of them, in one step or in a
// burst: that is more often an accident than an end.
type hold struct {
	cluster *cluster // nil if it has ended before its time
	until   time.Time
	settled time.Time // when some that have come back count as all; zero if there is none
}

// settling is a hold whose settled has been set to a time.
type settling struct {
	hold *hold
	at   time.Time
}

// isLost tells whether a cluster that is answered with members really has none any more.
func (t *table) isLost(c *cluster) bool {
	return t.config.hold > 0 && c != t.misfits &&
		!t.config.namesAny(c.actual.objects) && t.config.namesAny(c.roster.Load().objects)
}

// holdUntil begins a hold. None that has begun before may last longer.
func (t *table) holdUntil(c *cluster, until time.Time) {
	h := &hold{cluster: c, until: until}
	c.hold.Store(h)
	if t.holds = append(t.holds, h); len(t.holds) == 1 {
		t.wake()
	}
}

func (t *table) wake() {
	select {
	case t.held <- struct{}{}:
	default:
	}
}

// isBack tells whether a cluster that is held has its members again: as many as before, or
// all that come within a time.
func (t *table) isBack(c *cluster) bool {
	h := c.hold.Load()
	if !t.config.namesAny(c.actual.objects) {
		h.settled = time.Time{}
		return false
	}
	if t.hasAsMany(c, c.roster.Load()) {
		return true
	}
	if h.settled.IsZero() {
		h.settled = time.Now().Add(settleTime)
		if t.settles = append(t.settles, settling{h, h.settled}); len(t.settles) == 1 {
			t.wake()
		}
	}
	return false
}

// hasAsMany tells whether a cluster really lists as many members as are listed in a roster.
// Members that come back one by one are not named until they can be as many: to name all of
// them each time would take the square of their number.
func (t *table) hasAsMany(c *cluster, r *roster) bool {
	before := t.listedIn(c, r)
	return t.config.namable(c.actual.objects) >= before && t.listedIn(c, c.actual) >= before
}

func (t *table) listedIn(c *cluster, r *roster) int {
	return listed(r.members(t.config, c.name).nodes)
}

// endHold ends a cluster's hold, and gives the edit that leads to what there really is.
func (t *table) endHold(c *cluster) *edit {
	c.hold.Load().cluster = nil
	c.hold.Store(nil)
	return c.roster.Load().to(c.actual)
}

// run ends holds when their time has come, and forgets bursts that are over.
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
			t.dirty[c] = struct{}{}
			e := t.believe(c)
			if held := edits[c]; held != nil { // until just now
				held.roster = e.roster
			} else {
				edits[c] = e
			}
			if t.listedIn(c, c.actual) < before {
				events = append(events, event{someStillFail, c, c.actual})
			}
		}
	}
	if len(edits) > 0 {
		t.replace(edits)
	}
	if len(t.settles) == 0 {
		t.settles = nil // and not an array that only grows
	}
	if len(t.holds) == 0 {
		t.holds = nil
	}
	if len(t.doubts) == 0 {
		t.doubts = nil
	}
	t.forget(now)
	next, ok = t.due()
	return events, next, ok
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

// isOver tells whether the hold has ended, or members have gone again.
func (s settling) isOver() bool { return s.hold.cluster == nil || !s.hold.settled.Equal(s.at) }

// departs tells whether any cluster is answered otherwise than what there is would be by itself.
func (t *table) departs() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.holds, func(h *hold) bool { return h.cluster != nil }) ||
		slices.ContainsFunc(t.doubts, func(d doubting) bool { return !d.isOver() })
}

// inherit lets t hold what another table does, until the same time or as long as its own
// configuration allows, and remember its bursts. If both follow one source, t has to do so
// before, so that there is nothing that only the other one has seen; if not, the source of t
// may later tell of members of those clusters, which ends it, or of none.
func (t *table) inherit(old *table) {
	if t.config.hold == 0 || t.config.group() != old.config.group() {
		return
	}
	now := time.Now()
	old.mu.Lock() // both, for a source tells one table after the other
	defer old.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	edits := make(map[*cluster]*edit)
	for _, h := range old.holds {
		if h.cluster == nil {
			continue
		}
		held := t.config.readAs(old.config, h.cluster.roster.Load())
		if !t.config.namesAny(held.objects) {
			continue
		}
		c := t.home(held.objects[0])
		if t.config.namesAny(c.actual.objects) && t.hasAsMany(c, held) {
			continue // it has come back
		}
		if own := c.hold.Load(); own != nil {
			own.cluster = nil // the other one has seen more
		}
		t.believe(c)
		t.dirty[c] = struct{}{}
		edits[c] = c.roster.Load().to(held)
		until := now.Add(t.config.hold)
		if h.until.Before(until) {
			until = h.until
		}
		t.holdUntil(c, until)
	}
	slices.SortStableFunc(t.holds, func(a, b *hold) int { return a.until.Compare(b.until) })
	t.replace(edits)
	for c := range edits {
		t.isBack(c) // it is not, but some may be there
	}
	if len(edits) > 0 {
		t.restored.Store(true)
	}
	t.inheritDoubts(old, now)
	for theirs, b := range old.bursts {
		before := t.config.readAs(old.config, b.before)
		if c := t.cluster(theirs.name); c != nil && c.hold.Load() == nil && len(before.objects) > 0 {
			t.remember(c, &burst{before, b.lost, b.most, b.until}, now)
		}
	}
	t.wake()
}

// group is the label that clusters are told apart by, empty if there is one cluster.
func (c *config) group() string {
	if c.groupLabel < 0 {
		return ""
	}
	return c.source.Labels[c.groupLabel]
}

// readAs gives what c would have of a roster that was read for another configuration: what
// is in namespaces that c watches. Where it does not say which, that may be any.
func (c *config) readAs(other *config, r *roster) *roster {
	objects, ok := c.source.ReadAs(&other.source, r.objects)
	if !ok {
		return &roster{}
	}
	namespaces := c.source.Namespaces
	if len(namespaces) == 0 || namespaces[0] == kubeapi.AllNamespaces {
		return &roster{objects: objects, doubted: r.doubted}
	}
	var found []*kubeapi.Object
	for _, o := range objects {
		if slices.Contains(namespaces, o.Namespace) {
			found = append(found, o)
		}
	}
	return &roster{objects: found, doubted: r.doubted}
}

// event is one for the log.
type event struct {
	happened happening
	cluster  *cluster
	roster   *roster // which it is about
}

// happening is what can happen to a cluster that is held or doubted.
type happening uint8

const (
	begun happening = iota
	returned
	givenUp
	someFail
	someSucceed
	allSucceed
	someStillFail
)

// holdLog is how many events of one step get a line each.
const holdLog = 10

// tell logs events.
func (t *table) tell(events []event) {
	c := t.config
	log := zoneLog{c.name()}
	for i, e := range events {
		if i == holdLog {
			log.Warningf("And %d more clusters", len(events)-i)
			return
		}
		name, members := c.first().absolute(e.cluster.name), listed(e.roster.members(c, e.cluster.name).nodes)
		switch e.happened {
		case begun:
			log.Warningf("Cluster %s has no members left, by accident or on purpose: the last ones (%d) stay in answers for %s, unless others come",
				name, members, c.hold)
		case returned:
			log.Infof("Cluster %s has members again (%d)", name, members)
		case givenUp:
			log.Warningf("Cluster %s has got no members again: the last ones (%d) are given up", name, members)
		case someFail:
			log.Warningf("Cluster %s has members whose probes fail together: all (%d) stay in answers until these succeed, or nothing gets better or worse for %s",
				name, members, c.hold)
		case someSucceed:
			log.Debugf("Cluster %s has first members whose probes succeed: all (%d) stay in answers until the others do, too, or no more do for %s",
				name, members, c.hold)
		case allSucceed:
			log.Infof("Cluster %s has no members any more whose probes fail (%d)", name, members)
		case someStillFail:
			log.Warningf("Cluster %s has members whose probes still fail: only the others (%d) stay in answers", name, members)
		}
	}
}
