package longnames

import (
	"maps"
	"net/netip"
	"strings"

	"github.com/longnames/longnames/membership"
)

// directory finds single nodes of a cluster, listed or not: who is listed is a matter of
// probes, but a name belongs to its node as long as that is there. Where several have the
// same name, those that are most likely alive have it.
type directory struct {
	// byName has hostnames, pod names and dashed addresses, in lower case, relative to the
	// cluster.
	byName map[string][]*membership.Node
	// byHost has host parts, in lower case with a final dot; none if they lie outside our zones.
	byHost map[string][]*membership.Node
	// byAddress and addresses are empty if no zone is reverse.
	byAddress map[netip.Addr][]*membership.Node
	addresses addresses
	// above has what exists only because something in byName or byHost lies below it.
	above map[string]bool
}

func newDirectory(c *config, nodes []membership.Node) *directory {
	d := &directory{
		byName: make(map[string][]*membership.Node, 2*len(nodes)),
		byHost: make(map[string][]*membership.Node),
		above:  make(map[string]bool),
	}
	if c.reverse {
		d.byAddress = make(map[netip.Addr][]*membership.Node, len(nodes))
	}
	for i := range nodes {
		n := &nodes[i]
		for _, name := range []string{n.Member.Hostname, n.Member.Pod(), membership.Dashed(n.Address())} {
			if name != "" {
				d.add(d.byName, name, n)
			}
		}
		if c.hosts != outside {
			d.add(d.byHost, n.Host(), n)
		}
		if c.reverse {
			d.byAddress[n.Address()] = best(d.byAddress[n.Address()], n)
		}
	}
	d.addresses.all = maps.Keys(d.byAddress)
	return d
}

func (d *directory) add(names map[string][]*membership.Node, name string, n *membership.Node) {
	name = strings.ToLower(name)
	names[name] = best(names[name], n)
	for _, parent, more := strings.Cut(name, "."); more && !d.above[parent]; _, parent, more = strings.Cut(parent, ".") {
		d.above[parent] = true
	}
}

// best adds n to nodes of the same name, and keeps those of the highest rank. Names of one
// node come one after the other.
func best(nodes []*membership.Node, n *membership.Node) []*membership.Node {
	switch {
	case len(nodes) == 0 || n.Rank() > nodes[0].Rank():
		return []*membership.Node{n}
	case n.Rank() < nodes[0].Rank() || nodes[len(nodes)-1] == n:
		return nodes
	}
	return append(nodes, n)
}

// hosts returns nodes by host part as the directory does.
func (m *members) hosts(c *config) hosts {
	return func(target string) []*membership.Node { return m.directory(c).byHost[strings.ToLower(target)] }
}

// hostsOf does the same for listed nodes, without a directory: one that is not listed never takes a
// host part from one that is. Only SRV records ask, so it looks at the nodes when first called.
func hostsOf(listed []*membership.Node) hosts {
	var byHost map[string][]*membership.Node
	return func(target string) []*membership.Node {
		if byHost == nil {
			byHost = make(map[string][]*membership.Node, len(listed))
			for _, n := range listed {
				host := strings.ToLower(n.Host())
				byHost[host] = best(byHost[host], n)
			}
		}
		return byHost[strings.ToLower(target)]
	}
}
