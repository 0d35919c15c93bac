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
	ids := e.ids(r.isNamedAs)
	for _, pair := range [][2][]*Suspect{{e.Before.Suspects, e.After.Suspects}, {e.After.Suspects, e.Before.Suspects}} {
		known := make(map[*Suspect]bool, len(pair[1]))
		for _, s := range pair[1] {
			known[s] = true
		}
		for _, s := range pair[0] {
			if !known[s] {
				ids[s.Member.ID] = true
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	before, after := e.removed, e.added
	if r.Source.Lookup == kubeapi.Endpoints && len(e.Before.Objects) > 0 { // of a pod, one object tells
		before, after = of(e.Before.Objects, ids), of(e.After.Objects, ids)
	}
	return withSuspects(r.candidates(before, e.Before.Suspects), e.Before.Suspects),
		withSuspects(r.candidates(after, e.After.Suspects), e.After.Suspects)
}

// part returns the objects before and after an edit, reduced to the members that it mentions.
func (e *Edit) part(r *Rules) (before, after []*kubeapi.Object) {
	if r.Source.Lookup != kubeapi.Endpoints { // of a pod, one object tells
		return e.Before.states(e.removed), e.added
	}
	ids := e.ids(r.isAs)
	return of(e.Before.Objects, ids), of(e.After.Objects, ids)
}

// sameness compares a member of an object with one of its other state.
type sameness func(o, p *kubeapi.Object, m, n *kubeapi.Member) bool

// ids returns those of the members that an edit mentions, except those that are the same as before.
func (e *Edit) ids(same sameness) map[string]bool {
	ids := make(map[string]bool)
	for _, pair := range [][2][]*kubeapi.Object{{e.removed, e.added}, {e.added, e.removed}} {
		for _, o := range pair[0] {
			members := differing(o, pair[1], same)
			for i := range members {
				ids[members[i].ID] = true
			}
		}
	}
	return ids
}

// differing returns the members of o that may differ in its other state, which may be among others, in
// order: the same ones are cut off at both ends.
func differing(o *kubeapi.Object, others []*kubeapi.Object, same sameness) []kubeapi.Member {
	at, found := slices.BinarySearchFunc(others, o, kubeapi.CompareObjects)
	if !found {
		return o.Members
	}
	p := others[at]
	return apart(o.Members, p.Members, func(m, n *kubeapi.Member) bool { return same(o, p, m, n) })
}

// isNamedAs reports whether a member has the address and the names that it had in another state of its
// object.
func (r *Rules) isNamedAs(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return p.Service == o.Service && r.Naming.basenameOf(p) == r.Naming.basenameOf(o) &&
		m.Address == n.Address && m.Hostname == n.Hostname && m.ID == n.ID && m.IsPod == n.IsPod
}

// isAs reports whether all of a member is as in another state of its object.
func (r *Rules) isAs(o, p *kubeapi.Object, m, n *kubeapi.Member) bool {
	return *m == *n && r.isNamedAs(o, p, m, n)
}

// apart returns members without those that are the same in another list at its begin and its end.
func apart(members, other []kubeapi.Member, same func(m, n *kubeapi.Member) bool) []kubeapi.Member {
	for len(members) > 0 && len(other) > 0 && same(&members[0], &other[0]) {
		members, other = members[1:], other[1:]
	}
	for len(members) > 0 && len(other) > 0 && same(&members[len(members)-1], &other[len(other)-1]) {
		members, other = members[:len(members)-1], other[:len(other)-1]
	}
	return members
}

// of returns the objects, each with only the members that have one of some IDs.
func of(objects []*kubeapi.Object, ids map[string]bool) []*kubeapi.Object {
	some := make([]*kubeapi.Object, 0, len(objects))
	for _, o := range objects {
		var members []kubeapi.Member
		for i := range o.Members {
			if m := &o.Members[i]; ids[m.ID] {
				members = append(members, *m)
			}
		}
		if len(members) > 0 {
			part := *o
			part.Members = members
			some = append(some, &part)
		}
	}
	return some
}

// shows reports whether answers can differ after a change. They do not with conditions that Include
// does not look at, nor with members that have no longname before and after.
func (r *Rules) shows(change *kubeapi.Change) bool {
	old, now := r.namedIn(change.Old), r.namedIn(change.New)
	if len(old) == 0 || len(now) == 0 {
		return len(old) != len(now)
	}
	return !slices.Equal(old, now) || !slices.Equal(change.Old.Ports, change.New.Ports) ||
		change.Old.Service != change.New.Service || !slices.Equal(change.Old.Labels, change.New.Labels)
}

// namedIn returns the members of an object that have a longname, with Ready set to whether Include accepts
// them and no other condition. The object may be nil.
func (r *Rules) namedIn(o *kubeapi.Object) []kubeapi.Member {
	if o == nil {
		return nil
	}
	members := make([]kubeapi.Member, 0, len(o.Members))
	for _, m := range o.Members {
		if r.Naming.problemOf(o, &m) == NoProblem {
			m.Ready, m.Serving, m.Terminating = r.Include.passes(&m), false, false
			members = append(members, m)
		}
	}
	return members
}
