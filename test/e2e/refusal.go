package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusal is a request that the API server answers with 403.
type refusal struct {
	verb      string
	of        resources
	namespace string // or none, for all
	account   string // the namespace of who asks
}

// refusals are of some verbs.
func refusals(of resources, namespace, account string, verbs ...string) []refusal {
	out := make([]refusal, 0, len(verbs))
	for _, verb := range verbs {
		out = append(out, refusal{verb, of, namespace, account})
	}
	return out
}

// line is what CoreDNS logs: which right is missing, and what to grant, then what the API server says.
func (r refusal) line() string {
	full := r.of.full()
	where, scope := fmt.Sprintf("in namespace %q", r.namespace), fmt.Sprintf("in the namespace %q", r.namespace)
	if r.namespace == "" {
		where, scope = "in all namespaces", "at the cluster scope"
	}
	return fmt.Sprintf(`[ERROR] plugin/longnames: shop.erl.internal. API server forbids to %s %s %s: `+
		`grant the verb %q on the resource %q there with a Role or ClusterRole: `+
		`%s is forbidden: User "system:serviceaccount:%s:coredns" cannot %s resource %q in API group %q %s; `+
		`what is known stays in use`,
		r.verb, full, where, r.verb, full, full, r.account, r.verb, string(r.of), r.of.group(), scope)
}

// forbidden gives the lines about rights that are missing.
func (s *server) forbidden() []string {
	var out []string
	for line := range strings.Lines(s.process.output()) {
		if strings.Contains(line, "forbid") && strings.Contains(line, "plugin/longnames") {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// forbids waits until the lines about rights that are missing are exactly these, each logged once.
func (s *server) forbids(want ...refusal) {
	lines := make([]string, 0, len(want))
	for _, r := range want {
		lines = append(lines, r.line())
		s.may("^" + regexp.QuoteMeta(r.line()))
	}
	s.t.soon(fmt.Sprintf("CoreDNS logs that %d rights are missing", len(want)), func() error {
		return same("lines about rights", s.forbidden(), lines)
	})
}

// grants waits for the line that nothing is missing any more.
func (s *server) grants() {
	s.logs(`(?m)^\[INFO\] plugin/longnames: shop\.erl\.internal\. API server grants access again after \d+(m\d+)?s$`)
}

// asked is what a line about a right asks for.
var asked = regexp.MustCompile(`in (?:namespace "([^"]+)"|all namespaces): grant the verb "([^"]+)" on the resource "([^"]+)" there with a Role`)

// grantAsked does what the log says, and nothing else.
func (t *trial) grantAsked(account string) {
	rules := make(map[string][]rbacv1.PolicyRule)
	for _, line := range t.server.forbidden() {
		found := asked.FindStringSubmatch(line)
		if found == nil {
			t.failf("does not tell what to grant: %s", line)
		}
		resource, group, _ := strings.Cut(found[3], ".")
		rules[found[1]] = append(rules[found[1]], rbacv1.PolicyRule{
			Verbs: found[2:3], Resources: []string{resource}, APIGroups: []string{group},
		})
	}
	for namespace, more := range rules {
		if namespace == "" {
			t.grantAll(account, more)
			continue
		}
		roles := t.client.RbacV1().Roles(namespace)
		role, err := roles.Get(t.ctx, "longnames", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			role = &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "longnames"}, Rules: more}
			_, err = roles.Create(t.ctx, role, metav1.CreateOptions{})
			t.must(err)
			t.bind(account, namespace)
			continue
		}
		t.must(err)
		role.Rules = slices.Concat(role.Rules, more)
		_, err = roles.Update(t.ctx, role, metav1.UpdateOptions{})
		t.must(err)
	}
}
