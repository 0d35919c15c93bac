package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// settleTime is how long a watch has to be open until it counts as a good one: an API
// server that fails often opens it all the same.
const settleTime = 5 * time.Second

// shortestWatch keeps one whose watches are ended again and again from being flooded.
const shortestWatch = time.Second

var (
	errClosed    = errors.New("the watch was closed at once")
	errHalf      = errors.New("an event is shorter than it says")
	errBackwards = errors.New("versions went back")
)

// distrust is why a watch was given up that looked well.
type distrust struct{ error }

func (d distrust) Unwrap() error { return d.error }

// stream is a watch as the reflector sees it. It ends when it is not to be believed any
// more, and reports how it ended.
type stream struct {
	*listWatch

	ctx      context.Context // ends when nobody wants the stream any more
	cancel   context.CancelFunc
	exchange *exchange
	options  metav1.ListOptions // that it was asked with
	source   watch.Interface
	events   chan watch.Event

	opened  time.Time
	initial bool   // objects that there are already may come, in no order
	newest  uint64 // version seen
	useful  bool   // something came of it, or would have
	steady  bool   // it has been heard for longer than a silence takes
}

func newStream(ctx context.Context, l *listWatch, x *exchange, o metav1.ListOptions, source watch.Interface) *stream {
	s := &stream{
		listWatch: l, exchange: x, options: o, source: source, events: make(chan watch.Event), opened: time.Now(),
		newest: version(o.ResourceVersion),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.initial = s.isList() || s.newest == 0
	go s.run()
	return s
}

// ResultChan implements watch.Interface.
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

// Stop implements watch.Interface.
func (s *stream) Stop() {
	s.cancel()
	s.exchange.end()
	s.source.Stop()
}

// isList tells whether the stream begins with a complete list.
func (s *stream) isList() bool { return s.options.SendInitialEvents != nil }

// isShort tells whether some of that list is missing yet.
func (s *stream) isShort() bool { return s.isList() && s.initial }

func (s *stream) run() {
	defer close(s.events)
	defer s.Stop()
	err := s.pass()
	if ended := s.exchange.err(); errors.Is(ended, errSilent) {
		err = distrust{ended}
	} else if ended != nil {
		return // nobody wants it any more
	}
	var lost unreachable
	switch {
	case s.useful && errors.Is(err, errClosed):
		s.monitor.WatchEnded(endReason(err))
		s.rest()
		return // the reflector goes on from there, at once
	case s.useful && errors.As(err, &lost):
		s.monitor.WatchEnded(endReason(err))
		s.rest()
		s.send(watch.Event{Type: watch.Error, Object: status(s.astray(err))})
		return
	}
	s.send(watch.Event{Type: watch.Error, Object: status(s.ended(&s.options, s.isShort(), err))})
}

// rest waits if the stream has lasted no longer than that takes.
func (s *stream) rest() {
	if time.Since(s.opened) >= shortestWatch {
		return
	}
	timer := time.NewTimer(shortestWatch)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// pass passes events on, up to the one that is an error or not to be believed.
func (s *stream) pass() error {
	settled := time.NewTimer(s.times.settle)
	defer settled.Stop()
	for {
		select {
		case <-s.exchange.ctx.Done():
			return s.exchange.err()
		case <-settled.C:
			if !s.isShort() {
				s.useful = true
				s.contact.observe(s.watching(), nil)
			}
		case event, open := <-s.source.ResultChan():
			if !open {
				return s.closed()
			}
			if event.Type == watch.Error {
				return s.failure(event)
			}
			s.hear()
			short := s.isShort()
			if err := s.check(event); err != nil {
				return err
			}
			if short && !s.isShort() {
				settled.Reset(s.times.settle)
			}
			if !s.send(event) {
				return s.ctx.Err()
			}
			s.useful = s.useful || !s.isShort()
		}
	}
}

func (s *stream) send(event watch.Event) bool {
	select {
	case s.events <- event:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// hear takes down that there was an event.
func (s *stream) hear() {
	s.monitor.Heard()
	if !s.steady && time.Since(s.opened) >= s.times.silence {
		s.steady = true
		s.contact.trust(s.watching())
	}
}

// check keeps track of the versions, which grow once the objects have come that there
// were. If they do not, the API server is not the one that it was: its etcd has been
// restored from a backup.
func (s *stream) check(event watch.Event) error {
	about, err := apimeta.Accessor(event.Object)
	if err != nil {
		return nil //nolint:nilerr // the reflector says so
	}
	if s.isList() {
		if event.Type == watch.Bookmark && about.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			s.initial = false
			s.fresh.Store(false)
		}
	} else if event.Type != watch.Added {
		s.initial = false
	}
	if s.initial && event.Type == watch.Added {
		return nil
	}
	v := version(about.GetResourceVersion())
	if v != 0 && v < s.newest {
		return distrust{fmt.Errorf("%w from %d to %d", errBackwards, s.newest, v)}
	}
	s.newest = max(s.newest, v)
	return nil
}

// closed tells how the source came to its end.
func (s *stream) closed() error {
	switch {
	case s.exchange.lost != nil:
		return unreachable{s.exchange.lost}
	case !s.exchange.complete:
		return undecodable{errHalf} // to the decoder, that is the end
	}
	return errClosed
}

// failure is the error that an event tells of.
func (s *stream) failure(event watch.Event) error {
	err := apierrors.FromObject(event.Object)
	if junk, ok := apierrors.StatusCause(err, "ClientWatchDecoding"); ok {
		// Not the API server says this, but the decoder, which has stopped.
		if s.exchange.lost != nil {
			return unreachable{s.exchange.lost}
		}
		return undecodable{errors.New(junk.Message)}
	}
	s.monitor.Heard()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return undecodable{err}
	}
	return err
}

// status is the object of the event that tells the reflector of err.
func status(err error) *metav1.Status {
	var known *apierrors.StatusError
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	return &known.ErrStatus
}
