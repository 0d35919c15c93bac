package longnames

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// A review finds who of a cluster becomes suspect by an edit, and who of its suspects no longer is.

// review sets the suspects of an edit's roster. While there are none, it costs what the edit
// changes; else, what the cluster has.
func (t *table) review(home *cluster, had *roster, e *edit, about func() *news, now time.Time) {
	c := t.config
	if c.hold == 0 || home == t.misfits {
		return
	}
	wasEmpty := home.counts.four+home.counts.six == 0
	before, sureBefore := home.counts.passes(had.suspects)
	c.count(home, e.added, +1)
	c.count(home, had.states(e.removed), -1)
	after, sureAfter := home.counts.passes(had.suspects)
	if len(had.suspects) == 0 && (wasEmpty || !t.known() || sureBefore && sureAfter && before == after && c.isQuiet(had, e, about, after)) {
		return
	}
	l := home.ledger
	if l == nil {
		l = c.newLedger(had)
		home.ledger = l
	}
	r := &review{
		config: c, ledger: l, edit: e, news: about(), now: now, pulse: home.pulse,
		onPurpose: c.edited || t.reselects && !t.synced.Load(),
	}
	if r.pulse == nil {
		r.pulse = &pulse{most: l.alive}
		home.pulse = r.pulse
	}
	nobody := !after
	if !sureAfter {
		nobody = !passesAny(c.named(e.roster.objects, c.knownByIPv4(e.roster.objects, had.suspects)))
	}
	r.compare(had, nobody)
	r.judge()
	e.roster.suspects = r.conclude(had.suspects)
	if r.begun {
		e.changed = nil // answers do not show it yet
	}
	t.plan(home, e.roster.suspects)
	if r.four != nil {
		home.ledger = nil // which IPv6 addresses count depends on who is suspect
	}
	t.countEnds(&r.ends)
}

// isQuiet reports whether an edit makes nobody suspect of a cluster that has no suspects: whoever was
// alive is so still, or its end was announced. Any candidate passes include before and after, or none
// does; then an end may be that of the last member.
func (c *config) isQuiet(had *roster, e *edit, about func() *news, anyPasses bool) bool {
	before, after := c.part(had, e)
	was, _ := c.named(before, c.knownByIPv4(before, nil))
	is, _ := c.named(after, c.knownByIPv4(after, nil))
	isAlive := func(n *node) bool { return n.listed || !anyPasses && !n.ends }
	is = slices.DeleteFunc(is, func(n node) bool { return !isAlive(&n) })
	slices.SortFunc(is, func(a, b node) int { return strings.Compare(a.text, b.text) })
	for i := range was {
		n := &was[i]
		_, alive := slices.BinarySearchFunc(is, n.text, func(n node, text string) int { return strings.Compare(n.text, text) })
		if isAlive(n) && !alive && (!anyPasses || !about().announces(n, after)) {
			return false
		}
	}
	return true
}

// part returns what an edit may have changed, as it was and as it is: the members with the IDs of which
// it tells, as all objects tell of them.
func (c *config) part(had *roster, e *edit) (before, after []*kubeapi.Object) {
	if c.source.Lookup != kubeapi.Endpoints { // of a pod, one object tells
		return had.states(e.removed), e.added
	}
	ids := e.ids(c.isAs)
	return of(had.objects, ids), of(e.roster.objects, ids)
}

// states returns objects as the roster has them: one that is removed may be another state, the last.
func (r *roster) states(objects []*kubeapi.Object) []*kubeapi.Object {
	known := make([]*kubeapi.Object, 0, len(objects))
	for _, o := range objects {
		if at, found := slices.BinarySearchFunc(r.objects, o, compareObjects); found {
			known = append(known, r.objects[at])
		}
	}
	return known
}

// review is one of a cluster.
type review struct {
	*config
	*ledger
	edit  *edit
	news  *news
	now   time.Time
	pulse *pulse
	// onPurpose is whether what vanishes has been taken out by the operator.
	onPurpose bool

	before map[string][]*node // the nodes that were listed, of those that may have changed, by longname
	seen   map[string]bool    // longnames of all of these, as they were and as they are
	four   map[identity]bool  // pods that are known by their IPv4 addresses; nil if there are no others
	fresh  []*suspect
	left   []*node // whose end has been announced
	gone   int     // how many are members no longer
	begun  bool    // somebody has become suspect
	ends   ends    // of suspects
}

// compare brings the ledger up to date, and finds the nodes that an edit may have changed: if nobody
// passes any longer, or does again, these are all.
func (r *review) compare(had *roster, nobody bool) {
	before, after := had.objects, r.edit.roster.objects
	if nobody == r.nobody {
		before, after = r.part(had, r.edit)
	}
	r.before, r.seen = make(map[string][]*node), make(map[string]bool)
	was, _ := r.named(before, r.knownByIPv4(before, had.suspects))
	for i := range was {
		n := &was[i]
		r.seen[n.text] = true
		if r.add(n, -1) {
			r.before[n.text] = append(r.before[n.text], n)
		}
	}
	r.nobody = nobody
	r.four = r.knownByIPv4(after, had.suspects)
	if r.four != nil && r.naming.mode != modeHostname { // whoever vanishes at one of its addresses keeps its name
		for i := range was {
			if who := was[i].who(); who.id != "" && who.address.Is4() {
				r.four[who.anywhere()] = true
			}
		}
	}
	is, _ := r.named(after, r.four)
	for i := range is {
		r.add(&is[i], +1)
		r.seen[is[i].text] = true
	}
}

