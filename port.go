package longnames

import (
	"slices"
	"strings"

	"github.com/longnames/longnames/membership"
)

// epmd is the port at which the BEAM looks for a node by default.
// https://www.erlang.org/doc/apps/erts/epmd_cmd
const (
	epmdPort = 4369
	epmdName = "epmd"
)

// port is where SRV records point: a number, or the port that a member calls name.
type port struct {
	number uint16
	name   string
}

// of returns the port of n's SRV record, and whether n declares it if it must.
func (p port) of(n *membership.Node) (number uint16, isDeclared bool) {
	if p.name == "" {
		return p.number, true
	}
	if numbers := declared(n, p.name, "TCP"); len(numbers) > 0 {
		return numbers[0], true
	}
	return epmdPort, false
}

// epmd returns the port of n's SRV record under _epmd._tcp.
func (p port) epmd(n *membership.Node) uint16 {
	if numbers := declared(n, epmdName, "TCP"); len(numbers) > 0 {
		return numbers[0]
	}
	number, _ := p.of(n)
	return number
}

// declared returns the numbers of the ports that n declares under a name.
func declared(n *membership.Node, name, protocol string) []uint16 {
	var numbers []uint16
	for _, p := range n.Ports {
		if strings.EqualFold(p.Name, name) && strings.EqualFold(p.Protocol, protocol) {
			numbers = append(numbers, p.Number)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
