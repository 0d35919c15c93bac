package process

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/watch"
)

// enoughRights has those that the README prints be enough, for one namespace or for all.
func enoughRights(t *testing.T, b *bed, of resources, everywhere bool) {
	b.open(t, of, listWatch)
	home, more, members, namespaces, granted := b.namespace(t, "home"), b.namespace(t, "test"), 1, b.prod, b.prod
	if everywhere {
		members, namespaces, granted = 2, "*", ""
	}
	b.Account(t, home, "coredns", b.account)
	b.grant(t, home, granted, of, listWatch)
	for i, ns := range []string{b.prod, more} {
		b.CreateService(t, ns, b.name) // others have pods that are called shop, too
		b.pod(t, ns, b.name, shopName(0), b.address(10+i))
	}
	block := b.block("shop.erl.internal", "lookup "+of.lookup, "namespaces "+namespaces)
	s := b.serve(t, strings.Replace(block, "app=shop", "app="+b.name, 1))
	s.wantsShop(10, 10+members)
}

// forbidden is what CoreDNS logs of a right that is missing in its own namespace: what to grant, and what the API server says.
func forbidden(of resources, namespace, verb string) string {
	return strings.NewReplacer("VERB", verb, "GROUPED", strings.TrimSuffix(of.name+"."+of.group, "."),
		"NAMESPACE", namespace,
		"RESOURCE", of.name, "GROUP", of.group).Replace(`[ERROR] plugin/longnames: shop.erl.internal. API server forbids to VERB ` +
		`GROUPED in namespace "NAMESPACE": grant the verb "VERB" on the resource "GROUPED" there with a Role or ClusterRole: ` +
		`GROUPED is forbidden: User "system:serviceaccount:NAMESPACE:coredns" cannot VERB resource "RESOURCE" in API group "GROUP" ` +
		`in the namespace "NAMESPACE"; what is known stays in use`)
}

// forbids waits until the lines about rights that are missing are exactly these, each logged once.
func (s *server) forbids(want ...string) {
	for _, line := range want {
		s.may("^" + regexp.QuoteMeta(line))
	}
	soon(s.t, "CoreDNS logs which rights are missing", func() error {
		lines := regexp.MustCompile(`(?m)^.*plugin/longnames.*forbid.*$`)
		return watch.Same("lines", lines.FindAllString(s.process.Output(), -1), want)
	})
}

// granted is the line that nothing is missing any more.
const granted = `(?m)^\[INFO\] plugin/longnames: shop\.erl\.internal\. API server grants access again after \d+(m\d+)?s$`

// missingList lacks a right at the start. A list can also be streamed, for which the right to watch is enough. So this has
// an API server that cannot do that: that of Kubernetes 1.33 could not by default, and older ones could not at all.
func missingList(t *testing.T, b *bed) {
	const port = "6444"
	b.Add(t, "kube-apiserver", "kube-apiserver-older", "--secure-port="+port, "--feature-gates=WatchList=false",
		"--endpoint-reconciler-type=none")
	soon(t, "the older API server is ready", func() error {
		_, err := b.TryKubectl(t.Context(), "--server=https://"+apiHost+":"+port, "get", "--raw=/readyz")
		return err
	})
	b.open(t, pods, "watch")
	b.shop(t, 0, 1)
	s := b.server(t, 0, b.block("shop.erl.internal", "hold 0", "lookup pods", "startup_timeout 1s", "cached"))
	s.apiPort = port
	v := s.vigil(1)
	s.start()
	missing := forbidden(pods, b.prod, "list")
	s.forbids(missing)
	for _, qtype := range []string{"SRV", "TXT", "A", "AAAA"} {
		m := s.rcode("shop.erl.internal", qtype, dns.RcodeServerFailure)
		assert.Contains(t, m.String(), "EDE: 14 (Not Ready)")
	}
	require.Error(t, s.ready(), "no members are known")
	v.grantedAsAsked(missing)
	s.counts(1, "api_requests_total", `verb="list"`, `code="200"`)
	s.cut()
	v.then(1, func() { b.close(t, 1, 2) })
}

// missingWatch has the members once, by a list.
func missingWatch(t *testing.T, b *bed) {
	b.open(t, endpointSlices, "list")
	b.shop(t, 0, 1)
	b.endpoints(t, "shop", 1)
	s := b.server(t, 0, b.block("shop.erl.internal", "hold 0", "startup_timeout 1s"))
	v := s.vigil(1)
	s.start()
	missing := forbidden(endpointSlices, b.prod, "watch")
	s.forbids(missing)
	s.wants("shop.erl.internal", "A", b.address(10))
	v.grantedAsAsked(missing)
}

