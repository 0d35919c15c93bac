package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// row is a fault, and what is promised while it lasts.
type row struct {
	name string
	what string // for people
	try  func(s *stage)
	// restarts is for rows in which CoreDNS itself goes away for a moment.
	restarts bool
	// extras brings a CoreDNS of the row's own, and one of *kubernetes* to compare it with: they are asked in place of
	// those that the nodes ask.
	extras func(s *stage) []*replica
	// excused is what is promised instead of right answers, by the CoreDNS that is asked. It may be nil.
	excused func(r *replica) func(q *question, begin time.Time, kind string, err error) bool
	// struck are the reasons, of which CoreDNS has to count one at least, for watches to have ended while the fault
	// lasted: else it has not struck.
	struck []string
	// apart is for rows that have nothing to do with *kubernetes*.
	apart bool
}

// The rates of questions, a second: what is tried, and what a row has to come to.
const (
	ourRate   = 2500
	leastRate = 2000
	theirRate = 200
)

// outcome is what has come of a row.
type outcome struct {
	row
	ours, theirs         counts
	ourDowns, theirDowns int
	compared             bool
	err                  error
	took                 time.Duration
}

// few tells whether there were too few questions for the row to show much.
func (o *outcome) few() bool { return o.ours.rate() < leastRate }

// matrix tries stages side by side.
type matrix struct {
	coredns, controlplane string
	run                   *run
	shared                *bed
	plans                 []*plan
	building              sync.WaitGroup
	gate                  sync.Mutex
	clocked               func() (string, error) // builds a CoreDNS whose clock can be set

	mu       sync.Mutex // protects following
	outcomes []outcome
}

// newMatrix begins at once with what takes long to build.
func newMatrix(ctx context.Context, r *run, plans []*plan) *matrix {
	m := &matrix{run: r, plans: plans}
	m.clocked = sync.OnceValues(func() (string, error) { return buildClocked(ctx, r.dir) })
	for _, p := range plans {
		if slices.ContainsFunc(p.rows, func(r row) bool { return r.name == clockRow().name }) {
			m.building.Go(func() { _, _ = m.clocked() }) // who needs it is told
		}
	}
	return m
}

// stagesAtOnce are so few that nodes, and API servers, have the time to answer.
const stagesAtOnce = 3

// plans leaves the rows that are chosen.
func plans(chosen func(name string) bool) []*plan {
	var out []*plan
	for _, p := range allPlans() {
		p.rows = slices.DeleteFunc(p.rows, func(r row) bool { return !chosen(r.name) })
		if len(p.rows) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// try tries all, and gives the outcomes in the order of the rows.
func (m *matrix) try(ctx context.Context, number int) []outcome {
	var wg sync.WaitGroup
	slots := make(chan struct{}, stagesAtOnce)
	for i, p := range m.plans {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if err := m.stage(ctx, p, number+i); err != nil && ctx.Err() == nil {
				m.fails(p, err)
			}
		})
	}
	wg.Wait()
	m.building.Wait()
	order := func(o outcome) int {
		n := 0
		for _, p := range m.plans {
			for _, r := range p.rows {
				if r.name == o.name {
					return n
				}
				n++
			}
		}
		return n
	}
	slices.SortStableFunc(m.outcomes, func(a, b outcome) int { return order(a) - order(b) })
	return m.outcomes
}

// fails has the rows fail that a stage has not come to.
func (m *matrix) fails(p *plan, err error) {
	for _, r := range p.rows {
		m.mu.Lock()
		done := slices.ContainsFunc(m.outcomes, func(o outcome) bool { return o.name == r.name })
		m.mu.Unlock()
		if !done {
			m.add(filepath.Join(m.run.dir, p.name), outcome{row: r, err: err})
		}
	}
}

func (m *matrix) add(dir string, o outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes = append(m.outcomes, o)
	result := "ok"
	if o.err != nil {
		result = "FAILED"
	}
	fmt.Printf("%-32s %-6s %6.1f s  %d questions\n", o.name, result, o.took.Seconds(), o.ours.asked)
	if o.err != nil {
		fmt.Printf("    %v\n    logs: %s\n", o.err, dir)
	}
}

func (m *matrix) stage(ctx context.Context, p *plan, number int) error {
	b := m.shared
	if p.own {
		own, err := m.run.within(p.name)
		if err != nil {
			return err
		}
		b, err = openBed(ctx, own, m.controlplane, m.coredns)
		defer b.close()
		if err != nil {
			return err
		}
	}
	return attempt(ctx, b, scenario{p.name, func(t *trial) {
		s := &stage{trial: t, matrix: m, plan: p}
		m.oneByOne(s.set)
		for _, r := range p.rows {
			o := s.row(r)
			if ctx.Err() != nil {
				return // it says nothing about the row
			}
			m.add(s.dir, o)
		}
	}}, number)
}

// oneByOne has stages not be built side by side: many nodes that start at once find each other late, and lose each
// other again.
func (m *matrix) oneByOne(set func()) {
	m.gate.Lock()
	defer m.gate.Unlock()
	set()
}

