package kubeapi

import (
	"context"
	"time"
)

// Snapshot keeps what a source knows in a file, for a start while the source cannot be read.
// Its methods are not safe for concurrent use.
type Snapshot struct {
	source *Source
	file   *snapshotFile
	writer *snapshotWriter

	cancel context.CancelFunc // nil if it is not being written
	done   chan struct{}      // of the last start
}

// Snapshot is one of what s reads, and of suspects, in a file that nobody else may write.
func (s *Source) Snapshot(path string, suspects func() []Suspects) *Snapshot {
	file := newSnapshotFile(s.config, path, s.identity.origin)
	list := func() *snapshot {
		objects, _ := s.Objects()
		return &snapshot{objects: objects, suspects: suspects()}
	}
	return &Snapshot{source: s, file: file, writer: newSnapshotWriter(file, list, s.config.monitor())}
}

// Restore lets the source, which nobody follows yet, start with what the file knows, and returns
// the suspects in it, and when it was written. It is false, and says in the log why, if that cannot be
// used. A disk that hangs is not waited for any longer than the limit.
func (n *Snapshot) Restore(limit time.Duration) (suspects []Suspects, written time.Time, ok bool) {
	type loaded struct {
		*snapshot
		ok bool
	}
	result := make(chan loaded, 1)
	go func() {
		s, ok := n.file.load()
		result <- loaded{s, ok}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case l := <-result:
		if !l.ok {
			return nil, time.Time{}, false
		}
		n.source.Restore(l.objects)
		return l.suspects, l.written, true
	case <-timer.C:
		n.file.log.Warningf("snapshot: %s cannot be read within %s; it is not used", n.file.path, limit)
		return nil, time.Time{}, false
	}
}

// Start writes the file from now on, whenever something has changed, once the source has
// been read.
func (n *Snapshot) Start() {
	if n.cancel != nil || !n.source.Join(n.writer) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	before, done := n.done, make(chan struct{})
	n.cancel, n.done = cancel, done
	go func() {
		defer close(done)
		if before != nil {
			<-before // a disk may have kept it
		}
		n.writer.run(ctx)
	}()
}

// Stop ends what Start began, for ever or to be started again. With flush, what has not been
// written yet is, which ends with ctx. So does the waiting for a disk that hangs, which is false.
func (n *Snapshot) Stop(ctx context.Context, flush bool) (ended bool) {
	if n.cancel == nil {
		return true
	}
	n.cancel()
	n.cancel = nil
	n.source.Leave(n.writer)
	done := make(chan struct{})
	running := n.done
	go func() {
		defer close(done)
		<-running
		if flush {
			n.writer.flush(ctx)
		}
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
