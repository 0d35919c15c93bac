package snapshot

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ended  bool // the context
		newOne func() *pacer
		work   time.Duration
		want   time.Duration // of all rests in three such pieces of work
	}{
		{"nothing to speak of", false, newPacer, stretch / 4, 0},
		{"a stretch each", false, newPacer, stretch, 3 * restFactor * stretch},
		{"more", false, newPacer, 5 * stretch, 15 * restFactor * stretch},
		{"one after two pieces", false, newPacer, stretch / 2, restFactor * stretch},
		{"a slow disk", false, newPacer, time.Minute, 3 * maxRest},
		{"an end", true, newPacer, time.Minute, 0},
		{"in a hurry", false, func() *pacer { return nil }, time.Minute, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.ended {
					cancel()
				}
				p, begin := tc.newOne(), time.Now()
				var rested time.Duration
				for range 3 {
					time.Sleep(tc.work)
					before := time.Now()
					p.rest(ctx)
					rested += time.Since(before)
				}
				if rested != tc.want {
					t.Errorf("got rests of %s, want %s", rested, tc.want)
				}
				if got, want := p.work(begin), 3*tc.work; got != want {
					t.Errorf("got %s of work, want %s", got, want)
				}
			})
		})
	}
}
