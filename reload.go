package longnames

import (
	"context"
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// succession is what a block goes on from.
type succession struct {
	replaced *block   // reads the same, or shares a zone; nil if there is none
	others   []*block // share a zone, and read from the same API server
}

// successions returns what each block goes on from. It replaces the block that reads the same or else, in the order of
// the Corefile, one that shares a zone, and at best the selector. If it replaces none, or if others of its zones are not
// replaced, it also knows what these do: blocks may have been split or put together.
func (i *instance) successions() map[*block]succession {
	found := make(map[*block]succession)
	if i.old == nil {
		return found
	}
	left := slices.Clone(i.old.blocks)
	for _, fits := range []func(b, old *block) bool{
		func(b, old *block) bool { return old.source.Same(b.source) },
		func(b, old *block) bool {
			return b.config.sharesZone(old.config) && b.config.source.Selector == old.config.source.Selector
		},
		func(b, old *block) bool { return b.config.sharesZone(old.config) },
	} {
		for _, b := range i.blocks {
			at := slices.IndexFunc(left, func(old *block) bool { return fits(b, old) })
			if found[b].replaced == nil && at >= 0 {
				found[b] = succession{replaced: left[at]}
				left = slices.Delete(left, at, at+1)
			}
		}
	}
	for _, b := range i.blocks {
		s, others := found[b], left
		if s.replaced == nil {
			others = i.old.blocks
		}
		for _, o := range others {
			if b.config.sharesZone(o.config) && b.source.Origin().SameServer(o.source.Origin()) {
				s.others = append(s.others, o)
			}
		}
		found[b] = s
	}
	return found
}

// reuseSource follows the source of old, if that is the same: it need not be read again.
func (b *block) reuseSource(old *block) bool {
	if !b.source.Same(old.source) || !old.source.Join(b.table) {
		return false
	}
	b.source = old.source
	return true
}

// restore lets the source begin with what old ones know, or else with the snapshot, and returns the suspects in that.
func (b *block) restore(from succession) []kubeapi.Suspects {
	old, restored := from.others, false
	if from.replaced != nil {
		old = append([]*block{from.replaced}, old...)
	}
	for _, o := range old {
		restored = b.source.RestoreFrom(o.source) || restored
	}
	if restored || b.snapshot == nil {
		return nil
	}
	suspects, written, ok := b.snapshot.Restore(max(b.limit, restoredTimeout))
	if !ok {
		return nil
	}
	if len(old) == 0 {
		b.limit = min(b.limit, restoredTimeout)
	}
	for _, s := range b.table.serials {
		s.restore(written)
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

// keep stops what a failed reload has started. A reload also fails if some plugin fails to
// end, with the new servers serving already: then it is this one that is no longer asked.
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
