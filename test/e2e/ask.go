package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ask asks the trial's CoreDNS, without EDNS unless size is above 0. It is no member who asks.
func (t *trial) ask(network, name, qtype string, size uint16) (*dns.Msg, error) {
	return t.askFrom(t.plane, network, name, qtype, size)
}

func (t *trial) askFrom(namespace *netns, network, name, qtype string, size uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	raw, err := namespace.dial(ctx, network, net.JoinHostPort(t.server.v4, "53"))
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw, UDPSize: max(size, dns.MinMsgSize)}
	defer conn.Close()
	client := dns.Client{Net: network, Timeout: 5 * time.Second}
	answer, _, err := client.ExchangeWithConnContext(ctx, m, conn)
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, qtype, err)
		t.keep(name+" "+qtype, err.Error())
		return nil, err
	}
	t.keep(name+" "+qtype, answer.String())
	return answer, nil
}

// keep keeps the last answer to a question.
func (t *trial) keep(question, answer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[question] = time.Now().Format(clock) + " " + answer
}

// extendedError gives the code of an answer's extended error (RFC 8914).
func extendedError(m *dns.Msg) uint16 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 0
}

// values gives an answer's data in order: addresses, targets without the final dot, longnames.
func (t *trial) values(name, qtype string) ([]string, error) {
	m, err := t.ask("tcp", name, qtype, 0)
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("%s %s: %s", name, qtype, dns.RcodeToString[m.Rcode])
	}
	return data(m), nil
}

func data(m *dns.Msg) []string {
	out := make([]string, 0, len(m.Answer))
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		case *dns.SRV:
			out = append(out, strings.TrimSuffix(rr.Target, "."))
		case *dns.PTR:
			out = append(out, strings.TrimSuffix(rr.Ptr, "."))
		case *dns.TXT:
			out = append(out, strings.Join(rr.Txt, ""))
		default:
			out = append(out, rr.String())
		}
	}
	slices.Sort(out)
	return out
}

// wants waits until an answer is exactly this.
func (t *trial) wants(name, qtype string, want ...string) {
	want = slices.Sorted(slices.Values(want)) // a copy
	t.soon(fmt.Sprintf("%s %s is %s", name, qtype, brief(want)), func() error {
		got, err := t.values(name, qtype)
		if err != nil {
			return err
		}
		return same(name+" "+qtype, got, want)
	})
}

// wantsCluster waits for all that a cluster's name answers.
func (t *trial) wantsCluster(name, basename string, hosts, addresses []string) {
	t.wants(name, "SRV", hosts...)
	t.wants(name, "TXT", longnames(basename, hosts)...)
	var v4, v6 []string
	for _, a := range addresses {
		if strings.Contains(a, ":") {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	t.wants(name, "A", v4...)
	t.wants(name, "AAAA", v6...)
}

// is wants an answer to be exactly this by now.
func (t *trial) is(name, qtype string, want ...string) {
	got, err := t.values(name, qtype)
	t.must(err)
	t.must(same(name+" "+qtype, got, want))
}

// same tells the difference between two sets.
func same(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if slices.Equal(got, want) {
		return nil
	}
	var missing, surplus []string
	for _, w := range want {
		if !slices.Contains(got, w) {
			missing = append(missing, w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			surplus = append(surplus, g)
		}
	}
	return fmt.Errorf("%s: got %s; missing %s, not wanted %s", what, brief(got), brief(missing), brief(surplus))
}

func brief(values []string) string {
	const most = 12
	if len(values) > most {
		return fmt.Sprintf("%d values from %q to %q", len(values), values[0], values[len(values)-1])
	}
	return fmt.Sprintf("%q", values)
}

// rcode waits for a response code.
func (t *trial) rcode(name, qtype, want string) {
	t.soon(fmt.Sprintf("%s %s is %s", name, qtype, want), func() error {
		m, err := t.ask("udp", name, qtype, 0)
		if err != nil {
			return err
		}
		if got := dns.RcodeToString[m.Rcode]; got != want {
			return fmt.Errorf("%s %s: got %s %s", name, qtype, got, brief(data(m)))
		}
		return nil
	})
}

// atLeast is for steady.
func atLeast(n int, always ...string) func([]string) error {
	return func(got []string) error {
		if len(got) < n {
			return fmt.Errorf("got %s, want %d or more", brief(got), n)
		}
		for _, a := range always {
			if !slices.Contains(got, a) {
				return fmt.Errorf("got %s without %s", brief(got), a)
			}
		}
		return nil
	}
}

// reverse is the name that is asked for an address' PTR.
func reverse(t *trial, address string) string {
	name, err := dns.ReverseAddr(address)
	t.must(err)
	return name
}
