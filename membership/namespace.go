package membership

import (
	"slices"
	"strings"
	"time"
)

// namespace bounds the suspects that all clusters of a Kubernetes namespace have: whoever writes there
// can make a new group with each change, and each could have as many as a cluster may.
type namespace struct {
	members  int // as objects tell of them, whether listed or not
	most     int // of these at once since the first became suspect
	suspects int
	clusters map[*Cluster]struct{} // that have suspects
}

// namespace returns that of a group, in lower case; empty for other clusters.
func (c *Cluster) namespace() string {
	_, name, _ := strings.Cut(c.Name, ".")
	return name
}

// namespaceOf returns the namespace of a group, and makes it if there is none; nil for other clusters, and if
// nobody is ever suspect.
func (s *State) namespaceOf(c *Cluster) *namespace {
	name := c.namespace()
	if name == "" || s.rules.Hold == 0 {
		return nil
	}
	if s.namespaces[name] == nil {
		s.namespaces[name] = &namespace{clusters: make(map[*Cluster]struct{})}
	}
	return s.namespaces[name]
}

// settle takes note of how a cluster's suspects have changed.
func (n *namespace) settle(c *Cluster, change int) {
	n.suspects += change
	if len(c.roster.Suspects) > 0 {
		n.clusters[c] = struct{}{}
	} else {
		delete(n.clusters, c)
	}
}

// count takes note of how many there are once an edit of all clusters is over: a member may go from one to
// another.
func (n *namespace) count() {
	if n.suspects == 0 {
		n.most = 0
	}
	n.most = max(n.most, n.members)
}

// drop gives up the oldest suspects of a namespace that has too many.
func (s *State) drop(n *namespace, now time.Time) []*Edit {
	over := n.suspects - max(minSuspects, n.most)
	if over <= 0 {
		return nil
	}
	all := make([]*Suspect, 0, n.suspects)
	for c := range n.clusters {
		all = append(all, c.roster.Suspects...)
	}
	slices.SortFunc(all, func(a, b *Suspect) int {
		if order := a.since.Compare(b.since); order != 0 {
			return order
		}
		return strings.Compare(a.text, b.text)
	})
	goes := make(map[*Suspect]bool, over)
	for _, suspect := range all[:over] {
		goes[suspect] = true
	}
	var edits []*Edit
	for c := range n.clusters {
		if slices.ContainsFunc(c.roster.Suspects, func(s *Suspect) bool { return goes[s] }) {
			edits = append(edits, s.settle(s.giveUp(c, now, Dropped, func(s *Suspect) bool { return goes[s] })))
		}
	}
	return edits
}
