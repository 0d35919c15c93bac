package membership

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// model is the rule said plainly: at each step, everything is worked out anew from all objects.
type model struct {
	*Rules
	objects  map[string]*kubeapi.Object // by name
	clusters map[string]*modelled       // that have suspects
}

// modelled is a cluster.
type modelled struct {
	suspects                map[string]*modelSuspect
	alive, most             int
	few                     bool
	enough, probes, returns time.Time
}

type modelSuspect struct {
	who         identity
	reason      Reason
	since, from time.Time
	uncounted   time.Duration // in which few were alive
}

// standing is who bears a longname.
type standing struct {
	alive []identity
	there bool // somebody neither alive nor about to end
}

// standings returns those of a cluster's longnames. A pod that has an IPv4 address, or had one and is
// missing, is not known by another.
func (m *model) standings(cluster string, objects map[string]*kubeapi.Object, four map[identity]bool) map[string]standing {
	type candidate struct {
		name         string
		passes, ends bool
	}
	candidates := make(map[identity]*candidate)
	for _, o := range inOrder(objects) {
		for i := range o.Members {
			member := &o.Members[i]
			who := identityOf(o, member)
			if m.clusterOf(o) != cluster || member.Address.Is6() && four[who.withoutAddress()] {
				continue
			}
			if candidates[who] == nil {
				candidates[who] = &candidate{}
			}
			c := candidates[who]
			text, _, problem := m.Naming.longname(o, member)
			if problem == NoProblem {
				c.name = cmp.Or(c.name, text)
			}
			c.passes = c.passes || m.Include.passes(member)
			c.ends = c.ends || member.Terminating
		}
	}
	maps.DeleteFunc(candidates, func(_ identity, c *candidate) bool { return c.name == "" })
	nobody := true
	for _, c := range candidates {
		nobody = nobody && !c.passes
	}
	all := make(map[string]standing)
	for who, c := range candidates {
		s := all[c.name]
		if c.passes || nobody && !c.ends {
			s.alive = append(s.alive, who)
		} else {
			s.there = s.there || !c.ends
		}
		all[c.name] = s
	}
	return all
}

// byIPv4 returns who is known by an IPv4 address.
func (m *model) byIPv4(cluster string, objects map[string]*kubeapi.Object, suspects map[string]*modelSuspect) map[identity]bool {
	four := make(map[identity]bool)
	for who := range m.everybody(objects, cluster) {
		if who.id != "" && who.address.Is4() {
			four[who.withoutAddress()] = true
		}
	}
	for _, s := range suspects {
		if m.Naming.Mode != ModeHostname && s.reason == Missing && s.who.id != "" && s.who.address.Is4() {
			four[s.who.withoutAddress()] = true
		}
	}
	return four
}

// anyCluster stands for all of them.
const anyCluster = "*"

// everybody returns of whom objects tell, and whether one says that they end.
func (m *model) everybody(objects map[string]*kubeapi.Object, cluster string) map[identity]bool {
	all := make(map[identity]bool)
	for _, o := range objects {
		for i := range o.Members {
			if who := identityOf(o, &o.Members[i]); cluster == anyCluster || m.clusterOf(o) == cluster {
				all[who] = all[who] || o.Members[i].Terminating
			}
		}
	}
	return all
}

func inOrder(objects map[string]*kubeapi.Object) []*kubeapi.Object {
	return slices.SortedFunc(maps.Values(objects), kubeapi.CompareObjects)
}

// clusterOf returns the name of an object's cluster, - if it has none.
func (m *model) clusterOf(o *kubeapi.Object) string {
	switch {
	case m.GroupLabel < 0:
		return ""
	case !o.Labels[m.GroupLabel].Set:
		return "-"
	}
	return o.Labels[m.GroupLabel].Value + "." + o.Namespace
}

// apply takes changes, each with the last state of an object.
func (m *model) apply(changes []kubeapi.Change, now time.Time) {
	before, after := m.objects, maps.Clone(m.objects)
	said, says := make(map[string]*kubeapi.Object), make(map[string]*kubeapi.Object)
	for _, c := range changes {
		if c.Old != nil {
			said[c.Old.Name] = c.Old
			delete(after, c.Old.Name)
		}
		if c.New != nil {
			after[c.New.Name], says[c.New.Name] = c.New, c.New
		}
	}
	news := [2]map[identity]bool{m.everybody(said, anyCluster), m.everybody(says, anyCluster)}
	names := map[string]bool{}
	for _, o := range slices.Concat(inOrder(before), inOrder(after)) {
		names[m.clusterOf(o)] = true
	}
	for name := range m.clusters {
		names[name] = true
	}
	delete(names, "-")
	for name := range names {
		m.judge(name, before, after, news, nil, now)
	}
	m.objects = after
}

