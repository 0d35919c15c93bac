package longnames

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// epmd is the port at which the BEAM looks for a node by default.
// https://www.erlang.org/doc/apps/erts/epmd_cmd
const (
	epmdPort    = 4369
	epmdName    = "epmd"
	epmdService = "_epmd._tcp"
)

// port is where SRV records point: a number, or the port that a member calls name.
type port struct {
	number uint16
	name   string
}

// names returns the names of the ports that SRV records under a cluster's own name or that of epmd give.
func (p port) names() []string {
	if p.name == "" || strings.EqualFold(p.name, epmdName) {
		return []string{epmdName}
	}
	return []string{epmdName, p.name}
}

// of returns the port of n's SRV record, and whether n declares it if it must.
func (p port) of(n *membership.Node) (number uint16, isDeclared bool) {
	if p.name == "" {
		return p.number, true
	}
	if number, ok := lowest(n, p.name); ok {
		return number, true
	}
	return epmdPort, false
}

// epmd returns the port of n's SRV record under _epmd._tcp.
func (p port) epmd(n *membership.Node) uint16 {
	if number, ok := lowest(n, epmdName); ok {
		return number
	}
	number, _ := p.of(n)
	return number
}

// lowest returns the lowest number of the TCP ports that n declares under a name.
func lowest(n *membership.Node, name string) (number uint16, ok bool) {
	for _, p := range n.Ports {
		if strings.EqualFold(p.Name, name) && strings.EqualFold(p.Protocol, "TCP") && (!ok || p.Number < number) {
			number, ok = p.Number, true
		}
	}
	return number, ok
}

// services tell which of the listed nodes of a cluster declare which port.
type services struct {
	listed    []*membership.Node
	named     map[string]*declaration // by _port._protocol in lower case; all have epmd's anyway
	protocols map[string]bool         // _protocol
	making    sync.Mutex              // held while ends are
}

// declaration has the lists that declare a port: many nodes share a list.
type declaration struct {
	lists []*portList
	ends  lazy[[]end] // see services.ends
}

// portList is a list of ports and the nodes that have it.
type portList struct {
	ports []kubeapi.Port
	nodes []int32 // indices into services.listed
}

// end is the target of an SRV record: the host part of a node, and a port.
type end struct {
	node int32 // index into some nodes
	port uint16
}

// servicesOf looks at each list of ports once: nodes of one template share theirs.
func servicesOf(listed []*membership.Node) *services {
	s := &services{listed: listed, named: make(map[string]*declaration), protocols: map[string]bool{protocolOf(epmdService): true}}
	known := make(map[*kubeapi.Port]*portList)
	for i, n := range listed {
		if len(n.Ports) == 0 {
			continue
		}
		l := known[&n.Ports[0]]
		if l == nil {
			l = &portList{ports: n.Ports}
			known[&n.Ports[0]] = l
			s.add(l)
		}
		l.nodes = append(l.nodes, int32(i))
	}
	return s
}

// add adds a list to the declarations of its ports, once to each.
func (s *services) add(l *portList) {
	own := make(map[string]bool, len(l.ports))
	for i := range l.ports {
		service := serviceOf(&l.ports[i])
		if own[service] || !isAsked(&l.ports[i]) {
			continue
		}
		own[service] = true
		d := s.named[service]
		if d == nil {
			d = &declaration{}
			s.named[service] = d
			s.protocols[protocolOf(service)] = true
		}
		d.lists = append(d.lists, l)
	}
}

// has reports whether there is a port, or a protocol, of that name.
func (s *services) has(name string) bool {
	return s.named[name] != nil || s.protocols[name] || name == epmdService
}

// ends returns the distinct ends of a service, as many as any message can hold and one more, none if no node declares
// it. They are kept: to find them takes a look at all nodes that declare it.
func (s *services) ends(service string) []end {
	d := s.named[service]
	if d == nil {
		return nil
	}
	return *d.ends.get(&s.making, func() *[]end {
		ends := s.endsOf(service, mostRecords+1)
		return &ends
	})
}

// endsOf finds the distinct ends of a service, in the order of the nodes, and so many at most.
func (s *services) endsOf(service string, most int) []end {
	type declaring struct{ node, list int32 }
	var nodes []declaring
	lists := s.named[service].lists
	numbers := make([][]uint16, len(lists))
	for i, l := range lists {
		numbers[i] = appendDeclared(nil, l.ports, service)
		nodes = slices.Grow(nodes, len(l.nodes))
		for _, n := range l.nodes {
			nodes = append(nodes, declaring{n, int32(i)})
		}
	}
	if len(lists) > 1 {
		slices.SortFunc(nodes, func(a, b declaring) int { return cmp.Compare(a.node, b.node) })
	}
	known := newEnds(s.listed, min(len(nodes), most))
	for _, n := range nodes {
		for _, number := range numbers[n.list] {
			if known.add(n.node, number); len(known.all) == most {
				return known.all
			}
		}
	}
	return known.all
}

// distinctEnds has each end of some nodes once, for nodes may share a host part.
type distinctEnds struct {
	of   []*membership.Node
	seen map[target]bool
	all  []end
}

type target struct {
	host string
	port uint16
}

func newEnds(of []*membership.Node, about int) *distinctEnds {
	return &distinctEnds{of: of, seen: make(map[target]bool, about), all: make([]end, 0, about)}
}

func (d *distinctEnds) add(node int32, port uint16) {
	if at := (target{d.of[node].Host(), port}); !d.seen[at] {
		d.seen[at] = true
		d.all = append(d.all, end{node, port})
	}
}

// isAsked reports whether a question can spell the name of a port as it is.
func isAsked(p *kubeapi.Port) bool {
	return membership.IsBasename(p.Name) && membership.IsBasename(p.Protocol)
}

// serviceOf returns the name that a port is asked for by: _port._protocol in lower case.
func serviceOf(p *kubeapi.Port) string {
	return "_" + strings.ToLower(p.Name) + "._" + strings.ToLower(p.Protocol)
}

// protocolOf returns the protocol of that, with its underscore.
func protocolOf(service string) string {
	_, protocol, _ := strings.Cut(service, ".")
	return protocol
}

// isService reports whether a port is asked for by a name.
func isService(p *kubeapi.Port, name string) bool {
	const prefix, infix = "_", "._"
	at := len(prefix) + len(p.Name)
	return isAsked(p) && len(name) == at+len(infix)+len(p.Protocol) && name[:len(prefix)] == prefix && name[at:at+len(infix)] == infix &&
		strings.EqualFold(name[len(prefix):at], p.Name) && strings.EqualFold(name[at+len(infix):], p.Protocol)
}

// appendDeclared appends the numbers of those of some ports that have a name, in order.
func appendDeclared(numbers []uint16, ports []kubeapi.Port, service string) []uint16 {
	for i := range ports {
		if isService(&ports[i], service) {
			numbers = append(numbers, ports[i].Number)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// hasService reports whether a node declares a port, or any of a protocol, of that name.
func hasService(n *membership.Node, name string) bool {
	return slices.ContainsFunc(n.Ports, func(p kubeapi.Port) bool {
		return isService(&p, name) || isAsked(&p) && len(name) > 0 && name[0] == '_' && strings.EqualFold(name[1:], p.Protocol)
	})
}

// declaring returns those of some nodes that are in the set of a port.
func declaring(nodes []*membership.Node, service string) (some []*membership.Node) {
	if service == epmdService {
		return nodes
	}
	for _, n := range nodes {
		if slices.ContainsFunc(n.Ports, func(p kubeapi.Port) bool { return isService(&p, service) }) {
			some = append(some, n)
		}
	}
	return some
}
