// Package faults tests what CoreDNS answers while all goes wrong around it: a matrix of faults, on real control planes, with
// Erlang nodes that watch. Pods are objects alone.
package faults

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// row is a fault, and what is promised while it lasts.
type row struct {
	name, what string
	try        func(s *stage)
	// struck are the reasons, of which CoreDNS has to count one at least, for watches to have ended while the fault
	// lasted: else it has not struck.
	struck []string
	// restarts is for rows in which CoreDNS itself goes away for a moment.
	restarts bool
	// extras starts a CoreDNS of the row's own, and one of *kubernetes* to compare it with: they are asked in place of
	// those that the nodes ask.
	extras func(s *stage) []*replica
	// excused is what is promised instead of right answers, by the CoreDNS that is asked. It may be nil.
	excused func(r *replica) func(q *watch.Question, begin time.Time, kind, got string) bool
	// apart is for rows that have nothing to do with *kubernetes*.
	apart bool
}

// plan says how a stage is, and which rows are tried on it, one after the other.
type plan struct {
	name       string
	replicas   int    // of each kind, one if it is 0
	deployment bool   // the pods of shop are those of a Deployment
	crowd      bool   // CoreDNS watches a crowd, too
	options    string // of each longnames block
	env        string // of each CoreDNS
	rows       []row
}

// plans are all rows, by where they are tried. Those that take longest come first.
func plans() []plan {
	return []plan{
		{name: "Stopped", rows: stoppedRows()},
		{name: "Older", rows: olderRows()},
		{name: "HTTP1", env: "DISABLE_HTTP2=1", rows: halfOpenRows("HTTP/1.1")},
		{name: "Statuses", rows: httpRows()},
		{name: "Store", rows: storeRows()},
		{name: "CoreDNS", options: "snapshot " + snapshots + "/ZONE.json", rows: corednsRows()},
		{name: "Wire", rows: wireRows()},
		{name: "API", rows: apiRows()},
		{name: "Relist", crowd: true, rows: relistRows()},
		{name: "Members", deployment: true, rows: memberRows()},
		{name: "Rights", rows: rightsRows()},
		{name: "HTTP2", rows: halfOpenRows("HTTP/2")},
		{name: "Clock", rows: clockRows()},
		{name: "Pair", replicas: 2, rows: pairRows()},
	}
}

// The rates of questions, a second: what is tried, and what a row has to come to.
const (
	ourRate   = 2500
	leastRate = 2000
	theirRate = 200
)

// On a busy machine a process may wait for seconds until it gets a processor. In a cluster CoreDNS does not share one
// with its clients, with an API server and with somebody's compiler; and who measures time must not be late himself. So
// these two have real-time priority: CoreDNS comes first, then this process, then all else.
const (
	ownPriority     = 1
	corednsPriority = "2"
)

// urgent reports whether that is so.
var urgent bool

// TestMain starts the tests once more with real-time priority: then all threads inherit it.
func TestMain(m *testing.M) {
	runtime.LockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	if urgent = err == nil && attr.Policy == unix.SCHED_RR; !urgent {
		if err = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: ownPriority}, 0); err == nil {
			err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		fmt.Println("No real-time priority, so answers may be late on a busy machine:", err)
	}
	runtime.UnlockOSThread()
	os.Exit(m.Run())
}

func TestFaults(t *testing.T) {
	results := make(table)
	t.Cleanup(func() { results.report(t) })
	modules := cluster.Modules(t, "cluster.erl", "clients.erl", "downs.erl")
	toxiproxy := cluster.Build(t, ".", "github.com/Shopify/toxiproxy/v2/cmd/server")
	// Stages are not set side by side: many nodes that start at once find each other late, and lose each other again.
	var gate sync.Mutex
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := &stage{TB: t, Cluster: cluster.Start(t, cluster.Options{}), plan: p, modules: modules, toxiproxy: toxiproxy}
			func() {
				gate.Lock()
				defer gate.Unlock()
				s.set()
			}()
			for _, r := range p.rows {
				t.Run(r.name, func(t *testing.T) {
					stage := s.TB
					defer func() { s.TB = stage }()
					s.TB = lasting{t, stage}
					s.row(t, r, func(line []string) {
						gate.Lock()
						defer gate.Unlock()
						results[p.name+"/"+r.name] = line
					})
				})
			}
		})
	}
}

// lasting is a row's test. What it cleans up stays until the stage ends.
type lasting struct {
	testing.TB
	stage testing.TB
}

func (l lasting) Cleanup(f func()) { l.stage.Cleanup(f) }