// row tries one.
func (s *stage) row(r row) (o outcome) {
	o = outcome{row: r, compared: !r.apart}
	begin := time.Now()
	s.note("--- %s", r.name)
	var ours, theirs *checker
	before := make(map[*cluster]int)
	defer func() {
		o.took = time.Since(begin)
		if o.err != nil {
			s.note("%s FAILED: %v", r.name, o.err)
		}
	}()
	o.err = s.caught(func() {
		s.proxy.now(wireFault{})
		s.trim()
		s.calm()
		s.recovers()
		s.still()
		if r.extras != nil {
			s.extras = r.extras(s)
		}
	})
	defer func() {
		for _, extra := range s.extras {
			extra.remove()
		}
		s.extras = nil
	}()
	if o.err != nil {
		return o
	}
	s.forget()
	ended, err := s.watchesEnded(r.struck)
	if err != nil {
		o.err = err
		return o
	}
	for _, c := range s.allClusters() {
		before[c], _ = s.downs(c)
	}
	ours = s.checkerOf(r, false, s.ourQuestions(), ourRate)
	theirs = s.checkerOf(r, true, s.theirQuestions, theirRate)
	ours.start(s.ctx)
	theirs.start(s.ctx)
	o.err = s.caught(func() {
		r.try(s)
		s.calm()
		if len(r.struck) > 0 {
			s.strikes(r.struck, ended)
		}
		s.unpanicked()
	})
	var lastOurs, lastTheirs []string
	o.ours, lastOurs = ours.end()
	o.theirs, lastTheirs = theirs.end()
	var lost []string
	for _, c := range s.allClusters() {
		n, last := s.downs(c)
		n = max(n-before[c], 0)
		if c == s.other {
			o.theirDowns = n
			continue
		}
		o.ourDowns += n
		lost = append(lost, last[len(last)-min(n, len(last)):]...)
	}
	text := strings.Join(slices.Concat(lastOurs, lost, []string{"", "kubernetes:"}, lastTheirs), "\n") + "\n"
	_ = os.WriteFile(filepath.Join(s.dir, r.name+".wrong.log"), []byte(text), 0o600)
	switch {
	case o.err != nil:
	case o.ours.wrongs() > 0:
		o.err = fmt.Errorf("%d of %d answers were wrong: %s; at last %s", o.ours.wrongs(), o.ours.asked, kinds(o.ours.wrong), lastOurs[len(lastOurs)-1])
	case o.ourDowns > 0:
		o.err = fmt.Errorf("%d times a node has lost one that lives, at last %s", o.ourDowns, lost[len(lost)-1])
	case o.few() && hurries.Load(): // else others may be to blame who keep the machine busy
		o.err = fmt.Errorf("only %.0f questions a second were asked", o.ours.rate())
	}
	return o
}

// checkerOf makes one for the CoreDNS of one kind that a row is about.
func (s *stage) checkerOf(r row, theirs bool, questions []*question, rate int) *checker {
	asked := s.replicas
	if theirs {
		asked = s.kubernetes
	}
	for _, extra := range s.extras {
		if extra.theirs == theirs {
			asked = []*replica{extra}
		}
	}
	c := &checker{from: s.plane, servers: addressesOfReplicas(asked), questions: questions, rate: rate, retried: r.restarts}
	if r.excused != nil {
		c.excused = r.excused(asked[0])
	}
	for _, a := range asked {
		a.checker = c
	}
	return c
}

// watchesEnded counts the watches of all CoreDNS that nodes ask which have ended for some reasons.
func (s *stage) watchesEnded(reasons []string) (sum float64, err error) {
	for _, r := range s.replicas {
		for _, reason := range reasons {
			n, err := r.metric("coredns_longnames_watch_restarts_total", fmt.Sprintf("reason=%q", reason))
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// strikes wants more to have ended than before.
func (s *stage) strikes(reasons []string, before float64) {
	n, err := s.watchesEnded(reasons)
	s.must(err)
	if n <= before {
		s.failf("no watch has ended for %s: the fault has not struck", strings.Join(reasons, " or "))
	}
	s.note("%.0f watches have ended for %s", n-before, strings.Join(reasons, " or "))
}

// unpanicked wants no CoreDNS to have panicked, not even without an end.
func (s *stage) unpanicked() {
	for _, r := range slices.Concat(s.replicas, s.extras) {
		if r.theirs {
			continue
		}
		if found := panicked.FindString(r.process.output()); found != "" {
			s.failf("%s has logged %s", r.name, found)
		}
	}
}

// caught turns the failure of a trial into an error.
func (s *stage) caught(do func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f.error
		}
	}()
	do()
	return nil
}

// kinds prints what was wrong by kind.
func kinds(wrong map[string]int) string {
	var out []string
	for _, kind := range kindsOfWrong {
		if n := wrong[kind]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if len(out) == 0 {
		return "0"
	}
	return strings.Join(out, ", ")
}
