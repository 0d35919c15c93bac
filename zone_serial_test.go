package longnames

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

func TestSerials(t *testing.T) {
	const start = 1_800_000_000
	type step struct {
		at     float64 // seconds after start
		change bool
		want   uint32 // after start
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"no change", []step{{0, false, 0}, {5, false, 0}}},
		{"the second of a change", []step{{0, false, 0}, {7.5, true, 7}, {9, false, 7}}},
		{"the first change", []step{{7.5, true, 7}, {9, false, 7}}},
		{"two changes in a second", []step{{3.1, true, 3}, {3.9, true, 3}, {4, false, 4}, {9, false, 4}}},
		{"a change in the second in which somebody asks first", []step{{3.1, false, 3}, {3.9, true, 3}, {4, false, 4}}},
		{"many changes in seconds that follow each other", []step{{3.1, true, 3}, {3.2, true, 3}, {4.1, true, 4}, {4.2, true, 4}, {5.1, false, 5}}},
		{"two changes in a second, and somebody asks long after", []step{{3.1, true, 3}, {3.9, true, 3}, {500, false, 4}, {500.1, true, 500}, {500.2, true, 500}, {501, false, 501}}},
		{"two changes in a second, and the next one long after", []step{{3.1, true, 3}, {3.9, true, 3}, {500, true, 500}, {501, false, 500}}},
		{"a clock that is set back", []step{{3600, true, 3600}, {0, false, 3600}, {0.1, true, 3601}, {0.2, true, 3601}, {1, false, 3602}, {3601, true, 3603}, {4000, true, 4000}}},
		{"a clock that is set forth", []step{{0, true, 0}, {1e9, true, 1e9}, {1, true, 1e9 + 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s serial
			for i, step := range tc.steps {
				now := time.Unix(start, 0).Add(time.Duration(step.at * float64(time.Second)))
				if step.change {
					s.change(now)
				}
				if got := s.at(now) - start; got != step.want {
					t.Errorf("step %d: got %d, want %d", i+1, got, step.want)
				}
			}
		})
	}
}

func TestSerialsAfterARestart(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 500e6) }
	for _, tc := range []struct {
		name string
		do   func(s *serial)
		want uint32 // at 2000
	}{
		{"what was written last", func(s *serial) { s.restore(at(1000)) }, 1000},
		{"of two blocks", func(s *serial) { s.restore(at(1000)); s.restore(at(1200)); s.restore(at(1100)) }, 1200},
		{"and then a change", func(s *serial) { s.restore(at(1000)); s.change(at(1900)) }, 1900},
		{"a change, and then of another block", func(s *serial) { s.change(at(1900)); s.restore(at(1000)) }, 1900},
		{"a clock that was set back", func(s *serial) { s.restore(at(5000)); s.change(at(1900)) }, 5001},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s serial
			tc.do(&s)
			if got := s.at(at(2000)); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// TestWhatGivesAZoneANewSerial counts the serials that a zone has after what happens to its table.
func TestWhatGivesAZoneANewSerial(t *testing.T) {
	web, more := slice("web", endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"), endpoint("c", "10.0.0.3")), slice("web", endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2"))
	change := func(changes ...kubeapi.Change) func(*table) { return func(t *table) { t.Apply(changes) } }
	for _, tc := range []struct {
		name   string
		before func(*table) // a while before
		do     func(*table)
		want   int
	}{
		{"nothing", (*table).Synced, func(*table) {}, 0},
		{"a change", (*table).Synced, change(kubeapi.Change{New: web}), 1},
		{"a change before anything is known", func(*table) {}, change(kubeapi.Change{New: web}), 0},
		{"the first list", change(kubeapi.Change{New: web}), (*table).Synced, 1},
		{"the first list after a snapshot", func(t *table) { t.Apply([]kubeapi.Change{{New: web}}); t.Restored() }, (*table).Synced, 0},
		{"a change between a snapshot and the first list", func(t *table) { t.Apply([]kubeapi.Change{{New: web}}); t.Restored() }, change(kubeapi.Change{Old: web, New: more}), 1},
		{"a suspect that is given up", func(t *table) {
			t.Synced()
			t.Apply([]kubeapi.Change{{New: web}})
			t.Apply([]kubeapi.Change{{Old: web, New: more}})
		},
			func(t *table) { t.release(time.Now().Add(defaultHold)) }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newTable(configOf(t, ipBlock))
				table.expired = func() { table.Apply(nil) } // as a source does
				zone := &serial{}
				table.serials = []*serial{zone}
				tc.before(table)
				time.Sleep(5 * time.Second)
				last, got := zone.at(time.Now()), 0
				time.Sleep(5 * time.Second)
				tc.do(table)
				for range 5 {
					if at := zone.at(time.Now()); at != last {
						last, got = at, got+1
					}
					time.Sleep(time.Second)
				}
				if got != tc.want {
					t.Errorf("got %d new serials, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestNewerSerials(t *testing.T) {
	for _, tc := range []struct {
		a, b uint32
		want bool
	}{{6, 5, true}, {5, 5, false}, {4, 5, false}, {0, 1<<32 - 1, true}, {1<<32 - 1, 0, false}, {3_000_000_001, 3_000_000_000, true}} {
		if got := newer(tc.a, tc.b); got != tc.want {
			t.Errorf("%d is newer than %d: got %t, want %t", tc.a, tc.b, got, tc.want)
		}
	}
}

// TestAChangeIsToldWithItsSerial has secondaries that are told of a change find a new serial.
func TestAChangeIsToldWithItsSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &serial{}
		begin := time.Now() // at the begin of a second
		var told []time.Duration
		var found []uint32
		n := newNotice(t.Name(), s, func() bool { return true }, func(string) error {
			told, found = append(told, time.Since(begin)), append(found, s.at(time.Now())-uint32(begin.Unix()))
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.run(ctx) }()
		const ms = time.Millisecond
		for _, at := range []time.Duration{100 * ms, 400 * ms, 5000 * ms, 5999 * ms, 6001 * ms} {
			time.Sleep(time.Until(begin.Add(at)))
			s.change(time.Now())
			n.mark()
		}
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		if want := []time.Duration{100 * ms, 1100 * ms, 5000 * ms, 6000 * ms, 7000 * ms}; !slices.Equal(told, want) {
			t.Errorf("told at %v, want %v", told, want)
		}
		if want := []uint32{0, 1, 5, 6, 7}; !slices.Equal(found, want) {
			t.Errorf("found serials %d, want %d", found, want)
		}
	})
}
