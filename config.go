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
	zones  []zone
	source kubeapi.Config
	rules  membership.Rules // of the source
	ttl    uint32           // seconds
	port   port
	fall   fall.F

	hosts   placement // of host parts
	reverse bool      // there is a zone for PTR records

	startupTimeout time.Duration
}

// name is what the block is called in logs and metrics: its first zone that is not
// reverse.
func (c *config) name() string { return c.first().name }

// first is the first zone that is not reverse.
func (c *config) first() *zone {
	at := 0 // there is one
	for c.zones[at].reverse {
		at++
	}
	return &c.zones[at]
}

// has reports whether a zone is one of the block's.
func (c *config) has(name string) bool {
	return slices.ContainsFunc(c.zones, func(z zone) bool { return z.name == name })
}

// sharesZone reports whether both answer for a zone that is not reverse.
func (c *config) sharesZone(other *config) bool {
	return slices.ContainsFunc(c.zones, func(z zone) bool {
		return !z.reverse && other.has(z.name)
	})
}

// selectsAs reports whether both ask for the same objects of the same kind.
func (c *config) selectsAs(other *config) bool {
	s, o := &c.source, &other.source
	return s.Lookup == o.Lookup && s.Selector == o.Selector && slices.Equal(s.Namespaces, o.Namespaces) && s.Family == o.Family
}

// reserve keeps members and groups from names that have another meaning: those of the zones' name servers,
// those that Kubernetes gives to pods and Services, in a zone that has them below it, and host parts.
func (c *config) reserve() {
	pods, services := "pod."+strings.ToLower(c.rules.Naming.Domain)+".", "svc."+strings.ToLower(c.rules.Naming.Domain)+"."
	for i := range c.zones {
		z := &c.zones[i]
		c.rules.Reserved = append(c.rules.Reserved, z.relative(z.server))
		for _, domain := range []string{pods, services} {
			if z.name != domain && z.holds(domain) {
				c.rules.Reserved = append(c.rules.Reserved, z.relative(domain))
			}
		}
		if c.hosts != outside {
			c.rules.Naming.Reserved = append(c.rules.Naming.Reserved, z.server, z.parent)
		}
		if c.rules.Naming.Mode == membership.ModeDNS && z.name == pods {
			c.rules.ReservesAddresses = true
		}
	}
}

// reserveWith keeps members and groups from the names that mean something else in a block that shares a zone.
func (c *config) reserveWith(other *config) {
	c.rules.ReservesAddresses = c.rules.ReservesAddresses || other.rules.ReservesAddresses
	for _, names := range []struct{ own, others *[]string }{
		{&c.rules.Reserved, &other.rules.Reserved}, {&c.rules.Naming.Reserved, &other.rules.Naming.Reserved},
	} {
		for _, name := range *names.others {
			if !slices.Contains(*names.own, name) {
				*names.own = append(*names.own, name)
			}
		}
	}
}

// clash returns a zone in which any group of one namespace could be called as a host part of another is; nil if
// there is none.
func (c *config) clash() *zone {
	if c.rules.GroupLabel < 0 || c.rules.Naming.Mode != membership.ModeHostname {
		return nil
	}
	for i := range c.zones {
		namespace, ok := strings.CutSuffix(c.zones[i].name, "."+strings.ToLower(c.rules.Naming.Suffix()))
		if ok && !strings.Contains(namespace, ".") {
			return &c.zones[i]
		}
	}
	return nil
}

// place finds out where host parts lie, and whether addresses have names.
func (c *config) place() {
	c.reverse = slices.ContainsFunc(c.zones, func(z zone) bool { return z.reverse })
	if c.rules.Naming.Mode == membership.ModeIP {
		return
	}
	domain := c.rules.Naming.Suffix()
	for i := range c.zones {
		switch z := &c.zones[i]; {
		case dns.IsSubDomain(z.name, domain):
			c.hosts = inside
			return
		case dns.IsSubDomain(domain, z.name):
			c.hosts = mixed
		}
	}
}
