package longnames

import (
	"context"
	"sync"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// shutdownTimeout bounds how long a block waits for its goroutines at its end.
const shutdownTimeout = 5 * time.Second

// block is one longnames block at work: a source that fills a table, and a resolver that
// answers from it.
type block struct {
	config   *config
	source   kubeapi.Source
	table    *table
	resolver *resolver

	ctx    context.Context    // from start to stop
	cancel context.CancelFunc // nil before the start
	wg     sync.WaitGroup
}

func newBlock(c *config) (*block, error) {
	source, err := kubeapi.New(c.source)
	if err != nil {
		return nil, err
	}
	t := newTable(c)
	return &block{config: c, source: source, table: t, resolver: &resolver{config: c, table: t}}, nil
}

// start begins to read the source.
func (b *block) start() {
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.wg.Go(func() { b.source.Run(b.ctx, b.table) })
	b.wg.Go(func() { newAudit(b.config, b.table).run(b.ctx) })
}

// wait returns when all members are known, or the startup timeout has passed since the
// start: CoreDNS has other zones to serve too.
func (b *block) wait(start time.Time) {
	timer := time.NewTimer(time.Until(start.Add(b.config.startupTimeout)))
	defer timer.Stop()
	select {
	case <-b.table.done:
	case <-timer.C:
		log.Warningf("%s Members are not known after %s: questions get SERVFAIL until they are",
			b.config.name(), b.config.startupTimeout)
	}
}

// stop ends what start began, if anything. Calling it again does nothing.
func (b *block) stop() {
	if b.cancel == nil {
		return
	}
	b.cancel()
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(shutdownTimeout):
		log.Warningf("%s The watch did not end within %s", b.config.name(), shutdownTimeout)
	}
}
