package longnames

import (
	"context"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/kubeapi"
)

// auditInterval is the least time between two audits, so that they cost little however
// fast things change.
const auditInterval = time.Second

// auditLog is how many members that are left out get a line each in one audit.
const auditLog = 10

// audit tells the operator, in the log and in metrics, who is not served as they may
// expect. It follows the table at its own pace, for nobody waits for it.
type audit struct {
	config *config
	table  *table
	known  map[*cluster]findings
	counts map[problem]int
}

// finding is one member and what is wrong with it.
type finding struct {
	namespace, object, what string
	problem                 problem
}

type findings map[finding]struct{}

const (
	// undeclaredPort is found of a member that is served, but with the default port.
	undeclaredPort problem = "port"
	// tooMany is found of a cluster whose SRV records no DNS message can hold.
	tooMany problem = "size"
)

func newAudit(c *config, t *table) *audit {
	a := &audit{config: c, table: t, known: make(map[*cluster]findings), counts: make(map[problem]int)}
	for _, p := range append(leftOutProblems, undeclaredPort) {
		a.gauge(p).Add(0) // so that it is there
	}
	return a
}

// gauge is where findings of a kind are counted, together with those of other blocks of the
// same zone, and of the same block before a reload.
func (a *audit) gauge(p problem) prometheus.Gauge {
	if p == undeclaredPort {
		return defaultPorts.WithLabelValues(a.config.name())
	}
	return leftOutMembers.WithLabelValues(a.config.name(), string(p))
}

func (a *audit) count(p problem, delta int) {
	if p != tooMany { // that is no member
		a.counts[p] += delta
		a.gauge(p).Add(float64(delta))
	}
}

// close takes back what has been counted.
func (a *audit) close() {
	for p, n := range a.counts {
		a.count(p, -n)
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
		a.look()
		select {
		case <-ctx.Done():
			return
		case <-time.After(auditInterval):
		}
	}
}

// look audits the clusters that have changed.
func (a *audit) look() {
	var fresh []finding
	for _, c := range a.table.takeDirty() {
		found := a.find(c)
		for f := range found {
			if _, ok := a.known[c][f]; !ok {
				fresh = append(fresh, f)
			}
			a.count(f.problem, +1)
		}
		for f := range a.known[c] {
			a.count(f.problem, -1)
		}
		if a.known[c] = found; len(found) == 0 {
			delete(a.known, c)
		}
	}
	for i, f := range fresh {
		if i == auditLog {
			log.Warningf("%d more such findings in %s", len(fresh)-i, a.config.name())
			break
		}
		a.log(f)
	}
}

func (a *audit) find(c *cluster) findings {
	objects := c.roster.Load().objects
	found := make(findings)
	note := func(o *kubeapi.Object, what string, p problem) {
		found[finding{o.Namespace, o.Name, what, p}] = struct{}{}
	}
	for _, o := range objects {
		for _, text := range o.Invalid {
			note(o, text, invalidAddress)
		}
		if c != a.table.misfits {
			continue
		}
		if group := o.Labels[a.config.groupLabel].Value; !isLabel(group) {
			note(o, group, invalidGroup)
		} else {
			note(o, o.Name, invalidNamespace)
		}
	}
	if c == a.table.misfits {
		return found
	}
	nodes, left := a.config.nameAll(objects)
	if srvSize(nodes) > dns.MaxMsgSize {
		found[finding{what: c.name, problem: tooMany}] = struct{}{}
	}
	for _, l := range left {
		note(l.object, l.what, l.problem)
	}
	for i := range nodes {
		if _, ok := a.config.port.of(&nodes[i]); !ok {
			found[finding{what: nodes[i].longname(), problem: undeclaredPort}] = struct{}{}
		}
	}
	return found
}

// srvSize is about the size of a message with the SRV records of the listed nodes, whose
// targets cannot be compressed.
func srvSize(nodes []node) int {
	const fixed = 2 + 10 + 6 // a pointer to the owner, type to length, priority to port
	size := 0
	for i := range nodes {
		if n := &nodes[i]; n.listed {
			size += fixed + len(n.target()) + 1
		}
	}
	return size
}

func (a *audit) log(f finding) {
	zone := a.config.name()
	switch f.problem {
	case undeclaredPort:
		log.Warningf("%s in %s declares no port %q: SRV records give %d", f.what, zone, a.config.port.name, epmdPort)
	case tooMany:
		log.Warningf("Cluster %q in %s has more members than the 64 KiB of a DNS message hold as SRV records: answers are truncated", f.what, zone)
	case invalidAddress:
		log.Warningf("%s/%s is left out of %s: %q is no address", f.namespace, f.object, zone, f.what)
	case invalidGroup:
		log.Warningf("%s/%s is left out of %s: its group %q is no DNS label", f.namespace, f.object, zone, f.what)
	default:
		log.Warningf("%s/%s: %s is left out of %s: %s", f.namespace, f.object, f.what, zone, a.config.naming.expects(f.problem))
	}
}
