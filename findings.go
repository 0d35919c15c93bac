package longnames

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// finding is a problem of one member.
type finding struct {
	namespace, object, what string
	problem                 membership.Problem
}

// findings tell of which block each is, the first.
type findings map[finding]uint16

func (found findings) note(f finding, block uint16) {
	if _, ok := found[f]; !ok {
		found[f] = block
	}
}

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

// mostOfGroup is how many bytes of a group are logged that is none.
const mostOfGroup = 100

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
		found.inObjects(uint16(i), t, roster, r.grouped && name == "")
	}
	if c := r.clusterNow(name); c != nil {
		nodes := a.findNodes(c, found)
		stats.members = int32(listed(nodes)) //nolint:gosec // no cluster has so many
		stats.suspects = c.suspects(nodes)
	}
	if len(found) > 0 { // else not a map for each cluster
		stats.findings = found
	}
	return stats
}

// inObjects adds the problems of the objects that a block has of a cluster, or outside every cluster.
func (found findings) inObjects(block uint16, t *table, of *membership.Roster, ungrouped bool) {
	note := func(o *kubeapi.Object, what string, p membership.Problem) {
		found.note(finding{o.Namespace, o.Name, what, p}, block)
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
			group := o.Labels[rules.GroupLabel].Value
			note(o, group[:min(len(group), mostOfGroup)], p)
		case membership.ReservedName:
			note(o, "cluster "+membership.Quote(name), p)
		default:
			note(o, membership.Quote(o.Name), p)
		}
	}
	if !ungrouped {
		for _, what := range sharedGroups(rules, of.Objects) {
			found.note(finding{what: what, problem: sharedGroup}, block)
		}
	}
}

// findNodes returns the nodes of a cluster, and adds their problems.
func (a *audit) findNodes(c *cluster, found findings) []membership.Node {
	r := a.resolver
	nodes, left := c.candidates(r)
	for _, l := range left {
		found.note(finding{l.Object.Namespace, l.Object.Name, l.What, l.Problem}, l.Block)
	}
	slices.SortStableFunc(nodes, func(m, n membership.Node) int { return strings.Compare(m.Longname(), n.Longname()) })
	for _, what := range sharedLongnames(nodes) {
		found.note(finding{what: what, problem: sharedLongname}, 0)
	}
	nodes = membership.Unite(nodes)
	_, lost := membership.ByName(nodes)
	for _, l := range lost {
		what := fmt.Sprintf("%q is that of %s", l.Name, membership.Quote(l.Owner.Namespace()+"/"+l.Owner.Object()))
		found.note(finding{l.Node.Namespace(), l.Node.Object(), what, contestedName}, l.Node.Block)
	}
	if srvSize(nodes) > dns.MaxMsgSize {
		found.note(finding{what: a.zone.absolute(c.name), problem: tooMany}, 0)
	}
	for i := range nodes {
		if _, ok := r.port(&nodes[i]).of(&nodes[i]); !ok {
			found.note(finding{what: nodes[i].Longname(), problem: undeclaredPort}, nodes[i].Block)
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
			if doubtful[doubt{s.Longname(), uint16(i)}] {
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
			found = append(found, fmt.Sprintf("Longname %s is that of %s and %s", n.Longname(), one, other))
		}
		last = n
	}
	return found
}

// isSamePod reports whether two blocks have the same node of a pod, as where their selectors overlap. A hand-made
// object may lack the pod.
func isSamePod(a, b *membership.Node) bool {
	one, other := a.Member.Pod(), b.Member.Pod()
	return a.Block != b.Block && a.Address() == b.Address() && a.Namespace() == b.Namespace() && (one == other || one == "" || other == "")
}

// nameOf returns the namespace of a node, and the name of its pod or else its address.
func nameOf(n *membership.Node) string {
	return membership.Quote(n.Namespace() + "/" + cmp.Or(n.Member.Pod(), n.Address().String()))
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

// srvSize estimates the size of a message with the SRV records of the listed nodes, whose targets
// cannot be compressed.
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

func (a *audit) log(f finding, block uint16) {
	zone, object := a.zone.name, membership.Quote(f.namespace)+"/"+membership.Quote(f.object)
	config := a.resolver.tables[block].config
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

// hasObject reports whether any object of a table is like this.
func hasObject(t *table, like func(*kubeapi.Object) bool) (found bool) {
	found = slices.ContainsFunc(t.ungrouped.roster.Load().Objects, like)
	t.views.Range(func(_, v any) bool {
		found = found || slices.ContainsFunc(v.(*view).roster.Load().Objects, like)
		return !found
	})
	return found
}
