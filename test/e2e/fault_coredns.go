package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// corednsRows: what can become of CoreDNS itself.
func corednsRows() []row {
	return []row{
		{name: "fault-coredns-killed", what: "CoreDNS is killed and started again while the API server is away, and has a snapshot", restarts: true, try: killed},
		{name: "fault-reloads", what: "the Corefile is reloaded 100 times; every other time that fails", try: reloads},
		{name: "fault-disk-full", what: "there is no room for the snapshot", apart: true,
			extras: func(s *stage) []*replica {
				r := s.newExtra("diskless", "snapshot DIR/ZONE.json")
				r.wrap = []string{"sh", "-c", `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/full" && exec "$@"`, r.dir()}
				r.readily()
				return []*replica{r}
			}, try: diskFull},
		{name: "fault-sigterm", what: "CoreDNS is told to end: all that it answers until it has ended is right",
			extras: toEnd, excused: untilEnd, try: ends},
		{name: "fault-sigterm-api-hangs", what: "the same while the API server hangs",
			extras: toEnd, excused: untilEnd, try: func(s *stage) {
				s.proxy.now(wireFault{delay: time.Hour})
				ends(s)
				s.proxy.now(wireFault{})
				s.proxy.cut()
			}},
		{name: "fault-cold-start", what: "CoreDNS starts without a snapshot while the API server is away: SERVFAIL until it comes, and never an empty answer",
			extras: func(s *stage) []*replica {
				s.proxy.now(wireFault{cut: true})
				extras := s.newExtras("cold")
				s.each(extras, (*replica).launch)
				return extras
			}, excused: untilKnown, try: func(s *stage) {
				s.lasts(faultTime)
				s.proxy.now(wireFault{})
			}},
	}
}

// pairRows: two CoreDNS, of which nodes ask the second if the first does not answer.
func pairRows() []row {
	return []row{
		{name: "fault-one-of-two-restarted", what: "two CoreDNS are restarted in turn, by SIGTERM and by SIGKILL, while nodes can ask either", restarts: true, try: func(s *stage) {
			for _, grace := range []time.Duration{10 * time.Second, 0} {
				for i := range s.replicas {
					s.each([]*replica{s.replicas[i], s.kubernetes[i]}, func(r *replica) {
						r.process.stop(grace)
						s.lasts(faultTime / 4)
						r.readily()
					})
				}
			}
		}},
	}
}

// newExtra makes a CoreDNS for one row, of *longnames* with some more options.
func (s *stage) newExtra(name, options string) *replica {
	s.made++
	r := s.newReplica(fmt.Sprintf("%s%d", name, s.made), 10+s.made)
	r.configure(options, "")
	return r
}

// newExtras makes one of *kubernetes*, too.
func (s *stage) newExtras(name string) []*replica {
	ours := s.newExtra(name, "")
	s.made++
	theirs := s.newTheirs(fmt.Sprintf("%s%d-kubernetes", name, s.made), 10+s.made)
	theirs.configure("", "")
	return []*replica{ours, theirs}
}

func toEnd(s *stage) []*replica {
	extras := s.newExtras("ending")
	s.each(extras, (*replica).readily)
	return extras
}

// each does the same with many at once. What *kubernetes* fails to do is of no importance but for the comparison.
func (s *stage) each(replicas []*replica, do func(r *replica)) {
	failures := make([]error, len(replicas))
	var wg sync.WaitGroup
	for i, r := range replicas {
		wg.Go(func() { failures[i] = s.caught(func() { do(r) }) })
	}
	wg.Wait()
	for i, r := range replicas {
		if r.theirs && failures[i] != nil {
			s.note("%s: %v", r.name, failures[i])
			continue
		}
		s.must(failures[i])
	}
}

// killed has packets to a CoreDNS vanish as long as there is none: to a pod that is there, but does not listen, nodes
// ask no second time, whatever the plugin does.
func killed(s *stage) {
	s.proxy.now(wireFault{cut: true})
	s.lasts(faultTime / 4)
	s.each(s.everyReplica(), func(r *replica) {
		begin := time.Now()
		r.unplug()
		r.kill()
		r.launch()
		r.plug()
		s.note("%s is back after %s", r.name, time.Since(begin))
	})
	s.lasts(faultTime)
	s.proxy.now(wireFault{})
	s.grow()
	s.calm()
	s.shrink()
}

