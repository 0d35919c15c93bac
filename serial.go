package longnames

import (
	"sync"
	"time"
)

// serial is a zone's, as RFC 1982 counts: the second in which the zone last changed. A change in
// the second of the last serial gets the next one once that second is over, so that no secondary
// misses it, and no serial is ahead of the clock, unless that is set back: then it grows by one.
type serial struct {
	mu     sync.Mutex // protects following
	last   uint32
	second int64 // that it stands for, since 1970; 0 if there is none yet
	more   bool  // the zone has changed in that second again
	// restored is when the newest snapshot had changed that was all there was at the start.
	restored int64
}

// serials are those of zones by name. A reload goes on with them, so that none goes back.
type serials struct{ sync.Map }

func (s *serials) of(zone string) *serial {
	found, _ := s.LoadOrStore(zone, &serial{})
	return found.(*serial)
}

// restore sets the serial to the time at which a snapshot had last changed, so that old content does not look
// newer than what others have.
func (s *serial) restore(changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := changed.Unix(); s.second <= s.restored {
		s.restored = max(s.restored, second)
		s.second, s.last = s.restored, uint32(s.restored) //nolint:gosec // the low bits: that is how serials count
	}
}

// change notes that the zone has changed.
func (s *serial) change(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	if second := now.Unix(); second == s.second {
		s.more = true
	} else {
		s.next(second)
	}
}

// at returns the serial.
func (s *serial) at(now time.Time) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settle(now); s.second == 0 {
		s.next(now.Unix())
	}
	return s.last
}

// due returns how long it takes until the serial tells of all changes.
func (s *serial) due(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settle(now); !s.more {
		return 0
	}
	return now.Truncate(time.Second).Add(time.Second).Sub(now)
}

// settle gives a second change within one second the next serial, once that second is over. The time of a
// question does not matter.
func (s *serial) settle(now time.Time) {
	if s.more && now.Unix() != s.second {
		s.next(s.second + 1)
	}
}

// next moves the serial on to a second, or at least by one.
func (s *serial) next(second int64) {
	next := uint32(second) //nolint:gosec // the low bits: that is how serials count
	if s.second != 0 {
		next = newest(s.last+1, next)
	}
	s.last, s.second, s.more = next, second, false
}

// newer reports whether a is the newer one of two serials (RFC 1982, section 3.2).
func newer(a, b uint32) bool { return int32(a-b) > 0 } //nolint:gosec // serial arithmetic

// newest returns the newer one of two serials.
func newest(a, b uint32) uint32 {
	if newer(b, a) {
		return b
	}
	return a
}
