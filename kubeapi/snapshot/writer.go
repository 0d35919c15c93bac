package snapshot

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

const (
	minPause   = time.Second // between two writes, at least
	retryPause = time.Minute // between two tries while writing fails, at most
	// pauseFactor is how many times longer than the work of a write the pause after it is: writing takes a small
	// part of a core, however large the contents are.
	pauseFactor = 20
	// maxPause is for a write that took so long that the disk must have hung.
	maxPause = 5 * time.Minute
)

// writer keeps a file up to date with a source that it follows. It writes nothing before the source is
// synced: until then, the file may know more.
type writer struct {
	path    string
	write   func(context.Context, *contents, *pacer) error
	list    func() *contents
	log     kubeapi.Logger
	monitor kubeapi.Monitor

	synced  atomic.Bool
	changed atomic.Int64  // the second of the last change, since 1970
	dirty   chan struct{} // has an element if there is something to write

	// The following belong to run and flush.
	problem  string    // as last logged
	since    time.Time // when writing began to fail
	failures int       // in a row
}

var _ kubeapi.Sink = (*writer)(nil)

// newWriter returns one that writes what list returns, which has to have a change before Apply is called.
func newWriter(f *file, list func() *contents, monitor kubeapi.Monitor) *writer {
	return &writer{path: f.path, write: f.write, list: list, log: f.log, monitor: monitor, dirty: make(chan struct{}, 1)}
}

// Apply implements kubeapi.Sink.
func (w *writer) Apply([]kubeapi.Change) {
	if w.synced.Load() {
		w.change()
	}
}

// Restored implements kubeapi.Sink.
func (w *writer) Restored() {}

// Synced implements kubeapi.Sink.
func (w *writer) Synced() {
	w.synced.Store(true)
	w.change()
}

func (w *writer) change() {
	w.changed.Store(time.Now().Unix())
	w.mark()
}

// mark notes that something has changed, or has not been written.
func (w *writer) mark() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// run writes after changes until ctx ends, which also ends a write that is under way. It may be called
// again, to go on from there. A disk that hangs keeps it from returning.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
		}
		pause := w.try(ctx, newPacer())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// flush writes if anything has changed since the last write, unless ctx ends
// before. It is for the end, after run has returned.
func (w *writer) flush(ctx context.Context) {
	select {
	case <-w.dirty:
		w.try(ctx, nil)
	default:
	}
}

// try writes once, and returns how long to wait before the next time.
func (w *writer) try(ctx context.Context, p *pacer) time.Duration {
	start, changed := time.Now(), time.Unix(w.changed.Load(), 0)
	c := w.list()
	c.objects = slices.SortedFunc(slices.Values(c.objects), kubeapi.CompareObjects)
	c.written = start.UTC().Truncate(time.Second)
	// Two changes within a second have the serial of the next one. A later write makes the contents no newer: other
	// replicas may have seen changes that this one has not.
	if c.changed = changed.UTC().Add(time.Second); c.changed.After(c.written) {
		c.changed = c.written
	}
	err := w.write(ctx, c, p)
	if err != nil {
		w.mark()
		if ctx.Err() != nil {
			return 0 // we gave up
		}
	}
	w.report(err)
	w.monitor.SnapshotWritten(err)
	pause := max(minPause, min(pauseFactor*p.work(start), maxPause))
	if w.failures > 0 {
		pause = max(pause, min(minPause<<min(w.failures-1, 10), retryPause))
	}
	return pause
}

// report logs a problem that is new, and the end of one.
func (w *writer) report(err error) {
	if err == nil {
		if w.failures > 0 {
			w.log.Infof("snapshot: written again after %s", time.Since(w.since).Round(time.Second))
		}
		w.failures, w.problem = 0, ""
		return
	}
	if w.failures == 0 {
		w.since = time.Now()
	}
	w.failures++
	if text := err.Error(); text != w.problem {
		w.problem = text
		w.log.Errorf("snapshot: cannot write %s: %v; it is tried again", w.path, err)
	}
}
