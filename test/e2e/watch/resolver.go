package watch

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Dialer makes connections from where questions come from, such as a cluster's host or node.
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// tries are how long OTP's resolver waits for each server, in its first round of all servers and in the next ones: its
// default time-out of 2 s, doubled each time, divided by its 3 tries.
var tries = []time.Duration{2 * time.Second / 3, 4 * time.Second / 3, 8 * time.Second / 3}

// Resolver asks as OTP's does: one server after the other, over UDP and without EDNS unless it is told otherwise, and never
// again one that refuses.
type Resolver struct {
	From    Dialer
	Servers []string // addresses, with a port unless that is 53
	Ports   bool     // each try is from another port
	TCP     bool     // it asks over TCP, each time over a new connection
	EDNS    uint16   // how many bytes it offers to take over UDP, if it has EDNS
	conns   map[string]net.Conn
}

// Close ends its connections. The next question comes from another port.
func (r *Resolver) Close() {
	for _, conn := range r.conns {
		conn.Close()
	}
	clear(r.conns)
}

// Ask returns the first answer.
func (r *Resolver) Ask(ctx context.Context, name, qtype string) (answer *dns.Msg, err error) {
	m := question(name, qtype, r.EDNS)
	refused := make(map[string]bool)
	for _, patience := range tries {
		for _, server := range r.Servers {
			if refused[server] {
				continue
			}
			answer, err = r.try(ctx, server, m, patience)
			if r.Ports {
				r.Close()
			}
			if err == nil || ctx.Err() != nil {
				return answer, err
			}
			refused[server] = !r.Ports && errors.Is(err, syscall.ECONNREFUSED) // of several pods, one may refuse
		}
	}
	return nil, err
}

func (r *Resolver) try(ctx context.Context, server string, m *dns.Msg, patience time.Duration) (*dns.Msg, error) {
	at := server
	if _, _, err := net.SplitHostPort(server); err != nil {
		at = net.JoinHostPort(server, "53")
	}
	if r.TCP {
		return exchange(ctx, r.From, "tcp", at, m)
	}
	if r.conns[server] == nil {
		conn, err := r.From.Dial(ctx, "udp", at)
		if err != nil {
			return nil, err
		}
		if r.conns == nil {
			r.conns = make(map[string]net.Conn)
		}
		r.conns[server] = conn
	}
	// It skips answers to earlier questions.
	answer, _, err := (&dns.Client{Timeout: patience}).ExchangeWithConn(m, &dns.Conn{Conn: r.conns[server]})
	if err != nil || !answer.Truncated {
		return answer, err
	}
	return exchange(ctx, r.From, "tcp", at, m)
}

// Exchange asks once, over a connection of its own. The server is ADDRESS:PORT. There is no EDNS unless there is a size.
func Exchange(ctx context.Context, from Dialer, network, server, name, qtype string, size uint16) (*dns.Msg, error) {
	return exchange(ctx, from, network, server, question(name, qtype, size))
}

func question(name, qtype string, size uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	return m
}

func exchange(ctx context.Context, from Dialer, network, server string, m *dns.Msg) (*dns.Msg, error) {
	conn, err := from.Dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, _, err := (&dns.Client{Timeout: late}).ExchangeWithConn(m, &dns.Conn{Conn: conn})
	return answer, err
}

// Values returns the data of an answer in order, or else its response code: addresses, targets without the final dot,
// longnames.
func Values(m *dns.Msg) (out []string) {
	if m.Rcode != dns.RcodeSuccess {
		return []string{dns.RcodeToString[m.Rcode]}
	}
	for _, rr := range m.Answer {
		f := strings.Fields(rr.String()) // the last is all that differs
		out = append(out, strings.TrimSuffix(strings.Trim(f[len(f)-1], `"`), "."))
	}
	slices.Sort(out)
	return out
}