// judge finds who is suspect after a step, in which some suspects have been given up.
func (m *model) judge(cluster string, before, after map[string]*kubeapi.Object, news [2]map[identity]bool, givenUp []string, now time.Time) {
	c := m.clusters[cluster]
	if c == nil {
		c = &modelled{suspects: make(map[string]*modelSuspect)}
	}
	four := m.byIPv4(cluster, before, c.suspects)
	was := m.standings(cluster, before, four)
	if len(c.suspects) == 0 {
		for _, s := range was {
			if len(s.alive) > 0 {
				c.most++
			}
		}
	}
	for _, name := range givenUp {
		delete(c.suspects, name)
	}
	known := m.byIPv4(cluster, after, c.suspects)
	if givenUp == nil && m.Naming.Mode != ModeHostname { // whoever vanishes at its IPv4 address keeps its name
		maps.Copy(known, m.byIPv4(cluster, before, nil))
	}
	is := m.standings(cluster, after, known)
	had, have := m.everybody(before, cluster), m.everybody(after, cluster)
	said, says := news[0], news[1] // of whom changes tell
	ends := func(who identity) bool {
		for _, all := range []map[identity]bool{said, says} {
			for other, ends := range all {
				if ends && other.withoutAddress() == who.withoutAddress() {
					return true
				}
			}
		}
		return had[who]
	}
	gains := func(is func(identity) bool) bool {
		for who := range says {
			if _, before := said[who]; !before && is(who) {
				return true
			}
		}
		return false
	}
	announced := func(who identity) bool {
		_, has := have[who]
		return ends(who) || !has && m.isPod(before, after, who) && gains(func(other identity) bool {
			return other.withoutAddress() == who.withoutAddress() && other.address != who.address && other.address.Is4() == who.address.Is4()
		})
	}
	taken := func(who identity) bool {
		_, has := have[who]
		return !has && gains(func(other identity) bool {
			return other.address == who.address && other.withoutAddress() != who.withoutAddress()
		})
	}
	renamed := func(who identity) bool {
		_, has := have[who]
		return has && who.address.Is6() && known[who.withoutAddress()]
	}
	bearers := make(map[string][]identity)
	for name, s := range was {
		if len(s.alive) > 0 {
			bearers[name] = s.alive
		}
	}
	for name, s := range c.suspects {
		if bearers[name] == nil {
			bearers[name] = []identity{s.who}
		}
	}
	every := func(of []identity, is func(identity) bool) bool {
		return !slices.ContainsFunc(of, func(who identity) bool { return !is(who) })
	}
	left := make(map[string]*modelSuspect)
	gone := 0
	for name, of := range bearers {
		s, why := c.suspects[name], Missing
		if is[name].there {
			why = Failing
		}
		switch {
		case slices.Contains(givenUp, name) && s == nil && len(is[name].alive) == 0:
		case len(is[name].alive) > 0:
			if s != nil {
				c.cease(s, now)
			}
			delete(c.suspects, name)
		case s != nil && s.reason == Last:
		case every(of, announced):
			left[name] = &modelSuspect{who: of[0], reason: Last, since: now, from: now}
			gone++
			delete(c.suspects, name)
		case every(of, taken) || every(of, renamed):
			gone++
			delete(c.suspects, name)
		case s == nil || s.reason != why:
			next := &modelSuspect{who: of[0], reason: why, since: now, from: now}
			if s != nil {
				next.since, next.uncounted = s.since, s.uncounted
				c.cease(s, now)
			}
			if why == Failing {
				c.probes = now
			}
			c.suspects[name] = next
		}
	}
	c.alive = 0
	for _, s := range m.standings(cluster, after, m.byIPv4(cluster, after, c.suspects)) {
		if len(s.alive) > 0 {
			c.alive++
		}
	}
	somebody := c.alive > 0
	for _, s := range c.suspects {
		somebody = somebody || s.reason != Last
	}
	if somebody {
		maps.DeleteFunc(c.suspects, func(_ string, s *modelSuspect) bool { return s.reason == Last })
	} else {
		maps.Copy(c.suspects, left)
	}
	c.most = max(c.most-gone, c.alive)
	few := len(c.suspects) > 0 && 2*c.alive < c.most
	if c.few && !few {
		c.enough = now
	}
	c.few = few
	m.clusters[cluster] = c
	if len(c.suspects) == 0 {
		delete(m.clusters, cluster)
	}
}

