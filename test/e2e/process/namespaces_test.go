package process

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"

	"github.com/longnames/longnames/test/e2e/watch"
)

// unreadNamespace has CoreDNS lack all rights in one of two namespaces when it starts. The clusters of the other one are
// answered all the time; it is ready a minute later; and once it has the rights, it answers for both.
func unreadNamespace(t *testing.T, b *bed) {
	const zone, read, unread = "shop.erl.internal", 2, 1
	b.open(t, endpointSlices, listWatch)
	other := *b
	other.prod = b.namespace(t, "other")
	b.CreateService(t, other.prod, "shop")
	b.shop(t, 0, read)
	other.shop(t, read, read+unread)
	b.endpoints(t, "shop", read)
	block := b.block(zone+" 10.in-addr.arpa", "namespaces "+b.prod+" "+other.prod, "hold 0", "startup_timeout 1s")
	s := b.server(t, 0, strings.NewReplacer("selector app=shop\n", "", "basename shop\n", "group_by app\n").Replace(block))
	s.may(`API server forbids `)
	s.may(`Members have not been read after 1s: questions about the namespaces `)

	known, unknown, members := "shop."+b.prod+"."+zone, "shop."+other.prod+"."+zone, b.some(10, 10+read, "shop@%s")
	// On a busy machine an answer may be late.
	checker := &watch.Checker{From: s, Servers: []string{s.Address}, Rate: 50, Retried: true,
		Questions: []*watch.Question{{Name: known, Type: "TXT"}}}
	checker.Questions[0].Expect(watch.Exactly(members))

	begin := time.Now()
	s.start()
	s.wants(known, "TXT", members...)
	checker.Start(t.Context())
	s.rcode(unknown, "TXT", dns.RcodeServerFailure)
	s.wants(watch.Reverse(b.address(10)), "PTR", b.address(10))
	s.wants(watch.Reverse(b.address(10+read)), "PTR", "NXDOMAIN")
	soon(t, "CoreDNS is ready", s.ready)
	assert.GreaterOrEqual(t, time.Since(begin), time.Minute, "when it is ready")
	s.rcode(unknown, "TXT", dns.RcodeServerFailure)
	s.counts(read, "members", `zone="`+zone+`."`)

	b.grant(t, b.prod, other.prod, endpointSlices, listWatch)
	s.wants(unknown, "TXT", b.some(10+read, 10+read+unread, "shop@%s")...)
	s.wants(watch.Reverse(b.address(10+read)), "PTR", b.address(10+read))
	s.logs(granted)
	s.counts(read+unread, "members", `zone="`+zone+`."`)
	assert.NoError(t, s.ready())
	found := checker.End()
	t.Logf("%d questions", found.Asked)
	assert.NoError(t, found.Err())
}
