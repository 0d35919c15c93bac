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

// instance has the blocks of all server blocks of one Corefile, which live and end
// together. The ready plugin knows only one plugin of each name, so that each has to answer
// for all.
type instance struct {
	blocks  []*block
	plugins []*Longnames // of all server blocks
	// listening is closed once the servers can be asked.
	listening chan struct{}
	listens   sync.Once
	// old is the instance that a reload replaces, until the start.
	old      *instance
	replaces bool // another one, by a reload
	serials  *serials
	// transfers are those of its zones, and end with it.
	transfers *transfers
	// ready is true once all members have been known.
	ready atomic.Bool
	// next is made from the Corefile of a reload, until that has succeeded or failed.
	next atomic.Pointer[instance]
}

// reloading is the instance that a reload is about to replace. CoreDNS tells neither the
// old nor the new one of the other, and discards a new one that fails without a word.
var reloading atomic.Pointer[instance]

// storageKey is where CoreDNS keeps the instance while it sets up server blocks.
type storageKey struct{}

// instanceOf returns the instance that a server block belongs to.
func instanceOf(c *caddy.Controller) *instance {
	if i, ok := c.Get(storageKey{}).(*instance); ok {
		return i
	}
	i := &instance{listening: make(chan struct{}), serials: &serials{}, transfers: newTransfers()}
	c.Set(storageKey{}, i)
	if old := reloading.Swap(nil); old != nil {
		old.next.Store(i)
		i.old, i.replaces, i.serials = old, true, old.serials
		i.ready.Store(old.isReady())
	}
	hookStartup()
	c.OnStartup(func() error {
		i.start()
		return nil
	})
	c.OnRestart(func() error {
		reloading.Store(i)
		return nil
	})
	c.OnRestartFailed(func() error {
		reloading.CompareAndSwap(i, nil)
		i.keep()
		return nil
	})
	c.OnShutdown(func() error {
		reloading.CompareAndSwap(i, nil)
		if !i.isCurrent() {
			i.end()
		}
		return nil
	})
	// At the end of CoreDNS, answers are wanted until the lameduck time of health is over,
	// for which that waits in a callback of this kind before ours.
	c.OnFinalShutdown(func() error {
		i.end()
		return nil
	})
	return i
}

// hookStartup registers a hook that CoreDNS calls once servers listen, which is after OnStartup.
// Each instance needs one: a reload by signal drops all hooks, one by the reload plugin none.
func hookStartup() {
	defer func() { _ = recover() }() // if there is one
	caddy.RegisterEventHook(pluginName, func(event caddy.EventName, about any) error {
		running, ok := about.(*caddy.Instance)
		if !ok || event != caddy.InstanceStartupEvent {
			return nil
		}
		running.StorageMu.RLock()
		defer running.StorageMu.RUnlock()
		if i, ok := running.Storage[storageKey{}].(*instance); ok {
			i.listen()
		}
		return nil
	})
}

// listen notes that the servers can be asked, and the replaced ones no longer. Their zones may differ, so
// that secondaries are notified.
func (i *instance) listen() {
	i.listens.Do(func() {
		if i.replaces {
			for _, b := range i.blocks {
				b.source.Touch()
			}
		}
		close(i.listening)
	})
}

// start begins to read all sources, and waits until all members are known, each block no
// longer than its own startup timeout.
func (i *instance) start() {
	start := time.Now()
	var from map[*block]succession
	if i.old != nil {
		from = successions(i.blocks, i.old.blocks)
		i.old.each((*block).pauseSnapshot)
	}
	i.contain()
	reserveServers(i.blocks)
	for _, l := range i.plugins {
		l.open(i.listening)
	}
	i.each(func(b *block) { b.start(from[b].replaced, from[b].others) })
	for _, b := range i.blocks {
		b.beginAudit() // the tables have the members of before a reload by now
	}
	i.old = nil
	for _, b := range i.blocks {
		b.wait(start)
	}
}

// writerOf returns the block that writes a file; nil if none does.
func (i *instance) writerOf(path string) *block {
	for _, b := range i.blocks {
		if path != "" && filepath.Clean(b.config.source.Snapshot) == filepath.Clean(path) {
			return b
		}
	}
	return nil
}

// succession has the old blocks that a block of a reloaded Corefile goes on from. If it reads the same, it keeps the
// watch.
type succession struct {
	replaced *block   // reads the same, or shares a zone; nil if there is none
	others   []*block // share a zone, and read from the same API server
}

