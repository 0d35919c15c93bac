package longnames

import (
	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
)

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
	l := &Longnames{zones: make(map[string][]zoneOwner)}
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
		if other, why := l.taken(config); other != nil {
			return nil, c.Errf("%s; the longnames block of line %d has it already", why, lines[other])
		}
		if inner, outer := l.covered(config); inner != "" {
			return nil, c.Errf("zone %s: expected another name, since that of zone %s's name server lies in it", inner, outer)
		}
		b, err := newBlock(config)
		if err != nil {
			return nil, c.Errf("%v", err)
		}
		lines[b] = line
		l.add(b)
	}
	return l, nil
}

// covered returns a zone of c or of another block that has the name of another zone's name server in it, and the latter:
// a member of the one could take it. Both are empty if there is none.
func (l *Longnames) covered(c *config) (inner, outer string) {
	names := make([]*zone, 0, len(c.zones)+len(l.zones))
	for i := range c.zones {
		names = append(names, &c.zones[i])
	}
	for _, of := range l.zones {
		names = append(names, of[0].zone)
	}
	for _, o := range names {
		for _, i := range names {
			if o.isOfServer(i.name) {
				return i.name, o.name
			}
		}
	}
	return "", ""
}

// taken returns another block that keeps c from being asked in one of its zones, and what c
// would need.
func (l *Longnames) taken(c *config) (by *block, why string) {
	for i := range c.zones {
		z := &c.zones[i]
		for _, other := range l.zones[z.name] {
			o := other.block.config
			switch {
			case !o.fall.Through(z.name):
				return other.block, "zone " + z.name + ": expected a zone of its own, or fallthrough in all blocks before the last"
			case !z.reverse && (o.rules.GroupLabel < 0 || c.rules.GroupLabel < 0):
				// The first block has an answer at the apex, so that the other's is never asked.
				return other.block, "zone " + z.name + ": expected a zone of its own, or group_by in both blocks"
			}
		}
	}
	return nil, ""
}