func (c *modelled) cease(s *modelSuspect, now time.Time) {
	switch s.reason {
	case Failing:
		c.probes = now
	case Missing:
		c.returns = now
	}
}

func (m *model) isPod(before, after map[string]*kubeapi.Object, who identity) bool {
	for _, o := range slices.Concat(inOrder(before), inOrder(after)) {
		for i := range o.Members {
			if identityOf(o, &o.Members[i]).withoutAddress() == who.withoutAddress() && o.Members[i].IsPod {
				return true
			}
		}
	}
	return false
}

// until returns when a suspect is given up as things are; zero if it is not.
func (m *model) until(c *modelled, s *modelSuspect) time.Time {
	gone := later(s.from, c.returns)
	switch {
	case s.reason == Last:
		return s.from.Add(m.Hold)
	case c.few && s.reason == Failing:
		return time.Time{}
	case c.few:
		return gone.Add(10 * m.Hold)
	case s.reason == Failing:
		gone = c.probes
	}
	return earlier(later(gone, c.enough).Add(m.Hold), s.since.Add(10*m.Hold+s.uncounted))
}

// pass lets a second go by, and reports whether somebody is given up.
func (m *model) pass(now time.Time) (changed bool) {
	for name, c := range m.clusters {
		var over []string
		for text, s := range c.suspects {
			if c.few {
				s.uncounted += time.Second
			}
			if at := m.until(c, s); !at.IsZero() && !at.After(now) {
				over = append(over, text)
			}
		}
		if len(over) > 0 {
			m.judge(name, m.objects, m.objects, [2]map[identity]bool{}, over, now)
			changed = true
		}
	}
	return changed
}

// say tells all of a cluster, as said of the timeline.
func (m *model) say(cluster string) string {
	var lines []string
	c := m.clusters[cluster]
	if c == nil {
		c = &modelled{}
	}
	for name, s := range m.standings(cluster, m.objects, m.byIPv4(cluster, m.objects, c.suspects)) {
		if len(s.alive) > 0 {
			lines = append(lines, name+" alive")
		}
	}
	for name, s := range c.suspects {
		lines = append(lines, fmt.Sprint(name, " ", s.reason, " until ", clock(m.until(c, s))))
	}
	slices.Sort(lines)
	if len(c.suspects) > 0 {
		lines = append(lines, fmt.Sprint(c.alive, " of ", c.most, " alive, few ", c.few))
	}
	return strings.Join(lines, "; ")
}

func clock(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format(time.TimeOnly)
}

// said tells the same of a cluster of a timeline.
func said(l *timeline, cluster string) string {
	c := l.clusters[cluster]
	if c == nil {
		return ""
	}
	lines, known := []string{}, map[string]*Suspect{}
	for _, s := range l.suspectsIn(cluster) {
		known[s.text] = s
	}
	for _, n := range l.listed(cluster) {
		switch s := known[n.text]; {
		case !n.Suspect:
			lines = append(lines, n.text+" alive")
		case s == nil:
			lines = append(lines, n.text+" is no suspect")
		default:
			lines = append(lines, fmt.Sprint(n.text, " ", s.Reason, " until ", clock(c.pulse.until(s, l.rules.Hold))))
			if n.absent == (s.Reason == Failing) {
				lines = append(lines, n.text+" is absent or not")
			}
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(known) > 0 {
		counted := c.ledger
		if counted == nil {
			counted = newLedger(l.rules, c.roster)
		}
		lines = append(lines, fmt.Sprint(counted.alive, " of ", c.pulse.most, " alive, few ", !c.pulse.few.IsZero()))
	}
	return strings.Join(lines, "; ")
}

// modelRules are those that scripts are played with.
var modelRules = []string{
	"selector app\nbasename label name",
	"selector app\nbasename label name\nmode hostname\ninclude serving",
	"selector app\nbasename label name\nlookup pods\ninclude ready",
	"selector app\nbasename label name\ninclude all\nfamily ipv4",
	"group_by app\nbasename label name",
	"group_by app\nbasename label name\nmode hostname\ninclude serving",
	"group_by app\nbasename label name\nlookup pods\ninclude ready",
	"group_by app\nmode hostname\nlookup pods",
}

// theatre plays a script to a state and to the model.
type theatre struct {
	*timeline
	model *model
	pods  []kubeapi.Member // as they are, whatever objects tell; each has an address of each family
	sixes []netip.Addr
	log   []string
}

const (
	castPods    = 6
	castObjects = 4 // of each family
)

func newTheatre(t testing.TB, r *Rules) *theatre {
	t.Helper()
	th := &theatre{timeline: timelineOf(t, r), model: &model{Rules: r, objects: map[string]*kubeapi.Object{}, clusters: map[string]*modelled{}}}
	for i := range castPods {
		m := hosted(endpoint(fmt.Sprint("p", i), fmt.Sprintf("10.0.0.%d", i+1)))
		th.pods = append(th.pods, m)
		th.sixes = append(th.sixes, netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1)))
	}
	return th
}

