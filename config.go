package longnames

import (
	"slices"
	"time"

	"github.com/coredns/coredns/plugin/pkg/fall"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
)

// config is one longnames block of a Corefile.
type config struct {
	zones   []zone
	source  kubeapi.Config
	include include
	// groupLabel is an index into Object.Labels; negative if all are one cluster.
	groupLabel int
	naming     naming
	port       port
	ttl        uint32 // seconds
	fall       fall.F

	startupTimeout time.Duration
}

// name is what the block is called in logs and metrics: its first zone.
func (c *config) name() string { return c.zones[0].name }

// hasZone tells whether a name, in any case, lies in one of the zones.
func (c *config) hasZone(name string) bool {
	return slices.ContainsFunc(c.zones, func(z zone) bool { return dns.IsSubDomain(z.name, name) })
}

// hasReverse tells whether there is a zone for PTR records.
func (c *config) hasReverse() bool {
	return slices.ContainsFunc(c.zones, func(z zone) bool { return z.reverse })
}

// hasHosts tells whether host parts may lie in one of the zones.
func (c *config) hasHosts() bool {
	domain := c.naming.domain + "."
	return c.naming.mode != modeIP && slices.ContainsFunc(c.zones, func(z zone) bool {
		return dns.IsSubDomain(z.name, domain) || dns.IsSubDomain(domain, z.name)
	})
}

// include says which candidates are listed as members.
type include string

const (
	includeReady   include = "ready"
	includeServing include = "serving"
	includeAll     include = "all"
)

// passes tells whether a candidate in m's condition is listed.
func (i include) passes(m *kubeapi.Member) bool {
	switch i {
	case includeReady:
		return m.Ready && !m.Terminating
	case includeServing:
		if m.Terminating {
			return m.Serving
		}
		return m.Ready
	}
	return true
}

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
