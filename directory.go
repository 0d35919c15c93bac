package longnames

import (
	"maps"
	"net/netip"
	"strings"
)

// directory finds single nodes of a cluster, listed or not: who is listed is a matter of
// probes, but a name belongs to its node as long as that is there. Where several have the
// same name, those that are most likely alive have it.
type directory struct {
	// byName has hostnames, pod names and dashed addresses, in lower case, relative to the
	// cluster.
	byName map[string][]*node
	// byHost has host parts, in lower case with a final dot; none if they lie outside our zones.
	byHost map[string][]*node
	// byAddress and addresses are empty if no zone is reverse.
	byAddress map[netip.Addr][]*node
	addresses addresses
	// above has what exists only because something in byName or byHost lies below it.
	above map[string]bool
}

func newDirectory(c *config, nodes []node) *directory {
	d := &directory{
		byName: make(map[string][]*node, 2*len(nodes)),
		byHost: make(map[string][]*node),
		above:  make(map[string]bool),
	}
	if c.reverse {
		d.byAddress = make(map[netip.Addr][]*node, len(nodes))
	}
	for i := range nodes {
		n := &nodes[i]
		for _, name := range []string{n.member.Hostname, n.member.Pod(), dashed(n.address())} {
			if name != "" {
				d.add(d.byName, name, n)
			}
		}
		if c.hosts != outside {
			d.add(d.byHost, n.target(), n)
		}
		if c.reverse {
			d.byAddress[n.address()] = best(d.byAddress[n.address()], n)
		}
	}
	d.addresses.all = maps.Keys(d.byAddress)
	return d
}

func (d *directory) add(names map[string][]*node, name string, n *node) {
	name = strings.ToLower(name)
	names[name] = best(names[name], n)
	for _, parent, more := strings.Cut(name, "."); more && !d.above[parent]; _, parent, more = strings.Cut(parent, ".") {
		d.above[parent] = true
	}
}

// best adds n to nodes of the same name, and keeps those of the highest rank. Names of one
// node come one after the other.
func best(nodes []*node, n *node) []*node {
	switch {
	case len(nodes) == 0 || n.rank() > nodes[0].rank():
		return []*node{n}
	case n.rank() < nodes[0].rank() || nodes[len(nodes)-1] == n:
		return nodes
	}
	return append(nodes, n)
}

// hosts gives nodes by host part as the directory does.
func (m *members) hosts(c *config) hosts {
	return func(target string) []*node { return m.directory(c).byHost[strings.ToLower(target)] }
}

// hostsOf does the same for listed nodes, without a directory: one that is not listed never takes a
// host part from one that is. Only SRV records ask, so it looks at the nodes when first called.
func hostsOf(listed []*node) hosts {
	var byHost map[string][]*node
	return func(target string) []*node {
		if byHost == nil {
			byHost = make(map[string][]*node, len(listed))
			for _, n := range listed {
				host := strings.ToLower(n.target())
				byHost[host] = best(byHost[host], n)
			}
		}
		return byHost[strings.ToLower(target)]
	}
}
