package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dialer is where connections are made from: a node or a pod.
type dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// query asks a server from a place, without EDNS unless there is a size.
func (b *bed) query(from dialer, network, server, name, qtype string, size uint16) (*dns.Msg, error) {
	raw, err := from.Dial(b.Context(), network, server)
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw, UDPSize: max(size, dns.MinMsgSize)}
	defer conn.Close()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	answer, _, err := new(dns.Client).ExchangeWithConn(m, conn)
	return answer, err
}

// values returns the data of an answer, or else its response code: addresses, targets without the final dot, longnames.
func values(m *dns.Msg) (out []string) {
	if m.Rcode != dns.RcodeSuccess {
		return []string{dns.RcodeToString[m.Rcode]}
	}
	for _, rr := range m.Answer {
		f := strings.Fields(rr.String()) // the last is all that differs
		out = append(out, strings.TrimSuffix(strings.Trim(f[len(f)-1], `"`), "."))
	}
	return out
}

// question is one, and the values of its answer.
type question struct {
	name, qtype string
	want        []string
}

// check asks it over UDP and TCP. Over UDP, an answer may also be cut, and say so.
func (b *bed) check(from dialer, server string, q question) error {
	for _, network := range []string{"udp", "tcp"} {
		m, err := b.query(from, network, server, q.name, q.qtype, 0)
		if err == nil && (network == "tcp" || !m.Truncated) {
			err = same(q.name+" "+q.qtype+" over "+network, values(m), q.want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answered waits until a server has the answers.
func (b *bed) answered(from dialer, server string, questions ...question) {
	b.Helper()
	for _, q := range questions {
		b.eventually(server+" answers", func() error { return b.check(from, server, q) })
	}
}

// wants waits until the test's own CoreDNS has an answer.
func (b *bed) wants(name, qtype string, want ...string) {
	b.Helper()
	b.answered(b.Nodes[0], b.server, question{name, qtype, want})
}

// wantsCluster waits until the name of a cluster has all of its records.
func (b *bed) wantsCluster(name, basename string, hosts, addresses []string) {
	b.Helper()
	names, of := make([]string, 0, len(hosts)), map[bool][]string{}
	for _, h := range hosts {
		names = append(names, basename+"@"+h)
	}
	for _, a := range addresses {
		of[strings.Contains(a, ":")] = append(of[strings.Contains(a, ":")], a)
	}
	b.wants(name, "TXT", names...)
	b.wants(name, "SRV", hosts...)
	b.wants(name, "A", of[false]...)
	b.wants(name, "AAAA", of[true]...)
}

// reverse is the name of an address.
func (b *bed) reverse(address string) string {
	name, err := dns.ReverseAddr(address)
	b.must(err)
	return name
}

// keepAsking asks over UDP until it is told to stop. Each answer has to have so many values at least, and among them
// those of the question; with 0, exactly those. As resolvers do, it asks once more, from another port, when there is no
// answer. An answer that is wrong is as bad as none then. When it stops, no question may have been lost.
func (b *bed) keepAsking(from dialer, server string, q question, least int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	var questions, again int
	var lost []error
	once := func() (answered bool, err error) {
		m, err := b.query(from, "udp", server, q.name, q.qtype, 0)
		if err == nil && m.Rcode == dns.RcodeServerFailure {
			// A flow may lead to a new pod, not ready yet, that has got the address of one that has ended.
			err = errors.New("SERVFAIL")
		}
		if err != nil {
			return false, err
		}
		got := values(m)
		missing := slices.ContainsFunc(q.want, func(v string) bool { return !slices.Contains(got, v) })
		if m.Rcode != dns.RcodeSuccess || len(got) < least || missing || least == 0 && len(got) != len(q.want) {
			err = fmt.Errorf("got %q, want %d or more, among them %q", got, least, q.want)
		}
		return true, err
	}
	go func() {
		defer close(done)
		for {
			begin := time.Now()
			questions++
			answered, err := once()
			if !answered {
				again++
				_, err = once()
			}
			if err != nil {
				lost = append(lost, fmt.Errorf("asked at %s: %w", begin.Format(time.StampMilli), err))
			}
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		b.Helper()
		close(quit)
		<-done
		b.Logf("%s %s: %d questions, %d of them twice", server, q.name, questions, again)
		if len(lost) > 0 {
			b.Errorf("%s %s: %d of %d questions are lost, the first: %v", server, q.name, len(lost), questions, lost[0])
		}
	}
}
