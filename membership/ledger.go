package membership

import (
	"maps"

	"github.com/longnames/longnames/kubeapi"
)

// ledger counts the candidates of each longname of a cluster that has suspects, so that an edit need not
// name all of them again. It is for the state only.
type ledger struct {
	nonePasses bool // no candidate passes include, so that all that do not end are alive
	bearers    map[string]bearers
	alive      int // longnames
	suspects   map[string]*Suspect
}

// bearers count the candidates of one longname.
type bearers struct {
	alive int32
	there int32 // neither alive nor about to end
}

// newLedger returns the ledger of the cluster that has a roster.
func newLedger(rules *Rules, r *Roster) *ledger {
	nodes := rules.candidates(r.Objects, r.Suspects)
	l := &ledger{nonePasses: !passesAny(nodes), bearers: make(map[string]bearers, len(nodes)), suspects: make(map[string]*Suspect)}
	for i := range nodes {
		l.add(&nodes[i], +1)
	}
	for _, s := range r.Suspects {
		l.suspects[s.text] = s
	}
	return l
}

// add counts a candidate in or out, and reports whether it is alive.
func (l *ledger) add(n *Node, delta int32) bool {
	b := l.bearers[n.text]
	was := b.alive > 0
	alive := n.Listed || l.nonePasses && !n.ends
	switch {
	case alive:
		b.alive += delta
	case !n.ends:
		b.there += delta
	}
	switch is := b.alive > 0; {
	case is && !was:
		l.alive++
	case was && !is:
		l.alive--
	}
	if b == (bearers{}) {
		delete(l.bearers, n.text)
	} else {
		l.bearers[n.text] = b
	}
	return alive
}

// lasts counts the suspects that stay only because the cluster has no other member.
func (l *ledger) lasts() int {
	count := 0
	for _, s := range l.suspects {
		if s.Reason == Last {
			count++
		}
	}
	return count
}

// dropLast drops them once it has another one.
func (l *ledger) dropLast() {
	if l.alive > 0 || l.lasts() < len(l.suspects) {
		maps.DeleteFunc(l.suspects, func(_ string, s *Suspect) bool { return s.Reason == Last })
	}
}

// headcounts count the members of a cluster, as objects tell of them.
type headcounts struct {
	four, six int32
	// Candidates that pass include: with an IPv4 address and a longname, with an IPv6 address and one, and
	// without a longname.
	fourPass, sixPass, namelessPass int32
}

// count counts members of an object in or out.
func (h *headcounts) count(r *Rules, o *kubeapi.Object, members []*kubeapi.Member, delta int32) {
	for _, m := range members {
		all, passing := &h.six, &h.sixPass
		if m.Address.Is4() {
			all, passing = &h.four, &h.fourPass
		}
		*all += delta
		switch {
		case !r.Include.passes(m):
		case r.Naming.problemOf(o, m) == NoProblem:
			*passing += delta
		default:
			h.namelessPass += delta
		}
	}
}

// passes reports whether any candidate passes include, and whether the headcounts can tell: an IPv6
// address says nothing of one that is known by an IPv4 one, which may be a suspect's, and one that has
// no longname by an object may have it by another.
func (h *headcounts) passes(suspects []*Suspect) (any, sure bool) {
	switch {
	case h.fourPass > 0:
		return true, true
	case h.sixPass > 0 && h.four == 0 && len(suspects) == 0:
		return true, true
	}
	return false, h.sixPass+h.namelessPass == 0
}