func (th *theatre) note(format string, v ...any) { th.log = append(th.log, fmt.Sprintf(format, v...)) }

// member returns what an object tells of a pod now.
func (th *theatre) member(object string, pod int) kubeapi.Member {
	m := th.pods[pod]
	if strings.HasPrefix(object, "six") {
		m.Address = th.sixes[pod]
	}
	return m
}

// scene changes some objects in one step, as bits have it.
func (th *theatre) scene(b *bits) {
	byPods := th.rules.Source.Lookup == kubeapi.Pods
	next, ended := maps.Clone(th.model.objects), map[string]bool{}
	for range 1 + b.Next(8)/5 {
		what, pod, where := b.Next(16), b.Next(castPods), b.Next(castObjects)
		p, object := &th.pods[pod], fmt.Sprint("obj", where)
		if th.rules.Source.Family == kubeapi.AnyFamily && !byPods && b.Next(4) == 3 {
			object = fmt.Sprint("six", where)
		}
		if byPods {
			object = p.ID
		}
		refresh := func(names ...string) {
			for _, name := range names {
				if o := next[name]; o != nil && slices.ContainsFunc(o.Members, func(m kubeapi.Member) bool { return m.ID == p.ID }) {
					next[name] = with(o, p.ID, th.member(name, pod))
				}
			}
		}
		all := slices.Sorted(maps.Keys(next))
		switch what {
		case 0, 1, 2: // its probe fails, or recovers
			p.Ready = !p.Ready
			p.Serving = p.Ready
			th.note("%s ready=%t", p.ID, p.Ready)
			refresh(all...)
		case 3: // only one object is written
			p.Ready = !p.Ready
			p.Serving = p.Ready
			th.note("%s ready=%t in %s", p.ID, p.Ready, object)
			refresh(object)
		case 4:
			p.Terminating = true
			p.Ready = false
			th.note("%s terminates", p.ID)
			refresh(all...)
		case 5:
			p.Terminating = true
			th.note("%s terminates in %s", p.ID, object)
			refresh(object)
		case 6: // without notice, or of a pod its end
			th.note("%s vanishes from %s", p.ID, object)
			if byPods {
				ended[object] = b.Next(3) == 0
				if ended[object] {
					th.note("  announced")
				}
				delete(next, object)
			} else if next[object] != nil {
				next[object] = with(next[object], p.ID)
			}
		case 7:
			th.note("%s vanishes", p.ID)
			for _, name := range all {
				next[name] = with(next[name], p.ID)
			}
		case 8, 9, 10:
			p.Terminating = false
			if b.Next(3) == 0 {
				p.Ready = !p.Ready
			}
			p.Serving = p.Ready
			if next[object] == nil {
				next[object] = th.object(b, object)
			}
			next[object] = with(next[object], p.ID, th.member(object, pod))
			th.note("%s is in %s, ready=%t", p.ID, object, p.Ready)
		case 11, 12: // a new sandbox, whose address may have been another's
			number := 1 + b.Next(castPods+3)
			p.Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(number)})
			if b.Next(3) == 0 {
				th.sixes[pod] = netip.MustParseAddr(fmt.Sprintf("fd00::%d", number))
			}
			th.note("%s has %s and %s", p.ID, p.Address, th.sixes[pod])
			if what == 11 {
				refresh(all...)
			} else {
				refresh(object)
			}
		case 13:
			if p.Hostname == "" {
				p.Hostname = p.ID
			} else {
				p.Hostname = ""
			}
			th.note("%s has hostname %q", p.ID, p.Hostname)
			if b.Next(2) == 0 {
				refresh(all...)
			} else {
				refresh(object)
			}
		case 14: // labels
			if o := next[object]; o != nil {
				relabelled := th.object(b, object)
				relabelled.Members = o.Members
				next[object] = relabelled
			}
		case 15: // vanishes, with all that is in it
			if b.Next(3) == 0 {
				th.note("%s is deleted", object)
				delete(next, object)
			}
		}
	}
	var changes []kubeapi.Change
	for name := range maps.Keys(together(th.model.objects, next)) {
		change := kubeapi.Change{Old: th.model.objects[name], New: next[name]}
		switch {
		case change.Old == change.New:
			continue
		case change.New == nil && ended[name]:
			last := *change.Old
			last.Members = slices.Clone(last.Members)
			for i := range last.Members {
				last.Members[i].Terminating = true
			}
			change.Old = &last
		case change.Old != nil && change.New != nil && change.Old.Template == change.New.Template && slices.Equal(change.Old.Members, change.New.Members):
			continue
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b kubeapi.Change) int { return strings.Compare(nameIn(a), nameIn(b)) })
	th.note("--")
	th.Apply(changes)
	th.model.apply(changes, th.now)
}

