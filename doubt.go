package longnames

import "time"

// doubt lists everybody in a cluster who is there and not about to end, whatever their probes
// say: these fail and succeed together, but never at the same moment. It ends when all of them
// succeed, or when neither several more have failed nor more have succeeded for as long as a
// cluster is held. As long as nobody passes, all are listed anyway, and it goes on.
type doubt struct {
	cluster *cluster // nil if it has ended
	failed  bool     // it has begun with probes that failed, and not with the first that succeed
	until   time.Time
	least   int // members that passed, since several failed
	most    int // members that have passed, since they were least
}

// doubting is a doubt that has been put off until a time.
type doubting struct {
	doubt *doubt
	at    time.Time
}

// isOver tells whether the doubt has ended, or has been put off again.
func (d doubting) isOver() bool { return d.doubt.cluster == nil || !d.doubt.until.Equal(d.at) }

// failure is the last one of a cluster's members.
type failure struct {
	who   identity
	until time.Time // when that of another has nothing to do with it any more
}

// doubts tells whether the configuration has probes decide who is listed, and doubts them at times.
func (c *config) doubts() bool { return c.hold > 0 && c.include != includeAll }

// weigh looks whether the probes of a cluster that had a roster are believed after an edit of it.
func (t *table) weigh(c *cluster, had *roster, e *edit) []event {
	conf := t.config
	if !conf.doubts() || c == t.misfits {
		return nil
	}
	if c.doubt != nil && !conf.failsAny(e.roster.objects) {
		return t.dispel(c, e)
	}
	now := time.Now()
	until := now.Add(conf.hold)
	failed := conf.failed(e)
	together := len(failed) > 1 || len(failed) == 1 && t.failsWithAnother(c, failed[0], e.roster, now)
	if len(failed) > 0 {
		t.noteFailure(c, failure{failed[0], until}, now)
	}
	switch {
	case c.doubt != nil:
		c.doubt.goOn(t, conf.passing(e.roster.objects), together, until)
		return nil
	case together:
		t.doubtUntil(c, e.roster, until).failed = true
		return []event{{someFail, c, e.roster}}
	case conf.recovers(had, e):
		t.doubtUntil(c, e.roster, until)
		return []event{{someSucceed, c, e.roster}}
	}
	return nil
}

// failsWithAnother tells whether another member has begun to fail not long before; in a cluster
// that is not doubted, the others may all be well again.
func (t *table) failsWithAnother(c *cluster, who identity, r *roster, now time.Time) bool {
	f, ok := t.failures[c]
	return ok && f.who != who && now.Before(f.until) && (c.doubt != nil || t.config.failsIn(r.objects, f.who))
}

// goOn puts a doubt off if several more have failed, or more have succeeded, than when that was
// done last.
func (d *doubt) goOn(t *table, passing int, together bool, until time.Time) {
	switch {
	case together || passing < d.least:
		d.least, d.most = passing, passing
	case passing > d.most:
		d.most = passing
	default:
		return
	}
	t.putOff(d, until)
}

// doubtUntil begins a doubt. The roster is not yet anybody's.
func (t *table) doubtUntil(c *cluster, r *roster, until time.Time) *doubt {
	delete(t.failures, c)
	r.doubted = true
	passing := t.config.passing(r.objects)
	c.doubt = &doubt{cluster: c, least: passing, most: passing}
	t.putOff(c.doubt, until)
	return c.doubt
}

func (t *table) putOff(d *doubt, until time.Time) {
	d.until = until
	if t.doubts = append(t.doubts, doubting{d, until}); len(t.doubts) == 1 {
		t.wake()
	}
}

// dispel ends a cluster's doubt, if there is one, with an edit whose roster is not yet anybody's.
func (t *table) dispel(c *cluster, e *edit) (events []event) {
	e.roster.doubted = false
	if c.doubt == nil {
		return nil
	}
	if c.doubt.failed {
		events = []event{{allSucceed, c, e.roster}}
	}
	c.doubt.cluster = nil
	c.doubt = nil
	return events
}

// believe ends a cluster's doubt because its time is over, and gives the edit that leads to those
// who pass.
func (t *table) believe(c *cluster) *edit {
	e := &edit{roster: &roster{objects: c.actual.objects}}
	t.dispel(c, e)
	c.actual = e.roster
	return e
}

// doubtAfterHold begins a doubt where a cluster will not be held any more though not all are back:
// those who are pass one after the other, and those who do not yet are not to be missing.
func (t *table) doubtAfterHold(c *cluster) {
	conf, objects := t.config, c.actual.objects
	if conf.doubts() && conf.passesAny(objects) && conf.failsAny(objects) {
		c.actual = &roster{objects: objects} // the other one may have been looked at
		t.doubtUntil(c, c.actual, time.Now().Add(conf.hold))
	}
}

func (t *table) noteFailure(c *cluster, f failure, now time.Time) {
	if t.failures == nil {
		t.failures = make(map[*cluster]failure)
	}
	t.sweepLater(now)
	t.failures[c] = f
}
