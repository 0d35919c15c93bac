package kubeapi

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is for what happens soon, on a machine that is slow.
const patience = 30 * time.Second

// eventually polls until ok; got tells how far it came.
func eventually(t *testing.T, poll func() (ok bool, got string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, got := poll()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", patience, got)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// recordingLog keeps what is logged, as "LEVEL text".
type recordingLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *recordingLog) add(level, format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+fmt.Sprintf(format, v...))
}

func (l *recordingLog) Debugf(format string, v ...any)   { l.add("DEBUG", format, v...) }
func (l *recordingLog) Infof(format string, v ...any)    { l.add("INFO", format, v...) }
func (l *recordingLog) Warningf(format string, v ...any) { l.add("WARNING", format, v...) }
func (l *recordingLog) Errorf(format string, v ...any)   { l.add("ERROR", format, v...) }

// said gives the lines for the operator: all but debugging.
func (l *recordingLog) said() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.lines), func(line string) bool { return strings.HasPrefix(line, "DEBUG ") })
}

// matches tells whether the lines are as many as wants, and each holds all words of its
// want, which are separated by |.
func matches(lines, wants []string) bool {
	return slices.EqualFunc(lines, wants, func(line, want string) bool {
		for word := range strings.SplitSeq(want, "|") {
			if !strings.Contains(line, word) {
				return false
			}
		}
		return true
	})
}

func (l *recordingLog) want(t *testing.T, wants ...string) {
	t.Helper()
	if got := l.said(); !matches(got, wants) {
		t.Errorf("log:\nwant %q\n got %q", wants, got)
	}
}

func (l *recordingLog) eventually(t *testing.T, wants ...string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		got := l.said()
		return matches(got, wants), fmt.Sprintf("log:\nwant %q\n got %q", wants, got)
	})
}

// recordingMonitor keeps what a source tells of itself.
type recordingMonitor struct {
	mu       sync.Mutex
	heard    int
	ended    []string
	requests []string // as "VERB CODE"
}

func (m *recordingMonitor) Heard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard++
}

func (m *recordingMonitor) Requested(verb string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, fmt.Sprintf("%s %d", verb, code))
}

// requested gives the requests so far.
func (m *recordingMonitor) requested() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

func (m *recordingMonitor) WatchEnded(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = append(m.ended, reason)
}

func (m *recordingMonitor) SnapshotWritten(error) {}

func (m *recordingMonitor) timesHeard() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard
}

// reasons gives those of the watches that have ended so far.
func (m *recordingMonitor) reasons() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ended)
}

func (m *recordingMonitor) want(t *testing.T, want ...string) {
	t.Helper()
	if got := m.reasons(); !slices.Equal(got, want) {
		t.Errorf("reasons of watches that ended:\nwant %q\n got %q", want, got)
	}
}

// batch is one call of Apply.
type batch struct{ changes []Change }

// recordingSink keeps what a source tells, and whether that made sense.
type recordingSink struct {
	mu       sync.Mutex
	batches  []batch
	objects  map[key]*Object
	synced   int
	restored int
	fewest   int // objects at any time since reset
	faults   []string
}

func newSink(t *testing.T) *recordingSink {
	t.Helper()
	s := &recordingSink{objects: make(map[key]*Object)}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.faults) > 0 {
			t.Errorf("changes that do not follow from those before: %q", s.faults)
		}
	})
	return s
}

func (s *recordingSink) Apply(changes []Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, batch{changes})
	for _, c := range changes {
		o := c.New
		if o == nil {
			o = c.Old
		}
		k := key{o.Namespace, o.Name}
		if known := s.objects[k]; known != c.Old && (c.New != nil || known == nil) { // a removal may tell more
			s.faults = append(s.faults, fmt.Sprintf("%v: old %+v, known %+v", k, c.Old, s.objects[k]))
		}
		if c.New == nil {
			delete(s.objects, k)
		} else {
			s.objects[k] = c.New
		}
	}
	s.fewest = min(s.fewest, len(s.objects))
}

func (s *recordingSink) Restored() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored++
}

func (s *recordingSink) Synced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced++
}

// reset forgets how it came so far.
func (s *recordingSink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches, s.fewest = nil, len(s.objects)
}

// calls gives the calls of Apply since reset.
func (s *recordingSink) calls() []batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// members gives what is known now, as "namespace/name address,address".
func (s *recordingSink) members() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := make([]string, 0, len(s.objects))
	for k, o := range s.objects {
		addresses := make([]string, 0, len(o.Members))
		for _, m := range o.Members {
			addresses = append(addresses, m.Address.String())
		}
		texts = append(texts, fmt.Sprintf("%s/%s %s", k.namespace, k.name, strings.Join(addresses, ",")))
	}
	slices.Sort(texts)
	return texts
}

func (s *recordingSink) want(t *testing.T, want ...string) {
	t.Helper()
	if got := s.members(); !slices.Equal(got, want) {
		t.Errorf("members:\nwant %q\n got %q", want, got)
	}
}

// eventually waits for the first sync and for just these members.
func (s *recordingSink) eventually(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		got := s.members()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.synced > 0 && slices.Equal(got, want), fmt.Sprintf("members, synced %d times:\nwant %q\n got %q", s.synced, want, got)
	})
}

func (s *recordingSink) wantRestored(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restored != want {
		t.Errorf("restored: want %d times, got %d", want, s.restored)
	}
}

func (s *recordingSink) wantSynced(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced != want {
		t.Errorf("synced: want %d times, got %d", want, s.synced)
	}
}

// describe shows changes in the order of their names: "+ns/name", "-ns/name", "ns/name".
func describe(changes []Change) []string {
	texts := make(map[string]bool)
	for _, c := range changes {
		switch {
		case c.Old == nil:
			texts["+"+c.New.Namespace+"/"+c.New.Name] = true
		case c.New == nil:
			text := "-" + c.Old.Namespace + "/" + c.Old.Name
			if len(c.Old.Members) > 0 && c.Old.Members[0].Terminating {
				text += " ended"
			}
			texts[text] = true
		default:
			texts[c.New.Namespace+"/"+c.New.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(texts))
}

// meta reads "namespace/name" and labels as key=value.
func meta(name string, labels ...string) metav1.ObjectMeta {
	namespace, name, _ := strings.Cut(name, "/")
	m := metav1.ObjectMeta{Namespace: namespace, Name: name}
	for _, label := range labels {
		k, v, _ := strings.Cut(label, "=")
		metav1.SetMetaDataLabel(&m, k, v)
	}
	return m
}

// newPod is a running pod.
func newPod(name, address string, labels ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name, labels...), Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address}}
	if address != "" {
		p.Status.PodIPs = []corev1.PodIP{{IP: address}}
	}
	return p
}

// newSlice has an endpoint for each address.
func newSlice(name string, addresses ...string) *discoveryv1.EndpointSlice {
	e := &discoveryv1.EndpointSlice{ObjectMeta: meta(name, "app=shop"), AddressType: discoveryv1.AddressTypeIPv4}
	for _, address := range addresses {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
	}
	return e
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// start runs a source until stop is called, or the test ends.
func start(t *testing.T, source *Source, sink Sink) (stop func()) {
	t.Helper()
	if !source.Join(sink) {
		t.Fatal("the source has ended")
	}
	stop = func() { <-source.Leave(sink) }
	t.Cleanup(stop)
	return stop
}

// storeFor is a store that tells a sink.
func storeFor(s shrinker, sink Sink) *store {
	f := &feed{}
	st := f.newStore(s, "")
	f.join(sink)
	return st
}
