package longnames

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// auditInterval is the least time between two audits, so that they cost little however
// fast things change.
const auditInterval = time.Second

// audit reports to the operator, in the log and in metrics, which members are served in a zone, and which candidates
// are not as may be expected. It follows the tables at its own pace, for nobody waits for it.
type audit struct {
	zone     *zone
	resolver *resolver
	observer *observer
	known    map[string]clusterStats // by name; with many clusters, what belongs to none has no name
	counts   map[prometheus.Gauge]int
	begin    time.Time
	// unsynced is whether the members of a block are not known.
	unsynced bool
	// settled is true once the first complete list has been audited: what is missing later has been
	// lost.
	settled bool
	blind   []bool // the log says that nothing matches, of each block
	// These bound the lines about findings, clusters that fell, and suspects.
	findings, falls, suspects *quota
}

// clusterStats has what there is to count and to log of a cluster.
type clusterStats struct {
	members  int32 // that are listed
	peak     peak
	suspects [][]*membership.Suspect // of each block; nil if there are none
	findings findings
}

func (c *clusterStats) isEmpty() bool {
	return c.members == 0 && len(c.suspects) == 0 && len(c.findings) == 0
}

// finding is one member and what is wrong with it.
type finding struct {
	namespace, object, what string
	problem                 membership.Problem
	block                   uint16
}

type findings map[finding]struct{}

const (
	// undeclaredPort is found of a member that is served, but with the default port.
	undeclaredPort membership.Problem = "port"
	// contestedName is found of a member that is served, but not by a name that another one has.
	contestedName membership.Problem = "name"
	// sharedLongname is found of two live members that have one longname, sharedGroup of two groups that make
	// one cluster.
	sharedLongname membership.Problem = "longname"
	sharedGroup    membership.Problem = "case"
	// tooMuch is found of an object that has more ports or addresses than are kept.
	tooMuch membership.Problem = "cut"
	// tooMany is found of a cluster whose SRV records no DNS message can hold.
	tooMany membership.Problem = "size"
)

