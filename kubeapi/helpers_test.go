package kubeapi

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// recordingMonitor keeps all calls.
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

// requested returns the requests so far.
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

// reasons returns those of the watches that have ended so far.
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

// key is the name of an object.
type key struct{ namespace, name string }

// batch is one call of Apply.
type batch struct{ changes []Change }

// recordingSink keeps all calls, and changes that do not follow from those before.
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

// calls returns the calls of Apply since reset.
func (s *recordingSink) calls() []batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// members returns the current ones, as "namespace/name address,address".
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
	kubetest.Eventually(t, func() (bool, string) {
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

// storeFor returns a store with a sink.
func storeFor(s Shrinker, sink Sink) *store {
	f := &feed{}
	st := f.newStore(s, "")
	f.join(sink)
	return st
}
