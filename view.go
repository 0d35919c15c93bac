package longnames

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// view is what questions see of a cluster. They read its roster without a lock; only the table, under
// its own, replaces it.
type view struct {
	name   string // relative to the zone, lower case; empty at the apex
	roster atomic.Pointer[roster]
}

func newView(name string) *view {
	v := &view{name: name}
	v.roster.Store(&roster{Roster: &membership.Roster{}})
	return v
}

// members returns the named members as of now.
func (v *view) members(conf *config) *members {
	return v.roster.Load().members(conf, v.name)
}

// roster is a cluster's at one time. What follows from it is worked out at the first question.
type roster struct {
	*membership.Roster
	once  sync.Once
	built *members
}

// members returns the named members of a cluster that is or was made of r.
func (r *roster) members(conf *config, cluster string) *members {
	r.once.Do(func() {
		nodes, _ := conf.rules.Nodes(r.Roster)
		r.built = newMembers(conf, cluster, nodes)
	})
	return r.built
}

// members are the named candidates of a roster, and the records made of them.
type members struct {
	nodes []membership.Node // ordered by longname
	count int               // of the longnames that are listed
	// waiting are those that are not listed, by address, mostWaiting each; nil if there are none.
	waiting map[netip.Addr][]*membership.Node
	records []records // by zone.index

	once  sync.Once
	found *directory

	ports    lazy[services]
	mayAsk   lazy[map[datum]bool] // see dataOfWaiting
	building sync.Mutex           // held while one of the two is made
}

func newMembers(c *config, cluster string, nodes []membership.Node) *members {
	m := &members{nodes: nodes, count: listed(nodes)}
	for i := range m.nodes {
		if n := &m.nodes[i]; !n.Listed {
			if m.waiting == nil {
				m.waiting = make(map[netip.Addr][]*membership.Node)
			}
			m.waiting[n.Address()] = append(m.waiting[n.Address()], n)
		}
	}
	for address, nodes := range m.waiting {
		m.waiting[address] = fewWaiting(nodes)
	}
	for i := range c.zones {
		if z := &c.zones[i]; !z.reverse {
			m.records = append(m.records, records{config: c, members: m, owner: z.absolute(cluster)})
		}
	}
	return m
}

// dataOfWaiting returns the data, without ports, that records of waiting nodes may have.
func (m *members) dataOfWaiting() map[datum]bool {
	return *m.mayAsk.get(&m.building, func() *map[datum]bool {
		data := make(map[datum]bool)
		for address, nodes := range m.waiting {
			data[datum{address: address}] = true
			for _, n := range nodes {
				data[datum{name: n.Longname()}] = true
				data[datum{name: strings.ToLower(n.Host())}] = true
			}
		}
		return &data
	})
}

// services returns who declares which port.
func (m *members) services() *services {
	return m.ports.get(&m.building, func() *services { return servicesOf(m.listed()) })
}

// listed returns the nodes that every question gets, suspects last: clients connect to one after the
// other, and may wait for the address of a node that is dead.
func (m *members) listed() []*membership.Node {
	nodes := make([]*membership.Node, 0, len(m.nodes))
	suspects := false
	for i := range m.nodes {
		if n := &m.nodes[i]; n.Listed {
			nodes = append(nodes, n)
			suspects = suspects || n.Suspect
		}
	}
	if suspects {
		slices.SortStableFunc(nodes, func(a, b *membership.Node) int { return cmp.Compare(a.Doubt(), b.Doubt()) })
	}
	return nodes
}

// directory is for finding single nodes.
func (m *members) directory(c *config) *directory {
	m.once.Do(func() { m.found = newDirectory(c, m.nodes) })
	return m.found
}

// listed counts the longnames of nodes that are listed; the nodes are ordered by them.
func listed(nodes []membership.Node) int {
	count, last := 0, ""
	for i := range nodes {
		if n := &nodes[i]; n.Listed && n.Longname() != last {
			count, last = count+1, n.Longname()
		}
	}
	return count
}

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
	// above has what exists only because something in byHost lies below it.
	above map[string]bool

	mu   sync.Mutex
	sets map[nameType]*rrset // of names that more than few nodes share
}

// nameType is what a set is asked for by: a name in lower case with a final dot, and a type.
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
			return nil // and anybody could ask for any type
		}
		if d.sets == nil {
			d.sets = make(map[nameType]*rrset)
		}
		d.sets[of] = set
	}
	return set
}

