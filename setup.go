package longnames

import (
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
)

func init() { plugin.Register(pluginName, setup) }

// storageKey is where the instances of one process are kept between server blocks.
type storageKey struct{}

func setup(c *caddy.Controller) error {
	l, err := newLongnames(c)
	if err != nil {
		return plugin.Error(pluginName, err)
	}
	// CoreDNS sets up one server block after the other.
	all, _ := c.Get(storageKey{}).(*instances)
	if all == nil {
		all = &instances{}
		c.Set(storageKey{}, all)
	}
	all.add(l.blocks)
	l.all = all

	c.OnStartup(func() error {
		start := time.Now()
		for _, b := range l.blocks {
			b.start()
		}
		for _, b := range l.blocks {
			b.wait(start)
		}
		return nil
	})
	c.OnShutdown(func() error {
		for _, b := range l.blocks {
			b.shutdown()
		}
		return nil
	})
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		l.Next = next
		return l
	})
	return nil
}

// newLongnames makes the plugin from all longnames blocks of a server block.
func newLongnames(c *caddy.Controller) (*Longnames, error) {
	l := &Longnames{zones: make(map[string][]authority)}
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
		if name, other := l.taken(config); other != nil {
			return nil, c.Errf("zone %s: expected a zone of its own, or fallthrough in the longnames block of line %d, which has it already",
				name, lines[other])
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

// taken gives a zone that another block has already, and that block, unless it lets
// questions through.
func (l *Longnames) taken(c *config) (zone string, by *block) {
	for i := range c.zones {
		name := c.zones[i].name
		for _, other := range l.zones[name] {
			if !other.block.config.fall.Through(name) {
				return name, other.block
			}
		}
	}
	return "", nil
}
