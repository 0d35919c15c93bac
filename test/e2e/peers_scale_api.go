package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// madeUp is an API server with more pods than a real one could hold here: it makes each up as it sends it. It knows one
// request, the watch that begins with all that there is.
type madeUp struct {
	apps     int
	together int // pods of an app
	info     runtime.SerializerInfo
	encoder  runtime.Encoder
	listener net.Listener
	server   *http.Server
	moves    chan move

	mu      sync.Mutex // protects version
	version int
}

// move gives a pod another address.
type move struct {
	pod int
	to  netip.Addr
}

// scaleNamespace has all of them.
const scaleNamespace = "prod"

func newMadeUp(b *bed, apps, together int) (*madeUp, error) {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		return nil, fmt.Errorf("no %s", runtime.ContentTypeProtobuf)
	}
	l, err := b.plane.listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &madeUp{
		apps: apps, together: together, listener: l, version: 1, moves: make(chan move),
		info: info, encoder: scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion),
	}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	go func() { _ = m.server.Serve(l) }() // until it is closed
	return m, nil
}

func (m *madeUp) close() { m.server.Close() }

func (m *madeUp) app(pod int) string { return fmt.Sprintf("app-%d", pod/m.together) }

func (m *madeUp) address(pod int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(pod >> 16), byte(pod >> 8 & 255), byte(pod & 255)}) //nolint:gosec // they are fewer than 2²⁴
}

// ServeHTTP serves a watch until its client ends it.
func (m *madeUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/namespaces/"+scaleNamespace+"/pods" || r.FormValue("watch") != "true" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", m.info.MediaType+";stream=watch")
	s := &madeUpStream{madeUp: m, w: w}
	if r.FormValue("sendInitialEvents") == "true" {
		for i := 0; i < m.apps*m.together && s.err == nil; i++ {
			s.send("ADDED", m.pod(i, m.address(i)))
		}
		s.bookmark(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	for s.err == nil {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Second): // or it would seem dead
			s.bookmark(nil)
		case c := <-m.moves:
			s.send("MODIFIED", m.pod(c.pod, c.to))
		}
	}
}

// pod has what is read of one, and little more.
func (m *madeUp) pod(i int, address netip.Addr) *corev1.Pod {
	m.mu.Lock()
	m.version++
	version := m.version
	m.mu.Unlock()
	name := fmt.Sprintf("%s-7d4b9c6f5-%05d", m.app(i), i%m.together)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: scaleNamespace, Name: name, UID: types.UID(name), ResourceVersion: strconv.Itoa(version), Labels: app(m.app(i)),
		},
		Spec: podSpec(), Status: statusOf([]netip.Addr{address}, true),
	}
}

// madeUpStream writes events until there is an error.
type madeUpStream struct {
	*madeUp
	w   http.ResponseWriter
	err error
}

func (s *madeUpStream) bookmark(annotations map[string]string) {
	s.mu.Lock()
	version := s.version
	s.mu.Unlock()
	s.send("BOOKMARK", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.Itoa(version), Annotations: annotations}})
}

func (s *madeUpStream) send(kind string, pod *corev1.Pod) {
	if s.err != nil {
		return
	}
	var raw []byte
	if raw, s.err = runtime.Encode(s.encoder, pod); s.err != nil {
		return
	}
	event := &metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}
	s.err = s.info.StreamSerializer.Encode(event, s.info.StreamSerializer.NewFrameWriter(s.w))
}
