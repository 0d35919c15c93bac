package membership

import "time"

// Suspect is a member that was listed and no longer would be, though nothing has announced its
// end. It stays listed until it is alive again, leaves or is given up, or until another node has its
// name.
type Suspect struct {
	Node             // of an object that tells of it alone
	Reason Reason    // why it would not be listed
	since  time.Time // when it became suspect; later by the time in which few were alive
	from   time.Time // when Reason became its reason
}

// markListed lists the suspect. Its object has no other member.
func (s *Suspect) markListed() {
	s.Member = &s.object.Members[0]
	s.Listed, s.Suspect, s.absent = true, true, s.Reason != Failing
}

// Reason is why a member is suspect.
type Reason uint8

const (
	Failing Reason = iota // it is there, but Include does not let it in
	Missing               // it is gone, or lost its name
	Last                  // its end was announced, but no other member is left
	Reasons               // how many there are
)

var reasonNames = [Reasons]string{"failing", "missing", "last"}

// String returns the reason as metrics and snapshots spell it.
func (r Reason) String() string { return reasonNames[r] }

const (
	// patience is how many times longer than hold a suspect stays at most, and at least while few
	// are alive.
	patience = 10
	// minSuspects is how many suspects any cluster may have.
	minSuspects = 64
)

// pulse has the counts and times that the deadlines of a cluster's suspects follow from, and the next deadline.
type pulse struct {
	most    int       // members alive at once since the first became suspect, less those that left
	few     time.Time // since when few are alive: fewer than half of most; zero if they are not
	enough  time.Time // when few last ceased to be alive
	probes  time.Time // when a member last began to fail, or ceased to
	returns time.Time // when one that was missing last came back
	due     time.Time // when the next suspect is given up; zero if none is
}

// until returns when a suspect is given up as things are; zero if it is not.
func (p *pulse) until(s *Suspect, hold time.Duration) time.Time {
	few, from := !p.few.IsZero(), s.from
	switch {
	case s.Reason == Last:
		return from.Add(hold)
	case s.Reason == Failing && few:
		return time.Time{} // it is as well as most
	case s.Reason == Failing:
		from = p.probes
	case few:
		return later(from, p.returns).Add(patience * hold)
	default:
		from = later(from, p.returns)
	}
	return earlier(later(from, p.enough).Add(hold), s.since.Add(patience*hold))
}

// count notes how many are alive beside some suspects. Time in which few are alive does not count against a
// suspect.
func (p *pulse) count(alive int, suspects []*Suspect, now time.Time) {
	p.most = max(p.most, alive)
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
func (p *pulse) cease(r Reason, now time.Time) {
	switch r {
	case Failing:
		p.probes = now
	case Missing:
		p.returns = now
	}
}

// End is how a suspect ceases to be one.
type End uint8

const (
	Returned End = iota // it is alive again
	Gone                // its end was announced, or another has its name
	GivenUp             // its time is up
	Dropped             // there are too many
	manyEnds
)

// String returns the end as metrics spell it.
func (e End) String() string { return [manyEnds]string{"returned", "left", "given_up", "dropped"}[e] }

// Ends count the suspects that ceased to be, by End.
type Ends [manyEnds]int

// limit returns how many suspects the cluster may have.
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
