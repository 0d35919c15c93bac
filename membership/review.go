package membership

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// A review determines which members of a cluster an edit makes suspect, and which suspects it clears.

// review sets the suspects of an edit's roster. While there are none, it names members of changed objects alone;
// otherwise, all of the cluster.
func (s *State) review(e *Edit, about func() *news, now time.Time) {
	rules, c, had := s.rules, e.Cluster, e.Before
	if rules.Hold == 0 || c == s.ungrouped {
		return
	}
	members := c.counts.four + c.counts.six
	wasEmpty := members == 0
	before, sureBefore := c.counts.passes(had.Suspects)
	for o, p := range pairs(had.states(e.removed), e.added) {
		gone, come := differing(o, p, rules.namesAlike, isEqual)
		c.counts.count(rules, o, gone, -1)
		c.counts.count(rules, p, come, +1)
	}
	if n := s.namespaces.of(c); n != nil {
		n.members += int(c.counts.four + c.counts.six - members)
	}
	after, sureAfter := c.counts.passes(had.Suspects)
	if len(had.Suspects) == 0 && (wasEmpty || !s.known() || sureBefore && sureAfter && before == after && e.isQuiet(rules, about, after)) {
		return
	}
	r := s.newReview(e, about(), now)
	nonePasses := !after
	if !sureAfter {
		nonePasses = !passesAny(rules.candidates(e.After.Objects, had.Suspects))
	}
	was, is := had.Objects, e.After.Objects
	if nonePasses == r.nonePasses {
		was, is = e.part(rules)
	}
	r.compare(rules, was, is, had.Suspects, nonePasses)
	r.judge()
	s.storeReview(r, had.Suspects)
}

// expire gives up the suspects of a cluster whose time is up.
func (s *State) expire(c *Cluster, now time.Time) *Edit {
	return s.giveUp(c, now, GivenUp, func(suspect *Suspect) bool {
		at := c.pulse.until(suspect, s.rules.Hold)
		return !at.IsZero() && !at.After(now)
	})
}

// giveUp gives up some suspects of a cluster. Which IPv6 addresses count depends on the suspects, so that
// others may not be alive any longer.
func (s *State) giveUp(c *Cluster, now time.Time, end End, goes func(*Suspect) bool) *Edit {
	rules, had := s.rules, c.roster
	e := &Edit{Cluster: c, Before: had, After: &Roster{Objects: had.Objects}}
	r := s.newReview(e, &news{}, now)
	stay := make([]*Suspect, 0, len(had.Suspects))
	for _, suspect := range had.Suspects {
		if !goes(suspect) {
			stay = append(stay, suspect)
			continue
		}
		delete(r.suspects, suspect.text)
		e.Ends[end]++
	}
	if rules.knownByIPv4(had.Objects, had.Suspects) != nil {
		r.compare(rules, had.Objects, had.Objects, stay, !passesAny(rules.candidates(had.Objects, stay)))
		r.judge()
	}
	s.storeReview(r, stay)
	return e
}

// drop gives up the oldest suspects of a namespace that has too many.
func (s *State) drop(n *namespace, now time.Time) []*Edit {
	excess := n.excess()
	if len(excess) == 0 {
		return nil
	}
	goes := func(s *Suspect) bool { return excess[s] }
	var edits []*Edit
	for c := range n.clusters {
		if slices.ContainsFunc(c.roster.Suspects, goes) {
			edits = append(edits, s.commit(s.giveUp(c, now, Dropped, goes)))
		}
	}
	return edits
}

// newReview begins one of an edit.
func (s *State) newReview(e *Edit, about *news, now time.Time) *review {
	c := e.Cluster
	if c.ledger == nil {
		c.ledger = newLedger(s.rules, e.Before)
	}
	if c.pulse == nil {
		c.pulse = &pulse{most: c.ledger.alive}
	}
	return &review{
		ledger: c.ledger, edit: e, news: about, now: now, pulse: c.pulse, has: finder(e.After.Objects),
		onPurpose: s.rules.Edited || s.reselects && !s.synced,
	}
}

// storeReview stores the result of a review. Had are the suspects that were there and may still be.
func (s *State) storeReview(r *review, had []*Suspect) {
	c, e := r.edit.Cluster, r.edit
	depends := c.counts.six > 0 && s.rules.Source.Family == kubeapi.AnyFamily
	if depends { // which IPv6 addresses count depends on the suspects
		known := &Roster{Objects: e.After.Objects, Suspects: slices.Collect(maps.Values(r.suspects))}
		r.alive = newLedger(s.rules, known).alive
	}
	e.After.Suspects = r.conclude(had)
	if r.begun {
		e.Changed = nil
	}
	s.plan(c, e.After.Suspects)
	if depends {
		c.ledger = nil
	}
}

// isQuiet reports whether an edit of a cluster without suspects makes no member suspect: every member that
// was alive still is, or its end was announced. Any candidate passes Include before and after, or none
// does; then an end may be that of the last member.
func (e *Edit) isQuiet(rules *Rules, about func() *news, anyPasses bool) bool {
	before, after := e.part(rules)
	was, is := rules.candidates(before, nil), rules.candidates(after, nil)
	isAlive, has := func(n *Node) bool { return n.Listed || !anyPasses && !n.ends }, finder(after)
	is = slices.DeleteFunc(is, func(n Node) bool { return !isAlive(&n) })
	slices.SortFunc(is, func(a, b Node) int { return strings.Compare(a.text, b.text) })
	for i := range was {
		n := &was[i]
		_, alive := slices.BinarySearchFunc(is, n.text, func(n Node, text string) int { return strings.Compare(n.text, text) })
		if isAlive(n) && !alive && (!anyPasses || !about().announces(n, has)) {
			return false
		}
	}
	return true
}

