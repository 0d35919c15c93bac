package node

import (
	"net"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/watch"
)

// question is one, and the values of its answer.
type question struct {
	name, qtype string
	want        []string
}

// check asks it over UDP and TCP. Over UDP, an answer may also be cut, and say so.
func (b *bed) check(from watch.Dialer, server string, q question) error {
	for _, network := range []string{"udp", "tcp"} {
		m, err := watch.Exchange(b.Context(), from, network, server, q.name, q.qtype, 0)
		if err == nil && (network == "tcp" || !m.Truncated) {
			err = watch.Same(q.name+" "+q.qtype+" over "+network, watch.Values(m), q.want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answered waits until a server has the answers.
func (b *bed) answered(from watch.Dialer, server string, questions ...question) {
	for _, q := range questions {
		b.eventually(server+" answers", func() error { return b.check(from, server, q) })
	}
}

// wants waits until the test's own CoreDNS has an answer.
func (b *bed) wants(name, qtype string, want ...string) {
	b.answered(b.Nodes[0], b.server, question{name, qtype, want})
}

// wantsCluster waits until the name of a cluster has all of its records.
func (b *bed) wantsCluster(name, basename string, hosts, addresses []string) {
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

// keepAsking asks until it is told to stop. Each answer has to have so many values at least, and among them those of
// the question; with 0, exactly those. No question may be lost, but some may be asked twice.
func (b *bed) keepAsking(from watch.Dialer, server string, q question, least int) (stop func()) {
	host, _, err := net.SplitHostPort(server)
	require.NoError(b, err)
	asked := &watch.Question{Name: q.name, Type: q.qtype}
	asked.Expect(watch.Exactly(q.want))
	if least > 0 {
		asked.Expect(watch.AtLeast(least, q.want...))
	}
	c := &watch.Checker{From: from, Servers: []string{host}, Questions: []*watch.Question{asked}, Rate: 50, Retried: true,
		Again: true}
	c.Start(b.Context())
	return func() {
		found := c.End()
		b.Logf("%s %s: %d questions, the longest took %s", server, q.name, found.Asked, found.Longest)
		assert.NoError(b, found.Err(), "%s %s", server, q.name)
	}
}
