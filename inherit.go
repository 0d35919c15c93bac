package longnames

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

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
		t.holdUntil(c, earlier(h.until, now.Add(t.config.hold)))
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

// inheritDoubts lets t doubt what another table does, until the same time or as long as its own
// configuration allows.
func (t *table) inheritDoubts(old *table, now time.Time) {
	if !t.config.doubts() {
		return
	}
	latest := now.Add(t.config.hold)
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
		d := t.doubtUntil(c, c.actual, earlier(theirs.at, latest))
		d.failed, d.least, d.most = theirs.doubt.failed, theirs.doubt.least, theirs.doubt.most
		t.dirty[c] = struct{}{}
		edits[c] = &edit{roster: c.actual}
	}
	slices.SortStableFunc(t.doubts, func(a, b doubting) int { return a.at.Compare(b.at) })
	t.replace(edits)
	for theirs, f := range old.failures {
		if c := t.cluster(theirs.name); c != nil && c.hold.Load() == nil {
			t.noteFailure(c, failure{f.who, earlier(f.until, latest)}, now)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
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
