package kubeapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// These bound the part of an object that is kept: an object of a megabyte has room for tens of
// thousands of ports or addresses.
const (
	// MaxPorts is how many named ports are kept, also of a node of which several objects tell. The API says
	// of an EndpointSlice that it has no more, though it may have 20 000.
	MaxPorts = 100
	// MaxMembers is how many addresses of an EndpointSlice are kept, the first. It has as many endpoints at
	// most.
	MaxMembers = 1000

	maxName     = 253 // bytes of the name of a pod, or of a hostname
	maxPortName = 63  // bytes of the name of a port, and of its protocol
	// maxLabel is how many bytes of a label's value are kept, and of a Service's name: neither can be so long, and
	// its beginning is as little the name of anything.
	maxLabel = 256

	maxInvalid     = 10  // texts that are no addresses, the first
	maxInvalidText = 100 // bytes of each
)

// These are in Template.Cut.
var (
	keptPorts   = fmt.Sprint(MaxPorts, " named ports")
	keptMembers = fmt.Sprint(MaxMembers, " addresses")
	keptNames   = fmt.Sprint(maxName, " characters in a name")
	keptNaming  = fmt.Sprint(maxPortName, " characters in the name of a port")
	keptLabels  = fmt.Sprint(maxLabel, " characters in a label")
	keptAddress = "one address for each endpoint"
	keptInvalid = fmt.Sprint(maxInvalid, " addresses that are none")
)

// cut notes that something is left out beyond what is kept.
func (o *Object) cut(kept string) {
	if !slices.Contains(o.Cut, kept) {
		o.Cut = append(o.Cut, kept)
	}
}

// invalid notes a text that is no address.
func (o *Object) invalid(text string) {
	if len(o.Invalid) == maxInvalid {
		o.cut(keptInvalid)
		return
	}
	o.Invalid = append(o.Invalid, strings.Clone(text[:min(len(text), maxInvalidText)]))
}

// label returns the part of a label's value that is kept.
func (o *Object) label(text string) string {
	if len(text) <= maxLabel {
		return text
	}
	o.cut(keptLabels)
	return strings.Clone(text[:maxLabel])
}

// keepNames drops a member's names if they are none, since the API does not look: it has only its address then.
func (o *Object) keepNames(m *Member) {
	if len(m.ID) > maxName || len(m.Hostname) > maxName {
		o.cut(keptNames)
		m.ID, m.IsPod, m.Hostname = "", false, ""
	}
}

// keepPorts gives an object its ports, see KeepPorts, without those whose name or protocol is too long.
func (o *Object) keepPorts(ports []Port, first []string) {
	named := slices.DeleteFunc(ports, func(p Port) bool { return len(p.Name) > maxPortName || len(p.Protocol) > maxPortName })
	if len(named) < len(ports) {
		o.cut(keptNaming)
	}
	ports = named
	if o.Ports = KeepPorts(ports, first); len(ports) > MaxPorts && len(o.Ports) == MaxPorts {
		o.cut(keptPorts)
	}
}

// KeepPorts returns ports, at most MaxPorts: those of some names first, then by name. It may be applied
// to some lists first and then to these together: the ports kept are the same. It does not change ports.
func KeepPorts(ports []Port, first []string) []Port {
	if len(ports) <= MaxPorts {
		return ports
	}
	rank := func(p Port) int {
		at := slices.IndexFunc(first, func(name string) bool { return strings.EqualFold(name, p.Name) })
		if at < 0 {
			return len(first)
		}
		return at
	}
	order := func(a, b Port) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), ComparePorts(a, b))
	}
	kept := make([]Port, 0, MaxPorts)
	for _, p := range ports {
		if len(kept) == MaxPorts && order(p, kept[MaxPorts-1]) > 0 {
			continue
		}
		at, found := slices.BinarySearchFunc(kept, p, order)
		if found {
			continue
		}
		kept = slices.Insert(kept[:min(len(kept), MaxPorts-1)], at, p)
	}
	return kept
}

// ComparePorts orders ports by name, protocol and number.
func ComparePorts(a, b Port) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}
