package longnames

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// doubt lists everybody in a cluster who is there and not about to end, whatever their probes
// say: these fail or succeed together, but never at the same moment. It ends when all of them
// succeed, or when none has done so, nor failed, for as long as a cluster is held.
type doubt struct {
	cluster *cluster // nil if it has ended
	until   time.Time
	least   int // that have passed, since it began
	most    int // that have passed, since they were least
}

// doubting is a doubt that has been put off until a time.
type doubting struct {
	doubt *doubt
	at    time.Time
}

// isOver tells whether the doubt has ended, or has been put off again.
func (d doubting) isOver() bool { return d.doubt.cluster == nil || !d.doubt.until.Equal(d.at) }

// failure is the last one of a member whose probe fails while those of others do not.
type failure struct {
	who   identity
	until time.Time // when it is no longer taken to have to do with that of another
}

// weigh looks whether the probes of a cluster that had a roster are believed after an edit of it.
func (t *table) weigh(c *cluster, had *roster, e *edit) (events []event) {
	conf := t.config
	if conf.hold == 0 || conf.include == includeAll || c == t.misfits {
		return nil
	}
	now := time.Now()
	if d := c.doubt; d != nil {
		if !conf.failsAny(e.roster.objects) {
			t.dispel(c, e)
			return []event{{allSucceed, c, e.roster}}
		}
		if passing := conf.passing(e.roster.objects); passing < d.least {
			d.least, d.most = passing, passing
			t.putOff(d, now.Add(conf.hold))
		} else if passing > d.most {
			d.most = passing
			t.putOff(d, now.Add(conf.hold))
		}
		return nil
	}
	switch failed := conf.failed(e); {
	case len(failed) > 1 || len(failed) == 1 && t.failsWithAnother(c, failed[0], e.roster, now):
		events = []event{{someFail, c, e.roster}}
	case len(failed) > 0:
		t.noteFailure(c, failure{failed[0], now.Add(conf.hold)}, now)
		return nil
	case conf.recovers(had, e):
		events = []event{{someSucceed, c, e.roster}}
	default:
		return nil
	}
	t.doubtUntil(c, e.roster, now.Add(conf.hold))
	return events
}

// doubtUntil begins a doubt. The roster is not yet anybody's.
func (t *table) doubtUntil(c *cluster, r *roster, until time.Time) {
	delete(t.failures, c)
	r.doubted = true
	passing := t.config.passing(r.objects)
	c.doubt = &doubt{cluster: c, least: passing, most: passing}
	t.putOff(c.doubt, until)
}

func (t *table) putOff(d *doubt, until time.Time) {
	d.until = until
	if t.doubts = append(t.doubts, doubting{d, until}); len(t.doubts) == 1 {
		t.wake()
	}
}

// dispel ends a cluster's doubt, if there is one, with an edit whose roster is not yet anybody's.
func (t *table) dispel(c *cluster, e *edit) {
	e.roster.doubted = false
	if c.doubt != nil {
		c.doubt.cluster = nil
		c.doubt = nil
	}
}

// believe ends a cluster's doubt, and gives the edit that leads to those who pass.
func (t *table) believe(c *cluster) *edit {
	e := &edit{roster: &roster{objects: c.actual.objects}}
	t.dispel(c, e)
	c.actual = e.roster
	return e
}

// inheritDoubts lets t doubt what another table does, until the same time or as long as its own
// configuration allows.
func (t *table) inheritDoubts(old *table, now time.Time) {
	if t.config.include == includeAll {
		return
	}
	edits := make(map[*cluster]*edit)
	for _, theirs := range old.doubts {
		if theirs.isOver() {
			continue
		}
		c := t.cluster(theirs.doubt.cluster.name)
		if c == nil || c.hold.Load() != nil || c.doubt != nil || !t.config.failsAny(c.actual.objects) {
			continue
		}
		c.actual = &roster{objects: c.actual.objects}
		until := now.Add(t.config.hold)
		if theirs.at.Before(until) {
			until = theirs.at
		}
		t.doubtUntil(c, c.actual, until)
		t.dirty[c] = struct{}{}
		edits[c] = &edit{roster: c.actual}
	}
	slices.SortStableFunc(t.doubts, func(a, b doubting) int { return a.at.Compare(b.at) })
	t.replace(edits)
	for theirs, f := range old.failures {
		if c := t.cluster(theirs.name); c != nil && c.hold.Load() == nil && c.doubt == nil {
			t.noteFailure(c, f, now)
		}
	}
}

// failsWithAnother tells whether the probe of another member began to fail not long ago and has
// done so since, or those of all others fail.
func (t *table) failsWithAnother(c *cluster, who identity, r *roster, now time.Time) bool {
	if f, ok := t.failures[c]; ok && f.who != who && now.Before(f.until) && t.config.fails(r.objects, func(w identity) bool { return w == f.who }) {
		return true
	}
	return !t.config.passesAny(r.objects) && t.config.fails(r.objects, func(w identity) bool { return w != who })
}

func (t *table) noteFailure(c *cluster, f failure, now time.Time) {
	if t.failures == nil {
		t.failures = make(map[*cluster]failure)
	}
	t.sweepLater(now)
	t.failures[c] = f
}

// failed are those whom an edit finds failing, and who did not fail before.
func (c *config) failed(e *edit) []identity {
	var all []identity
	for _, o := range e.added {
		at, found := slices.BinarySearchFunc(e.removed, o, compareObjects)
		if !found {
			continue
		}
		was := e.removed[at]
		now, before := apart(o.Members, was.Members, func(m, n *kubeapi.Member) bool { return *m == *n })
		for i := range now {
			if !c.include.fails(&now[i]) {
				continue
			}
			who := whoIs(o, &now[i])
			same := func(m kubeapi.Member) bool { return !c.include.fails(&m) && whoIs(was, &m) == who }
			if anywhere := who.anywhere(); slices.ContainsFunc(before, same) && !slices.Contains(all, anywhere) {
				all = append(all, anywhere)
			}
		}
	}
	return all
}

// fails tells whether any of those fails whom is says yes to.
func (c *config) fails(objects []*kubeapi.Object, is func(identity) bool) bool {
	for _, o := range objects {
		for i := range o.Members {
			if m := &o.Members[i]; c.include.fails(m) && is(whoIs(o, m).anywhere()) {
				return true
			}
		}
	}
	return false
}

// recovers tells whether an edit brings the first that pass to those who were all listed since
// none did.
func (c *config) recovers(had *roster, e *edit) bool {
	return c.passing(e.added) > 0 && !c.passesAny(had.objects) && c.namesAny(had.objects) &&
		c.passesAny(e.roster.objects) && c.failsAny(e.roster.objects)
}

// failsAny tells whether anybody fails, at little cost: one who passes elsewhere counts, too.
func (c *config) failsAny(objects []*kubeapi.Object) bool {
	for _, o := range objects {
		for i := range o.Members {
			if c.include.fails(&o.Members[i]) {
				return true
			}
		}
	}
	return false
}

// passing counts those who pass and are not about to end, likewise.
func (c *config) passing(objects []*kubeapi.Object) int {
	n := 0
	for _, o := range objects {
		for i := range o.Members {
			if m := &o.Members[i]; !m.Terminating && c.include.passes(m) {
				n++
			}
		}
	}
	return n
}
