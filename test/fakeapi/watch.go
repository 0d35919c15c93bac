package fakeapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one open watch. Its fields but pending do not change.
type watcher struct {
	selection
	request   Request
	bookmarks bool
	after     uint64 // the client knows the changes up to here
	conn      *conn
	pending   []frame       // guarded by Server.mu; unbounded, so that no slow client blocks a test
	wake      chan struct{} // holds one token while pending may have grown
	cut       chan struct{} // closed when dropped
}

// frame is what is written to a stream at once: an event, raw bytes, or the stream's end.
type frame struct {
	event watch.Event
	raw   []byte
	end   bool
}

// open registers a watch and queues what its client has missed, in one step: no change falls in between.
func (s *Server) open(r *http.Request, rt route, opts *internalversion.ListOptions) *watcher {
	w := &watcher{
		selection: rt.selection(opts),
		request:   rt.request,
		bookmarks: opts.AllowWatchBookmarks,
		wake:      make(chan struct{}, 1),
		cut:       make(chan struct{}),
	}
	w.conn, _ = r.Context().Value(connKey{}).(*conn)

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.replay(w, opts); err != nil {
		// The real one fails a watch inside of the stream too, once it has understood the request.
		w.push(frame{event: watch.Event{Type: watch.Error, Object: statusOf(err)}}, frame{end: true})
		return w
	}
	s.watches[w] = struct{}{}
	s.opened = append(s.opened, w.request)
	s.announce()
	return w
}

// replay queues the present objects or the changes since the version that the client has.
func (s *Server) replay(w *watcher, opts *internalversion.ListOptions) error {
	version, err := parseVersion(opts.ResourceVersion)
	if err != nil {
		return err
	}
	asked := opts.SendInitialEvents != nil
	initial := asked && *opts.SendInitialEvents || !asked && version == 0 // unasked at version 0: as ever before WatchList
	switch {
	case initial && version > s.store.version:
		return tooLarge(version, s.store.version)
	case initial:
		now := s.store.objects[w.kind]
		for _, key := range slices.Sorted(maps.Keys(now)) {
			if w.matches(now[key]) {
				w.push(frame{event: watch.Event{Type: watch.Added, Object: now[key]}})
			}
		}
		if asked && w.bookmarks {
			end := w.kind.bookmark(s.store.version)
			end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
			w.push(frame{event: watch.Event{Type: watch.Bookmark, Object: end}})
		}
		w.after = s.store.version
	case version == 0:
		w.after = s.store.version
	case version < s.store.compacted:
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", version, s.store.compacted))
	default:
		w.after = version
		for _, c := range s.store.since(version) {
			w.offer(c)
		}
	}
	return nil
}

func (s *Server) dispatch(c change) {
	for w := range s.watches {
		w.offer(c)
	}
}

// offer queues a change as the watch's selectors show it: an object that leaves the selection is deleted, one that
// enters it is added.
func (w *watcher) offer(c change) {
	if c.kind != w.kind || c.version <= w.after {
		return
	}
	was, is := c.before != nil && w.matches(c.before), c.after != nil && w.matches(c.after)
	switch {
	case is && was:
		w.push(frame{event: watch.Event{Type: watch.Modified, Object: c.after}})
	case is:
		w.push(frame{event: watch.Event{Type: watch.Added, Object: c.after}})
	case was:
		last := c.before.DeepCopyObject().(object)
		last.SetResourceVersion(format(c.version))
		w.push(frame{event: watch.Event{Type: watch.Deleted, Object: last}})
	}
}

// push needs Server.mu, or a watcher that is not registered yet.
func (w *watcher) push(frames ...frame) {
	w.pending = append(w.pending, frames...)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (s *Server) take(w *watcher) []frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames := w.pending
	w.pending = nil
	return frames
}

// drop needs s.mu. The stream breaks without an end.
func (s *Server) drop(w *watcher) {
	if _, open := s.watches[w]; open {
		delete(s.watches, w)
		close(w.cut)
		s.announce()
	}
}

var errEnd = errors.New("end of stream")

// stream writes what is queued until either side has had enough.
func (s *Server) stream(rw http.ResponseWriter, r *http.Request, enc encoding, w *watcher, timeoutSeconds *int64) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(w)
	}()
	var timeout <-chan time.Time
	if timeoutSeconds != nil && *timeoutSeconds > 0 {
		timer := time.NewTimer(time.Duration(*timeoutSeconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C
	}
	rw.Header().Set("Content-Type", enc.streamType())
	rw.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(rw).Flush
	if flush() != nil {
		return
	}
	for {
		select {
		case <-w.wake:
		case <-w.cut:
			panic(http.ErrAbortHandler) // the only way to leave without a proper end
		case <-r.Context().Done():
			return
		case <-timeout:
			return
		}
		for _, f := range s.take(w) {
			if enc.writeFrame(rw, f) != nil {
				return
			}
		}
		if flush() != nil {
			return
		}
	}
}

// statusOf is the body that tells of an error.
func statusOf(err error) runtime.Object {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	body := status.Status()
	body.SetGroupVersionKind(metav1.Unversioned.WithKind("Status"))
	return &body
}
