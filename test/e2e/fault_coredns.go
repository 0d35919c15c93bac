package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// corednsRows: what can become of CoreDNS itself.
func corednsRows() []row {
	return []row{
		{name: "fault-coredns-killed", what: "CoreDNS is killed and started again while the API server is away, and has a snapshot", restarts: true, try: killed},
		{name: "fault-reloads", what: "the Corefile is reloaded 100 times; every other time that fails", try: reloads},
		{name: "fault-disk-full", what: "there is no room for the snapshot",
			extra: func(s *stage) *replica {
				r := s.newExtra("diskless", "snapshot DIR/ZONE.json")
				r.wrap = []string{"sh", "-c", `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/full" && exec "$@"`, r.dir()}
				return r.readily()
			}, try: diskFull},
		{name: "fault-sigterm", what: "CoreDNS is told to end: all that it answers until it has ended is right",
			extra: func(s *stage) *replica { return s.newExtra("ending", "").readily() }, excused: untilEnd, try: ends},
		{name: "fault-sigterm-api-hangs", what: "the same while the API server hangs",
			extra: func(s *stage) *replica { return s.newExtra("ending", "").readily() }, excused: untilEnd, try: func(s *stage) {
				s.proxy.now(wireFault{delay: time.Hour})
				ends(s)
				s.proxy.now(wireFault{})
				s.proxy.cut()
			}},
		{name: "fault-cold-start", what: "CoreDNS starts without a snapshot while the API server is away: SERVFAIL until it comes, and never an empty answer",
			extra: func(s *stage) *replica {
				s.proxy.now(wireFault{cut: true})
				r := s.newExtra("cold", "")
				r.launch()
				return r
			}, excused: untilKnown, try: func(s *stage) {
				s.lasts(faultTime)
				s.proxy.now(wireFault{})
			}},
	}
}

// pairRows: two CoreDNS, of which nodes ask the second if the first does not answer.
func pairRows() []row {
	return []row{
		{name: "fault-one-of-two-restarted", what: "two CoreDNS are restarted in turn, by SIGTERM and by SIGKILL, while nodes can ask either", restarts: true, apart: true, try: func(s *stage) {
			for _, grace := range []time.Duration{10 * time.Second, 0} {
				for _, r := range s.replicas {
					r.process.stop(grace)
					s.lasts(faultTime / 4)
					r.launch()
					s.soon(r.name+" is ready", r.ready)
				}
			}
		}},
	}
}

// newExtra makes a CoreDNS for one row, of *longnames* with some more options.
func (s *stage) newExtra(name, options string) *replica {
	s.extras++
	r := s.newReplica(fmt.Sprintf("%s%d", name, s.extras), 10+s.extras)
	s.writeOurs(r, options)
	return r
}

// readily starts it and waits until it is ready.
func (r *replica) readily() *replica {
	r.launch()
	r.s.soon(r.name+" is ready", r.ready)
	return r
}

// killed has packets to a CoreDNS vanish as long as there is none: to a pod that is there, but does not listen, nodes
// ask no second time, whatever the plugin does.
func killed(s *stage) {
	s.proxy.now(wireFault{cut: true})
	s.lasts(faultTime / 4)
	back := make(chan error, 1)
	restart := func(r *replica) {
		r.unplug()
		r.kill()
		r.launch()
		r.plug()
	}
	go func() { back <- s.caught(func() { restart(s.kubernetes) }) }()
	for _, r := range s.replicas {
		restart(r)
	}
	s.must(<-back)
	s.lasts(faultTime)
	s.proxy.now(wireFault{})
	s.grow()
	s.calm()
	s.shrink()
}

// reloads goes through Corefiles that are the same, that differ, and that cannot be used.
func reloads(s *stage) {
	r := s.replicas[0]
	options := s.plan.options
	ns, err := openNetns(r.netns)
	s.must(err)
	defer ns.close()
	taken, err := ns.listen(net.JoinHostPort(r.address, "5301"))
	s.must(err)
	defer taken.Close()
	before, err := r.metric("go_goroutines")
	s.must(err)
	failed := 0
	for i := range 100 {
		switch i % 8 {
		case 1:
			s.writeOurs(r, options+"\nnonsense")
		case 3, 7:
			s.writeOurs(r, options)
			r.append(fmt.Sprintf(".:5301 {\nbind %s\nwhoami\n}\n", r.address))
		case 5:
			s.writeOurs(r, options+"\nttl never")
		case 6:
			s.writeOurs(r, options+"\nttl 4")
		default:
			s.writeOurs(r, options)
		}
		if !r.reload() {
			failed++
		}
	}
	s.writeOurs(r, options)
	r.reload()
	if failed != 50 {
		s.failf("%d of 100 reloads failed, not 50", failed)
	}
	s.soon("nothing of them is left", func() error {
		now, err := r.metric("go_goroutines")
		if err == nil && now > before+50 {
			err = fmt.Errorf("%.0f goroutines, %.0f before", now, before)
		}
		return err
	})
}

func diskFull(s *stage) {
	s.soon("a snapshot cannot be written", func() error {
		n, err := s.extra.metric("coredns_longnames_snapshot_failures_total")
		if err == nil && n == 0 {
			err = errors.New("none has failed")
		}
		return err
	})
	s.grow()
	s.calm()
	s.lasts(faultTime)
	s.shrink()
}

// untilEnd excuses questions that got no answer since CoreDNS has ended, or is just about to.
func untilEnd(s *stage) func(*question, time.Time, string, error) bool {
	return func(_ *question, _ time.Time, kind string, _ error) bool {
		if kind != wrongLate {
			return false
		}
		select {
		case <-s.extra.process.done:
			return true
		case <-time.After(endTime):
			return false
		}
	}
}

func ends(s *stage) {
	s.lasts(faultTime)
	begin := time.Now()
	s.extra.process.signal(syscall.SIGTERM)
	select {
	case <-s.extra.process.done:
		s.note("it has ended after %s", time.Since(begin))
	case <-time.After(endTime):
		s.failf("CoreDNS has not ended within %s", endTime)
	}
	s.checker.stop()
}

// untilKnown excuses SERVFAIL, and that nobody listens yet, until the first right answer to the same question.
func untilKnown(*stage) func(*question, time.Time, string, error) bool {
	return func(q *question, begin time.Time, kind string, err error) bool {
		if first := q.answered.Load(); first != nil && begin.After(*first) {
			return false
		}
		return kind == wrongLate || kind == wrongError && strings.Contains(err.Error(), dns.RcodeToString[dns.RcodeServerFailure])
	}
}
