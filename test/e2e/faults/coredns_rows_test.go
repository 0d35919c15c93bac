package faults

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// corednsRows: what can become of CoreDNS itself.
func corednsRows() []row {
	return []row{
		{name: "coredns-killed", what: "CoreDNS is killed and started again while the API server is away, and has a snapshot", restarts: true, try: killed},
		{name: "reloads", what: "the Corefile is reloaded 100 times; every other time that fails", try: func(s *stage) {
			before, err := s.replicas[0].metric("go_goroutines", "")
			s.must(err)
			s.each(s.everyReplica(), (*replica).reloadOften)
			s.replicas[0].gauge("go_goroutines", 0, int(before)+50)
		}},
		{name: "disk-full", what: "there is no room for the snapshot", apart: true, extras: func(s *stage) []*replica {
			r := s.newReplica("diskless", false, s.plan.options)
			_, err := r.Run(s.Context(), "sh", "-c", `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/full"`, snapshots)
			s.must(errors.Join(err, r.readily()))
			return []*replica{r}
		}, try: func(s *stage) {
			s.extras[0].gauge("snapshot_failures_total", 1, math.MaxInt)
			s.grow()
			s.calm()
			time.Sleep(faultTime)
			s.shrinks()
		}},
		{name: "sigterm", what: "CoreDNS is told to end: all that it answers until it has ended is right", extras: ending, excused: untilEnd, try: ends},
		{name: "sigterm-api-hangs", what: "the same while the API server hangs", extras: ending, excused: untilEnd, try: func(s *stage) {
			s.wire.toxic("latency", map[string]int{"latency": int(time.Hour.Milliseconds())})
			ends(s)
			s.wire.heal()
			s.wire.cut()
		}},
		{name: "cold-start", what: "CoreDNS starts without a snapshot while the API server is away: SERVFAIL until it comes, and never an empty answer", extras: func(s *stage) []*replica {
			s.wire.down()
			extras := s.newExtras("cold")
			s.each(extras, (*replica).launch)
			return extras
		}, excused: untilKnown, try: func(s *stage) {
			time.Sleep(faultTime)
			s.wire.up()
		}},
	}
}

// pairRows: two CoreDNS, of which nodes ask the second if the first does not answer.
func pairRows() []row {
	return []row{{name: "one-of-two-restarted", what: "two CoreDNS are restarted in turn, by SIGTERM and by SIGKILL, while nodes can ask either", restarts: true, try: func(s *stage) {
		for _, grace := range []time.Duration{10 * time.Second, 0} {
			for i := range s.replicas {
				s.each([]*replica{s.replicas[i], s.kubernetes[i]}, func(r *replica) error {
					r.process.Stop(grace)
					time.Sleep(faultTime / 4)
					return r.readily()
				})
			}
		}
	}}}
}

// newExtras makes a CoreDNS for one row, and one of *kubernetes*.
func (s *stage) newExtras(name string) []*replica {
	return []*replica{s.newReplica(name, false, ""), s.newReplica(name+"-kubernetes", true, "")}
}

func ending(s *stage) []*replica {
	extras := s.newExtras("ending")
	s.each(extras, (*replica).readily)
	return extras
}

// killed has packets to a CoreDNS vanish as long as there is none: of a pod that is there, but does not listen, nodes
// ask no second time, whatever the plugin does.
func killed(s *stage) {
	s.wire.down()
	time.Sleep(faultTime / 4)
	s.each(s.everyReplica(), func(r *replica) error {
		begin := time.Now()
		unplugged := r.plugged(false)
		r.process.Stop(0)
		err := errors.Join(unplugged, r.launch(), r.plugged(true))
		s.Logf("%s is back after %s", r.name, time.Since(begin))
		return err
	})
	time.Sleep(faultTime)
	s.wire.up()
	s.grow()
	s.shrinks()
}

// The reloads of a row, and how many questions are answered at least while each takes place.
const (
	manyReloads   = 100
	askedAReload  = 250
	generation    = "generation.test."
	takenPort     = "5301"
	generationFmt = "template IN TXT " + generation + " {\nanswer \"{{ .Name }} 0 IN TXT %d\"\n}\n"
)

// reloadOften goes through Corefiles that are the same, that differ, and that cannot be used. They are numbered, so that
// CoreDNS tells which one it goes by.
func (r *replica) reloadOften() error {
	taken, err := r.Listen("tcp", net.JoinHostPort(r.address, takenPort))
	if err != nil {
		return err
	}
	defer taken.Close()
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
		r.configure(more, fmt.Sprintf(generationFmt, i), server)
		asked := r.checker.Asked()
		good := i%2 == 0
		if err := r.reload(good); err != nil {
			return fmt.Errorf("reload %d: %w", i, err)
		}
		if good {
			current = i
		}
		if err := eventually(patience, fmt.Sprintf("%s goes by Corefile %d, and is asked meanwhile", r.name, current), func() error {
			if n := r.checker.Asked() - asked; !r.theirs && n < askedAReload {
				return fmt.Errorf("%d questions were answered", n)
			}
			if current == 0 {
				return nil
			}
			return r.answersTo(generation, "TXT", strconv.Itoa(current))
		}); err != nil {
			return err
		}
	}
	r.configure("", "", "")
	return r.reload(true)
}

