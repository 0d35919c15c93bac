package longnames

import (
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// failed are the first two of those whom an edit finds failing, and who did not fail before: for
// more than that nobody asks.
func (c *config) failed(e *edit) []identity {
	candidates := c.failingNow(e)
	if len(candidates) == 0 {
		return nil
	}
	before := make(map[identity]bool)
	eachMember(e.removed, func(o *kubeapi.Object, m *kubeapi.Member) {
		if !c.include.fails(m) {
			before[whoIs(o, m)] = true
		}
	})
	candidates = slices.DeleteFunc(candidates, func(who identity) bool { return !before[who] })
	if len(candidates) == 0 {
		return nil
	}
	// Another Service may publish those who are not ready.
	elsewhere := make(map[identity]bool)
	eachMember(e.roster.objects, func(o *kubeapi.Object, m *kubeapi.Member) {
		if !m.Terminating && c.include.passes(m) {
			elsewhere[whoIs(o, m).anywhere()] = true
		}
	})
	var all []identity
	for _, who := range candidates {
		who = who.anywhere()
		if elsewhere[who] || slices.Contains(all, who) {
			continue
		}
		if all = append(all, who); len(all) == 2 {
			break
		}
	}
	return all
}

// failingNow are those who fail in what an edit adds, but for what is the same as before.
func (c *config) failingNow(e *edit) (all []identity) {
	for _, o := range e.added {
		now := o.Members
		if at, found := slices.BinarySearchFunc(e.removed, o, compareObjects); found {
			now = apart(now, e.removed[at].Members, func(m, n *kubeapi.Member) bool { return *m == *n })
		}
		for i := range now {
			if c.include.fails(&now[i]) {
				all = append(all, whoIs(o, &now[i]))
			}
		}
	}
	return all
}

func eachMember(objects []*kubeapi.Object, do func(*kubeapi.Object, *kubeapi.Member)) {
	for _, o := range objects {
		for i := range o.Members {
			do(o, &o.Members[i])
		}
	}
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

// failsIn tells whether somebody fails in any of the objects.
func (c *config) failsIn(objects []*kubeapi.Object, who identity) (found bool) {
	eachMember(objects, func(o *kubeapi.Object, m *kubeapi.Member) {
		found = found || c.include.fails(m) && whoIs(o, m).anywhere() == who
	})
	return found
}

// passing counts those who pass and are not about to end, at little cost: who is told of twice
// counts twice.
func (c *config) passing(objects []*kubeapi.Object) (n int) {
	eachMember(objects, func(_ *kubeapi.Object, m *kubeapi.Member) {
		if !m.Terminating && c.include.passes(m) {
			n++
		}
	})
	return n
}
