package membership

import (
	"cmp"
	"slices"
	"strings"
)

// namespace bounds the suspects that all clusters of a Kubernetes namespace have together: a tenant can
// make a new group with each change, and each group could have as many as a cluster may.
type namespace struct {
	members  int // as objects tell of them, whether listed or not
	most     int // of these at once since the first became suspect
	suspects int
	clusters map[*Cluster]struct{} // that have suspects
}

// namespace returns the namespace of a group, in lower case; empty for other clusters.
func (c *Cluster) namespace() string {
	_, name, _ := strings.Cut(c.Name, ".")
	return name
}

// namespaces are those of groups, by name; nil if hold is 0.
type namespaces map[string]*namespace

// of returns the namespace of a group, and makes it if there is none; nil for other clusters.
func (all namespaces) of(c *Cluster) *namespace {
	name := c.namespace()
	if name == "" || all == nil {
		return nil
	}
	if all[name] == nil {
		all[name] = &namespace{clusters: make(map[*Cluster]struct{})}
	}
	return all[name]
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

// count notes the number of members once all clusters are edited: a member may go from one to another.
func (n *namespace) count() {
	if n.suspects == 0 {
		n.most = 0
	}
	n.most = max(n.most, n.members)
}

// excess returns the oldest suspects of a namespace that has too many.
func (n *namespace) excess() map[*Suspect]bool {
	over := n.suspects - max(minSuspects, n.most)
	if over <= 0 {
		return nil
	}
	all := make([]*Suspect, 0, n.suspects)
	for c := range n.clusters {
		all = append(all, c.roster.Suspects...)
	}
	slices.SortFunc(all, func(a, b *Suspect) int {
		return cmp.Or(a.since.Compare(b.since), strings.Compare(a.text, b.text))
	})
	oldest := make(map[*Suspect]bool, over)
	for _, s := range all[:over] {
		oldest[s] = true
	}
	return oldest
}
