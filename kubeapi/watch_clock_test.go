package kubeapi

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAfterDoesNotOutlastItsContext(t *testing.T) {
	for _, tc := range []struct {
		name string
		stop time.Duration
		want time.Duration
	}{
		{"in time", time.Hour, time.Minute},
		{"stopped", time.Second, time.Second},
		{"stopped before", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.stop)
				defer cancel()
				start := time.Now()
				<-clockUntil(ctx).After(time.Minute)
				if got := time.Since(start); got != tc.want {
					t.Errorf("want %v, got %v", tc.want, got)
				}
			})
		})
	}
}

// The reflector throws away what After returns when something else comes first.
func TestAfterNeedsNoReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clockUntil(t.Context()).After(time.Second)
		time.Sleep(time.Minute) // the bubble fails if the goroutine is still there at its end
	})
}

func TestBackoffIsShort(t *testing.T) {
	b := backoff()
	for i := range 1000 {
		if got := b.Step(); got < 500*time.Millisecond || got > 3*time.Second {
			t.Fatalf("step %d: want 0.5 to 3 s, got %v", i, got)
		}
	}
}
