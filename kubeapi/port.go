package kubeapi

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Port is a named port of a container or of an endpoint.
type Port struct {
	Name string
	// Protocol is TCP, UDP or SCTP.
	Protocol string
	Number   uint16
}

// MaxPorts is how many named ports of one object, or of one node, are kept. The API says of an
// EndpointSlice that it has no more, but lets it have 20 000, and a pod as many as it has room for.
const MaxPorts = 100

// KeepPorts returns ports, at most MaxPorts: those of some names first, then by name. Of what is kept of
// some lists together, it keeps what it would of the lists themselves. It does not change ports.
func KeepPorts(ports []Port, first []string) []Port {
	if len(ports) <= MaxPorts {
		return ports
	}
	rank := func(p *Port) int {
		at := slices.IndexFunc(first, func(name string) bool { return strings.EqualFold(name, p.Name) })
		if at < 0 {
			return len(first)
		}
		return at
	}
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, func(a, b Port) int { return cmp.Or(cmp.Compare(rank(&a), rank(&b)), ComparePorts(a, b)) })
	sorted = slices.Compact(sorted)
	return slices.Clone(sorted[:min(len(sorted), MaxPorts)]) // and not memory for all of them
}

// ComparePorts orders ports by name, protocol and number.
func ComparePorts(a, b Port) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}

// keepPorts gives an object its ports.
func (s Shrinker) keepPorts(o *Object, ports []Port) {
	if o.Ports = KeepPorts(ports, s.ports); len(ports) > MaxPorts && len(o.Ports) == MaxPorts {
		o.cut(keptPorts)
	}
}

func portNumber(n int32) (uint16, bool) {
	return uint16(n), n > 0 && n <= 65535 //nolint:gosec // not used unless it is in range
}

func protocol(p corev1.Protocol) string {
	if p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p)
}
