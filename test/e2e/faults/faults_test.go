// Package faults tests what CoreDNS answers while all goes wrong around it: a matrix of faults, on real control planes, with
// Erlang nodes that watch. Pods are objects alone.
package faults

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	// extra starts a CoreDNS that is asked in place of those that the nodes ask.
	extra func(s *stage) *replica
	// apart is for rows that have nothing to do with *kubernetes*.
	apart bool
	// excused reports whether an answer is what is promised instead of a right one. It may be nil.
	excused func(r *replica, q *watch.Question, begin time.Time, kind, got string) bool
}

// The rates of questions, a second: what is tried, and what a row has to come to.
const (
	ourRate   = 2500
	leastRate = 2000
	theirRate = 200
)

// On a busy machine a process may wait for seconds until it gets a processor. In a cluster CoreDNS does not share one
// with its clients, with an API server and with somebody's compiler; and who measures time must not be late himself. So
// these two have real-time priority: CoreDNS comes first, then this process, which make starts with 1, then all else.
const corednsPriority = "2"

// urgent reports whether make has been allowed that. Else answers may be late on a busy machine.
var urgent = func() bool {
	attr, err := unix.SchedGetAttr(0, 0)
	return err == nil && attr.Policy == unix.SCHED_RR
}()

func TestFaults(t *testing.T) {
	t.Cleanup(func() { report(t) })
	t.Log("with real-time priority:", urgent)
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
					s.row(t, r)
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
func (s *stage) row(t *testing.T, r row) {
	t.Helper()
	s.wire.heal()
	s.restock(2 * patience)
	s.calm()
	s.recovers()
	s.still()
	asked := s.replicas
	if r.extra != nil {
		s.extra = r.extra(s)
		defer func() {
			s.extra.Close()
			s.extra = nil
		}()
		asked = []*replica{s.extra}
	}
	ended := s.watchesEnded(r.struck)
	s.forget()
	ours, theirs := s.checker(r, asked, s.meshes, ourRate), s.checker(r, []*replica{s.kubernetes}, s.allMeshes(), theirRate)
	ours.Start(s.Context())
	theirs.Start(s.Context())
	defer func() {
		found, compared, lost := ours.End(), theirs.End(), s.downs(s.meshes...)
		assert.NoError(t, found.Err())
		assert.Empty(t, lost, "a node has lost one that lives")
		rate := strconv.Itoa(int(found.Rate()))
		if found.Rate() < leastRate {
			rate += fmt.Sprintf(" < %d", leastRate)
			assert.False(t, urgent, "got %s questions a second", rate) // else others may be to blame who keep the machine busy
		}
		line := []string{strconv.Itoa(found.Asked), rate, found.Kinds(), strconv.Itoa(len(lost)),
			found.Longest.Round(time.Millisecond).String(), "ok", "", "", ""}
		if t.Failed() {
			line[5] = "FAILED"
		}
		if !r.apart && !r.restarts && r.extra == nil {
			line = append(line[:6], strconv.Itoa(compared.Asked), compared.Kinds(), strconv.Itoa(len(s.downs(s.other))))
		}
		results.Store(s.plan.name+"/"+r.name, strings.Join(line, " | "))
		t.Log(strings.Join(line, " | "))
	}()
	r.try(s)
	s.calm()
	if len(r.struck) > 0 {
		assert.Greater(t, s.watchesEnded(r.struck), ended, "watches that have ended for %q: the fault strikes", r.struck)
	}
	for _, r := range s.ours() {
		assert.Empty(t, cluster.Crash.FindString(r.process.Output()), "%s has logged it", r.name)
	}
}

// checker asks some CoreDNS of one kind.
func (s *stage) checker(r row, asked []*replica, meshes []*mesh, rate int) *watch.Checker {
	c := &watch.Checker{From: s.clients, Rate: rate, Retried: r.restarts}
	for _, m := range meshes {
		c.Questions = append(c.Questions, m.questions[asked[0].theirs]...)
	}
	if r.excused != nil {
		c.Excused = func(q *watch.Question, begin time.Time, kind, got string) bool {
			return r.excused(asked[0], q, begin, kind, got)
		}
	}
	for _, a := range asked {
		a.checker, c.Servers = c, append(c.Servers, a.Address)
	}
	return c
}

// watchesEnded counts the watches of all CoreDNS that nodes ask which have ended for some reasons.
func (s *stage) watchesEnded(reasons []string) (sum float64) {
	for _, r := range s.replicas {
		for _, reason := range reasons {
			n, err := r.metric("coredns_longnames_watch_restarts_total", fmt.Sprintf("reason=%q", reason))
			require.NoError(s, err)
			sum += n
		}
	}
	return sum
}

var matrix = flag.String("matrix", "", "write the table of faults to this `file`, as Markdown")

// results have the outcomes of all rows that have been tried.
var results sync.Map

// report writes them as a table, and what each fault is.
func report(t *testing.T) {
	t.Helper()
	var lines, list strings.Builder
	lines.WriteString("| fault | questions | a second | wrong answers | nodes lost | longest answer | result | " +
		"*kubernetes*: questions | wrong answers | nodes lost |\n" +
		strings.Repeat("|---", 10) + "|\n")
	for _, p := range plans() {
		for _, r := range p.rows {
			name := p.name + "/" + r.name
			if result, tried := results.Load(name); tried {
				fmt.Fprintf(&lines, "| %s | %s |\n", name, result)
				fmt.Fprintf(&list, "* `%s`: %s\n", name, r.what)
			}
		}
	}
	t.Log("\n" + lines.String())
	if *matrix != "" {
		assert.NoError(t, os.WriteFile(*matrix, []byte(lines.String()+"\n"+list.String()), 0o600))
	}
}
