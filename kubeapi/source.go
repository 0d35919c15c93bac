package kubeapi

import (
	"context"
	"sync"
)

// Source has the objects of an API server, or of files. It begins to read when the
// first sink joins it, and ends for good when the last one has left.
type Source struct {
	config   *Config
	identity identity
	run      func(ctx context.Context) // fills the stores of the feed until ctx ends
	feed     *feed

	mu     sync.Mutex // protects following
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of it runs any more
	ended  bool
}

// New returns a source that watches an API server. It reads local files, and
// fails where they cannot be used, but does not yet speak to the API server.
func New(c Config) (*Source, error) {
	f := &feed{partial: c.Partial}
	w, id, err := newWatcher(&c, f)
	if err != nil {
		return nil, err
	}
	return newSource(&c, id, w.run, f), nil
}

// NewSource returns a source of objects that read gets from elsewhere, such as from files. Read calls
// replace with all objects, first when it begins and again whenever they have changed, until ctx ends.
// Of objects with the same name, the last one counts. The place tells such sources apart.
func NewSource(c Config, place string, read func(ctx context.Context, replace func([]*Object))) *Source {
	f := &feed{}
	s := f.newStore(NewShrinker(&c), "")
	run := func(ctx context.Context) {
		read(ctx, func(objects []*Object) {
			all := make(catalog)
			for _, o := range objects {
				all.put(entry{o, o.Version})
			}
			s.fill(all, nil)
		})
	}
	return newSource(&c, newIdentity(&c, place, c.Namespaces), run, f)
}

func newSource(c *Config, id identity, run func(ctx context.Context), f *feed) *Source {
	return &Source{config: c, identity: id, run: run, feed: f, done: make(chan struct{})}
}

// Origin describes what the source reads.
func (s *Source) Origin() Origin { return s.identity.origin }

// Same reports whether o reads the same, from the same place, with the same credentials.
func (s *Source) Same(o *Source) bool { return s.identity.same(o.identity) }

// Objects returns all objects as of now, in no order. Known reports whether these are all that
// there were at some time.
func (s *Source) Objects() (objects []*Object, known bool) { return s.feed.all() }

// Touch calls Apply of all sinks without a change, for a sink whose own state has changed.
func (s *Source) Touch() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.apply(nil)
}

// Join tells sink of all objects, and from then on how they change. It returns false if the
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
			s.run(ctx)
		}()
	}
	return true
}

// Leave ends what Join began: sink is told nothing more. The channel is closed when
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
