// Package snapshot keeps the last known members of a source in a file, for a start while the source
// cannot be read.
package snapshot

import (
	"context"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// Snapshot is a file with the objects of a source and the suspects of a sink. Its methods are not safe for
// concurrent use.
type Snapshot struct {
	source *kubeapi.Source
	file   *file
	writer *writer

	cancel context.CancelFunc // nil if it is not being written
	done   chan struct{}      // of the last start
}

// New returns a snapshot in the file c.Snapshot, which nothing else may write. The source reads as c says.
func New(c *kubeapi.Config, source *kubeapi.Source, suspects func() []kubeapi.Suspects) *Snapshot {
	f := newFile(c, source.Origin())
	list := func() *contents {
		objects, _ := source.Objects()
		return &contents{objects: objects, suspects: suspects()}
	}
	return &Snapshot{source: source, file: f, writer: newWriter(f, list, c.Monitor)}
}

// Restore fills the source, which has no sink yet, with the objects of the file, and returns the suspects
// in it and by when the last of it had changed. If the file cannot be used, it logs why and returns false. It waits for a
// disk that hangs no longer than the limit.
func (s *Snapshot) Restore(limit time.Duration) (suspects []kubeapi.Suspects, changed time.Time, ok bool) {
	loaded := make(chan *contents, 1)
	go func() { loaded <- s.file.load() }()
	select {
	case c := <-loaded:
		if c == nil {
			return nil, time.Time{}, false
		}
		s.source.Restore(c.objects)
		return c.suspects, c.changed, true
	case <-time.After(limit):
		s.file.log.Warningf("snapshot: %s cannot be read within %s; it is not used", s.file.path, limit)
		return nil, time.Time{}, false
	}
}

// Start writes the file from now on, whenever something has changed, once the source has
// been read.
func (s *Snapshot) Start() {
	if s.cancel != nil || !s.source.Join(s.writer) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	before, done := s.done, make(chan struct{})
	s.cancel, s.done = cancel, done
	go func() {
		defer close(done)
		if before != nil {
			<-before // a disk may have kept it
		}
		s.writer.run(ctx)
	}()
}

// Stop ends what Start began, for ever or to be started again. With flush, it writes changes that have
// not been written yet, until ctx ends. It returns false if a disk hangs for that long.
func (s *Snapshot) Stop(ctx context.Context, flush bool) (ended bool) {
	if s.cancel == nil {
		return true
	}
	s.cancel()
	s.cancel = nil
	s.source.Leave(s.writer)
	done := make(chan struct{})
	running := s.done
	go func() {
		defer close(done)
		<-running
		if flush {
			s.writer.flush(ctx)
		}
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
