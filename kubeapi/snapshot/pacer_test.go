package snapshot

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
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

// slowWriter takes a stretch for each KiB.
type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(stretch * time.Duration(len(p)) / 1024)
	return len(p), nil
}

// Whatever there is much of: each rest is for little work.
func TestAllOfAWriteIsSpread(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("p", i))
	}
	objects := knownPods(t, names...)
	var of kubeapi.Suspects
	for _, o := range objects {
		of.Members = append(of.Members, kubeapi.Suspect{Object: o, Reason: "missing"})
	}
	for name, c := range map[string]*contents{"objects": {objects: objects}, "suspects": {suspects: []kubeapi.Suspects{of}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, begin := newPacer(), time.Now()
				if err := f.encode(t.Context(), slowWriter{}, c, p); err != nil {
					t.Fatal(err)
				}
				const least = 100 * stretch
				if work := p.work(begin); work < least || p.rested < restFactor*(work-least/10) {
					t.Errorf("got %s of work and %s of rests, want %s at least, and %d times as much", work, p.rested, least, restFactor)
				}
			})
		})
	}
}