// newAudit is of a zone and its resolver.
func newAudit(z *zone, r *resolver) *audit {
	a := &audit{
		zone: z, resolver: r, known: make(map[string]clusterStats), counts: make(map[prometheus.Gauge]int), begin: time.Now(),
		observer: &observer{changed: make(chan struct{}, 1), names: make(map[string]bool)},
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
	for _, t := range r.tables {
		t.observe(a.observer)
	}
	a.unsynced = !r.isWhole()
	countUnsynced(z.name, ones[a.unsynced])
	return a
}

// count adds to what other server blocks count of the same zone, and to what the same one does
// before a reload.
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

// close takes back what has been counted.
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
		case <-a.observer.changed:
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
	a.settled = a.resolver.isSynced() // before what is looked at is taken: it has all of the start
	window := a.window()
	var fresh []finding
	var fallen []loss
	names := a.observer.take()
	if a.resolver.isWhole() {
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
		for f := range now.findings {
			if _, ok := before.findings[f]; !ok {
				fresh = append(fresh, f)
			}
		}
		a.suspicion(name, before.suspects, now.suspects)
		a.countCluster(now, +1)
		a.countCluster(before, -1)
		if a.known[name] = now; now.isEmpty() {
			delete(a.known, name)
		}
	}
	a.findings.each(len(fresh), func(i int) { a.log(fresh[i]) })
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
	if a.blind[block] = a.settled && !t.hasObjects(); !a.blind[block] || was {
		return
	}
	c := &t.config.source
	what, whose := "EndpointSlices", "its Service"
	if c.Lookup == kubeapi.Pods {
		what, whose = "Pods", "the pod itself"
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

// find returns the stats of a cluster as it is.
func (a *audit) find(name string) clusterStats {
	r, found := a.resolver, make(findings)
	var stats clusterStats
	for i, t := range r.tables {
		roster := t.roster(name)
		if r.grouped && name == "" {
			roster = t.ungrouped.roster.Load()
		}
		if roster == nil {
			continue
		}
		found.inObjects(uint16(i), t, roster, r.grouped && name == "") //nolint:gosec // no Corefile has so many
	}
	if c := r.clusterNow(name); c != nil {
		nodes := a.findNodes(c, found)
		stats.members = count(listed(nodes))
		stats.suspects = c.suspects(nodes)
	}
	if len(found) > 0 { // else not a map for each cluster
		stats.findings = found
	}
	return stats
}

// inObjects adds what is wrong with the objects of a cluster that a block has, or of none.
func (found findings) inObjects(block uint16, t *table, of *membership.Roster, ungrouped bool) {
	note := func(o *kubeapi.Object, what string, p membership.Problem) {
		found[finding{o.Namespace, o.Name, what, p, block}] = struct{}{}
	}
	rules := &t.config.rules
	for _, o := range of.Objects {
		for _, text := range o.Invalid {
			note(o, text, membership.InvalidAddress)
		}
		for _, what := range o.Cut {
			note(o, what, tooMuch)
		}
		if !ungrouped {
			continue
		}
		switch name, p := rules.ClusterOf(o); p {
		case membership.InvalidGroup:
			note(o, o.Labels[rules.GroupLabel].Value, p)
		case membership.ReservedName:
			note(o, "cluster "+membership.Quote(name), p)
		default:
			note(o, membership.Quote(o.Name), p)
		}
	}
	if !ungrouped {
		for _, what := range sharedGroups(rules, of.Objects) {
			found[finding{what: what, problem: sharedGroup}] = struct{}{}
		}
	}
}

// findNodes returns the nodes of a cluster, and adds what is wrong with them.
func (a *audit) findNodes(c *cluster, found findings) []membership.Node {
	r := a.resolver
	nodes, left := c.candidates(r)
	for _, l := range left {
		found[finding{l.Object.Namespace, l.Object.Name, l.What, l.Problem, l.Block}] = struct{}{}
	}
	slices.SortStableFunc(nodes, func(m, n membership.Node) int { return strings.Compare(m.Longname(), n.Longname()) })
	for _, what := range sharedLongnames(nodes) {
		found[finding{what: what, problem: sharedLongname}] = struct{}{}
	}
	nodes = membership.Unite(nodes)
	_, lost := membership.ByName(nodes)
	for _, l := range lost {
		what := fmt.Sprintf("%q is that of %q", l.Name, l.Owner.Namespace()+"/"+l.Owner.Object())
		found[finding{l.Node.Namespace(), l.Node.Object(), what, contestedName, l.Node.Block}] = struct{}{}
	}
	if srvSize(nodes) > dns.MaxMsgSize {
		found[finding{what: a.zone.absolute(c.name), problem: tooMany}] = struct{}{}
	}
	for i := range nodes {
		if _, ok := r.port(&nodes[i]).of(&nodes[i]); !ok {
			found[finding{what: nodes[i].Longname(), problem: undeclaredPort, block: nodes[i].Block}] = struct{}{}
		}
	}
	return nodes
}

// suspects returns those of each block that are suspects among the nodes of all; nil if there are none.
func (c *cluster) suspects(nodes []membership.Node) [][]*membership.Suspect {
	type doubt struct {
		longname string
		block    uint16
	}
	var doubtful map[doubt]bool
	for i := range nodes {
		if n := &nodes[i]; n.Suspect {
			if doubtful == nil {
				doubtful = make(map[doubt]bool)
			}
			doubtful[doubt{n.Longname(), n.Block}] = true
		}
	}
	if doubtful == nil {
		return nil
	}
	suspects := make([][]*membership.Suspect, len(c.rosters))
	for i, roster := range c.rosters {
		if roster == nil {
			continue
		}
		for _, s := range roster.Suspects {
			if doubtful[doubt{s.Longname(), uint16(i)}] { //nolint:gosec // no Corefile has so many
				suspects[i] = append(suspects[i], s)
			}
		}
	}
	return suspects
}

// sharedLongnames says which longnames several live members have, as pods of a Deployment with one hostname.
func sharedLongnames(nodes []membership.Node) (found []string) {
	var last *membership.Node
	for i := range nodes { // which are ordered by them
		n := &nodes[i]
		if !n.IsAlive() {
			continue
		}
		if last != nil && last.Longname() == n.Longname() && !isSamePod(last, n) {
			one, other := nameOf(last), nameOf(n)
			if one == other {
				one, other = one+" at "+last.Address().String(), other+" at "+n.Address().String()
			}
			found = append(found, fmt.Sprintf("Longname %s is that of %q and %q", n.Longname(), one, other))
		}
		last = n
	}
	return found
}

// isSamePod reports whether two blocks have the same node of a pod, as where their selectors overlap.
func isSamePod(a, b *membership.Node) bool {
	return a.Block != b.Block && nameOf(a) == nameOf(b) && a.Address() == b.Address()
}

// nameOf returns the namespace of a node, and the name of its pod or else its address.
func nameOf(n *membership.Node) string {
	return n.Namespace() + "/" + cmp.Or(n.Member.Pod(), n.Address().String())
}

// sharedGroups says which groups of a cluster are not spelt as its first object's.
func sharedGroups(rules *membership.Rules, objects []*kubeapi.Object) (found []string) {
	at := rules.GroupLabel
	if at < 0 {
		return nil
	}
	for _, o := range objects {
		if first := objects[0]; o.Labels[at].Value != first.Labels[at].Value {
			found = append(found, fmt.Sprintf("Groups %q and %q of namespace %s", first.Labels[at].Value, o.Labels[at].Value, o.Namespace))
		}
	}
	return found
}

// count is a number that there is one of for each cluster, so that it is small.
func count(n int) int32 { return int32(n) } //nolint:gosec // no cluster has so many

// srvSize is about the size of a message with the SRV records of the listed nodes, whose
// targets cannot be compressed.
func srvSize(nodes []membership.Node) int {
	const fixed = 2 + 10 + 6 // a pointer to the owner, type to length, priority to port
	size := 0
	for i := range nodes {
		if n := &nodes[i]; n.Listed {
			size += fixed + len(n.Host()) + 1
		}
	}
	return size
}

func (a *audit) log(f finding) {
	zone, object := a.zone.name, membership.Quote(f.namespace)+"/"+membership.Quote(f.object)
	config := a.resolver.tables[f.block].config
	switch f.problem {
	case undeclaredPort:
		log.Warningf("%s in %s declares no port %q: SRV records give %d", f.what, zone, config.port.name, epmdPort)
	case contestedName:
		log.Warningf("%s claims a name in %s: %s", object, zone, f.what)
	case sharedLongname:
		log.Warningf("%s %s: others take both for one node", zone, f.what)
	case sharedGroup:
		log.Warningf("%s %s differ in case only: they are one cluster", zone, f.what)
	case tooMuch:
		log.Warningf("%s has more than %s: the others are left out of %s", object, f.what, zone)
	case tooMany:
		log.Warningf("%s Cluster %s has more members than the 64 KiB of a DNS message hold as SRV records: answers are truncated", zone, f.what)
	case membership.InvalidAddress:
		log.Warningf("%s is left out of %s: %q is %s", object, zone, f.what, kubeapi.NoAddress(f.what))
	case membership.InvalidGroup:
		log.Warningf("%s is left out of %s: its group %q is no DNS label, which may have underscores", object, zone, f.what)
	default:
		log.Warningf("%s: %s is left out of %s: %s", object, f.what, zone, config.rules.Naming.Expects(f.problem))
	}
}
