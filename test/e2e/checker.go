package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// resolverTries are how long OTP's resolver waits for each server, in its first round of all servers and in the next
// ones: its default time-out of 2 s, doubled each time, divided by its 3 tries.
var resolverTries = []time.Duration{2 * time.Second / 3, 4 * time.Second / 3, 8 * time.Second / 3}

// late is when an answer is too late.
const late = 2 * time.Second

// question is one of those that a checker asks, and what is right to answer.
type question struct {
	name, qtype string
	right       atomic.Pointer[truth]
	answered    atomic.Pointer[time.Time] // when the first right answer came
}

// checker asks questions all the time, as fast as it is told to, and judges every answer.
type checker struct {
	from      *netns
	servers   []string
	questions []*question
	rate      int // questions a second
	// retried is for when CoreDNS itself is restarted: tries may be lost as long as the whole question is answered.
	retried bool
	// excused tells whether what is wrong is what was promised. It may be nil.
	excused func(q *question, begin time.Time, kind string, err error) bool

	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // protects following
	counts counts
	last   []string // what was wrong at last
}

// counts are what a checker has found.
type counts struct {
	asked       int
	wrong       map[string]int // by kind
	longest     time.Duration
	first, last time.Time // when the first question was asked, and the last one judged
}

// rate is how many were asked in a second.
func (c counts) rate() float64 {
	if seconds := c.last.Sub(c.first).Seconds(); seconds > 0 {
		return float64(c.asked) / seconds
	}
	return 0
}

func (c counts) wrongs() int {
	sum := 0
	for _, n := range c.wrong {
		sum += n
	}
	return sum
}

// How questions are given out.
const (
	askTick = 2 * time.Millisecond
	// askHaste is how much faster it may be asked if that was not possible in time, and askLag what is not made up for.
	askHaste = 1.25
	askLag   = 10 * time.Second
	// mostAskers is more than wait at any time, even if every server is silent for as long as a resolver asks again.
	mostAskers = 12000
)

func (c *checker) start(ctx context.Context) {
	ctx, c.stop = context.WithCancel(ctx)
	c.counts.wrong = make(map[string]int)
	for _, q := range c.questions {
		q.answered.Store(nil)
	}
	c.wg.Go(func() { c.dispatch(ctx) })
}

// asked tells how many questions have been judged so far.
func (c *checker) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts.asked
}

// end stops asking, and gives what was found.
func (c *checker) end() (counts, []string) {
	c.stop()
	c.wg.Wait()
	return c.counts, c.last
}

// dispatch has each question asked when it is due, by an asker that is idle or else by a new one: those that wait for an
// answer, as from a server that has just gone, keep nobody else from asking.
func (c *checker) dispatch(ctx context.Context) {
	todo := make(chan *question)
	defer close(todo)
	tick := time.NewTicker(askTick)
	defer tick.Stop()
	interval := time.Second / time.Duration(c.rate)
	due := time.Now()
	last := due
	askers, quota := 0, 0.0
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(due) > askLag {
			due = now.Add(-askLag)
		}
		// Not all at once what is due: no server could take that.
		quota = min(quota+askHaste*now.Sub(last).Seconds()*float64(c.rate), max(1, askHaste*10*askTick.Seconds()*float64(c.rate)))
		last = now
		for ; quota >= 1 && due.Before(now); quota-- {
			q := c.questions[i%len(c.questions)]
			i++
			due = due.Add(interval)
			select {
			case todo <- q:
			default:
				if askers < mostAskers {
					askers++
					c.wg.Go(func() { c.work(ctx, q, todo) })
				}
			}
		}
	}
}

func (c *checker) work(ctx context.Context, first *question, todo <-chan *question) {
	r := &resolver{from: c.from, servers: c.servers, conns: make([]net.Conn, len(c.servers))}
	defer r.close()
	c.ask(ctx, r, first)
	for q := range todo {
		c.ask(ctx, r, q)
	}
}

