package longnames

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/manifest"
	"github.com/longnames/longnames/kubeapi/snapshot"
)

const (
	// shutdownTimeout bounds how long a block waits for its goroutines at its end.
	shutdownTimeout = 5 * time.Second
	// restoredTimeout bounds how long CoreDNS waits at its start where a snapshot knows members: as
	// long as questions get no answer, clusters are in danger.
	restoredTimeout = 500 * time.Millisecond
)

// block is one longnames block at work: a source that fills a table, from which resolvers answer.
type block struct {
	config   *config
	source   *kubeapi.Source
	table    *table
	snapshot *snapshot.Snapshot // nil if there is none
	blank    error              // says which manifests are blank, if any
	notifier *notifier          // of its zones; nil without the transfer plugin
	audited  *resolver          // of its first zone; nil if another block has that as its first, too
	limit    time.Duration      // of the wait for the source

	ctx        context.Context    // from start to stop
	cancel     context.CancelFunc // nil before the start
	endMetrics func()
	wg         sync.WaitGroup
}

func newBlock(c *config) (*block, error) {
	source, err := newSource(c.source)
	if blank := new(manifest.BlankError); err != nil && !errors.As(err, &blank) {
		return nil, err
	}
	t := newTable(c)
	b := &block{config: c, source: source, blank: err, table: t}
	t.expired = func() { b.source.Touch() }
	return b, nil
}

func newSource(c kubeapi.Config) (*kubeapi.Source, error) {
	if len(c.Manifests) > 0 {
		return manifest.New(c)
	}
	return kubeapi.New(c)
}

// start begins to read the source, or goes on from old, which it replaces, and others, which also know what it reads.
func (b *block) start(old *block, others []*block) {
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.endMetrics = useMetrics(b.config.name())
	b.config.countFromZero()
	if len(b.config.source.Manifests) == 0 {
		endContact, endMetrics := b.config.monitor().begin(), b.endMetrics
		b.endMetrics = func() { endContact(); endMetrics() }
	}
	b.wg.Go(func() { b.table.run(b.ctx) })
	b.limit = b.config.startupTimeout
	reused := old != nil && b.reuseSource(old)
	if b.config.source.Snapshot != "" {
		b.snapshot = snapshot.New(&b.config.source, b.source, b.table.suspects)
	}
	if !reused {
		suspects := b.restore(old, others)
		if old != nil && !old.config.selectsAs(b.config) || old == nil && len(others) > 0 {
			b.table.state.Reselect()
		}
		b.source.Join(b.table)
		if old != nil || len(others) > 0 {
			b.table.count() // options may have changed
		}
		b.table.restore(suspects)
		for _, o := range others {
			b.table.inherit(o.table)
		}
	}
	if old != nil {
		b.table.inherit(old.table)
	}
	if b.notifier != nil {
		b.source.Join(b.notifier)
	}
	if b.snapshot != nil {
		b.snapshot.Start()
	}
}

// beginAudit audits the block's first zone, unless another block does.
func (b *block) beginAudit() {
	if b.audited != nil {
		b.wg.Go(func() { newAudit(b.config.first(), b.audited).run(b.ctx) })
	}
}

// reuseSource makes the block follow the source of old, and reports whether that is the same and still runs.
func (b *block) reuseSource(old *block) bool {
	if !b.source.Same(old.source) || !old.source.Join(b.table) {
		return false
	}
	b.source = old.source
	return true
}

// restore lets the source begin with what old ones know, or else with the snapshot, and returns the suspects in that.
func (b *block) restore(old *block, others []*block) []kubeapi.Suspects {
	restored := false
	if old != nil {
		others = append([]*block{old}, others...)
	}
	for _, o := range others {
		restored = b.source.RestoreFrom(o.source) || restored
	}
	if restored || b.snapshot == nil {
		return nil
	}
	suspects, changed, ok := b.snapshot.Restore(max(b.limit, restoredTimeout))
	if !ok {
		return nil
	}
	if len(others) == 0 {
		b.limit = min(b.limit, restoredTimeout)
	}
	for _, s := range b.table.serials {
		s.restore(changed)
	}
	return suspects
}

// pauseSnapshot lets a block that is about to take over have the file.
func (b *block) pauseSnapshot() {
	if b.snapshot != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		b.snapshot.Stop(ctx, false)
	}
}

// wait returns when all members are known, or at a limit since the start: CoreDNS has other
// zones to serve too.
func (b *block) wait(start time.Time) {
	select {
	case <-b.table.done:
		if unread := b.table.unreadNamespaces(); len(unread) > 0 {
			log.Warningf("%s Namespaces that may not be read: %s: questions about them get SERVFAIL", b.config.name(), strings.Join(slices.Sorted(maps.Keys(unread)), " "))
		}
	case <-time.After(time.Until(start.Add(b.limit))):
		instead := "questions get SERVFAIL"
		switch {
		case b.table.restored.Load():
			instead = "those last known are answered"
		case len(b.table.unreadNamespaces()) > 0 && len(b.table.unreadNamespaces()) < len(b.config.source.Namespaces):
			instead = fmt.Sprintf("questions about the namespaces %s get SERVFAIL", strings.Join(slices.Sorted(maps.Keys(b.table.unreadNamespaces())), " "))
		}
		log.Warningf("%s Members have not been read after %s: %s until they are", b.config.name(), b.limit, instead)
	}
}

// stop ends what start began, if anything. Changes that the snapshot lacks are written if no other
// block goes on with it. Calling it again does nothing.
func (b *block) stop(flush bool) {
	if b.cancel == nil {
		return
	}
	b.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if b.snapshot != nil && !b.snapshot.Stop(ctx, flush) {
		log.Warningf("%s The writing of the snapshot did not end within %s", b.config.name(), shutdownTimeout)
	}
	if b.notifier != nil {
		b.source.Leave(b.notifier)
	}
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
	case <-ctx.Done():
		log.Warningf("%s The watch did not end within %s", b.config.name(), shutdownTimeout)
	}
}

// reserveServers keeps host parts of some blocks from the names of all their name servers: the glue of one zone could
// give another one's name server an address.
func reserveServers(blocks []*block) {
	for _, of := range blocks {
		for _, z := range of.config.zones {
			for _, b := range blocks {
				if reserved := &b.config.rules.Naming.Reserved; !slices.Contains(*reserved, z.server) {
					*reserved = append(*reserved, z.server, z.parent)
				}
			}
		}
	}
}
