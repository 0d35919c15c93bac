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

// shortestWatch keeps a server that ends its watches again and again from being flooded.
const shortestWatch = time.Second

// stream is a watch as the reflector sees it. It ends when it is not to be believed any
// more, and reports why.
type stream struct {
	*listWatch

	ctx     context.Context // ends with the source, and at Stop
	cancel  context.CancelFunc
	tracker *requestTracker
	options metav1.ListOptions // that it was asked with
	source  watch.Interface
	events  chan watch.Event

	opened  time.Time
	initial bool   // objects of before the watch may still come, in no order
	newest  uint64 // version seen
	useful  bool   // an event came, or the watch has been open for a while
	steady  bool   // events have come for longer than a silence takes
}

func newStream(ctx context.Context, l *listWatch, t *requestTracker, o metav1.ListOptions, source watch.Interface) *stream {
	s := &stream{
		listWatch: l, tracker: t, options: o, source: source, events: make(chan watch.Event), opened: time.Now(),
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
	s.tracker.end()
	s.source.Stop()
}

// isList reports whether the stream begins with a complete list.
func (s *stream) isList() bool { return s.options.SendInitialEvents != nil }

// isShort reports whether some of that list is still missing.
func (s *stream) isShort() bool { return s.isList() && s.initial }

func (s *stream) run() {
	defer close(s.events)
	defer s.Stop()
	err := s.forward()
	if ended := s.tracker.err(); errors.Is(ended, errSilent) {
		err = untrustedWatch{ended}
	} else if ended != nil {
		return // the source stops, or the reflector stops the stream
	}
	var lost unreachable
	switch {
	case s.useful && errors.Is(err, errClosed):
		s.monitor.WatchEnded(WatchClosed)
		s.pause()
		return // the reflector goes on from there, at once
	case s.useful && errors.As(err, &lost):
		s.monitor.WatchEnded(WatchUnreachable)
		s.pause()
		s.send(watch.Event{Type: watch.Error, Object: status(s.relistAfter(err))})
		return
	}
	s.send(watch.Event{Type: watch.Error, Object: status(s.watchEnded(&s.options, s.isShort(), err))})
}

// pause waits until the stream has lasted for shortestWatch.
func (s *stream) pause() {
	if time.Since(s.opened) >= shortestWatch {
		return
	}
	select {
	case <-time.After(shortestWatch):
	case <-s.ctx.Done():
	}
}

// forward passes events on, up to one that is an error or not to be believed.
func (s *stream) forward() error {
	settled := time.NewTimer(s.times.settle)
	defer settled.Stop()
	for {
		select {
		case <-s.tracker.ctx.Done():
			return s.tracker.err()
		case <-settled.C:
			if !s.isShort() {
				s.useful = true
				s.outages.observe(s.watching(), nil)
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

// hear takes an event for a sign of life.
func (s *stream) hear() {
	s.monitor.Heard()
	if !s.steady && time.Since(s.opened) >= s.times.silence {
		s.steady = true
		s.outages.trust(s.watching())
	}
}

// check keeps track of the versions, which grow once all objects of before the watch have come.
// If they do not, the API server is not the one that it was: its etcd has been restored from a backup.
func (s *stream) check(event watch.Event) error {
	about, err := apimeta.Accessor(event.Object)
	if err != nil {
		return nil //nolint:nilerr // the reflector logs it
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
		return untrustedWatch{fmt.Errorf("%w from %d to %d", errBackwards, s.newest, v)}
	}
	s.newest = max(s.newest, v)
	return nil
}

// closed returns how the source came to its end.
func (s *stream) closed() error {
	switch {
	case s.tracker.lost != nil:
		return unreachable{s.tracker.lost}
	case !s.tracker.complete:
		return undecodable{errHalf} // to the decoder, that is the end
	}
	return errClosed
}

// failure returns the error that an event is.
func (s *stream) failure(event watch.Event) error {
	err := apierrors.FromObject(event.Object)
	if junk, ok := apierrors.StatusCause(err, "ClientWatchDecoding"); ok {
		// This is not from the API server, but from the decoder, which has stopped.
		if s.tracker.lost != nil {
			return unreachable{s.tracker.lost}
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

// status returns the object of an event that tells the reflector of err.
func status(err error) *metav1.Status {
	var known *apierrors.StatusError
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	return &known.ErrStatus
}
