package longnames

import (
	"slices"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// inheritance is what a table takes over of a cluster.
type inheritance struct {
	suspects []*suspect
	pulse    pulse
}

// inherit takes over the suspects of the table that a reload replaces, with their times. What no
// longer matches a block that asks for something else has been taken out by the operator; but where
// nobody would be left by that, those that were listed stay for a while. Whether a suspect matches
// another selector, only the first list says.
func (t *table) inherit(old *table) {
	c, was := t.config, old.config
	if c.hold == 0 || c.group() != was.group() {
		return
	}
	now := time.Now()
	reselects := c.source.Selector != was.source.Selector
	old.mu.Lock() // both, for a source tells one table after the other
	defer old.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	old.clusters.Range(func(_, v any) bool {
		their := v.(*cluster)
		var stay []*suspect
		for _, s := range their.roster.Load().suspects {
			if o := c.readAs(was, s.object); o != nil && c.watches(o.Namespace) && (s.reason != failing || c.include == was.include) {
				stay = append(stay, &suspect{node: node{object: o}, reason: s.reason, since: s.since, from: s.from})
			}
		}
		switch {
		case their.pulse == nil:
		case reselects && !t.synced.Load():
			t.unconfirmed = append(t.unconfirmed, inheritance{stay, *their.pulse})
		default:
			t.adopt(inheritance{stay, *their.pulse}, !reselects, now)
		}
		if mine := t.cluster(their.name); mine != nil && len(mine.members(c).listed()) > 0 {
			return true
		}
		stay = nil
		for _, n := range their.members(was).listed() {
			if o := c.readAs(was, n.alone()); o != nil {
				stay = append(stay, &suspect{node: node{object: o}, reason: last, since: now, from: now})
			}
		}
		t.adopt(inheritance{suspects: stay}, true, now)
		return true
	})
}

// restore takes over the suspects of a snapshot.
func (t *table) restore(clusters []kubeapi.Suspects) {
	if t.config.hold == 0 {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	past := func(at time.Time) time.Time { return earlier(at, now) } // even if the clock was set back
	for _, c := range clusters {
		var suspects []*suspect
		for _, m := range c.Members {
			if why := slices.Index(reasonNames[:], m.Reason); why >= 0 {
				suspects = append(suspects, &suspect{node: node{object: m.Object}, reason: reason(why), since: past(m.Since), from: past(m.From)}) //nolint:gosec // there are three
			}
		}
		p := pulse{most: c.Most, few: past(c.Few), enough: past(c.Enough), probes: past(c.Probes), returns: past(c.Returns)}
		t.adopt(inheritance{suspects, p}, true, now)
	}
}

// confirm takes over those suspects of which the first list tells.
func (t *table) confirm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range t.unconfirmed {
		t.adopt(i, false, time.Now())
	}
	t.unconfirmed = nil
}

// adopt adds suspects of one cluster, each with an object that tells of it alone, unless they are
// members anyway. Those that are not there are missing, or if they may not be, no longer suspect.
func (t *table) adopt(from inheritance, missingToo bool, now time.Time) {
	c, p := t.config, from.pulse
	suspects := slices.DeleteFunc(from.suspects, func(s *suspect) bool { return !c.nameSuspect(s) })
	if len(suspects) == 0 {
		return
	}
	home := t.home(suspects[0].object)
	if home == nil || home == t.misfits {
		return
	}
	had := home.roster.Load()
	nodes, _ := c.nameAll(&roster{objects: had.objects})
	known, there, ended := make(map[string]bool), make(map[string]bool), make(map[identity]bool)
	for i := range nodes {
		known[nodes[i].text] = known[nodes[i].text] || nodes[i].listed
		if nodes[i].ends {
			ended[nodes[i].who().anywhere()] = true
		} else {
			there[nodes[i].text] = true
		}
	}
	for _, s := range had.suspects {
		known[s.text] = true
	}
	suspects = slices.DeleteFunc(suspects, func(s *suspect) bool {
		is := known[s.text] || ended[s.who().anywhere()] && s.reason != last || !missingToo && !there[s.text]
		known[s.text] = true
		switch {
		case s.reason == failing && !there[s.text]:
			s.reason, s.from = missing, now
		case s.reason == missing && there[s.text]:
			s.reason, s.from, p.probes = failing, now, now
		}
		s.stand()
		return is
	})
	if len(suspects) == 0 {
		return
	}
	if home.pulse != nil { // suspects of its own, which it has had not for long
		p.most = max(p.most, home.pulse.most)
	}
	e := &edit{roster: &roster{objects: had.objects, suspects: slices.Concat(had.suspects, suspects)}}
	home.pulse, home.ledger = &p, c.newLedger(e.roster)
	slices.SortStableFunc(e.roster.suspects, func(a, b *suspect) int { return a.since.Compare(b.since) })
	p.count(home.ledger.alive, e.roster.suspects, now)
	t.dirty[home] = struct{}{}
	t.restored.Store(true)
	t.replace(map[*cluster]*edit{home: e})
	t.plan(home, e.roster.suspects)
}

// nameSuspect gives a suspect the name that its object has for c, and reports whether it has one.
func (c *config) nameSuspect(s *suspect) bool {
	cand := join([]*kubeapi.Object{s.object}, includeAll, nil)
	if len(cand) == 0 {
		return false
	}
	n, _, p := c.nameOf(&cand[0])
	s.node = n
	return p == noProblem
}

// readAs returns an object as c would have read it, nil if it lacks what c asks for.
func (c *config) readAs(other *config, o *kubeapi.Object) *kubeapi.Object {
	objects, ok := c.source.ReadAs(&other.source, []*kubeapi.Object{o})
	if !ok || len(objects[0].Members) == 0 {
		return nil
	}
	return objects[0]
}

// watches reports whether the source reads a namespace. Where the configuration does not say, it
// may be any.
func (c *config) watches(namespace string) bool {
	all := c.source.Namespaces
	return len(all) == 0 || all[0] == kubeapi.AllNamespaces || slices.Contains(all, namespace)
}
