package longnames

import "time"

// suspect is a member that was listed and no longer would be, though nothing has announced its
// end. It stays listed until it is alive again, leaves or is given up, or until another has its
// name.
type suspect struct {
	node             // of an object that tells of it alone
	reason reason    // why it would not be listed
	since  time.Time // it is suspect; moved on by the time in which few were alive
	from   time.Time // that is the reason
}

// reason is the one for which a member is suspect.
type reason uint8

const (
	failing reason = iota // it is there, but include does not let it in
	missing               // it is gone, or lost its name
	last                  // its end was announced, but nobody else is left
	reasons               // how many there are
)

var reasonNames = [reasons]string{"failing", "missing", "last"}

func (r reason) String() string { return reasonNames[r] }

const (
	// patience is how many times longer than hold a suspect stays at most, and at least while few
	// are alive.
	patience = 10
	// minSuspects is how many suspects any cluster may have.
	minSuspects = 64
)

// pulse has what the deadlines of a cluster's suspects follow from.
type pulse struct {
	alive   int       // members that are listed and not suspect
	most    int       // that were so at once since the first became suspect, less those that left
	few     time.Time // since when few are alive: fewer than half of these; zero if they are not
	enough  time.Time // when few last ceased to be alive
	probes  time.Time // when a member last began to fail, or ceased to
	returns time.Time // when one that was missing last came back
}

// until returns when a suspect is given up as things are; zero if it is not.
func (p *pulse) until(s *suspect, hold time.Duration) time.Time {
	few, from := !p.few.IsZero(), s.from
	switch {
	case s.reason == last:
		return from.Add(hold)
	case s.reason == failing && few:
		return time.Time{} // it is as well as most
	case s.reason == failing:
		from = p.probes
	case few:
		return later(from, p.returns).Add(patience * hold)
	default:
		from = later(from, p.returns)
	}
	return earlier(later(from, p.enough).Add(hold), s.since.Add(patience*hold))
}

// count notes how many are alive beside the suspects, which number so many. Time in which few are
// is not held against any of these.
func (p *pulse) count(alive int, suspects []*suspect, now time.Time) {
	p.alive, p.most = alive, max(p.most, alive)
	switch few := len(suspects) > 0 && 2*alive < p.most; {
	case few && p.few.IsZero():
		p.few = now
	case !few && !p.few.IsZero():
		for _, s := range suspects {
			s.since = s.since.Add(now.Sub(later(p.few, s.since)))
		}
		p.few, p.enough = time.Time{}, now
	}
}

// cease notes that a reason no longer holds.
func (p *pulse) cease(r reason, now time.Time) {
	switch r {
	case failing:
		p.probes = now
	case missing:
		p.returns = now
	}
}

// end is how a suspect ceases to be one.
type end uint8

const (
	returned end = iota // it is alive again
	left                // its end was announced, or another has its name
	givenUp             // its time is up
	dropped             // there are too many
	manyEnds
)

func (e end) String() string { return [manyEnds]string{"returned", "left", "given_up", "dropped"}[e] }

// ends counts them.
type ends [manyEnds]int

// limit is how many suspects the cluster may have.
func (p *pulse) limit() int { return max(minSuspects, p.most) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
