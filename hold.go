package longnames

import "time"

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

// isOver tells whether the hold has ended, or members have gone again.
func (s settling) isOver() bool { return s.hold.cluster == nil || !s.hold.settled.Equal(s.at) }
