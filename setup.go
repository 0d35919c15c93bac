package longnames

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	"github.com/coredns/coredns/plugin"
)

// Version is the version of the plugin. The build of CoreDNS sets it at its start.
var Version = "devel"

// userAgent returns the name that the API server knows the plugin by, in its audit log for example.
func userAgent() string {
	return pluginName + "/" + Version + " CoreDNS/" + coremain.CoreVersion
}

func init() { plugin.Register(pluginName, setup) }

func setup(c *caddy.Controller) error {
	l, err := newLongnames(c)
	if err != nil {
		return plugin.Error(pluginName, err)
	}
	l.server = dnsserver.GetConfig(c)
	l.all = instanceOf(c)
	l.serials, l.transfers = l.all.serials, l.all.transfers
	l.link()
	for _, b := range l.blocks {
		if other := l.all.writerOf(b.config.source.Snapshot); other != nil {
			return plugin.Error(pluginName, c.Errf("option snapshot: expected a file of its own, but the block of %s has %s already",
				other.config.name(), b.config.source.Snapshot))
		}
		for _, key := range b.config.source.ForeignLabels() {
			log.Warningf("%s Label %q is asked for, which no object of lookup %s gets from Kubernetes", b.config.name(), key, b.config.source.Lookup)
		}
		if b.blank != nil && l.all.replaces {
			return plugin.Error(pluginName, c.Errf("%v", b.blank))
		}
		if b.blank != nil {
			log.Errorf("%s %v: the members are not known until it has something", b.config.name(), b.blank)
		}
		l.all.blocks = append(l.all.blocks, b)
	}
	l.all.plugins = append(l.all.plugins, l)
	l.server.AddPlugin(func(next plugin.Handler) plugin.Handler {
		l.Next = next
		return l
	})
	return nil
}

// newLongnames makes the plugin from all longnames blocks of a server block.
func newLongnames(c *caddy.Controller) (*Longnames, error) {
	l := &Longnames{}
	lines := make(map[*block]int)
	for c.Next() {
		if c.Val() != pluginName {
			return nil, c.Errf("expected one option a line and the closing brace on a line of its own, got %q", c.Val())
		}
		line := c.Line()
		config, err := parse(c)
		if err != nil {
			return nil, err
		}
		if other, what := l.disagreement(config); other != nil {
			return nil, c.Errf("%s as in the longnames block of line %d, with which this one answers together", what, lines[other])
		}
		if inner, outer := l.covered(config); inner != "" {
			return nil, c.Errf("zone %s: expected another name, since that of zone %s's name server lies in it", inner, outer)
		}
		b, err := newBlock(config)
		if err != nil {
			return nil, c.Errf("%v", err)
		}
		lines[b] = line
		l.blocks = append(l.blocks, b)
	}
	return l, nil
}

// covered returns a zone of c or of another block that has the name of another zone's name server in it, and the latter:
// a member of the one could take it. Both are empty if there is none.
func (l *Longnames) covered(c *config) (inner, outer string) {
	zones := slices.Clone(c.zones)
	for _, b := range l.blocks {
		zones = append(zones, b.config.zones...)
	}
	for _, o := range zones {
		for _, i := range zones {
			if o.isOfServer(i.name) {
				return i.name, o.name
			}
		}
	}
	return "", ""
}

// fallthroughOf writes the option as a Corefile does.
func fallthroughOf(c *config) string {
	switch zones := c.fall.Zones; {
	case len(zones) == 0:
		return "no fallthrough"
	case slices.Equal(zones, []string{"."}):
		return "fallthrough"
	default:
		return "fallthrough " + strings.Join(zones, " ")
	}
}

// disagreement returns another block that shares a zone with c but cannot answer together with it, and the option
// that c would need.
func (l *Longnames) disagreement(c *config) (with *block, what string) {
	for _, other := range l.blocks {
		o := other.config
		at := slices.IndexFunc(c.zones, func(z *zone) bool { return o.has(z.name) })
		if at < 0 {
			continue
		}
		zone := "zone " + c.zones[at].name + ": "
		switch {
		case c.ttl != o.ttl:
			return other, fmt.Sprintf("%sexpected ttl %d", zone, o.ttl)
		case !slices.Equal(c.fall.Zones, o.fall.Zones):
			return other, zone + "expected " + fallthroughOf(o)
		case c.rules.GroupLabel < 0 && o.rules.GroupLabel >= 0:
			return other, zone + "expected group_by"
		case c.rules.GroupLabel >= 0 && o.rules.GroupLabel < 0:
			return other, zone + "expected no group_by"
		}
	}
	return nil, ""
}
