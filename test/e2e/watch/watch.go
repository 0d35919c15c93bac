// Package watch asks CoreDNS for the members of clusters all the time, as Erlang nodes do, and judges every answer.
package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Question is one that a Checker asks.
type Question struct {
	Name, Type string
	right      atomic.Pointer[Truth]
	answered   atomic.Pointer[time.Time]
}

// Expect says what is right to answer from now on. It has to be said before that comes about.
func (q *Question) Expect(right *Truth) { q.right.Store(right) }

// AnsweredBefore reports whether the first right answer came before a time.
func (q *Question) AnsweredBefore(t time.Time) bool {
	first := q.answered.Load()
	return first != nil && first.Before(t)
}

// Checker asks questions all the time, at a steady rate, however many of them wait for an answer.
type Checker struct {
	From      Dialer
	Servers   []string // as a Resolver has them, as TCP and EDNS
	TCP       bool
	EDNS      uint16
	Questions []*Question
	Rate      int // questions a second
	// Retried is for servers that are restarted: tries may be lost as long as the question is answered at last.
	Retried bool
	// Again is for a Service whose pods are restarted: kube-proxy lets a flow go on to a pod that ends, or is not ready
	// yet. Each try is from another port, and after a SERVFAIL a question is asked again, three times in all, as OTP's
	// resolver does.
	Again bool
	// Excused reports whether what is wrong is what was promised. It may be nil.
	Excused func(q *Question, begin time.Time, kind, got string) bool

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // protects counts
	counts Counts
}

// Counts are what a Checker has found.
type Counts struct {
	Asked   int
	Wrong   map[string]int // by kind
	Longest time.Duration
	Last    []string // the wrong answers that came last
	// Repeated counts the questions that took so long that they were asked again, or could have been.
	Repeated int

	took       []time.Duration
	begin, end time.Time // when the first question was asked, and the last one judged
}

// Rate returns how many questions were asked a second.
func (c *Counts) Rate() float64 { return float64(c.Asked) / max(c.end.Sub(c.begin).Seconds(), 1) }

// Quantile returns how long a part of the answers took at most.
func (c *Counts) Quantile(part float64) time.Duration {
	if len(c.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.took))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// Kinds says how many answers were wrong in which way.
func (c *Counts) Kinds() string {
	var out []string
	for _, kind := range []string{Empty, Error, Fewer, Other, Late} {
		if n := c.Wrong[kind]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if len(out) == 0 {
		return "0"
	}
	return strings.Join(out, ", ")
}

// Err returns an error if answers were wrong, or if there were none.
func (c *Counts) Err() error {
	if c.Asked > 0 && len(c.Wrong) == 0 {
		return nil
	}
	return fmt.Errorf("of %d answers wrong: %s, at last:\n%s", c.Asked, c.Kinds(), strings.Join(c.Last, "\n"))
}

const (
	// late is when an answer is too late: OTP's resolver asks once more.
	late = 2 * time.Second
	// servfail is how long OTP's resolver waits after a SERVFAIL of all servers.
	servfail = 1500 * time.Millisecond
	// haste is how much faster is asked what could not be asked in time, burst how many at once, and lag what is not made
	// up for.
	haste = 1.25
	burst = 60
	lag   = 10 * time.Second
	// mostAskers is more than wait at any time, even if every server is silent.
	mostAskers = 12000
)

// Start begins to ask.
func (c *Checker) Start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	c.counts.Wrong = make(map[string]int)
	for _, q := range c.Questions {
		q.answered.Store(nil)
	}
	c.wg.Go(func() { c.dispatch(ctx) })
}

// Asked returns how many questions have been judged so far.
func (c *Checker) Asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts.Asked
}

// Stop stops asking. What is not answered yet is not judged.
func (c *Checker) Stop() { c.cancel() }

// End stops asking, and returns what was found.
func (c *Checker) End() Counts {
	c.Stop()
	c.wg.Wait()
	return c.counts
}

// dispatch has each question asked when it is due, by an asker that is idle or else by a new one: those that wait for an
// answer keep nobody else from asking.
func (c *Checker) dispatch(ctx context.Context) {
	todo := make(chan *Question)
	defer close(todo)
	limit := rate.NewLimiter(rate.Limit(haste*float64(c.Rate)), burst)
	askers, due := 0, time.Now()
	for i := 0; ; i++ {
		time.Sleep(time.Until(due))
		if limit.Wait(ctx) != nil {
			return
		}
		if due = due.Add(time.Second / time.Duration(c.Rate)); time.Since(due) > lag {
			due = time.Now().Add(-lag)
		}
		q := c.Questions[i%len(c.Questions)]
		select {
		case todo <- q:
		default:
			if askers < mostAskers {
				askers++
				c.wg.Go(func() {
					r := &Resolver{From: c.From, Servers: c.Servers, Ports: c.Again, TCP: c.TCP, EDNS: c.EDNS}
					defer r.Close()
					for ok := true; ok; q, ok = <-todo {
						c.ask(ctx, r, q)
					}
				})
			}
		}
	}
}

func (c *Checker) ask(ctx context.Context, r *Resolver, q *Question) {
	right, begin := q.right.Load(), time.Now()
	m, err := r.Ask(ctx, q.Name, q.Type)
	now := time.Now()
	took := now.Sub(begin)
	if ctx.Err() != nil {
		return
	}
	kind, got := right.judge(m, err)
	if kind != "" {
		// It may have become right while it was on its way.
		right = q.right.Load()
		kind, got = right.judge(m, err)
	}
	for tries := 1; kind == Error && c.Again && tries < 3; tries++ {
		time.Sleep(servfail)
		m, err = r.Ask(ctx, q.Name, q.Type)
		if ctx.Err() != nil {
			return
		}
		right = q.right.Load()
		kind, got = right.judge(m, err)
	}
	if kind == "" && took > late && !c.Retried {
		kind = Late
	}
	if kind == "" {
		q.answered.CompareAndSwap(nil, &now)
	} else if c.Excused != nil && c.Excused(q, begin, kind, got) {
		kind = ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts.Asked++; c.counts.Asked == 1 {
		c.counts.begin = begin
	}
	c.counts.end = now
	c.counts.Longest = max(c.counts.Longest, took)
	c.counts.took = append(c.counts.took, took)
	if took >= tries[0] {
		c.counts.Repeated++
	}
	if kind != "" {
		c.counts.Wrong[kind]++
		const most = 20
		c.counts.Last = append(c.counts.Last[max(len(c.counts.Last)-most+1, 0):], fmt.Sprintf("%s %s: %s %s, want %s, got %s after %s",
			now.Format("15:04:05.000"), kind, q.Name, q.Type, right, got, took.Round(time.Millisecond)))
	}
}
