package membership

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// State knows the clusters that objects make by some rules. It is for one goroutine at a time.
type State struct {
	rules     *Rules
	clusters  map[string]*Cluster
	ungrouped *Cluster              // has the objects whose group or namespace is no label
	pending   map[*Cluster]struct{} // that have suspects
	// absent are the clusters of suspects that are, by these and by their addresses: either may turn
	// up in another cluster.
	absent      map[identity][]*Cluster
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

// New returns a state that knows nobody.
func New(r *Rules) *State {
	s := &State{
		rules:     r,
		clusters:  make(map[string]*Cluster),
		ungrouped: newCluster(""),
		pending:   make(map[*Cluster]struct{}),
		absent:    make(map[identity][]*Cluster),
	}
	if r.GroupLabel < 0 {
		s.clusters[""] = newCluster("")
	}
	return s
}

// Ungrouped returns the cluster of objects whose group or namespace is no label. It has no members.
func (s *State) Ungrouped() *Cluster { return s.ungrouped }

// Known reports whether there is anything to answer from, even if it is out of date.
func (s *State) Known() bool { return s.synced || s.restored }

// Suspicious reports whether any cluster has suspects.
func (s *State) Suspicious() bool { return len(s.pending) > 0 }

// Restored notes that what has been applied so far was last known before the start, and reports whether
// that is anybody. To know of nobody is to know nothing.
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

// Apply takes changes that belong together. It costs what they change, and what those of their clusters
// have that have suspects.
func (s *State) Apply(changes []kubeapi.Change, now time.Time) []*Edit {
	about := sync.OnceValue(func() *news { return newsOf(changes) })
	edits := s.collect(changes)
	if len(s.pending) > 0 {
		for who := range about().suspects {
			for _, c := range s.absent[who] {
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
		made = append(made, s.settle(e))
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
	group := o.Labels[s.rules.GroupLabel]
	if !group.Set {
		return nil
	}
	if !IsLabel(group.Value) || !IsLabel(o.Namespace) {
		return s.ungrouped
	}
	name := strings.ToLower(group.Value + "." + o.Namespace)
	if c := s.clusters[name]; c != nil {
		return c
	}
	c := newCluster(name)
	s.clusters[name] = c
	return c
}

// settle has the cluster be as after an edit.
func (s *State) settle(e *Edit) *Edit {
	c := e.Cluster
	s.lookFor(c, e.After.Suspects)
	s.forget(c, e.Before.Suspects)
	c.roster = e.After
	if c.pulse != nil {
		e.Due = c.pulse.due
	}
	s.tidy(c)
	return e
}

// tidy forgets a cluster that is empty, unless there is one alone.
func (s *State) tidy(c *Cluster) {
	if c.Name != "" && c.roster.IsEmpty() {
		delete(s.clusters, c.Name)
	}
}

// lookFor notes where suspects are missed.
func (s *State) lookFor(c *Cluster, suspects []*Suspect) {
	for _, who := range traces(suspects) {
		s.absent[who] = append(s.absent[who], c)
	}
}

// forget takes that back.
func (s *State) forget(c *Cluster, suspects []*Suspect) {
	for _, who := range traces(suspects) {
		at := slices.Index(s.absent[who], c)
		if s.absent[who] = slices.Delete(s.absent[who], at, at+1); len(s.absent[who]) == 0 {
			delete(s.absent, who)
		}
	}
}

// traces returns what suspects that are absent may turn up by.
func traces(suspects []*Suspect) []identity {
	var all []identity
	for _, s := range suspects {
		if s.absent {
			all = append(all, s.who().withoutAddress(), identity{address: s.Address()})
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
		edits = append(edits, s.settle(s.expire(c, now)))
	}
	return edits
}

// Suspects returns those of all clusters as a snapshot keeps them.
func (s *State) Suspects() []kubeapi.Suspects {
	all := make([]kubeapi.Suspects, 0, len(s.pending))
	for c := range s.pending {
		p := c.pulse
		of := kubeapi.Suspects{Most: p.most, Few: p.few, Enough: p.enough, Probes: p.probes, Returns: p.returns}
		for _, s := range c.roster.Suspects {
			of.Members = append(of.Members, kubeapi.Suspect{Object: s.object, Reason: s.Reason.String(), Since: s.since, From: s.from})
		}
		all = append(all, of)
	}
	return all
}
