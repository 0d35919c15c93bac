package longnames

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// secondaries take down when they are told of a zone, since a test began.
type secondaries struct {
	start time.Time
	slow  time.Duration // they take so long to answer
	err   error

	mu   sync.Mutex
	told []time.Duration
}

func (s *secondaries) notify(string) error {
	s.mu.Lock()
	s.told = append(s.told, time.Since(s.start))
	err := s.err
	s.mu.Unlock()
	time.Sleep(s.slow)
	return err
}

func (s *secondaries) wants(t *testing.T, want ...time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.told, want) {
		t.Errorf("told at %v, want %v", s.told, want)
	}
}

func TestChangesAreToldTogether(t *testing.T) {
	at := func(times ...time.Duration) []time.Duration { return times }
	var many []time.Duration
	for i := range 3000 {
		many = append(many, time.Duration(i)*time.Millisecond)
	}
	unreachable := errors.New("no answer")
	for _, tc := range []struct {
		name    string
		changes []time.Duration
		slow    time.Duration
		err     error
		want    []time.Duration
	}{
		{"none", nil, 0, nil, nil},
		{"one", at(0), 0, nil, at(0)},
		{"some at once", at(0, 0, 0), 0, nil, at(0, time.Second)},
		{"some in a second", at(0, 100*time.Millisecond, 900*time.Millisecond), 0, nil, at(0, time.Second)},
		{"many", many, 0, nil, at(0, time.Second, 2*time.Second, 3*time.Second)},
		{"one after a while", at(0, time.Minute), 0, nil, at(0, time.Minute)},
		{"while others take their time", at(0, time.Second, 2*time.Second), 5 * time.Second, nil, at(0, 6*time.Second)},
		{"nobody answers", at(0), 0, unreachable, at(0, 61*time.Second, 122*time.Second, 183*time.Second, 244*time.Second, 305*time.Second)},
		{"nobody answers, and there are more changes", at(0, 10*time.Second), 0, unreachable,
			at(0, 10*time.Second, 71*time.Second, 132*time.Second, 193*time.Second, 254*time.Second, 315*time.Second)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &secondaries{start: time.Now(), slow: tc.slow, err: tc.err}
				n := newNotice("erl.internal.", &serial{}, func() bool { return true }, s.notify)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					n.run(ctx)
				}()
				for _, at := range tc.changes {
					time.Sleep(at - time.Since(s.start))
					before := time.Now()
					n.mark()
					if waited := time.Since(before); waited > 0 {
						t.Errorf("a change at %v waited for %v", at, waited)
					}
					synctest.Wait()
				}
				time.Sleep(time.Hour)
				s.wants(t, tc.want...)
				cancel()
				<-done
			})
		})
	}
}

// An error names the port that it was asked from, which is another one each time.
func TestWhoDoesNotAnswerIsLoggedOnce(t *testing.T) {
	failure := func(port int, who string) error {
		return fmt.Errorf("notify for zone %q was not accepted by %q: %q", "erl.internal.", who,
			fmt.Sprintf("read udp 127.0.0.1:%d->%s: i/o timeout", port, who))
	}
	log := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			n := newNotice("erl.internal.", &serial{}, func() bool { return true }, func(string) error {
				asked++
				switch {
				case asked < 4:
					return errors.Join(failure(40000+asked, "192.0.2.1:53"), failure(50000+asked, "192.0.2.2:53"))
				case asked < 6:
					return failure(asked, "192.0.2.2:53")
				}
				return nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			go n.run(ctx)
			n.mark()
			time.Sleep(time.Hour)
			cancel()
		})
	})
	var got []string
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		_, text, _ := strings.Cut(line, "NOTIFY: ")
		got = append(got, text)
	}
	refused := func(who string) string {
		return fmt.Sprintf(`notify for zone "erl.internal." was not accepted by %q: "read udp 127.0.0.1->%s: i/o timeout"`, who, who)
	}
	equal(t, "lines", got, []string{
		refused("192.0.2.1:53") + "; " + refused("192.0.2.2:53"), refused("192.0.2.2:53"), "all secondaries answer again",
	})
}

func TestWhoAnswersAgainIsNotToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &secondaries{start: time.Now(), err: errors.New("no answer")}
		n := newNotice("erl.internal.", &serial{}, func() bool { return true }, s.notify)
		ctx, cancel := context.WithCancel(t.Context())
		go n.run(ctx)
		n.mark()
		time.Sleep(90 * time.Second)
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		time.Sleep(time.Hour)
		s.wants(t, 0, 61*time.Second, 122*time.Second)
		cancel()
	})
}

// announced is a plugin whose blocks have been started by hand, and who is told of which zone.
type announced struct {
	*Longnames
	mu   sync.Mutex
	told []string
}

func announce(ctx context.Context, listening chan struct{}, tables ...*table) *announced {
	a := &announced{Longnames: serving(tables...)}
	a.announce(ctx, listening, func(zone string) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.told = append(a.told, zone)
		return nil
	})
	return a
}

// wants waits until nothing happens any more, and forgets what has been told.
func (a *announced) wants(t *testing.T, what string, zones ...string) {
	t.Helper()
	time.Sleep(10 * time.Second)
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.told)
	if !slices.Equal(a.told, zones) {
		t.Errorf("%s: told of %q, want %q", what, a.told, zones)
	}
	a.told = nil
}

// change tells block i and then its notices, as a source does.
func (a *announced) change(i int, do func(kubeapi.Sink)) {
	do(a.blocks[i].table)
	do(a.blocks[i].notifier)
}

func TestZonesThatChangeAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		listening := make(chan struct{})
		through := strings.Replace(ipBlock, "}", " fallthrough\n}", 1)
		a := announce(ctx, listening, newTable(configOf(t, through)),
			newTable(configOf(t, "longnames other.internal 10.in-addr.arpa {\n selector app=web\n basename app\n}")))
		web := slice("web", endpoint("p", "10.0.0.1"))
		appears := func(s kubeapi.Sink) { s.Apply([]kubeapi.Change{{New: web}}) }
		vanishes := func(s kubeapi.Sink) { s.Apply(gone(web)) }

		a.change(0, appears)
		a.change(0, kubeapi.Sink.Synced)
		a.wants(t, "nobody can ask yet")
		close(listening)
		a.wants(t, "the server listens", "d.f.ip6.arpa.", "erl.internal.")
		a.change(1, appears)
		a.wants(t, "the other block is not known yet")
		a.change(1, kubeapi.Sink.Synced)
		a.wants(t, "the other block is known", "10.in-addr.arpa.", "other.internal.")
		a.change(0, vanishes)
		a.wants(t, "a change, which is held", "10.in-addr.arpa.", "d.f.ip6.arpa.", "erl.internal.")
		a.change(1, vanishes)
		a.wants(t, "a change of the other block", "10.in-addr.arpa.", "other.internal.")
		cancel()
		synctest.Wait()
		a.change(0, appears)
		a.wants(t, "after the end")
	})
}

func TestWhatWasLastKnownIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		listening := make(chan struct{})
		close(listening)
		a := announce(ctx, listening, newTable(configOf(t, "longnames erl.internal {\n selector app=web\n basename app\n}")))
		a.change(0, func(s kubeapi.Sink) { s.Apply([]kubeapi.Change{{New: slice("web", endpoint("p", "10.0.0.1"))}}) })
		a.wants(t, "some that are known")
		a.change(0, kubeapi.Sink.Restored)
		a.wants(t, "what was last known", "erl.internal.")
		cancel()
	})
}