// row tries a row.
func (s *stage) row(t *testing.T, r row, report func(line []string)) {
	t.Helper()
	s.wire.heal()
	s.trim()
	s.calm()
	s.recovers()
	s.still()
	if r.extras != nil {
		s.extras = r.extras(s)
		defer func() {
			for _, extra := range s.extras {
				extra.Close()
			}
			s.extras = nil
		}()
	}
	ended := s.watchesEnded(r.struck)
	s.forget()
	ours := s.checker(r, false, s.meshes, ourRate)
	theirs := s.checker(r, true, s.allMeshes(), theirRate)
	ours.Start(s.Context())
	theirs.Start(s.Context())
	defer func() {
		found, compared, lost := ours.End(), theirs.End(), s.downs(s.meshes...)
		if len(found.Wrong) > 0 {
			t.Errorf("%s of %d answers were wrong, at last:\n%s", found.Kinds(), found.Asked, strings.Join(found.Last, "\n"))
		}
		if len(lost) > 0 {
			t.Errorf("%d times a node has lost one that lives:\n%s", len(lost), strings.Join(lost, "\n"))
		}
		rate := strconv.Itoa(int(found.Rate()))
		if found.Rate() < leastRate {
			rate += fmt.Sprintf(" < %d", leastRate)
			if urgent { // else others may be to blame who keep the machine busy
				t.Errorf("got %s questions a second", rate)
			}
		}
		line := []string{strconv.Itoa(found.Asked), rate, found.Kinds(), strconv.Itoa(len(lost)), found.Longest.Round(time.Millisecond).String(), "ok", "", "", ""}
		if t.Failed() {
			line[5] = "FAILED"
		}
		if !r.apart {
			line = append(line[:6], strconv.Itoa(compared.Asked), compared.Kinds(), strconv.Itoa(len(s.downs(s.other))))
		}
		t.Log(strings.Join(line, " | "))
		report(line)
	}()
	r.try(s)
	s.calm()
	if len(r.struck) > 0 && s.watchesEnded(r.struck) <= ended {
		t.Errorf("no watch has ended for %s: the fault has not struck", strings.Join(r.struck, " or "))
	}
	for _, r := range slices.Concat(s.replicas, s.extras) {
		if found := panicked.FindString(r.process.Output()); found != "" && !r.theirs {
			t.Errorf("%s has logged %s", r.name, found)
		}
	}
}

// panicked matches the line that is logged of a panic, whether the process ends with it or not.
var panicked = regexp.MustCompile(`(?m)^(panic|fatal error): .*|.*Recovered from panic.*`)

// checker asks the CoreDNS of one kind that a row is about.
func (s *stage) checker(r row, theirs bool, meshes []*mesh, rate int) *watch.Checker {
	asked := s.replicas
	if theirs {
		asked = s.kubernetes
	}
	for _, extra := range s.extras {
		if extra.theirs == theirs {
			asked = []*replica{extra}
		}
	}
	c := &watch.Checker{From: s.clients, Servers: addresses(asked), Rate: rate, Retried: r.restarts}
	for _, m := range meshes {
		c.Questions = append(c.Questions, m.questions[theirs]...)
	}
	if r.excused != nil {
		c.Excused = r.excused(asked[0])
	}
	for _, a := range asked {
		a.checker = c
	}
	return c
}

// watchesEnded counts the watches of all CoreDNS that nodes ask which have ended for some reasons.
func (s *stage) watchesEnded(reasons []string) (sum float64) {
	for _, r := range s.replicas {
		for _, reason := range reasons {
			n, err := r.metric("watch_restarts_total", fmt.Sprintf("reason=%q", reason))
			s.must(err)
			sum += n
		}
	}
	return sum
}

var matrix = flag.String("matrix", "", "write the table of faults to this `file`, as Markdown")

// table has the outcomes of all rows.
type table map[string][]string

// report writes the table, and what each fault is.
func (t table) report(tb testing.TB) {
	tb.Helper()
	var lines, list strings.Builder
	lines.WriteString("| fault | questions | a second | wrong answers | nodes lost | longest answer | result | *kubernetes*: questions | wrong answers | nodes lost |\n" +
		strings.Repeat("|---", 10) + "|\n")
	for _, p := range plans() {
		for _, r := range p.rows {
			name := p.name + "/" + r.name
			if t[name] != nil {
				fmt.Fprintf(&lines, "| %s | %s |\n", name, strings.Join(t[name], " | "))
				fmt.Fprintf(&list, "* `%s`: %s\n", name, r.what)
			}
		}
	}
	tb.Log("\n" + lines.String())
	if *matrix != "" {
		if err := os.WriteFile(*matrix, []byte(lines.String()+"\n"+list.String()), 0o600); err != nil {
			tb.Error(err)
		}
	}
}
