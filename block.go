package longnames

import (
	"context"
	"slices"
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
	source   *kubeapi.Source
	table    *table
	resolver *resolver

	ctx        context.Context    // from start to stop
	cancel     context.CancelFunc // nil before the start
	endMetrics func()
	wg         sync.WaitGroup
}

func newBlock(c *config) (*block, error) {
	source, err := kubeapi.New(c.source)
	if err != nil {
		return nil, err
	}
	t := newTable(c)
	return &block{config: c, source: source, table: t, resolver: &resolver{config: c, table: t}}, nil
}

// start begins to read the source, or goes on from where the block of a reloaded Corefile
// stands, if that is not nil.
func (b *block) start(old *block) {
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.endMetrics = useMetrics(b.config.name())
	b.wg.Go(func() { b.table.run(b.ctx) })
	b.wg.Go(func() { newAudit(b.config, b.table).run(b.ctx) })
	if old == nil || !b.succeed(old) {
		b.source.Join(b.table)
	}
}

// succeed takes over what old knows. It tells whether the source has been joined: the watch
// goes on if it is the same.
func (b *block) succeed(old *block) (joined bool) {
	b.table.inherit(old.table)
	if b.source.Same(old.source) && old.source.Join(b.table) {
		b.source = old.source
		return true
	}
	if objects, version, known := old.source.Objects(); known && b.config.understands(old.config) {
		b.source.Restore(objects, version)
	}
	return false
}

// understands tells whether objects that were read for another block of the same zone have
// what c needs of them.
func (c *config) understands(other *config) bool {
	return c.source.Family == other.source.Family && slices.Equal(c.source.Labels, other.source.Labels)
}

// wait returns when all members are known, or the startup timeout has passed since the
// start: CoreDNS has other zones to serve too.
func (b *block) wait(start time.Time) {
	limit := b.config.startupTimeout
	timer := time.NewTimer(time.Until(start.Add(limit)))
	defer timer.Stop()
	select {
	case <-b.table.done:
	case <-timer.C:
		instead := "questions get SERVFAIL"
		if b.table.known() {
			instead = "those last known are answered"
		}
		log.Warningf("%s Members have not been read after %s: %s until they are", b.config.name(), limit, instead)
	}
}

// stop ends what start began, if anything. Calling it again does nothing.
func (b *block) stop() {
	if b.cancel == nil {
		return
	}
	b.cancel()
	done := make(chan struct{})
	left := b.source.Leave(b.table)
	go func() {
		defer close(done)
		<-left
		b.wg.Wait()
		b.endMetrics()
	}()
	select {
	case <-done:
	case <-time.After(shutdownTimeout):
		log.Warningf("%s The watch did not end within %s", b.config.name(), shutdownTimeout)
	}
}
