// Package membership decides the members of each cluster of Erlang nodes, and their longnames. It is
// a pure state machine: changes of objects and the time go in, edits of clusters and the next
// deadline come out.
package membership

import (
	"sync"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// State knows the clusters that objects make by some rules. It is for one goroutine at a time.
type State struct {
	rules      *Rules
	clusters   map[string]*Cluster
	ungrouped  *Cluster              // has the objects whose group or namespace makes no name of a cluster
	pending    map[*Cluster]struct{} // that have suspects
	namespaces namespaces
	// absent has the clusters of missing suspects, and how many each has, by identity and by address: either may
	// turn up in another cluster.
	absent      map[identity]map[*Cluster]int
	reselects   bool          // a reload asks for something else: what the first list lacks, the operator has taken out
	unconfirmed []inheritance // until the first list
	restored    bool          // members that were known before the start are known
	synced      bool
}

// Cluster is the set of nodes that shall find each other.
type Cluster struct {
	Name   string // GROUP.NAMESPACE in lower case; empty if all are one cluster, or have no group
	roster *Roster
	counts headcounts
	pulse  *pulse  // nil if the roster has no suspects
	ledger *ledger // likewise, or if nothing has changed since it has got them
}

func newCluster(name string) *Cluster { return &Cluster{Name: name, roster: &Roster{}} }

// New returns a state without members.
func New(r *Rules) *State {
	s := &State{
		rules:     r,
		clusters:  make(map[string]*Cluster),
		ungrouped: newCluster(""),
		pending:   make(map[*Cluster]struct{}),
		absent:    make(map[identity]map[*Cluster]int),
	}
	if r.GroupLabel < 0 {
		s.clusters[""] = newCluster("")
	}
	if r.Hold > 0 {
		s.namespaces = make(namespaces)
	}
	return s
}

// Ungrouped returns the cluster of objects whose group or namespace makes no name. It lists no members.
func (s *State) Ungrouped() *Cluster { return s.ungrouped }

// known reports whether there is anything to answer from, even if it is out of date.
func (s *State) known() bool { return s.synced || s.restored }

// Remembers reports whether members are known from before the start.
func (s *State) Remembers() bool { return s.restored }

// Restored notes that the objects so far are those last known before the start, and reports whether they
// have any member. Without one, nothing counts as known.
func (s *State) Restored() bool {
	for _, c := range s.clusters {
		if len(c.roster.Suspects) > 0 || s.rules.Naming.namesAny(c.roster.Objects) {
			s.restored = true
			break
		}
	}
	return s.restored
}

// Synced notes that all has been applied that there was at the start.
func (s *State) Synced(now time.Time) []*Edit {
	edits := s.confirm(now)
	s.synced = true
	return edits
}

// Apply takes changes that belong together. The names and members that it works out are those of changed
// objects, and in clusters with suspects all of them.
func (s *State) Apply(changes []kubeapi.Change, now time.Time) []*Edit {
	about := sync.OnceValue(func() *news { return newsOf(changes) })
	edits := s.collect(changes)
	if len(s.pending) > 0 {
		for who := range about().suspects {
			for c := range s.absent[who] {
				if edits[c] == nil {
					edits[c] = &Edit{} // the name may not be its member's any more
				}
			}
		}
	}
	made := make([]*Edit, 0, len(edits))
	for c, e := range edits {
		e.Cluster, e.Before = c, c.roster
		e.After = c.roster.with(e.removed, e.added)
		s.review(e, about, now)
		made = append(made, s.commit(e))
	}
	for c := range edits {
		if n := s.namespaces[c.namespace()]; n != nil {
			n.count()
			made = append(made, s.drop(n, now)...)
		}
	}
	return made
}

// collect adds up the changes of each cluster.
func (s *State) collect(changes []kubeapi.Change) map[*Cluster]*Edit {
	edits := make(map[*Cluster]*Edit)
	of := func(o *kubeapi.Object) *Edit {
		c := s.home(o)
		if c == nil {
			return &Edit{} // of an object that belongs nowhere
		}
		if edits[c] == nil {
			edits[c] = &Edit{}
		}
		return edits[c]
	}
	for _, change := range changes {
		if change.Old != nil {
			e := of(change.Old)
			e.removed = append(e.removed, change.Old)
		}
		if change.New != nil {
			e := of(change.New)
			e.added = append(e.added, change.New)
			if change.At != nil && s.rules.shows(&change) {
				e.Changed = append(e.Changed, *change.At)
			}
		}
	}
	return edits
}

// home returns the cluster that an object belongs to, and makes it if there is none; nil for an object
// without the group's label.
func (s *State) home(o *kubeapi.Object) *Cluster {
	if s.rules.GroupLabel < 0 {
		return s.clusters[""]
	}
	if !o.Labels[s.rules.GroupLabel].Set {
		return nil
	}
	name, p := s.rules.ClusterOf(o)
	if p != NoProblem {
		return s.ungrouped
	}
	if c := s.clusters[name]; c != nil {
		return c
	}
	c := newCluster(name)
	s.clusters[name] = c
	return c
}

// commit makes the result of an edit the state of its cluster.
func (s *State) commit(e *Edit) *Edit {
	c := e.Cluster
	s.indexAbsent(c, e.After.Suspects)
	s.unindexAbsent(c, e.Before.Suspects)
	c.roster = e.After
	if n := s.namespaces.of(c); n != nil {
		if n.settle(c, len(e.After.Suspects)-len(e.Before.Suspects)); n.members+n.suspects == 0 {
			delete(s.namespaces, c.namespace())
		}
	}
	if c.pulse != nil {
		e.Due = c.pulse.due
	}
	s.dropIfEmpty(c)
	return e
}

// dropIfEmpty forgets a cluster that is empty, unless the block has no group_by.
func (s *State) dropIfEmpty(c *Cluster) {
	if c.Name != "" && c.roster.IsEmpty() {
		delete(s.clusters, c.Name)
	}
}

// indexAbsent adds the missing suspects of a cluster to the index.
func (s *State) indexAbsent(c *Cluster, suspects []*Suspect) {
	for _, who := range absentKeys(suspects) {
		if s.absent[who] == nil {
			s.absent[who] = make(map[*Cluster]int, 1)
		}
		s.absent[who][c]++
	}
}

// unindexAbsent removes them from it.
func (s *State) unindexAbsent(c *Cluster, suspects []*Suspect) {
	for _, who := range absentKeys(suspects) {
		of := s.absent[who]
		if of[c]--; of[c] == 0 {
			delete(of, c)
		}
		if len(of) == 0 {
			delete(s.absent, who)
		}
	}
}

// absentKeys returns the keys by which missing suspects are recognized in changes.
func absentKeys(suspects []*Suspect) []identity {
	var all []identity
	for _, s := range suspects {
		if s.absent {
			all = append(all, s.identity().withoutAddress(), identity{address: s.Address()})
		}
	}
	return all
}

// plan notes when the next suspect of a cluster is given up. Any edit may change it for all.
func (s *State) plan(c *Cluster, suspects []*Suspect) {
	if len(suspects) == 0 {
		c.pulse, c.ledger = nil, nil
		delete(s.pending, c)
		return
	}
	s.pending[c] = struct{}{}
	c.pulse.due = time.Time{}
	for _, suspect := range suspects {
		if at := c.pulse.until(suspect, s.rules.Hold); !at.IsZero() && (c.pulse.due.IsZero() || at.Before(c.pulse.due)) {
			c.pulse.due = at
		}
	}
}

// Due returns when the next suspect is given up, if ever.
func (s *State) Due() (next time.Time, ok bool) {
	for c := range s.pending {
		if at := c.pulse.due; !at.IsZero() && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	return next, ok
}

// Expire gives up the suspects whose time is up.
func (s *State) Expire(now time.Time) []*Edit {
	var edits []*Edit
	for c := range s.pending {
		if c.pulse.due.IsZero() || c.pulse.due.After(now) {
			continue
		}
		edits = append(edits, s.commit(s.expire(c, now)))
		if n := s.namespaces[c.namespace()]; n != nil {
			n.count()
		}
	}
	return edits
}

// Suspects returns those of all clusters as a snapshot keeps them.
func (s *State) Suspects() []kubeapi.Suspects {
	all := make([]kubeapi.Suspects, 0, len(s.pending))
	for c := range s.pending {
		p := c.pulse
		of := kubeapi.Suspects{Pulse: kubeapi.Pulse{
			Most: p.most, Few: p.few.UTC(), Enough: p.enough.UTC(), Probes: p.probes.UTC(), Returns: p.returns.UTC(),
		}}
		for _, s := range c.roster.Suspects {
			of.Members = append(of.Members, kubeapi.Suspect{Object: s.object, Reason: s.Reason.String(), Since: s.since.UTC(), From: s.from.UTC()})
		}
		all = append(all, of)
	}
	return all
}
