package kubeapi

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// untilClock is the real clock, but its After does not outlast a context: a reflector
// waits there between two tries without looking at its own.
type untilClock struct {
	clock.RealClock
	done <-chan struct{}
}

func clockUntil(ctx context.Context) clock.Clock {
	return untilClock{done: ctx.Done()}
}

// After implements clock.Clock.
func (c untilClock) After(d time.Duration) <-chan time.Time {
	fired := make(chan time.Time, 1)
	go func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case t := <-timer.C:
			fired <- t
		case <-c.done:
			fired <- time.Now()
		}
	}()
	return fired
}
