package fakeapi

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// each calls f for the open watches that match, under the lock.
func (s *Server) each(only []Match, f func(*watcher)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		if matchAll(w.request, only) {
			f(w)
		}
	}
}

// Bookmark sends a bookmark with the newest resource version to the open watches that asked for bookmarks.
func (s *Server) Bookmark(only ...Match) {
	s.each(only, func(w *watcher) {
		if w.bookmarks {
			w.push(frame{event: watch.Event{Type: watch.Bookmark, Object: w.kind.bookmark(s.store.version)}})
		}
	})
}

// Send sends any event to the open watches: an unknown type, an object of a wrong or unknown kind (such as an
// unstructured.Unstructured), an Error with a metav1.Status, a repetition. Nothing is stored.
func (s *Server) Send(eventType watch.EventType, obj runtime.Object, only ...Match) {
	if obj != nil {
		obj = obj.DeepCopyObject()
		if gvks, _, err := scheme.ObjectKinds(obj); err == nil {
			obj.GetObjectKind().SetGroupVersionKind(gvks[0])
		}
	}
	s.each(only, func(w *watcher) { w.push(frame{event: watch.Event{Type: eventType, Object: obj}}) })
}

// SendRaw writes bytes into the open watches' streams as they are, without any framing.
func (s *Server) SendRaw(raw []byte, only ...Match) {
	raw = append([]byte{}, raw...)
	s.each(only, func(w *watcher) { w.push(frame{raw: raw}) })
}

// EndWatches ends the open watches in good order, as a server does after their time-out. What is queued is still sent.
func (s *Server) EndWatches(only ...Match) {
	s.each(only, func(w *watcher) {
		w.push(frame{end: true})
		delete(s.watches, w)
		s.announce()
	})
}

// Cut closes the connections of the open watches abruptly, in the middle of the stream. Over HTTP/2 everything else on
// the same connection is lost too.
func (s *Server) Cut(only ...Match) {
	s.each(only, func(w *watcher) {
		if w.conn != nil {
			_ = w.conn.Close() // a connection that is gone already is as good
		}
		s.drop(w)
	})
}