// reloads goes through Corefiles that are the same, that differ, and that cannot be used.
func reloads(s *stage) {
	r := s.replicas[0]
	before, err := r.metric("go_goroutines")
	s.must(err)
	s.each([]*replica{r, s.kubernetes[0]}, reloadOften)
	s.soon("nothing of them is left", func() error {
		now, err := r.metric("go_goroutines")
		if err == nil && now > before+50 {
			err = fmt.Errorf("%.0f goroutines, %.0f before", now, before)
		}
		return err
	})
}

// The reloads of a row, and how many questions are answered at least while each takes place.
const (
	manyReloads   = 100
	askedAReload  = 250
	generation    = "generation.test."
	takenPort     = "5301"
	generationFmt = "template IN TXT " + generation + " {\nanswer \"{{ .Name }} 0 IN TXT %d\"\n}\n"
)

// reloadOften numbers the Corefiles, so that CoreDNS tells which one it goes by.
func reloadOften(r *replica) {
	s := r.s
	ns, err := openNetns(r.netns)
	s.must(err)
	defer ns.close()
	taken, err := ns.listen(net.JoinHostPort(r.address, takenPort))
	s.must(err)
	defer taken.Close()
	options := ""
	if !r.theirs {
		options = s.plan.options
	}
	current := 0
	for i := 1; i <= manyReloads; i++ {
		more, server := "", ""
		switch i % 8 {
		case 1:
			more = "nonsense"
		case 3, 7:
			server = fmt.Sprintf(".:%s {\nbind %s\nwhoami\n}\n", takenPort, r.address)
		case 5:
			more = "ttl never"
		case 6:
			more = "ttl 4"
		}
		r.configure(options+"\n"+more, fmt.Sprintf(generationFmt, i))
		r.append(server)
		asked := r.checker.asked()
		good := i%2 == 0
		if r.reload() != good {
			s.failf("reload %d of %s has gone well: %t, want %t", i, r.name, !good, good)
		}
		if good {
			current = i
		}
		r.goesBy(current)
		s.soon("it is asked meanwhile", func() error {
			if n := r.checker.asked() - asked; !r.theirs && n < askedAReload {
				return fmt.Errorf("%d questions were answered", n)
			}
			return nil
		})
	}
	r.configure(options, "")
	if !r.reload() {
		s.failf("the last reload has failed")
	}
}

// goesBy waits until CoreDNS goes by the Corefile of a number, if there has been one yet.
func (r *replica) goesBy(number int) {
	if number == 0 {
		return
	}
	r.s.soon(fmt.Sprintf("%s goes by Corefile %d", r.name, number), func() error {
		m, err := r.s.askOne(r, generation, "TXT")
		if err != nil {
			return err
		}
		return same(generation, data(m), []string{strconv.Itoa(number)})
	})
}

func diskFull(s *stage) {
	s.soon("a snapshot cannot be written", func() error {
		n, err := s.extras[0].metric("coredns_longnames_snapshot_failures_total")
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
func untilEnd(r *replica) func(*question, time.Time, string, error) bool {
	return func(_ *question, _ time.Time, kind string, _ error) bool {
		if kind != wrongLate {
			return false
		}
		select {
		case <-r.process.done:
			return true
		case <-time.After(endTime):
			return false
		}
	}
}

func ends(s *stage) {
	s.lasts(faultTime)
	s.each(s.extras, func(r *replica) {
		begin := time.Now()
		r.process.signal(syscall.SIGTERM)
		select {
		case <-r.process.done:
			s.note("%s has ended after %s", r.name, time.Since(begin))
		case <-time.After(endTime):
			s.failf("%s has not ended within %s", r.name, endTime)
		}
		r.checker.stop()
	})
}

// untilKnown excuses SERVFAIL until the first right answer to the same question.
func untilKnown(*replica) func(*question, time.Time, string, error) bool {
	return func(q *question, begin time.Time, kind string, err error) bool {
		if first := q.answered.Load(); first != nil && begin.After(*first) {
			return false
		}
		return kind == wrongError && strings.Contains(err.Error(), dns.RcodeToString[dns.RcodeServerFailure])
	}
}
