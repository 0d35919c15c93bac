package membership

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// Edit is a change of one cluster.
type Edit struct {
	Cluster       *Cluster
	Before, After *Roster
	// Changed is when the changes happened that answers can show, as far as objects tell; none if
	// answers do not show them yet.
	Changed []time.Time
	Due     time.Time // when the next suspect is given up; zero if none is
	Ends    Ends      // of suspects

	removed, added []*kubeapi.Object
}

// Nodes returns the nodes that the edit may have changed, as they were and as they are.
func (e *Edit) Nodes(r *Rules) (was, is []Node) {
	who := e.mentioned(r, isNamedAs)
	for _, pair := range [][2][]*Suspect{{e.Before.Suspects, e.After.Suspects}, {e.After.Suspects, e.Before.Suspects}} {
		known := make(map[*Suspect]bool, len(pair[1]))
		for _, s := range pair[1] {
			known[s] = true
		}
		for _, s := range pair[0] {
			if !known[s] {
				who.add(s.Member)
			}
		}
	}
	if who.isEmpty() {
		return nil, nil
	}
	before, after := e.removed, e.added
	if r.Source.Lookup == kubeapi.Endpoints && len(e.Before.Objects) > 0 { // of a pod, one object tells
		before, after = e.with(who)
	}
	return withSuspects(r.candidates(before, e.Before.Suspects), e.Before.Suspects),
		withSuspects(r.candidates(after, e.After.Suspects), e.After.Suspects)
}

// part returns the objects before and after an edit, reduced to the members that it mentions.
func (e *Edit) part(r *Rules) (before, after []*kubeapi.Object) {
	if r.Source.Lookup != kubeapi.Endpoints { // of a pod, one object tells
		return e.Before.states(e.removed), e.added
	}
	return e.with(e.mentioned(r, isEqual))
}

// with returns the objects before and after an edit, reduced to some members. Most objects are in both, and are reduced
// once.
func (e *Edit) with(who mentions) (before, after []*kubeapi.Object) {
	if who.isEmpty() {
		return nil, nil
	}
	added := make(map[*kubeapi.Object]bool, len(e.added))
	for _, o := range e.added {
		added[o] = true
	}
	parts := make(map[*kubeapi.Object]*kubeapi.Object)
	for _, o := range e.Before.Objects {
		if part := who.part(o); part != nil {
			parts[o] = part
			before = append(before, part)
		}
	}
	for _, o := range e.After.Objects {
		part := parts[o]
		if added[o] {
			part = who.part(o)
		}
		if part != nil {
			after = append(after, part)
		}
	}
	return before, after
}

// mentioned returns the members that an edit mentions, except those that are the same as before.
func (e *Edit) mentioned(r *Rules, same func(m, n *kubeapi.Member) bool) mentions {
	who := newMentions()
	for o, p := range pairs(e.removed, e.added) {
		gone, come := differing(o, p, r.namesAlike, same)
		for _, m := range gone {
			who.add(m)
		}
		for _, m := range come {
			who.add(m)
		}
	}
	return who
}

// namesAlike reports whether two states of an object name their members alike.
func (r *Rules) namesAlike(o, p *kubeapi.Object) bool {
	return o.Service == p.Service && r.Naming.basenameOf(o) == r.Naming.basenameOf(p)
}

// shows reports whether answers can differ after a change. They do not with conditions that Include
// does not look at, nor with members that have no longname before and after.
func (r *Rules) shows(change *kubeapi.Change) bool {
	before, after := change.Old, change.New
	gone, come := differing(before, after, func(o, p *kubeapi.Object) bool { return o.Template == p.Template }, isEqual)
	old, now := r.named(before, gone), r.named(after, come)
	if len(old) == 0 || len(now) == 0 {
		return len(old) != len(now)
	}
	return !slices.Equal(old, now) || !slices.Equal(before.Ports, after.Ports) ||
		before.Service != after.Service || !slices.Equal(before.Labels, after.Labels)
}

// named returns those of some members of an object that have a longname, with Ready set to whether Include accepts
// them and no other condition.
func (r *Rules) named(o *kubeapi.Object, members []*kubeapi.Member) []kubeapi.Member {
	all := make([]kubeapi.Member, 0, len(members))
	for _, m := range members {
		if r.Naming.problemOf(o, m) == NoProblem {
			m := *m
			m.Ready, m.Serving, m.Terminating = r.Include.passes(&m), false, false
			all = append(all, m)
		}
	}
	return all
}