// grantedAsAsked grants what the log asks for. From then on, all is as it should be.
func (v *vigil) grantedAsAsked(missing string) {
	const advice = `in namespace "([^"]+)": grant the verb "([^"]+)" on the resource "([^"]+)" there with a Role`
	s, asked := v.s, regexp.MustCompile(advice).FindStringSubmatch(missing)
	s.bed.Kubectl(s.t, "-n", asked[1], "create", "role", "asked", "--verb", asked[2], "--resource", asked[3])
	s.bed.Kubectl(s.t, "-n", asked[1], "create", "rolebinding", "asked", "--role=asked",
		"--serviceaccount="+s.bed.prod+":coredns")
	s.wantsShop(10, 11)
	s.logs(granted)
	require.NoError(s.t, s.ready())
	v.then(2, func() { s.bed.shop(s.t, 1, 2) })
	s.forbids(missing)
}

// withdrawnRights takes CoreDNS' rights away while it runs. That is seen when a watch has to be made anew.
func withdrawnRights(t *testing.T, b *bed) {
	b.open(t, endpointSlices, listWatch)
	b.shop(t, 0, 3)
	s := b.serve(t, b.block("shop.erl.internal", "hold 0"))
	s.wantsShop(10, 13)
	v := s.vigil(3)
	b.Kubectl(t, "-n", b.prod, "delete", "rolebinding", "--all")
	soon(t, "the rights have changed", func() error {
		out, err := b.TryKubectl(t.Context(), "-n", b.prod, "auth", "can-i", "watch", "endpointslices.discovery.k8s.io",
			"--as=system:serviceaccount:"+b.prod+":coredns")
		if strings.Contains(out, "no\n") {
			return nil
		}
		return fmt.Errorf("got %s %w", out, errors.Join(err))
	})
	s.cut()
	lost := []string{forbidden(endpointSlices, b.prod, "list"), forbidden(endpointSlices, b.prod, "watch")}
	s.forbids(lost...)
	b.shop(t, 3, 4)
	b.endpoints(t, "shop", 4)
	v.asks(100) // and nothing changes
	v.then(4, func() { b.grant(t, b.prod, b.prod, endpointSlices, listWatch) })
	s.logs(granted)
	s.forbids(lost...)
}

// vigil asks for the members of shop.erl.internal until the test ends, and wants each answer to be exact. Nothing else
// shows that a cluster was never torn apart, not even for a moment. It may begin before CoreDNS does: until the members
// are known for the first time, there is no answer, or SERVFAIL.
type vigil struct {
	*watch.Checker
	s   *server
	now int // members
}

func (s *server) vigil(members int) *vigil {
	v := &vigil{s: s, now: members, Checker: &watch.Checker{From: s, Servers: []string{s.Address}, Rate: 100}}
	v.Excused = func(q *watch.Question, begin time.Time, kind, _ string) bool {
		return (kind == watch.Error || kind == watch.Late) && !q.AnsweredBefore(begin)
	}
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		v.Questions = append(v.Questions, &watch.Question{Name: "shop.erl.internal", Type: qtype})
	}
	v.expect(members, members)
	v.Start(s.t.Context())
	s.t.Cleanup(func() {
		counts := v.End()
		never := func(q *watch.Question) bool { return !q.AnsweredBefore(time.Now()) }
		assert.NoError(s.t, counts.Err())
		assert.False(s.t, slices.ContainsFunc(v.Questions, never), "a question has never been answered")
	})
	return v
}

// expect accepts all sets from so many members to others.
func (v *vigil) expect(before, after int) {
	for i, form := range []string{"%s", "shop@%s", "%s"} {
		v.Questions[i].Expect(watch.Between(v.s.bed.some(10, 10+before, form), v.s.bed.some(10, 10+after, form),
			min(before, after)))
	}
}

// then has something change the members, and waits until all that is answered is of these.
func (v *vigil) then(members int, change func()) {
	v.expect(v.now, members)
	change()
	v.s.wantsShop(10, 10+members)
	v.now = members
	v.expect(members, members)
	v.asks(10)
}

// asks waits until so many more answers have come.
func (v *vigil) asks(n int) {
	n += v.Asked()
	soon(v.s.t, "there are answers", func() error {
		if v.Asked() < n {
			return errors.New("there are too few")
		}
		return nil
	})
}
