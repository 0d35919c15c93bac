package longnames

import (
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// failed are the first two of those whom an edit finds failing, and who did not fail before: for
// more than that nobody asks.
func (c *config) failed(e *edit) (all []identity) {
	now := c.failingNow(e)
	if len(now) == 0 {
		return nil
	}
	before := make(map[identity]bool)
	eachMember(e.removed, func(o *kubeapi.Object, m *kubeapi.Member) {
		if !c.include.fails(m) {
			before[whoIs(o, m)] = true
		}
	})
	now = slices.DeleteFunc(now, func(f failingMember) bool { return !before[f.who] })
	c.markPassing(now, e.roster.objects)
	for _, f := range now {
		if who := f.who.anywhere(); !f.passes && !slices.Contains(all, who) {
			if all = append(all, who); len(all) == 2 {
				break
			}
		}
	}
	return all
}

// failingMember is somebody who fails, as an object of a Service tells.
type failingMember struct {
	who     identity
	service string
	passes  bool // as one of another Service tells, which may publish those who are not ready
}

// failingNow are those who fail in what an edit adds, but for what is the same as before. The IPv6
// address of who has both is not looked at, as ever: the slice that has it may follow later.
func (c *config) failingNow(e *edit) (all []failingMember) {
	for _, o := range e.added {
		now := o.Members
		if at, found := slices.BinarySearchFunc(e.removed, o, compareObjects); found {
			now = apart(now, e.removed[at].Members, func(m, n *kubeapi.Member) bool { return *m == *n })
		}
		for i := range now {
			if c.include.fails(&now[i]) {
				all = append(all, failingMember{who: whoIs(o, &now[i]), service: o.Service})
			}
		}
	}
	if len(all) > 0 {
		dual := dualStack(e.roster.objects, c.source.Family)
		all = slices.DeleteFunc(all, func(f failingMember) bool { return f.who.address.Is6() && dual[f.who.anywhere()] })
	}
	return all
}

// markPassing marks who passes in an object of another Service. A Service tells of an
// address once, so where there is but one, nothing has to be looked through.
func (c *config) markPassing(now []failingMember, objects []*kubeapi.Object) {
	if len(now) == 0 {
		return
	}
	several := slices.ContainsFunc(now, func(f failingMember) bool { return f.service != now[0].service })
	var at map[identity][]int
	for _, o := range objects {
		if !several && o.Service == now[0].service {
			continue
		}
		if at == nil {
			at = make(map[identity][]int, len(now))
			for i := range now {
				at[now[i].who] = append(at[now[i].who], i)
			}
		}
		for i := range o.Members {
			m := &o.Members[i]
			if m.Terminating || !c.include.passes(m) {
				continue
			}
			for _, i := range at[whoIs(o, m)] {
				now[i].passes = now[i].passes || now[i].service != o.Service
			}
		}
	}
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
