package longnames

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// auditInterval is the least time between two audits, so that they cost little however
// fast things change.
const auditInterval = time.Second

// audit reports to the operator, in the log and in metrics, which members are served in a zone, and which candidates
// are not as may be expected. It follows the tables at its own pace, since nothing waits for it.
type audit struct {
	zone     *zone
	resolver *resolver
	observer *observer // of the tables
	changed  *changedNames
	known    map[string]clusterStats // by name; with group_by, the empty name is for objects outside every cluster
	counts   map[prometheus.Gauge]int
	begin    time.Time
	// unsynced is true while the members of a block are not known.
	unsynced bool
	// settled is true once the first complete list has been audited: a member that is missing later
	// has been lost.
	settled bool
	blind   []bool // the log says that nothing matches, of each block
	// These bound the lines about findings, clusters that fell, and suspects.
	findings, falls, suspects *quota
}

// clusterStats has the counts and findings of a cluster.
type clusterStats struct {
	members  int32 // that are listed
	peak     peak
	suspects [][]*membership.Suspect // of each block; nil if there are none
	findings findings
}

func (c *clusterStats) isEmpty() bool {
	return c.members == 0 && len(c.suspects) == 0 && len(c.findings) == 0
}

// newAudit returns the audit of a zone and its resolver.
func newAudit(z *zone, r *resolver) *audit {
	a := &audit{
		zone: z, resolver: r, known: make(map[string]clusterStats), counts: make(map[prometheus.Gauge]int), begin: time.Now(),
		changed:  newChangedNames(),
		blind:    make([]bool, len(r.tables)),
		findings: newQuota(), falls: newQuota(), suspects: newQuota(),
	}
	for _, p := range append(membership.Problems, undeclaredPort, contestedName, sharedLongname, sharedGroup, tooMuch, tooMany) {
		a.countFinding(p, 0) // so that it is there
	}
	a.countCluster(clusterStats{}, 0)
	clusterFalls.WithLabelValues(z.name).Add(0) // or the first one would not be seen as an increase
	for e := range len(membership.Ends{}) {
		suspectsEnded.WithLabelValues(z.name, membership.End(e).String()).Add(0)
	}
	a.observer = &observer{a.changed.add}
	for _, t := range r.tables {
		t.observe(a.observer)
	}
	a.unsynced = !r.knowsAllNamespaces()
	countUnsynced(z.name, ones[a.unsynced])
	return a
}

// count adds delta to a gauge, beside the counts of other server blocks of the zone and of the
// instance before a reload.
func (a *audit) count(gauge *prometheus.GaugeVec, delta int, labels ...string) {
	g := gauge.WithLabelValues(append([]string{a.zone.name}, labels...)...)
	a.counts[g] += delta
	g.Add(float64(delta))
}

func (a *audit) countFinding(p membership.Problem, delta int) {
	switch p {
	case tooMany:
		a.count(truncatedClusters, delta)
	case undeclaredPort:
		a.count(defaultPorts, delta)
	case contestedName, sharedLongname, sharedGroup:
		a.count(contestedNames, delta)
	case tooMuch:
		a.count(cutObjects, delta)
	default:
		a.count(leftOutMembers, delta, string(p))
	}
}

// ones counts a condition.
var ones = map[bool]int{true: 1}

// countCluster counts one cluster in or out.
func (a *audit) countCluster(c clusterStats, delta int) {
	a.count(listedMembers, delta*int(c.members))
	a.count(nonEmptyClusters, delta*int(min(1, c.members)))
	var of [membership.Reasons]int
	for _, suspects := range c.suspects {
		for _, s := range suspects {
			of[s.Reason]++
		}
	}
	for r := range membership.Reasons {
		a.count(suspectMembers, delta*of[r], r.String())
	}
	for f := range c.findings {
		a.countFinding(f.problem, delta)
	}
}

// close subtracts the counts of the audit from the gauges.
func (a *audit) close() {
	for _, t := range a.resolver.tables {
		t.forget(a.observer)
	}
	for gauge, n := range a.counts {
		gauge.Sub(float64(n))
	}
	clear(a.counts)
	a.markSynced()
}

// markSynced notes that the members are known, or that it does not matter any more.
func (a *audit) markSynced() {
	if a.unsynced {
		a.unsynced = false
		countUnsynced(a.zone.name, -1)
	}
}

