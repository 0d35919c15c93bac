package longnames

import (
	"slices"
	"strings"

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
	// nodes are those that declare a port, by _port._protocol in lower case, and all of them for epmd's.
	nodes     map[string]*declaration
	protocols map[string]bool // _protocol
}

// declaration is who declares a port.
type declaration struct{ nodes []*membership.Node }

// servicesOf looks at each list of ports once: nodes of one template share theirs.
func servicesOf(listed []*membership.Node) *services {
	s := &services{nodes: make(map[string]*declaration), protocols: map[string]bool{protocolOf(epmdService): true}}
	known := make(map[*kubeapi.Port][]*declaration)
	for _, n := range listed {
		if len(n.Ports) == 0 {
			continue
		}
		all, ok := known[&n.Ports[0]]
		if !ok {
			all = s.declarations(n.Ports)
			known[&n.Ports[0]] = all
		}
		for _, d := range all {
			d.nodes = append(d.nodes, n)
		}
	}
	s.nodes[epmdService] = &declaration{listed}
	return s
}

// declarations returns those of a list of ports, each once.
func (s *services) declarations(ports []kubeapi.Port) []*declaration {
	all, own := make([]*declaration, 0, len(ports)), make(map[string]bool, len(ports))
	for i := range ports {
		service := serviceOf(&ports[i])
		if own[service] || !isAsked(&ports[i]) {
			continue
		}
		own[service] = true
		d := s.nodes[service]
		if d == nil {
			d = &declaration{}
			s.nodes[service] = d
			s.protocols[protocolOf(service)] = true
		}
		all = append(all, d)
	}
	return all
}

// has reports whether there is a port, or a protocol, of that name.
func (s *services) has(name string) bool { return s.nodes[name] != nil || s.protocols[name] }

// isAsked reports whether a question can spell the name of a port as it is.
func isAsked(p *kubeapi.Port) bool {
	return membership.IsBasename(p.Name) && membership.IsBasename(p.Protocol)
}

// serviceOf returns what a port is asked for by: _port._protocol in lower case.
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

// appendDeclared appends the numbers of the ports that n declares under a name, in order.
func appendDeclared(numbers []uint16, n *membership.Node, service string) []uint16 {
	for i := range n.Ports {
		if isService(&n.Ports[i], service) {
			numbers = append(numbers, n.Ports[i].Number)
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