func together[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// object is a new one, without members.
func (th *theatre) object(b *bits, name string) *kubeapi.Object {
	set := labels{"app": []string{"x", "x", "x", "y", "z"}[b.Next(5)], "name": []string{"q", "q", "q", "b", ""}[b.Next(5)]}
	if b.Next(12) == 11 {
		delete(set, "app")
	}
	th.note("%s has labels %v", name, set)
	return labelled(th.rules, set, named(name, slice([]string{"s", "s", "t"}[b.Next(3)])))
}

// with returns an object with a pod's members replaced.
func with(o *kubeapi.Object, pod string, members ...kubeapi.Member) *kubeapi.Object {
	next := *o
	next.Members = slices.DeleteFunc(slices.Clone(o.Members), func(m kubeapi.Member) bool { return m.ID == pod })
	if len(members) == 0 && len(next.Members) == len(o.Members) {
		return o
	}
	next.Members = append(next.Members, members...)
	return &next
}

// play returns in what state and model differ first.
func (th *theatre) play(script []byte) (difference string) {
	b := bits(script)
	for len(b) > 0 {
		switch what := b.Next(16); what {
		default:
			th.scene(&b)
		case 0, 1, 2, 3, 4:
			seconds := []int{1, 10, 20, 29, 30, 60, 150, 270, 300}[b.Next(9)]
			th.note("%d s", seconds)
			for range seconds {
				th.now = th.now.Add(time.Second)
				changed := th.expire()
				if !th.model.pass(th.now) && !changed {
					continue
				}
				if d := th.differ(); d != "" {
					return d
				}
			}
		case 5:
			th.note("reload")
			next := th.after()
			th.fill(next)
			next.Synced()
			next.inherit(th.timeline)
			th.timeline = next
		case 6:
			th.note("restart")
			next := th.after()
			th.fill(next)
			next.Restored()
			next.restore(th.Suspects())
			next.Synced()
			th.timeline = next
		}
		if d := th.differ(); d != "" {
			return d
		}
	}
	return ""
}

// fill tells a state of all objects at once, as a source does.
func (th *theatre) fill(l *timeline) {
	var changes []kubeapi.Change
	for _, o := range inOrder(th.model.objects) {
		changes = append(changes, kubeapi.Change{New: o})
	}
	l.Apply(changes)
}

func (th *theatre) differ() string {
	for _, cluster := range []string{"", "x.prod", "y.prod", "z.prod"} {
		if got, want := said(th.timeline, cluster), th.model.say(cluster); got != want {
			return fmt.Sprintf("cluster %q:\ngot  %s\nwant %s", cluster, got, want)
		}
	}
	return ""
}

// TestRuleAsModelled has the state list whom the model lists, whatever happens.
func TestRuleAsModelled(t *testing.T) {
	for rules := range modelRules {
		t.Run(fmt.Sprint(rules), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(rules)))
			for range 150 {
				script := make([]byte, 200)
				for i := range script {
					script[i] = byte(r.Uint32())
				}
				checkModel(t, rules, script)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// checkModel plays a script and, where it ends in a difference, shows a short one that does so, too.
func checkModel(t *testing.T, rules int, script []byte) {
	t.Helper()
	r := rulesOf(t, modelRules[rules])
	play := func(script []byte) (*theatre, string) {
		th := newTheatre(t, r)
		d := th.play(script)
		return th, d
	}
	if _, d := play(script); d == "" {
		return
	}
	for size := len(script) / 2; size > 0; size /= 2 { // what can be left out
		for at := 0; at+size <= len(script); {
			shorter := slices.Delete(slices.Clone(script), at, at+size)
			if _, d := play(shorter); d != "" {
				script = shorter
			} else {
				at++
			}
		}
	}
	th, d := play(script)
	t.Errorf("rules %q\n%s\n%s\n%q", modelRules[rules], strings.Join(th.log, "\n"), d, script)
}