func (a *audit) run(ctx context.Context) {
	defer a.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.changed.some:
		}
		a.scan()
		select {
		case <-ctx.Done():
			return
		case <-time.After(auditInterval):
		}
	}
}

// scan audits the clusters that have changed.
func (a *audit) scan() {
	settled := a.settled
	a.settled = a.resolver.isSynced() // read before the names are taken: these have all of the first list
	window := a.window()
	var fresh []finding
	blocks := make(findings)
	var fallen []loss
	names := a.changed.take()
	if a.resolver.knowsAllNamespaces() {
		a.markSynced()
	}
	for name := range names {
		before, now := a.known[name], a.find(name)
		if settled {
			now.peak = before.peak.after(window, before.members, now.members)
		} else {
			now.peak = newPeak(window, now.members)
		}
		if now.peak.fallen && !before.peak.fallen {
			fallen = append(fallen, loss{name, now.peak.most(), int(now.members)})
		}
		for f, block := range now.findings {
			if _, ok := before.findings[f]; !ok {
				fresh, blocks[f] = append(fresh, f), block
			}
		}
		a.suspicion(name, before.suspects, now.suspects)
		a.countCluster(now, +1)
		a.countCluster(before, -1)
		if a.known[name] = now; now.isEmpty() {
			delete(a.known, name)
		}
	}
	a.findings.each(len(fresh), func(i int) { a.log(fresh[i], blocks[fresh[i]]) })
	a.findings.rest(func(unsaid int) { log.Warningf("%d more such findings in %s", unsaid, a.zone.name) })
	a.suspects.rest(func(unsaid int) { log.Warningf("%s And %d more such lines about suspects", a.zone.name, unsaid) })
	a.tell(fallen)
	for i := range a.resolver.tables {
		a.see(i)
	}
}

// see logs that no object matches what a block asks for, which is more often a mistake in the Corefile than the
// truth.
func (a *audit) see(block int) {
	was, t := a.blind[block], a.resolver.tables[block]
	c := &t.config.source
	matches := func(o *kubeapi.Object) bool { return c.Family == kubeapi.AnyFamily || len(o.Members) > 0 }
	if a.blind[block] = t.synced.Load() && !hasObject(t, matches); !a.blind[block] || was {
		return
	}
	what, whose := "EndpointSlices", "its Service"
	if c.Lookup == kubeapi.Pods {
		what, whose = "Pods", "the pod itself"
	}
	if c.Family != kubeapi.AnyFamily {
		whose += ", and addresses of family " + string(c.Family)
	}
	where := "the namespaces " + strings.Join(c.Namespaces, " ")
	switch {
	case len(c.Manifests) > 0:
		where = strings.Join(c.Manifests, " ")
	case len(c.Namespaces) == 0:
		where = "the namespace of the service account or the context"
	case c.Namespaces[0] == kubeapi.AllNamespaces:
		where = "any namespace"
	}
	log.Warningf("%s Nothing matches: no %s in %s have labels like %q, which are those of %s", a.zone.name, what, where, c.Selector, whose)
}

// changedNames are the names of clusters that have changed.
type changedNames struct {
	some  chan struct{} // has an element if there are any
	mu    sync.Mutex    // protects following
	names map[string]bool
}

func newChangedNames() *changedNames {
	return &changedNames{some: make(chan struct{}, 1), names: make(map[string]bool)}
}

func (c *changedNames) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[name] = true
	wake(c.some)
}

// take returns those that have been added since it was last called.
func (c *changedNames) take() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.names
	c.names = make(map[string]bool)
	return names
}

// fallWindow is the window of a peak. A peak covers one to two windows.
const fallWindow = 10 * time.Minute

// peak is the most that a cluster has listed lately. There may be very many clusters, and few of
// them change: it is brought up to date only then.
type peak struct {
	window int32 // in which that was last done, see audit.window
	before int32 // the most in the window before that one
	within int32 // the most in that one
	fallen bool  // fewer than half of the most are listed, of more than one
}

// newPeak returns the peak of a cluster that has listed nothing before.
func newPeak(window, members int32) peak {
	return peak{window: window, within: members}
}

