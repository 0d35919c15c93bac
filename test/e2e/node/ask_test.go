package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// query asks a server from a place.
func query(t *testing.T, from dialer, network, server, name, qtype string) (*dns.Msg, error) {
	t.Helper()
	raw, err := from.Dial(t.Context(), network, server)
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw}
	defer conn.Close()
	answer, _, err := new(dns.Client).ExchangeWithConn(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype]), conn)
	return answer, err
}

// question is one, and the data of its answer.
type question struct {
	name, qtype string
	want        []string
}

// check asks it.
func (q question) check(t *testing.T, from dialer, network, server string) error {
	t.Helper()
	answer, err := query(t, from, network, server, q.name, q.qtype)
	if err != nil {
		return err
	}
	got := make([]string, 0, len(answer.Answer))
	for _, rr := range answer.Answer {
		got = append(got, strings.Trim(strings.TrimPrefix(rr.String(), rr.Header().String()), `"`))
	}
	slices.Sort(got)
	if !slices.Equal(got, q.want) {
		err = fmt.Errorf("%s: got %s with %q, want %q", q.name, dns.RcodeToString[answer.Rcode], got, q.want)
	}
	return err
}

// keepAsking asks it all the time.
func (q question) keepAsking(t *testing.T, from dialer, server string) (stop func() stream) {
	t.Helper()
	return keepAsking(func() (bool, error) {
		err := q.check(t, from, "udp", server)
		return err == nil, err
	})
}

// answered waits until a server has the answers.
func answered(t *testing.T, from dialer, server string, questions ...question) {
	t.Helper()
	for _, q := range questions {
		cluster.Eventually(t, patience, server+" answers", func() error {
			return errors.Join(q.check(t, from, "udp", server), q.check(t, from, "tcp", server))
		})
	}
}

// refused checks that a server has another response code for a name.
func refused(t *testing.T, from dialer, server, name string, want int) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		answer, err := query(t, from, network, server, name, "A")
		if err != nil || answer.Rcode != want {
			t.Errorf("%s over %s: got %v and error %v, want %s", name, network, answer, err, dns.RcodeToString[want])
		}
	}
}
