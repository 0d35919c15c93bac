package longnames

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/longnames/longnames/membership"
)

// directory finds single nodes of a cluster, listed or not: whether a node is listed is a matter of
// probes, but a name belongs to its node as long as that is there. Where several have the
// same name, its owners have it.
type directory struct {
	// byName has hostnames, pod names and dashed addresses, in lower case, relative to the
	// cluster.
	byName map[string][]*membership.Node
	// byHost has host parts, in lower case with a final dot; none if they lie outside our zones.
	byHost map[string][]*membership.Node
	// byAddress and addresses are empty if no zone is reverse.
	byAddress map[netip.Addr][]*membership.Node
	addresses addresses
	// above has the names that exist only because a name in byHost lies below them.
	above map[string]bool

	mu   sync.Mutex
	sets map[nameType]*rrset // of names that more than few nodes share
}

// nameType is the key of a set: a name in lower case with a final dot, and a type.
type nameType struct {
	name  string
	qtype uint16
}

// set makes the set of a name that some nodes have. If they are more than few, it is kept; d is nil if
// several clusters have the name, each of which gives few.
func (d *directory) set(of nameType, nodes []*membership.Node, made func() *rrset) *rrset {
	if len(nodes) <= fewNodes || d == nil {
		return made()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	set, ok := d.sets[of]
	if !ok {
		if set = made(); set == nil {
			return nil // and a client may ask for any type
		}
		if d.sets == nil {
			d.sets = make(map[nameType]*rrset)
		}
		d.sets[of] = set
	}
	return set
}

// set returns the directory's set for a name below the cluster's.
func (m *members) set(r *resolver, of nameType, nodes []*membership.Node) *rrset {
	return m.directory(r).set(of, nodes, func() *rrset { return r.rrset(of.qtype, of.name, nodes, m.hosts(r)) })
}

func newDirectory(r *resolver, nodes []membership.Node) *directory {
	d := &directory{byHost: make(map[string][]*membership.Node), above: make(map[string]bool)}
	if len(r.zones) > 0 {
		d.byName, _ = membership.ByName(nodes)
	}
	if r.reverse {
		d.byAddress = make(map[netip.Addr][]*membership.Node, len(nodes))
	}
	for i := range nodes {
		n := &nodes[i]
		if r.blocks[n.Block].hosts != outside {
			d.addHost(strings.ToLower(n.Host()), n)
		}
		if r.reverse {
			d.byAddress[n.Address()] = append(d.byAddress[n.Address()], n)
		}
	}
	keepOwners(d.byHost)
	keepOwners(d.byAddress)
	d.addresses.all = maps.Keys(d.byAddress)
	return d
}

func (d *directory) addHost(name string, n *membership.Node) {
	d.byHost[name] = append(d.byHost[name], n)
	for _, parent, more := strings.Cut(name, "."); more && !d.above[parent]; _, parent, more = strings.Cut(parent, ".") {
		d.above[parent] = true
	}
}

// keepOwners drops the nodes that claim a host part or an address of another one.
func keepOwners[K comparable](names map[K][]*membership.Node) {
	for name, nodes := range names {
		if len(nodes) > 1 {
			names[name] = membership.Owners("", nodes)
		}
	}
}

// hosts returns nodes by host part as the directory does.
func (m *members) hosts(r *resolver) hosts {
	return func(target string) []*membership.Node { return m.directory(r).byHost[strings.ToLower(target)] }
}

// hostsOf returns listed nodes by host part, without a directory: one that is not listed never takes a
// host part from one that is. Only SRV records ask, so it looks at the nodes when first called.
func hostsOf(listed []*membership.Node) hosts {
	var byHost map[string][]*membership.Node
	return func(target string) []*membership.Node {
		if byHost == nil {
			byHost = make(map[string][]*membership.Node, len(listed))
			for _, n := range listed {
				host := strings.ToLower(n.Host())
				byHost[host] = append(byHost[host], n)
			}
			keepOwners(byHost)
		}
		return byHost[strings.ToLower(target)]
	}
}

// addresses is a set of addresses that can be searched by prefix. It does not change; it is sorted
// at the first question, since such questions are rare.
type addresses struct {
	all    func(yield func(netip.Addr) bool)
	once   sync.Once
	sorted []netip.Addr
}

func (a *addresses) overlaps(prefix netip.Prefix) bool {
	a.once.Do(func() {
		a.sorted = slices.SortedFunc(a.all, netip.Addr.Compare)
	})
	at, _ := slices.BinarySearchFunc(a.sorted, prefix.Addr(), netip.Addr.Compare)
	return at < len(a.sorted) && prefix.Contains(a.sorted[at])
}