// after returns the peak once a cluster lists other members than it has since the last change.
func (p peak) after(window, had, has int32) peak {
	next := newPeak(window, max(had, has))
	switch window - p.window {
	case 0:
		next.before, next.within = p.before, max(p.within, next.within)
	case 1:
		next.before = p.within
	}
	next.fallen = 2*int(has) < next.most() && next.most() > 1
	return next
}

func (p peak) most() int { return int(max(p.before, p.within)) }

// window counts those of fallWindow since the audit began.
func (a *audit) window() int32 { return int32(time.Since(a.begin) / fallWindow) } //nolint:gosec // it takes 40 000 years

// loss tells of a cluster that lists fewer than half of the members that it has listed lately: a rolling
// update does not get there. Suspects are still listed.
type loss struct {
	cluster  string
	from, to int
}

// tell counts and logs the clusters that have fallen.
func (a *audit) tell(fallen []loss) {
	clusterFalls.WithLabelValues(a.zone.name).Add(float64(len(fallen)))
	log := zoneLog{a.zone.name}
	a.falls.each(len(fallen), func(i int) {
		f := fallen[i]
		log.Warningf("Cluster %s lists %d members, fewer than half of those (%d) that it has listed lately",
			a.zone.absolute(f.cluster), f.to, f.from)
	})
	a.falls.rest(func(unsaid int) { log.Warningf("And %d more clusters", unsaid) })
}

// namesLogged is how many suspects of a cluster a line of the log names.
const namesLogged = 10

// suspicion logs which suspects a cluster has got, and which it has no longer.
func (a *audit) suspicion(name string, before, now [][]*membership.Suspect) {
	if before == nil && now == nil {
		return
	}
	listed := make(map[string]bool)
	if c := a.resolver.cluster(name); c != nil {
		for _, n := range c.members(a.resolver).listed() {
			listed[n.Longname()] = true
		}
	}
	for i, t := range a.resolver.tables {
		var was, is []*membership.Suspect
		if before != nil {
			was = before[i]
		}
		if now != nil {
			is = now[i]
		}
		a.suspicionOf(t, name, was, is, listed)
	}
}

// suspicionOf logs and counts the suspects of one block.
func (a *audit) suspicionOf(t *table, name string, before, now []*membership.Suspect, listed map[string]bool) {
	log, cluster := zoneLog{a.zone.name}, a.zone.absolute(name)
	was, is := make(map[string]membership.Reason), make(map[string]membership.Reason)
	for _, b := range before {
		was[b.Longname()] = b.Reason
	}
	var fresh [membership.Reasons][]string
	for _, n := range now {
		is[n.Longname()] = n.Reason
		if why, ok := was[n.Longname()]; !ok || why != n.Reason {
			fresh[n.Reason] = append(fresh[n.Reason], n.Longname())
		}
	}
	for why, names := range fresh {
		if len(names) > 0 && a.suspects.allows() {
			log.Warningf("Cluster %s: %s: %s; %s", cluster, suspected[why], summary(names), prospect(t.next(name), t.config.rules.Hold))
		}
	}
	var back, gone []string
	for _, b := range before {
		switch _, still := is[b.Longname()]; {
		case still:
		case listed[b.Longname()]:
			back = append(back, b.Longname())
		default:
			gone = append(gone, b.Longname())
		}
	}
	if len(back) > 0 && a.suspects.allows() {
		log.Infof("Cluster %s: no longer suspect: %s", cluster, summary(back))
	}
	if len(gone) > 0 && a.suspects.allows() {
		log.Warningf("Cluster %s: no longer members: %s", cluster, summary(gone))
	}
}

var suspected = [membership.Reasons]string{
	membership.Failing: "members fail their probes and are suspect",
	membership.Missing: "members have vanished without notice and are suspect",
	membership.Last:    "all members have ended, and the last ones stay in answers",
}

func summary(names []string) string {
	if more := len(names) - namesLogged; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesLogged], ", "), more)
	}
	return strings.Join(names, ", ")
}

// prospect says when suspects are given up.
func prospect(due time.Time, hold time.Duration) string {
	if due.IsZero() {
		return fmt.Sprintf("they stay in answers as long as few are alive, and %s more", hold)
	}
	return "they stay in answers, the next one until " + due.UTC().Format(time.TimeOnly) + " UTC unless more happens"
}
