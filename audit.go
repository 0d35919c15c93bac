package longnames

import (
	"context"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// auditInterval is the least time between two audits, so that they cost little however
// fast things change.
const auditInterval = time.Second

// auditLog is how many members that are left out get a line each in one audit.
const auditLog = 10

// audit reports to the operator, in the log and in metrics, which members are served, and which candidates
// are not as may be expected. It follows the table at its own pace, for nobody waits for it.
type audit struct {
	config *config
	table  *table
	known  map[*view]clusterStats
	counts map[prometheus.Gauge]int
	begin  time.Time
	// unsynced is whether the members of the block are not known.
	unsynced bool
	// settled is whether all that there was at the start has been looked at, so that what is
	// missing from then on has been lost.
	settled bool
}

// clusterStats has what there is to count and to log of a cluster.
type clusterStats struct {
	members  int // that are listed
	peak     peak
	suspects []*membership.Suspect
	findings findings
}

func (c *clusterStats) isEmpty() bool { return c.members == 0 && len(c.findings) == 0 }

// finding is one member and what is wrong with it.
type finding struct {
	namespace, object, what string
	problem                 membership.Problem
}

type findings map[finding]struct{}

const (
	// undeclaredPort is found of a member that is served, but with the default port.
	undeclaredPort membership.Problem = "port"
	// tooMuch is found of an object that has more ports or addresses than are kept.
	tooMuch membership.Problem = "cut"
	// tooMany is found of a cluster whose SRV records no DNS message can hold.
	tooMany membership.Problem = "size"
)

func newAudit(c *config, t *table) *audit {
	a := &audit{config: c, table: t, known: make(map[*view]clusterStats), counts: make(map[prometheus.Gauge]int), begin: time.Now()}
	for _, p := range append(membership.Problems, undeclaredPort, tooMuch, tooMany) {
		a.countFinding(p, 0) // so that it is there
	}
	a.countCluster(clusterStats{}, 0)
	clusterFalls.WithLabelValues(c.name()).Add(0) // or the first one would not be seen as an increase
	for e := range len(membership.Ends{}) {
		suspectsEnded.WithLabelValues(c.name(), membership.End(e).String()).Add(0)
	}
	a.unsynced = !t.known()
	countUnsynced(c.name(), ones[a.unsynced])
	return a
}

// count adds to what other blocks of the same zone count, and to what the same block does
// before a reload.
func (a *audit) count(gauge *prometheus.GaugeVec, delta int, labels ...string) {
	g := gauge.WithLabelValues(append([]string{a.config.name()}, labels...)...)
	a.counts[g] += delta
	g.Add(float64(delta))
}

func (a *audit) countFinding(p membership.Problem, delta int) {
	switch p {
	case tooMany:
		a.count(truncatedClusters, delta)
	case undeclaredPort:
		a.count(defaultPorts, delta)
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
	a.count(listedMembers, delta*c.members)
	a.count(nonEmptyClusters, delta*min(1, c.members))
	var of [membership.Reasons]int
	for _, s := range c.suspects {
		of[s.Reason]++
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
		countUnsynced(a.config.name(), -1)
	}
}

func (a *audit) run(ctx context.Context) {
	defer a.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.table.changed:
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
	a.settled = a.table.synced.Load() // before what is looked at is taken: it has all of the start
	window := a.window()
	var fresh []finding
	var fallen []loss
	states := a.table.takeDirty()
	if a.table.known() { // after that, which waits for a table that inherits
		a.markSynced()
	}
	for _, s := range states {
		before, now := a.known[s.view], a.find(s)
		if settled {
			now.peak = before.peak.after(window, before.members, now.members)
		} else {
			now.peak = newPeak(window, now.members)
		}
		if now.peak.fallen && !before.peak.fallen {
			fallen = append(fallen, loss{s.view, now.peak.most(), now.members})
		}
		for f := range now.findings {
			if _, ok := before.findings[f]; !ok {
				fresh = append(fresh, f)
			}
		}
		a.suspicion(s, before.suspects)
		a.countCluster(now, +1)
		a.countCluster(before, -1)
		if a.known[s.view] = now; now.isEmpty() {
			delete(a.known, s.view)
		}
	}
	for i, f := range fresh {
		if i == auditLog {
			log.Warningf("%d more such findings in %s", len(fresh)-i, a.config.name())
			break
		}
		a.log(f)
	}
	a.tell(fallen)
}

// find returns the stats of a cluster as it is.
func (a *audit) find(s state) clusterStats {
	found := make(findings)
	note := func(o *kubeapi.Object, what string, p membership.Problem) {
		found[finding{o.Namespace, o.Name, what, p}] = struct{}{}
	}
	for _, o := range s.roster.Objects {
		for _, text := range o.Invalid {
			note(o, text, membership.InvalidAddress)
		}
		for _, what := range o.Cut {
			note(o, what, tooMuch)
		}
		if s.view != a.table.ungrouped {
			continue
		}
		if group := o.Labels[a.config.rules.GroupLabel].Value; !membership.IsLabel(group) {
			note(o, group, membership.InvalidGroup)
		} else {
			note(o, o.Name, membership.InvalidNamespace)
		}
	}
	if s.view == a.table.ungrouped {
		return clusterStats{findings: found}
	}
	nodes, left := a.config.rules.Nodes(s.roster.Roster)
	for _, l := range left {
		note(l.Object, l.What, l.Problem)
	}
	if srvSize(nodes) > dns.MaxMsgSize {
		found[finding{what: a.config.first().absolute(s.view.name), problem: tooMany}] = struct{}{}
	}
	for i := range nodes {
		if _, ok := a.config.port.of(&nodes[i]); !ok {
			found[finding{what: nodes[i].Longname(), problem: undeclaredPort}] = struct{}{}
		}
	}
	if len(found) == 0 {
		found = nil // and not a map for each cluster
	}
	return clusterStats{members: listed(nodes), suspects: s.roster.Suspects, findings: found}
}

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
	zone := a.config.name()
	switch f.problem {
	case undeclaredPort:
		log.Warningf("%s in %s declares no port %q: SRV records give %d", f.what, zone, a.config.port.name, epmdPort)
	case tooMuch:
		log.Warningf("%s/%s has more than %s: the others are left out of %s", f.namespace, f.object, f.what, zone)
	case tooMany:
		log.Warningf("%s Cluster %s has more members than the 64 KiB of a DNS message hold as SRV records: answers are truncated", zone, f.what)
	case membership.InvalidAddress:
		log.Warningf("%s/%s is left out of %s: %q is no address", f.namespace, f.object, zone, f.what)
	case membership.InvalidGroup:
		log.Warningf("%s/%s is left out of %s: its group %q is no DNS label", f.namespace, f.object, zone, f.what)
	default:
		log.Warningf("%s/%s: %s is left out of %s: %s", f.namespace, f.object, f.what, zone, a.config.rules.Naming.Expects(f.problem))
	}
}
