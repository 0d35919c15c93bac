package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// watchPause is how long those wait between two questions who ask all the time: any node asks a hundred times less.
const watchPause = 10 * time.Millisecond

// vigil asks for the members of shop.erl.internal all the time, and wants each answer to be exact. Until they are known
// for the first time, there is none or SERVFAIL; from then on there are always members. Nothing else tells that a
// cluster was never torn apart, not even for a moment.
type vigil struct {
	t    *trial
	stop context.CancelFunc
	done chan error

	mu    sync.Mutex // protects following
	sets  [][]string // of addresses: what is answered goes from one to the next, and never back
	at    int        // the set that was seen last
	full  int        // answers with members
	fails int        // SERVFAIL
}

// vigil begins before CoreDNS does, if that is still to come, and goes on while it is started. The nodes are called
// shop, in mode ip.
func (t *trial) vigil(addresses []string) *vigil {
	t.server.reach()
	ctx, stop := context.WithCancel(t.ctx)
	v := &vigil{t: t, stop: stop, done: make(chan error, 1), sets: [][]string{addresses}}
	go func() { v.done <- v.watch(ctx) }()
	return v
}

// then has another set of members be right, too. It has to be told before it comes true.
func (v *vigil) then(addresses ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sets = append(v.sets, addresses)
}

// sees waits for so many more answers.
func (v *vigil) sees(n int) {
	v.mu.Lock()
	n += v.full
	v.mu.Unlock()
	v.until(fmt.Sprintf("%d answers are right", n), func() bool { return v.full >= n })
}

// end waits until the last set is answered, and stops asking.
func (v *vigil) end() {
	v.until("the last of all members are answered", func() bool { return v.full > 0 && v.at == len(v.sets)-1 })
	v.stop()
	v.t.must(<-v.done)
	v.t.note("of all answers in between, %d were SERVFAIL at first, then %d were right", v.fails, v.full)
}

// until waits, and ends the trial if an answer is wrong meanwhile.
func (v *vigil) until(what string, reached func() bool) {
	v.t.soon(what, func() error {
		select {
		case err := <-v.done:
			panic(failure{err})
		default:
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if !reached() {
			return fmt.Errorf("%d answers were right so far, the last had set %d of %d", v.full, v.at+1, len(v.sets))
		}
		return nil
	})
}

func (v *vigil) watch(ctx context.Context) error {
	for i := 0; ; i++ {
		network := []string{"udp", "tcp"}[i%2]
		qtype := []string{"SRV", "TXT", "A"}[i%3]
		m, err := v.t.ask(network, "shop.erl.internal", qtype, 0)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // we have ended it
		}
		if err = v.judge(qtype, m, err); err != nil {
			err = fmt.Errorf("shop.erl.internal %s over %s was wrong in between: %w", qtype, network, err)
			v.t.note("%v", err)
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// judge tells what is wrong with an answer, or with there being none.
func (v *vigil) judge(qtype string, m *dns.Msg, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil && v.full+v.fails > 0:
		return fmt.Errorf("no answer any more: %w", err)
	case err != nil: // it does not listen yet
		return nil
	case m.Rcode == dns.RcodeServerFailure && v.full == 0:
		v.fails++
		return nil
	case m.Rcode != dns.RcodeSuccess:
		return errors.New(dns.RcodeToString[m.Rcode])
	}
	got := data(m)
	for at := v.at; at < len(v.sets); at++ {
		want := v.sets[at]
		if qtype == "TXT" {
			want = longnames("shop", want)
		}
		if err = same("", got, want); err == nil {
			v.at = at
			v.full++
			return nil
		}
	}
	return fmt.Errorf("%d sets would be right, not %s, number %d was the last", len(v.sets), brief(got), v.at+1)
}

// steady asks for shop.erl.internal all the time until it is stopped, and then tells whether an answer was ever wrong:
// for who does not know the exact set, but what always has to be in there, and how many at least.
func (t *trial) steady(qtype string, wrong func(values []string) error) (stop func()) {
	const name = "shop.erl.internal"
	ctx, cancel := context.WithCancel(t.ctx)
	result := make(chan error, 1)
	go func() {
		asked := 0
		for ctx.Err() == nil {
			got, err := t.values(name, qtype)
			if ctx.Err() != nil {
				break
			}
			if err == nil {
				err = wrong(got)
			}
			if err != nil {
				err = fmt.Errorf("%s %s was wrong in between: %w", name, qtype, err)
				t.note("%v", err)
				result <- err
				return
			}
			asked++
			select {
			case <-ctx.Done():
			case <-time.After(watchPause):
			}
		}
		t.note("%s %s was right %d times", name, qtype, asked)
		if asked == 0 {
			result <- fmt.Errorf("%s %s was never asked", name, qtype)
			return
		}
		result <- nil
	}()
	return func() {
		cancel()
		t.must(<-result)
	}
}
