package kubeapi

import "sync"

// Versions are the numbers of the states that one or more feeds have been in. Mostly that is
// the version of the change that has led to a state, which is the same wherever the change is
// seen; but a later state always has a greater number.
type Versions struct {
	mu   sync.Mutex
	last uint64
}

// The least versions that are nanoseconds and microseconds since 1970, not counts: etcd would
// have to count for centuries to get there.
const (
	leastNanoseconds  = 1 << 58
	leastMicroseconds = 1 << 48
)

// maxStep is the most that a serial can grow by at a time.
const maxStep = 1<<31 - 1

// ordinal is a version as it is counted: where an API server takes the time for versions, as
// some clouds' do, in units of about 16 ms. Serials have 32 bits only, which nanoseconds would
// go through every four seconds.
func ordinal(version uint64) uint64 {
	switch {
	case version >= leastNanoseconds:
		return version >> 24
	case version >= leastMicroseconds:
		return version >> 14
	}
	return version
}

// AtLeast lets all numbers to come be greater than version.
func (v *Versions) AtLeast(version uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = max(v.last, version)
}

// Last is the greatest number so far.
func (v *Versions) Last() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// next is the number of a state that has come after all others. A version that is not the
// newest, as with several namespaces or after an etcd was restored, or that is not known,
// cannot tell it from these. No step is so large that a serial would count it as one back
// (RFC 1982): the versions that are left out then are caught up with by later changes.
func (v *Versions) next(version uint64) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = max(v.last+1, min(version, v.last+maxStep))
	return v.last
}

// CountWith lets what s knows have a number of its own among all that count with v: of what
// is shown together, the greatest number tells every change.
func (s *Source) CountWith(v *Versions) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	v.AtLeast(f.version)
	f.versions = v
}

// Version is what sinks have been told last.
func (s *Source) Version() uint64 {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.feed.version
}

// StartAfter lets the versions of s, which has no sink yet, go on from one that somebody may
// have seen.
func (s *Source) StartAfter(version uint64) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.begin(version)
}

// Advance gives what s knows a new version: it is shown in another way from now on.
func (s *Source) Advance() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apply(nil, 0)
}
