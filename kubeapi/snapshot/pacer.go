package snapshot

import (
	"context"
	"time"
)

const (
	// stretch is how long work takes, at least, between two rests, and restFactor how many times longer a rest is.
	stretch    = time.Millisecond
	restFactor = 9
	// maxRest is for work that took so long that the disk must have been slow.
	maxRest = 100 * time.Millisecond
)

// pacer spreads long work: where the CPU is limited, answers would be late for all of it. A nil one does not.
type pacer struct {
	began  time.Time // the work since the last rest
	rested time.Duration
}

func newPacer() *pacer { return &pacer{began: time.Now()} }

// rest waits if that is due, unless ctx ends before.
func (p *pacer) rest(ctx context.Context) {
	if p == nil || time.Since(p.began) < stretch {
		return
	}
	worked := time.Now()
	select {
	case <-time.After(min(restFactor*worked.Sub(p.began), maxRest)):
	case <-ctx.Done():
	}
	p.began = time.Now()
	p.rested += p.began.Sub(worked)
}

// work returns how long was worked since a time.
func (p *pacer) work(since time.Time) time.Duration {
	if p == nil {
		return time.Since(since)
	}
	return time.Since(since) - p.rested
}