// review is one of a cluster.
type review struct {
	*ledger
	edit  *Edit
	news  *news
	now   time.Time
	pulse *pulse
	has   func(identity) bool // reports whether a pod has an address now
	// onPurpose is true if the operator has taken out what vanishes.
	onPurpose bool

	before map[string][]*Node // the nodes that were alive, of those that may have changed, and suspects, by longname
	seen   map[string]bool    // longnames of all of these, as they were and as they are
	four   map[identity]bool  // pods that are known by their IPv4 addresses; nil if there are no others
	fresh  []*Suspect
	left   []*Node // whose end has been announced
	gone   int     // how many have ceased to be members
	begun  bool    // a member has become suspect
}

// compare updates the ledger, and finds the nodes that may have changed, of objects as they were and as
// they are. These are all objects if the last candidate that passes include is gone, or a first one has
// come. Some suspects stay.
func (r *review) compare(rules *Rules, before, after []*kubeapi.Object, stay []*Suspect, nonePasses bool) {
	had := r.edit.Before.Suspects
	r.before, r.seen = make(map[string][]*Node), make(map[string]bool)
	was := rules.candidates(before, had)
	for i := range was {
		n := &was[i]
		r.seen[n.text] = true
		if r.add(n, -1) {
			r.before[n.text] = append(r.before[n.text], n)
		}
	}
	r.nonePasses = nonePasses
	r.four = rules.knownByIPv4(after, stay)
	if r.four != nil && len(stay) == len(had) && rules.Naming.Mode != ModeHostname { // a pod that loses one of its addresses keeps its name
		for i := range was {
			if who := was[i].identity(); who.id != "" && who.address.Is4() {
				r.four[who.withoutAddress()] = true
			}
		}
	}
	is, _ := rules.name(after, r.four)
	for i := range is {
		r.add(&is[i], +1)
		r.seen[is[i].text] = true
	}
}

// judge goes through the members that may have changed, and the suspects of which there are news.
func (r *review) judge() {
	look := func(s *Suspect) {
		if s != nil && r.before[s.text] == nil {
			r.before[s.text] = []*Node{&s.Node}
		}
	}
	for name := range r.seen {
		look(r.suspects[name])
	}
	if r.news.isAny() {
		for _, s := range r.suspects {
			if r.news.tellsOf(s) {
				look(s)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.before)) {
		bearers, s, why := r.before[name], r.suspects[name], Missing
		if r.bearers[name].there > 0 {
			why = Failing
		}
		switch {
		case r.bearers[name].alive > 0:
			r.returns(s)
		case s != nil && s.Reason == Last:
		case all(bearers, r.announced) || why == Missing && r.onPurpose:
			r.left = append(r.left, bearers[0])
			r.leaves(s)
		case all(bearers, r.taken) || all(bearers, r.renamed):
			r.leaves(s)
		case s == nil || s.Reason != why:
			r.suspect(s, bearers[0], why)
		}
	}
}

func all(nodes []*Node, is func(*Node) bool) bool {
	return !slices.ContainsFunc(nodes, func(n *Node) bool { return !is(n) })
}

// announced reports whether Kubernetes has said that a node ends: its pod or its endpoint
// terminates, or its pod has been given another address.
func (r *review) announced(n *Node) bool {
	return r.news.announces(n, r.has)
}

// taken reports whether the address of a node has become another pod's.
func (r *review) taken(n *Node) bool {
	who := n.identity()
	return r.news.addresses[n.Address()] && !r.news.gains[who] && !r.has(who)
}

// renamed reports whether a node, which has its IPv6 address still, is known by its IPv4 one now.
func (r *review) renamed(n *Node) bool {
	return n.Address().Is6() && r.four[n.identity().withoutAddress()] && r.has(n.identity())
}

// returns notes that a member is alive. S is its suspicion, or nil.
func (r *review) returns(s *Suspect) {
	if s != nil {
		r.pulse.cease(s.Reason, r.now)
		r.edit.Ends[Returned]++
		delete(r.suspects, s.text)
	}
}

// leaves notes that a member has ceased to be one. S is its suspicion, or nil.
func (r *review) leaves(s *Suspect) {
	r.gone++
	if s != nil {
		r.edit.Ends[Gone]++
		delete(r.suspects, s.text)
	}
}

// suspect makes a member suspect. If it was already, S, it is so for another reason from now on.
func (r *review) suspect(s *Suspect, n *Node, why Reason) {
	next := &Suspect{Node: *n, Reason: why, since: r.now, from: r.now}
	next.object = n.alone()
	next.markListed()
	if s != nil {
		next.since = s.since
		r.pulse.cease(s.Reason, r.now)
	}
	if why == Failing {
		r.pulse.probes = r.now
	}
	r.begun = true
	r.suspects[next.text] = next
	r.fresh = append(r.fresh, next)
}

// conclude returns the suspects that there are from now on, the oldest first.
func (r *review) conclude(had []*Suspect) []*Suspect {
	p := r.pulse
	p.most -= r.gone
	r.dropLast()
	if r.alive == 0 && len(r.suspects) == r.lasts() {
		for _, n := range r.left {
			r.suspect(nil, n, Last)
		}
	}
	list := slices.DeleteFunc(slices.Concat(had, r.fresh), func(s *Suspect) bool { return r.suspects[s.text] != s })
	slices.SortStableFunc(list, func(a, b *Suspect) int { return a.since.Compare(b.since) })
	if over := len(list) - p.limit(); over > 0 && list[0].Reason != Last {
		r.edit.Ends[Dropped] += over
		for _, s := range list[:over] {
			delete(r.suspects, s.text)
		}
		list = list[over:]
	}
	p.count(r.alive, list, r.now)
	return list
}