// successions returns what each block goes on from. It replaces the old block that reads the same or else, in the order
// of the Corefile, one that shares a zone, and at best the API server and the selector. If it replaces none, or if others
// of its zones are not replaced, it also knows what these do: blocks may have been split or put together.
func successions(blocks, old []*block) map[*block]succession {
	found, left := make(map[*block]succession), slices.Clone(old)
	isOfServer := func(b, old *block) bool { return b.source.Origin().SameServer(old.source.Origin()) }
	selects := func(b, old *block) bool { return b.config.source.Selector == old.config.source.Selector }
	for _, fits := range []func(b, old *block) bool{
		func(b, old *block) bool { return b.source.Same(old.source) },
		func(b, old *block) bool {
			return b.config.sharesZone(old.config) && isOfServer(b, old) && selects(b, old)
		},
		func(b, old *block) bool { return b.config.sharesZone(old.config) && isOfServer(b, old) },
		func(b, old *block) bool { return b.config.sharesZone(old.config) && selects(b, old) }, // it may have moved
		func(b, old *block) bool { return b.config.sharesZone(old.config) },
	} {
		for _, b := range blocks {
			at := slices.IndexFunc(left, func(old *block) bool { return fits(b, old) })
			if found[b].replaced == nil && at >= 0 {
				found[b] = succession{replaced: left[at]}
				left = slices.Delete(left, at, at+1)
			}
		}
	}
	for _, b := range blocks {
		s, others := found[b], left
		if s.replaced == nil {
			others = old
		}
		for _, o := range others {
			if b.config.sharesZone(o.config) && isOfServer(b, o) {
				s.others = append(s.others, o)
			}
		}
		found[b] = s
	}
	return found
}

// keep stops the instance that a failed reload has started. A reload also fails if some plugin
// fails to end, with the new servers serving already: then it is this one that is no longer asked.
func (i *instance) keep() {
	next := i.next.Swap(nil)
	switch {
	case next == nil:
	case i.isCurrent():
		next.stop(false)
		for _, b := range i.blocks {
			if b.snapshot != nil {
				b.snapshot.Start()
			}
		}
	default:
		next.listen()
		i.stop(false)
	}
}

// contain notes in each zone which zones of other server blocks lie within it. The names between
// exist: a resolver that asks for these first would take NXDOMAIN to mean that nothing lies below
// (RFC 8020, RFC 9156). CoreDNS keeps the zones of its servers to itself.
func (i *instance) contain() {
	running := i.caddyInstance()
	if running == nil {
		return
	}
	input := running.Caddyfile()
	servers, err := caddyfile.Parse(input.Path(), bytes.NewReader(input.Body()), nil)
	if err != nil {
		return // CoreDNS has just read the same
	}
	for _, server := range servers {
		for _, inner := range plugin.OriginsFromArgsOrServerBlock(nil, server.Keys) {
			for _, b := range i.blocks {
				for _, z := range b.config.zones {
					z.contain(inner)
				}
			}
		}
	}
}

// isCurrent reports whether CoreDNS still has the instance's servers among those that run.
func (i *instance) isCurrent() bool { return i.caddyInstance() != nil }

// caddyInstance returns CoreDNS' own instance, or nil if it no longer runs.
func (i *instance) caddyInstance() *caddy.Instance {
	for _, running := range caddy.Instances() {
		running.StorageMu.RLock()
		isOurs := running.Storage[storageKey{}] == i
		running.StorageMu.RUnlock()
		if isOurs {
			return running
		}
	}
	return nil
}

// end stops the instance for good, whether another one goes on or not.
func (i *instance) end() { i.stop(i.next.Load() == nil) }

// stop ends what start began. Changes that snapshots lack are written if no other instance goes on with
// them. Calling it again does nothing.
func (i *instance) stop(flush bool) {
	for _, l := range i.plugins {
		if l.end != nil {
			l.end()
		}
	}
	i.each(func(b *block) { b.stop(flush) })
}

// each calls do for all blocks at once: some may have to wait for a disk.
func (i *instance) each(do func(*block)) {
	var wg sync.WaitGroup
	for _, b := range i.blocks {
		wg.Go(func() { do(b) })
	}
	wg.Wait()
}

// Ready implements ready.Readiness: it is true once the members of every block in the
// instance are known, and stays so, also over a reload that brings a block which cannot be
// read: the others would be out of service with it.
func (l *Longnames) Ready() bool { return l.all.isReady() }

func (i *instance) isReady() bool {
	if i.ready.Load() {
		return true
	}
	for _, b := range i.blocks {
		if !b.table.isReady(time.Now()) && !i.isSpare(b) {
			return false
		}
	}
	i.ready.Store(true)
	return true
}

// isSpare reports whether a block had no members before the start, and answers together with one that is ready.
func (i *instance) isSpare(b *block) bool {
	return b.table.hadNobody.Load() && slices.ContainsFunc(i.blocks, func(other *block) bool {
		return other.config.sharesZone(b.config) && other.table.isReady(time.Now())
	})
}
