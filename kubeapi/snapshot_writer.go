package kubeapi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	snapshotPause    = time.Second // between two writes, at least
	snapshotMaxPause = time.Minute // between two tries while writing fails
	// snapshotShare is how many times longer than a write the pause after it is: however
	// much there is to write, it takes no more than a small part of a core.
	snapshotShare = 20
	// snapshotLongPause is for a write that took so long that it was not for the work.
	snapshotLongPause = 5 * time.Minute
)

// snapshotWriter keeps a file up to date with a source that it follows. Nothing is written
// before the source is synced: what is on disk may be all that there is.
type snapshotWriter struct {
	path    string
	write   func(context.Context, *snapshot) error
	list    func() *snapshot
	log     Logger
	monitor Monitor

	synced atomic.Bool
	dirty  chan struct{} // has an element if there is something to write

	// following belong to whoever calls run and flush
	problem  string    // as last logged
	since    time.Time // when writing began to fail
	failures int       // in a row
}

var _ Sink = (*snapshotWriter)(nil)

// newSnapshotWriter writes what list gives, which has to know of a change before Apply is
// told.
func newSnapshotWriter(f *snapshotFile, list func() *snapshot, monitor Monitor) *snapshotWriter {
	return &snapshotWriter{
		path: f.path, write: f.write, list: list, log: f.log, monitor: monitor,
		dirty: make(chan struct{}, 1),
	}
}

// Apply implements Sink.
func (w *snapshotWriter) Apply([]Change) {
	if w.synced.Load() {
		w.mark()
	}
}

// Restored implements Sink.
func (w *snapshotWriter) Restored() {}

// Synced implements Sink.
func (w *snapshotWriter) Synced() {
	w.synced.Store(true)
	w.mark()
}

func (w *snapshotWriter) mark() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// run writes after changes until ctx ends, with which a write is given up that has not come
// to its end. It may be called again, to go on from there. A disk that hangs keeps it from
// returning.
func (w *snapshotWriter) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
		}
		pause := time.NewTimer(w.try(ctx))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// flush writes what has changed since the last write, if anything has, unless ctx ends
// before. It is for the end, after run has returned.
func (w *snapshotWriter) flush(ctx context.Context) {
	select {
	case <-w.dirty:
		w.try(ctx)
	default:
	}
}

// try writes once, and tells how long to wait before the next time.
func (w *snapshotWriter) try(ctx context.Context) time.Duration {
	start := time.Now()
	s := w.list()
	s.objects = slices.SortedFunc(slices.Values(s.objects), compareNames)
	s.written = start.UTC().Truncate(time.Second)
	err := w.write(ctx, s)
	if err != nil {
		w.mark()
		if ctx.Err() != nil {
			return 0 // it was us who gave up
		}
	}
	w.report(err)
	w.monitor.SnapshotWritten(err)
	pause := max(snapshotPause, min(snapshotShare*time.Since(start), snapshotLongPause))
	if w.failures > 0 {
		pause = max(pause, min(snapshotPause<<min(w.failures-1, 10), snapshotMaxPause))
	}
	return pause
}

// report logs a problem that is new, and the end of one.
func (w *snapshotWriter) report(err error) {
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

func compareNames(a, b *Object) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
