package membership

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// inheritance is the suspects of a cluster and their times, taken from an earlier state.
type inheritance struct {
	suspects []*Suspect
	pulse    pulse
}

// Reselect notes that a reload asks for something else than the configuration before it.
func (s *State) Reselect() { s.reselects = true }

// Inherit takes over the suspects of the state that a reload replaces, with their times. Nodes that no longer
// match rules that ask for something else have been taken out by the operator; but where no member would be
// left, those that were listed stay for hold. Whether a suspect matches another selector, only the first list
// says.
func (s *State) Inherit(old *State, now time.Time) []*Edit {
	rules, was := s.rules, old.rules
	if rules.Hold == 0 || rules.group() != was.group() {
		return nil
	}
	var edits []*Edit
	reselects := rules.Source.Selector != was.Source.Selector
	for name, theirs := range old.clusters {
		var stay []*Suspect
		for _, suspect := range theirs.roster.Suspects {
			if o := rules.readAs(was, suspect.object); o != nil && rules.watches(o.Namespace) && (suspect.Reason != Failing || rules.Include == was.Include) {
				stay = append(stay, &Suspect{Node: Node{object: o}, Reason: suspect.Reason, since: suspect.since, from: suspect.from})
			}
		}
		switch {
		case theirs.pulse == nil:
		case reselects && !s.synced:
			s.unconfirmed = append(s.unconfirmed, inheritance{stay, *theirs.pulse})
		default:
			edits = append(edits, s.adopt(inheritance{stay, *theirs.pulse}, !reselects, now)...)
		}
		if mine := s.clusters[name]; mine != nil && len(rules.listed(mine.roster)) > 0 {
			continue
		}
		stay = nil
		for _, n := range was.listed(theirs.roster) {
			if o := rules.readAs(was, n.alone()); o != nil {
				stay = append(stay, &Suspect{Node: Node{object: o}, Reason: Last, since: now, from: now})
			}
		}
		edits = append(edits, s.adopt(inheritance{suspects: stay}, true, now)...)
	}
	return edits
}

// Restore takes over the suspects of a snapshot.
func (s *State) Restore(clusters []kubeapi.Suspects, now time.Time) []*Edit {
	if s.rules.Hold == 0 {
		return nil
	}
	var edits []*Edit
	past := func(at time.Time) time.Time { return earlier(at, now) } // even if the clock was set back
	for _, c := range clusters {
		var suspects []*Suspect
		for _, m := range c.Members {
			if why := slices.Index(reasonNames[:], m.Reason); why >= 0 {
				suspects = append(suspects, &Suspect{Node: Node{object: m.Object}, Reason: Reason(why), since: past(m.Since), from: past(m.From)}) //nolint:gosec // there are three
			}
		}
		p := pulse{most: c.Most, few: past(c.Few), enough: past(c.Enough), probes: past(c.Probes), returns: past(c.Returns)}
		edits = append(edits, s.adopt(inheritance{suspects, p}, true, now)...)
	}
	return edits
}

// confirm takes over the inherited suspects that are in the first list.
func (s *State) confirm(now time.Time) []*Edit {
	edits := make([]*Edit, 0, len(s.unconfirmed))
	for _, i := range s.unconfirmed {
		edits = append(edits, s.adopt(i, false, now)...)
	}
	s.unconfirmed = nil
	return edits
}

// adopt adds suspects of one cluster, each with an object that has no other member, unless they are
// members anyway. A suspect without an object of the cluster is missing, or is dropped unless missingToo.
func (s *State) adopt(from inheritance, missingToo bool, now time.Time) []*Edit {
	p := from.pulse
	suspects := slices.DeleteFunc(from.suspects, func(suspect *Suspect) bool { return !suspect.rename(s.rules) })
	if len(suspects) == 0 {
		return nil
	}
	c := s.home(suspects[0].object)
	if c == nil || c == s.ungrouped {
		return nil
	}
	had := c.roster
	nodes, _ := s.rules.Nodes(&Roster{Objects: had.Objects})
	known, there, ended := make(map[string]bool), make(map[string]bool), make(map[identity]bool)
	for i := range nodes {
		known[nodes[i].text] = known[nodes[i].text] || nodes[i].Listed
		if nodes[i].ends {
			ended[nodes[i].identity().withoutAddress()] = true
		} else {
			there[nodes[i].text] = true
		}
	}
	for _, s := range had.Suspects {
		known[s.text] = true
	}
	suspects = slices.DeleteFunc(suspects, func(s *Suspect) bool {
		is := known[s.text] || ended[s.identity().withoutAddress()] && s.Reason != Last || !missingToo && !there[s.text]
		known[s.text] = true
		switch {
		case s.Reason == Failing && !there[s.text]:
			s.Reason, s.from = Missing, now
		case s.Reason == Missing && there[s.text]:
			s.Reason, s.from, p.probes = Failing, now, now
		}
		s.markListed()
		return is
	})
	if len(suspects) == 0 {
		s.dropIfEmpty(c)
		return nil
	}
	if c.pulse != nil { // suspects of its own, which it has had not for long
		p.most = max(p.most, c.pulse.most)
		p.enough, p.probes, p.returns = later(p.enough, c.pulse.enough), later(p.probes, c.pulse.probes), later(p.returns, c.pulse.returns)
	}
	e := &Edit{Cluster: c, Before: had, After: &Roster{Objects: had.Objects, Suspects: slices.Concat(had.Suspects, suspects)}}
	c.pulse, c.ledger = &p, newLedger(s.rules, e.After)
	c.ledger.dropLast()
	e.After.Suspects = slices.DeleteFunc(e.After.Suspects, func(s *Suspect) bool { return c.ledger.suspects[s.text] != s })
	slices.SortStableFunc(e.After.Suspects, func(a, b *Suspect) int { return a.since.Compare(b.since) })
	p.count(c.ledger.alive, e.After.Suspects, now)
	s.restored = true
	s.plan(c, e.After.Suspects)
	s.commit(e)
	if n := s.namespaces.of(c); n != nil {
		n.most = max(n.most, n.members+n.suspects) // there were as many before
	}
	return []*Edit{e}
}

// rename gives a suspect the name that its object has by some rules, and reports whether it has one.
func (s *Suspect) rename(r *Rules) bool {
	candidates := join([]*kubeapi.Object{s.object}, IncludeAll, nil, nil)
	if len(candidates) == 0 {
		return false
	}
	n, _, p := r.Naming.nameOf(&candidates[0])
	s.Node = n
	return p == NoProblem
}

// listed returns the nodes of a roster that are listed.
func (r *Rules) listed(of *Roster) []Node {
	nodes, _ := r.Nodes(of)
	return slices.DeleteFunc(nodes, func(n Node) bool { return !n.Listed })
}

// group returns the key of the label that clusters are told apart by; empty if there is one cluster.
func (r *Rules) group() string {
	if r.GroupLabel < 0 {
		return ""
	}
	return r.Source.Labels[r.GroupLabel]
}

// readAs returns an object as it would have been read by these rules, nil if it lacks what they ask for.
func (r *Rules) readAs(other *Rules, o *kubeapi.Object) *kubeapi.Object {
	objects, ok := r.Source.ReadAs(other.Source, []*kubeapi.Object{o})
	if !ok || len(objects[0].Members) == 0 {
		return nil
	}
	return objects[0]
}

// watches reports whether the source reads a namespace. Where the configuration does not say, it may be
// any.
func (r *Rules) watches(namespace string) bool {
	all := r.Source.Namespaces
	return len(all) == 0 || all[0] == kubeapi.AllNamespaces || slices.Contains(all, namespace)
}
