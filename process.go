package longnames

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/caddy"
)

// process has the blocks of all server blocks of one Corefile, which live and end
// together. The ready plugin knows only one plugin of each name, so that each has to answer
// for all.
type process struct {
	blocks []*block
	// next is made from the Corefile of a reload, until that has succeeded or failed.
	next atomic.Pointer[process]
	// serving is true once a question has come.
	serving atomic.Bool
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
	p := &process{}
	c.Set(storageKey{}, p)
	if old := reloading.Swap(nil); old != nil {
		old.next.Store(p)
	}
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
		p.stop()
		return nil
	})
	return p
}

// start begins to read all sources, and waits until all members are known, each block no
// longer than its own startup timeout.
func (p *process) start() {
	start := time.Now()
	for _, b := range p.blocks {
		b.start()
	}
	for _, b := range p.blocks {
		b.wait(start)
	}
}

// keep stops what a failed reload has started. It also fails if CoreDNS could not end the old
// servers in time; then the new ones serve, and it is p that is no longer asked.
func (p *process) keep() {
	next := p.next.Swap(nil)
	switch {
	case next == nil:
	case next.serving.Load():
		p.stop()
	default:
		next.stop()
	}
}

// stop ends what start began. Calling it again does nothing.
func (p *process) stop() {
	var wg sync.WaitGroup
	for _, b := range p.blocks {
		wg.Go(b.stop)
	}
	wg.Wait()
}

// Ready implements ready.Readiness: it is true once the members of every block in the
// process are known, and stays so.
func (l *Longnames) Ready() bool {
	for _, b := range l.all.blocks {
		if !b.table.synced.Load() {
			return false
		}
	}
	return true
}
