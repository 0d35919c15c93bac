package kubeapi

import (
	"context"
	"sync"
)

// Source is where objects come from: an API server, or files. It begins to read when the
// first sink joins it, and ends for good when the last one has left.
type Source struct {
	config   *Config
	identity identity
	reader   reader
	feed     *feed

	mu     sync.Mutex // protects following
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of it runs any more
	ended  bool
}

// reader fills the stores of a feed until ctx ends.
type reader interface {
	run(ctx context.Context)
}

// New makes the source that the configuration asks for. It reads local files, and
// fails where they cannot be used, but does not yet speak to an API server.
func New(c Config) (*Source, error) {
	f := &feed{}
	s := &Source{config: &c, feed: f, done: make(chan struct{})}
	var err error
	if len(c.Manifests) > 0 {
		s.reader, s.identity, err = newManifests(&c, f)
	} else {
		s.reader, s.identity, err = newWatcher(&c, f)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Same tells whether o reads the same, from the same place, with the same credentials.
func (s *Source) Same(o *Source) bool { return s.identity.same(o.identity) }

// Restore tells, before the first sink joins, what was known earlier. It holds, as far as
// it is about what is read here, until the source knows better.
func (s *Source) Restore(objects []*Object) { s.feed.restore(objects) }

// Objects returns all objects as of now, in no order. Known reports whether these are all that
// there were at some time.
func (s *Source) Objects() (objects []*Object, known bool) { return s.feed.all() }

// Touch lets all sinks have a look, though nothing has changed here: what one of them makes of it has.
func (s *Source) Touch() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.apply(nil)
}

// Join tells sink what there is, and from then on how it changes. It is false if the
// source has ended.
func (s *Source) Join(sink Sink) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.feed.join(sink)
	if s.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		s.cancel = cancel
		go func() {
			defer close(s.done)
			s.reader.run(ctx)
		}()
	}
	return true
}

// Leave lets a sink that has joined go: it is told nothing more. The channel is closed when
// nothing runs any more on its behalf.
func (s *Source) Leave(sink Sink) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed.leave(sink) > 0 || s.cancel == nil {
		return closed
	}
	s.ended = true
	s.cancel()
	return s.done
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
