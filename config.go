package longnames

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns/coredns/plugin/pkg/fall"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// config is one longnames block of a Corefile.
type config struct {
	zones  []*zone
	source kubeapi.Config
	rules  membership.Rules // of the source
	ttl    uint32           // seconds
	port   port
	fall   fall.F

	hosts   placement // of host parts
	reverse bool      // there is a zone for PTR records

	startupTimeout time.Duration
}

// name returns the name of the block in logs and metrics: its first zone that is not reverse.
func (c *config) name() string { return c.first().name }

// monitor returns the Monitor of the block's source.
func (c *config) monitor() zoneMonitor {
	s := &c.source
	return zoneMonitor{c.name(), strings.TrimSpace(strings.Join([]string{s.Kubeconfig, s.Context, s.Endpoint, s.ServiceAccount}, " "))}
}

// first returns the first zone that is not reverse.
func (c *config) first() *zone {
	return c.zones[slices.IndexFunc(c.zones, (*zone).hasMembers)] // there is one
}

// has reports whether a zone is one of the block's.
func (c *config) has(name string) bool {
	return slices.ContainsFunc(c.zones, func(z *zone) bool { return z.name == name })
}

// sharesZone reports whether both answer for a zone that is not reverse.
func (c *config) sharesZone(other *config) bool {
	return slices.ContainsFunc(c.zones, func(z *zone) bool { return z.hasMembers() && other.has(z.name) })
}

// selectsAs reports whether both ask for the same objects of the same kind.
func (c *config) selectsAs(other *config) bool {
	s, o := &c.source, &other.source
	return s.Lookup == o.Lookup && s.Selector == o.Selector && slices.Equal(s.Namespaces, o.Namespaces) && s.Family == o.Family
}

// mayHave reports whether the block may have a name that lies in a namespace which it does not list: it may read all,
// or the name may be a host part.
func (c *config) mayHave(name string) bool {
	all := c.source.Namespaces
	return len(all) == 0 || all[0] == kubeapi.AllNamespaces || c.hosts != outside && dns.IsSubDomain(c.rules.Naming.Suffix(), name)
}

// reserve keeps members and groups from names that have another meaning in the block's zones.
func (c *config) reserve() {
	for _, z := range c.zones {
		c.reserveIn(z, c)
	}
}

// reserveIn reserves names in one zone, in which members are called by the rules of a block, which may be another one: it
// keeps off the name server's names, those that Kubernetes gives to pods and Services, and host parts.
func (c *config) reserveIn(z *zone, by *config) {
	domain := strings.ToLower(by.rules.Naming.Domain) + "."
	names := []string{z.relative(z.server)}
	for _, domain := range []string{"pod." + domain, "svc." + domain} {
		if z.name != domain && z.holds(domain) {
			names = append(names, z.relative(domain))
		}
	}
	for _, name := range names {
		if !slices.Contains(c.rules.Reserved, name) {
			c.rules.Reserved = append(c.rules.Reserved, name)
		}
	}
	if by.rules.Naming.Mode == membership.ModeDNS && z.name == "pod."+domain {
		c.rules.ReservesAddresses = true
	}
}

// clash returns a zone in which any group of one namespace could be called as a host part of another is; nil if
// there is none.
func (c *config) clash() *zone {
	if c.rules.GroupLabel < 0 || c.rules.Naming.Mode != membership.ModeHostname {
		return nil
	}
	for _, z := range c.zones {
		namespace, ok := strings.CutSuffix(z.name, "."+strings.ToLower(c.rules.Naming.Suffix()))
		if ok && !strings.Contains(namespace, ".") {
			return z
		}
	}
	return nil
}

// place finds out where host parts lie, and whether addresses have names.
func (c *config) place() {
	c.reverse = slices.ContainsFunc(c.zones, func(z *zone) bool { return z.reverse })
	c.hosts = c.placeIn(c.zones)
}

// placeIn finds out whether host parts lie in some zones.
func (c *config) placeIn(zones []*zone) placement {
	if c.rules.Naming.Mode == membership.ModeIP {
		return outside
	}
	found, domain := outside, c.rules.Naming.Suffix()
	for _, z := range zones {
		switch {
		case dns.IsSubDomain(z.name, domain):
			return inside
		case dns.IsSubDomain(domain, z.name):
			found = mixed
		}
	}
	return found
}
