package longnames

import (
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

// service returns what a port is asked for by: _name._protocol, in lower case.
func service(p kubeapi.Port) string {
	return "_" + strings.ToLower(p.Name) + protocolOf(p)
}

// protocolOf returns the end of that.
func protocolOf(p kubeapi.Port) string { return "._" + strings.ToLower(p.Protocol) }