// endTime is how long CoreDNS may take to end: the README's word for it is 5 s.
const endTime = 5 * time.Second

// untilEnd excuses questions that got no answer since CoreDNS has ended, or is just about to.
func untilEnd(r *replica) func(*watch.Question, time.Time, string, string) bool {
	return func(_ *watch.Question, _ time.Time, kind, _ string) bool {
		if kind != watch.Late {
			return false
		}
		select {
		case <-r.process.Done():
			return true
		case <-time.After(endTime):
			return false
		}
	}
}

func ends(s *stage) {
	time.Sleep(faultTime)
	s.each(s.extras, func(r *replica) error {
		begin := time.Now()
		r.process.Signal(syscall.SIGTERM)
		defer r.checker.Stop()
		select {
		case <-r.process.Done():
			s.Logf("%s has ended after %s", r.name, time.Since(begin))
			return nil
		case <-time.After(endTime):
			return fmt.Errorf("%s has not ended within %s", r.name, endTime)
		}
	})
}

// untilKnown excuses SERVFAIL until the first right answer to the same question.
func untilKnown(*replica) func(*watch.Question, time.Time, string, string) bool {
	return func(q *watch.Question, begin time.Time, kind, got string) bool {
		return !q.AnsweredBefore(begin) && kind == watch.Error && got == dns.RcodeToString[dns.RcodeServerFailure]
	}
}

// The clock of a machine is everybody's, so it cannot be set for a test. Instead, CoreDNS is built once more, with a Go
// whose time.Now is off by as many seconds as a file says; as with a real clock that is set, what measures how much time
// has passed does not notice.
const clockFile = `package time

import ("sync/atomic"; "syscall"; "unsafe")

var offBy = func() *int64 {
	name, _ := syscall.Getenv("E2E_CLOCK")
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err == nil {
		var page []byte
		if page, err = syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED); err == nil {
			return (*int64)(unsafe.Pointer(&page[0]))
		}
	}
	return new(int64)
}()

func off() int64 { return atomic.LoadInt64(offBy) }
`

// clockRows has CoreDNS of its own, whose clock can be set.
func clockRows() []row {
	return []row{{name: "clock-set", what: "the clock is set an hour forward, and then two hours back", extras: func(s *stage) []*replica {
		binary := s.buildClocked()
		s.setClock(0)
		extras := s.newExtras("clocked")
		for _, r := range extras {
			r.binary, r.env = binary, append(r.env, "E2E_CLOCK="+s.account+"/clock")
		}
		s.each(extras, (*replica).readily)
		return extras
	}, try: func(s *stage) {
		for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
			s.setClock(by)
			for _, r := range s.extras {
				s.must(r.clockIs(by))
			}
			s.grow()
			time.Sleep(faultTime / 3)
			s.wire.cut()
			time.Sleep(faultTime / 3)
			s.shrinks()
		}
	}}}
}

// buildClocked builds that CoreDNS. All of it has to be compiled, which takes minutes if Go has not kept it.
func (s *stage) buildClocked() string {
	root, err := exec.CommandContext(s.Context(), build.GoCommand(), "env", "GOROOT").Output()
	s.must(err)
	source, dir := filepath.Join(strings.TrimSpace(string(root)), "src", "time"), s.TempDir()
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	s.must(err)
	const now = "sec, nsec, mono := runtimeNow()\n"
	files, overlay := map[string]string{"time.go": strings.ReplaceAll(string(text), now, now+"sec += off()\n"), "off.go": clockFile}, make(map[string]string)
	if files["time.go"] == string(text) {
		s.Fatal("time.Now is not what it was")
	}
	for name, text := range files {
		overlay[filepath.Join(source, name)] = filepath.Join(dir, name)
		s.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	text, err = json.Marshal(map[string]any{"Replace": overlay})
	s.must(errors.Join(err, os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600)))
	return cluster.Build(s, "../..", "./cmd/coredns", "-overlay", filepath.Join(dir, "overlay.json"))
}

// setClock has the clock be off by so much. It writes the file in place, for CoreDNS has it in its memory.
func (s *stage) setClock(by time.Duration) {
	f, err := os.OpenFile(s.account+"/clock", os.O_CREATE|os.O_WRONLY, 0o600)
	s.must(err)
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(by/time.Second)))
	s.must(errors.Join(err, f.Close()))
}

// clockIs is an error unless CoreDNS believes that it is so much later.
func (r *replica) clockIs(by time.Duration) error {
	_, header, err := r.get("8181", "/ready")
	if err != nil {
		return err
	}
	date, _ := http.ParseTime(header.Get("Date"))
	if off := time.Until(date) - by; off.Abs() > time.Minute {
		return fmt.Errorf("the clock of %s is off by %s, want %s", r.name, time.Until(date), by)
	}
	return nil
}