// judge goes through the members that may have changed, and the suspects of which there are news.
func (r *review) judge() {
	look := func(s *suspect) {
		if s != nil && r.before[s.text] == nil {
			r.before[s.text] = []*node{&s.node}
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
		bearers, s, why := r.before[name], r.suspects[name], missing
		if r.bearers[name].there > 0 {
			why = failing
		}
		switch {
		case r.bearers[name].alive > 0:
			r.returns(s)
		case s != nil && s.reason == last:
		case all(bearers, r.announced) || why == missing && r.onPurpose:
			r.left = append(r.left, bearers[0])
			r.leaves(s)
		case all(bearers, r.taken) || all(bearers, r.renamed):
			r.leaves(s)
		case s == nil || s.reason != why:
			r.suspect(s, bearers[0], why)
		}
	}
}

func all(nodes []*node, is func(*node) bool) bool {
	return !slices.ContainsFunc(nodes, func(n *node) bool { return !is(n) })
}

// announced reports whether Kubernetes has said that a node ends: its pod or its endpoint
// terminates, or its pod has been given another address.
func (r *review) announced(n *node) bool {
	return r.news.announces(n, r.edit.roster.objects)
}

// announces reports whether that is so by the news, and what is now told of the node's pod.
func (n *news) announces(m *node, objects []*kubeapi.Object) bool {
	who := m.who()
	pod := n.pods[who.anywhere()]
	if m.ends || pod.ends {
		return true
	}
	moved := slices.ContainsFunc(pod.gains, func(a netip.Addr) bool { return a != who.address && a.Is4() == who.address.Is4() })
	return moved && m.member.IsPod && !has(objects, who)
}

// taken reports whether the address of a node has become another pod's.
func (r *review) taken(n *node) bool {
	own := r.news.pods[n.who().anywhere()].gains
	return r.news.addresses[n.address()] && !slices.Contains(own, n.address()) && !r.has(n.who())
}

// renamed reports whether a node, which has its IPv6 address still, is known by its IPv4 one now.
func (r *review) renamed(n *node) bool {
	return n.address().Is6() && r.four[n.who().anywhere()] && r.has(n.who())
}

// has reports whether a pod has an address still.
func (r *review) has(who identity) bool { return has(r.edit.roster.objects, who) }

func has(objects []*kubeapi.Object, who identity) bool {
	return slices.ContainsFunc(objects, func(o *kubeapi.Object) bool {
		return slices.ContainsFunc(o.Members, func(m kubeapi.Member) bool { return m.Address == who.address && whoIs(o, &m) == who })
	})
}

// returns notes that a member is alive, which was suspect unless s is nil.
func (r *review) returns(s *suspect) {
	if s != nil {
		r.pulse.cease(s.reason, r.now)
		r.ends[returned]++
		delete(r.suspects, s.text)
	}
}

// leaves notes that a member, which was suspect unless s is nil, is none any more.
func (r *review) leaves(s *suspect) {
	r.gone++
	if s != nil {
		r.ends[left]++
		delete(r.suspects, s.text)
	}
}

// suspect makes a member suspect, or if it was already, for another reason.
func (r *review) suspect(s *suspect, n *node, why reason) {
	next := &suspect{node: *n, reason: why, since: r.now, from: r.now}
	next.object = n.alone()
	next.stand()
	if s != nil {
		next.since = s.since
		r.pulse.cease(s.reason, r.now)
	}
	if why == failing {
		r.pulse.probes = r.now
	}
	r.begun = true
	r.suspects[next.text] = next
	r.fresh = append(r.fresh, next)
}

// alone returns an object that tells of a node alone.
func (n *node) alone() *kubeapi.Object {
	o := *n.object
	o.Members = []kubeapi.Member{*n.member}
	return &o
}

// stand has the suspect's node, whose object tells of it alone, be listed as such.
func (s *suspect) stand() {
	s.member = &s.object.Members[0]
	s.listed, s.suspect, s.absent = true, true, s.reason != failing
}

// conclude returns the suspects that there are from now on, the oldest first.
func (r *review) conclude(had []*suspect) []*suspect {
	p := r.pulse
	p.most -= r.gone
	lasts := 0
	for _, s := range r.suspects {
		if s.reason == last {
			lasts++
		}
	}
	switch {
	case r.alive > 0 || lasts < len(r.suspects):
		maps.DeleteFunc(r.suspects, func(_ string, s *suspect) bool { return s.reason == last })
	default:
		for _, n := range r.left {
			r.suspect(nil, n, last)
		}
	}
	list := slices.DeleteFunc(slices.Concat(had, r.fresh), func(s *suspect) bool { return r.suspects[s.text] != s })
	slices.SortStableFunc(list, func(a, b *suspect) int { return a.since.Compare(b.since) })
	if over := len(list) - p.limit(); over > 0 && list[0].reason != last {
		r.ends[dropped] += over
		for _, s := range list[:over] {
			delete(r.suspects, s.text)
		}
		list = list[over:]
	}
	p.count(r.alive, list, r.now)
	return list
}

// countEnds counts how suspects ceased to be.
func (t *table) countEnds(by *ends) {
	if *by == (ends{}) {
		return
	}
	zone := t.config.name()
	withMetrics(zone, func() {
		for e, n := range by {
			suspectsEnded.WithLabelValues(zone, end(e).String()).Add(float64(n))
		}
	})
}