// set is the directory's for what is below the cluster's name.
func (m *members) set(c *config, of nameType, nodes []*membership.Node) *rrset {
	return m.directory(c).set(of, nodes, func() *rrset { return c.rrset(of.qtype, of.name, nodes, m.hosts(c)) })
}

// named returns the nodes of a cluster that have a host part, and the directory that they are in.
func (v *view) named(c *config, host string) (*directory, []*membership.Node) {
	d := v.members(c).directory(c)
	return d, d.byHost[host]
}

func newDirectory(c *config, nodes []membership.Node) *directory {
	d := &directory{byHost: make(map[string][]*membership.Node), above: make(map[string]bool)}
	d.byName, _ = membership.ByName(nodes)
	if c.reverse {
		d.byAddress = make(map[netip.Addr][]*membership.Node, len(nodes))
	}
	for i := range nodes {
		n := &nodes[i]
		if c.hosts != outside {
			d.addHost(strings.ToLower(n.Host()), n)
		}
		if c.reverse {
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

// keepOwners drops those who claim a host part or an address that is another's.
func keepOwners[K comparable](names map[K][]*membership.Node) {
	for name, nodes := range names {
		if len(nodes) > 1 {
			names[name] = membership.Owners("", nodes)
		}
	}
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
				byHost[host] = append(byHost[host], n)
			}
			keepOwners(byHost)
		}
		return byHost[strings.ToLower(target)]
	}
}

// records are the RRsets of one cluster in one zone.
type records struct {
	config  *config
	members *members
	owner   string

	mu                      sync.Mutex // held while one of them is made
	srv, txt, a, aaaa, epmd lazy[rrset]
	ports                   atomic.Pointer[map[string]*rrset] // by name of the service; never written to
}

// of returns the set for a type, nil for one that clusters have no records of.
func (r *records) of(qtype uint16) *rrset {
	var l *lazy[rrset]
	switch qtype {
	case dns.TypeSRV:
		l = &r.srv
	case dns.TypeTXT:
		l = &r.txt
	case dns.TypeA:
		l = &r.a
	case dns.TypeAAAA:
		l = &r.aaaa
	default:
		return nil
	}
	return l.get(&r.mu, func() *rrset {
		listed := r.members.listed()
		return r.config.rrset(qtype, r.owner, listed, hostsOf(listed))
	})
}

// with adds the records of nodes that wait at the client's address. What those share with a set is looked
// for once.
func (r *records) with(set, own *rrset) *rrset {
	if set == nil {
		return own
	}
	said := set.said.get(&r.mu, func() *map[datum]bool {
		said := says(set.answer, r.members.dataOfWaiting())
		return &said
	})
	return set.with(own, *said)
}

// mostPortSets is how many SRV sets of ports are kept, besides epmd's: few nodes have more ports that
// anybody asks for, and each set is as large as that of the cluster.
const mostPortSets = 16

// ofPort returns the SRV set of a port, nil if nobody declares it. It need not have more than one record that does
// not fit: of many ports in turn, the sets are not kept, so each question has to make its own.
func (r *records) ofPort(service string, fit int) *rrset {
	services := r.members.services()
	if service == epmdService {
		return r.epmd.get(&r.mu, func() *rrset {
			return r.config.portSet(r.owner, service, services.listed, hostsOf(services.listed))
		})
	}
	ends := services.ends(service)
	if len(ends) == 0 {
		return nil
	}
	set, keeps := r.keptPort(service, ends)
	if keeps {
		return set
	}
	return r.portSet(service, ends[:min(len(ends), fit+1)], fit)
}

func (r *records) portSet(service string, ends []end, most int) *rrset {
	return r.config.srv(serviceOwner(r.owner, service), r.members.services().listed, ends, r.members.hosts(r.config), most)
}

// keptPort returns the set of a port, and whether it is kept: those are that are asked for first.
func (r *records) keptPort(service string, ends []end) (set *rrset, keeps bool) {
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	set = r.portSet(service, ends, mostRecords)
	sets := map[string]*rrset{service: set}
	if kept := r.ports.Load(); kept != nil {
		maps.Copy(sets, *kept)
	}
	r.ports.Store(&sets)
	return set, true
}

// keptPorts returns the set of a port if it is kept, and reports whether no more are.
func (r *records) keptPorts(service string) (set *rrset, keeps, full bool) {
	kept := r.ports.Load()
	if kept == nil {
		return nil, false, false
	}
	set, keeps = (*kept)[service]
	return set, keeps, len(*kept) == mostPortSets
}
