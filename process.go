package longnames

import (
	"bytes"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/plugin"
)

// process has the blocks of all server blocks of one Corefile, which live and end
// together. The ready plugin knows only one plugin of each name, so that each has to answer
// for all.
type process struct {
	blocks  []*block
	plugins []*Longnames // of all server blocks
	// listening is closed once the servers can be asked.
	listening chan struct{}
	listens   sync.Once
	// old is what a reload replaces, until the start.
	old      *process
	replaces bool // another one, by a reload
	serials  *serials
	// ready is whether all members have been known once.
	ready atomic.Bool
	// next is made from the Corefile of a reload, until that has succeeded or failed.
	next atomic.Pointer[process]
}

// reloading is the process that a reload is about to replace. CoreDNS tells neither the
// old nor the new one of the other, and discards a new one that fails without a word.
var reloading atomic.Pointer[process]

// storageKey is where CoreDNS keeps the process while it sets up server blocks.
type storageKey struct{}

// processOf gives the process that a server block belongs to.
func processOf(c *caddy.Controller) *process {
	if p, ok := c.Get(storageKey{}).(*process); ok {
		return p
	}
	p := &process{listening: make(chan struct{}), serials: &serials{}}
	c.Set(storageKey{}, p)
	if old := reloading.Swap(nil); old != nil {
		old.next.Store(p)
		p.old, p.replaces, p.serials = old, true, old.serials
		p.ready.Store(old.isReady())
	}
	hookStartup()
	c.OnStartup(func() error {
		p.start()
		return nil
	})
	c.OnRestart(func() error {
		reloading.Store(p)
		return nil
	})
	c.OnRestartFailed(func() error {
		reloading.CompareAndSwap(p, nil)
		p.keep()
		return nil
	})
	c.OnShutdown(func() error {
		reloading.CompareAndSwap(p, nil)
		if !p.isCurrent() {
			p.end()
		}
		return nil
	})
	// At the end of CoreDNS, answers are wanted until the lameduck time of health is over,
	// for which that waits in a callback of this kind before ours.
	c.OnFinalShutdown(func() error {
		p.end()
		return nil
	})
	return p
}

// hookStartup has CoreDNS tell when servers listen, which is after OnStartup. It has to be done
// for each process: a reload by signal drops all hooks, one by the reload plugin none.
func hookStartup() {
	defer func() { _ = recover() }() // if there is one
	caddy.RegisterEventHook(pluginName, func(event caddy.EventName, about any) error {
		i, ok := about.(*caddy.Instance)
		if !ok || event != caddy.InstanceStartupEvent {
			return nil
		}
		i.StorageMu.RLock()
		defer i.StorageMu.RUnlock()
		if p, ok := i.Storage[storageKey{}].(*process); ok {
			p.listen()
		}
		return nil
	})
}

// listen takes note that the servers can be asked, and those that they replace no more: what they have
// to say may differ.
func (p *process) listen() {
	p.listens.Do(func() {
		if p.replaces {
			for _, b := range p.blocks {
				b.source.Touch()
			}
		}
		close(p.listening)
	})
}

// start begins to read all sources, and waits until all members are known, each block no
// longer than its own startup timeout.
func (p *process) start() {
	start := time.Now()
	replaced := p.successions()
	if p.old != nil {
		p.old.each((*block).pauseSnapshot)
	}
	p.contain()
	for _, l := range p.plugins {
		l.open(p.listening)
	}
	p.each(func(b *block) { b.start(replaced[b]) })
	p.old = nil
	for _, b := range p.blocks {
		b.wait(start)
	}
}

// writerOf gives the block that writes a file; nil if none does.
func (p *process) writerOf(path string) *block {
	for _, b := range p.blocks {
		if path != "" && filepath.Clean(b.config.source.Snapshot) == filepath.Clean(path) {
			return b
		}
	}
	return nil
}

// successions tells which block each block replaces: the one that reads the same or else, in
// the order of the Corefile, one that shares a zone, and at best the selector. Some may replace none.
func (p *process) successions() map[*block]*block {
	replaced := make(map[*block]*block)
	if p.old == nil {
		return replaced
	}
	left := slices.Clone(p.old.blocks)
	for _, fits := range []func(b, old *block) bool{
		func(b, old *block) bool { return old.source.Same(b.source) },
		func(b, old *block) bool {
			return b.config.sharesZone(old.config) && b.config.source.Selector == old.config.source.Selector
		},
		func(b, old *block) bool { return b.config.sharesZone(old.config) },
	} {
		for _, b := range p.blocks {
			at := slices.IndexFunc(left, func(old *block) bool { return fits(b, old) })
			if replaced[b] == nil && at >= 0 {
				replaced[b] = left[at]
				left = slices.Delete(left, at, at+1)
			}
		}
	}
	return replaced
}

// keep stops what a failed reload has started. A reload also fails if some plugin fails to
// end, with the new servers serving already: then it is p that is no longer asked.
func (p *process) keep() {
	next := p.next.Swap(nil)
	switch {
	case next == nil:
	case p.isCurrent():
		next.stop(false)
		for _, b := range p.blocks {
			if b.snapshot != nil {
				b.snapshot.Start()
			}
		}
	default:
		next.listen()
		p.stop(false)
	}
}

// contain tells our zones which zones of other server blocks lie within them. The names between
// exist: a resolver that asks for these first would take NXDOMAIN to mean that nothing lies below
// (RFC 8020, RFC 9156). CoreDNS keeps the zones of its servers to itself.
func (p *process) contain() {
	i := p.instance()
	if i == nil {
		return
	}
	input := i.Caddyfile()
	servers, err := caddyfile.Parse(input.Path(), bytes.NewReader(input.Body()), nil)
	if err != nil {
		return // CoreDNS has just read the same
	}
	for _, server := range servers {
		for _, inner := range plugin.OriginsFromArgsOrServerBlock(nil, server.Keys) {
			for _, b := range p.blocks {
				for at := range b.config.zones {
					b.config.zones[at].contain(inner)
				}
			}
		}
	}
}

// isCurrent reports whether CoreDNS still has p's servers among those that run.
func (p *process) isCurrent() bool { return p.instance() != nil }

// instance returns the one that p belongs to, or nil if it no longer runs.
func (p *process) instance() *caddy.Instance {
	for _, i := range caddy.Instances() {
		i.StorageMu.RLock()
		isOurs := i.Storage[storageKey{}] == p
		i.StorageMu.RUnlock()
		if isOurs {
			return i
		}
	}
	return nil
}

// end stops p for good, be there another one that goes on or not.
func (p *process) end() { p.stop(p.next.Load() == nil) }

// stop ends what start began. What snapshots lack is written if nobody else goes on with them.
// Calling it again does nothing.
func (p *process) stop(flush bool) {
	for _, l := range p.plugins {
		if l.end != nil {
			l.end()
		}
	}
	p.each(func(b *block) { b.stop(flush) })
}

// each does something with all blocks at once: some may have to wait for a disk.
func (p *process) each(do func(*block)) {
	var wg sync.WaitGroup
	for _, b := range p.blocks {
		wg.Go(func() { do(b) })
	}
	wg.Wait()
}

// Ready implements ready.Readiness: it is true once the members of every block in the
// process are known, and stays so, also over a reload that brings a block which cannot be
// read: the others would be out of service with it.
func (l *Longnames) Ready() bool { return l.all.isReady() }

func (p *process) isReady() bool {
	if p.ready.Load() {
		return true
	}
	for _, b := range p.blocks {
		if !b.table.known() {
			return false
		}
	}
	p.ready.Store(true)
	return true
}