func (c *checker) ask(ctx context.Context, r *resolver, q *question) {
	right := q.right.Load()
	begin := time.Now()
	m, err := r.resolve(ctx, q.name, q.qtype)
	took := time.Since(begin)
	if ctx.Err() != nil {
		return
	}
	var kind, got string
	switch {
	case err != nil:
		kind, got = wrongLate, err.Error()
	case m.Rcode == dns.RcodeNameError:
		kind, got = wrongEmpty, dns.RcodeToString[m.Rcode]
	case m.Rcode != dns.RcodeSuccess:
		kind, got = wrongError, dns.RcodeToString[m.Rcode]
		err = errors.New(got)
	default:
		values := data(m)
		got = brief(values)
		if kind = right.judge(values); kind != "" {
			// It may have become right while it was on its way.
			right = q.right.Load()
			kind = right.judge(values)
		}
		if kind == "" && took > late && !c.retried {
			kind, got = wrongLate, got+" after "+took.String()
		}
	}
	if kind != "" && c.excused != nil && c.excused(q, begin, kind, err) {
		kind = ""
	} else if kind == "" {
		now := time.Now()
		q.answered.CompareAndSwap(nil, &now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.asked++
	c.counts.last = time.Now()
	if c.counts.first.IsZero() {
		c.counts.first = begin
	}
	c.counts.longest = max(c.counts.longest, took)
	if kind != "" {
		c.counts.wrong[kind]++
		const most = 100
		c.last = append(c.last, fmt.Sprintf("%s %s: %s %s, want %s, got %s (asked %s before)",
			time.Now().Format(clock), kind, q.name, q.qtype, right, got, took.Round(time.Millisecond)))
		c.last = c.last[max(len(c.last)-most, 0):]
	}
}

// resolver asks as OTP's does: one server after the other, over UDP and without EDNS, and never again one that refuses.
type resolver struct {
	from    *netns
	servers []string
	conns   []net.Conn
}

func (r *resolver) close() {
	for i := range r.conns {
		r.hangUp(i)
	}
}

func (r *resolver) hangUp(i int) {
	if r.conns[i] != nil {
		r.conns[i].Close()
		r.conns[i] = nil
	}
}

func (r *resolver) resolve(ctx context.Context, name, qtype string) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	packed, err := m.Pack()
	if err != nil {
		return nil, err
	}
	refused := make([]bool, len(r.servers))
	for _, patience := range resolverTries {
		for i := range r.servers {
			if refused[i] || ctx.Err() != nil {
				continue
			}
			var answer *dns.Msg
			if answer, err = r.try(ctx, i, m, packed, patience); err == nil {
				return answer, nil
			}
			r.hangUp(i)
			refused[i] = errors.Is(err, syscall.ECONNREFUSED)
		}
	}
	return nil, err
}

func (r *resolver) try(ctx context.Context, i int, m *dns.Msg, packed []byte, patience time.Duration) (*dns.Msg, error) {
	if r.conns[i] == nil {
		conn, err := r.from.dial(ctx, "udp", net.JoinHostPort(r.servers[i], "53"))
		if err != nil {
			return nil, err
		}
		r.conns[i] = conn
	}
	conn := r.conns[i]
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buffer := make([]byte, dns.MinMsgSize)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		answer := new(dns.Msg)
		if err := answer.Unpack(buffer[:n]); err != nil {
			return nil, err
		}
		switch {
		case answer.Id != m.Id: // it is for an earlier try
		case answer.Truncated:
			return r.tcp(ctx, i, m)
		default:
			return answer, nil
		}
	}
}

// tcp is for what does not fit into a datagram.
func (r *resolver) tcp(ctx context.Context, i int, m *dns.Msg) (*dns.Msg, error) {
	conn, err := r.from.dial(ctx, "tcp", net.JoinHostPort(r.servers[i], "53"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := dns.Client{Net: "tcp", Timeout: late}
	answer, _, err := client.ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: conn})
	return answer, err
}
