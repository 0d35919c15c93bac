package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// rightsScenarios: the rights that the README prints are enough, and one less is told and does no harm. That they are
// enough for one namespace and for several, other scenarios show as well.
func rightsScenarios() []scenario {
	return []scenario{
		{"rights-one-namespace", func(t *trial) { tryRights(t, endpointSlices, 1) }},
		{"rights-one-namespace-pods", func(t *trial) { tryRights(t, pods, 1) }},
		{"rights-several-namespaces", func(t *trial) { tryRights(t, endpointSlices, 3) }},
		{"rights-all-namespaces", func(t *trial) { tryRights(t, endpointSlices, 0) }},
		{"rights-missing-at-start", tryMissing},
		{"rights-missing-namespace", tryMissingNamespace},
		{"rights-missing-watch", tryNoWatch},
		{"rights-withdrawn", tryWithdrawn},
		{"token-rotated", tryRotated},
	}
}

// lookedUp is what a Corefile calls it.
func (r resources) lookup() string {
	if r == pods {
		return "pods"
	}
	return "endpoints"
}

// forbids waits for the line that the README promises for a right that is missing.
func (s *server) forbids(verb string, of resources, namespace string) {
	s.logs(`ERROR.* forbids to ` + verb + ` ` + regexp.QuoteMeta(of.full()) + ` in namespace "` + namespace + `"`)
}

// full is what a message calls it.
func (r resources) full() string {
	if r == pods {
		return "pods"
	}
	return "endpointslices.discovery.k8s.io"
}

// tryRights is for so many namespaces, 0 for all; then the account has no Role in any.
func tryRights(t *trial, of resources, n int) {
	home := t.namespace("home", podPolicy{})
	t.account(home)
	watched := max(n, 2)
	namespaces := make([]string, 0, watched)
	want := make([]string, 0, watched)
	for i := range watched {
		ns := t.namespace(fmt.Sprintf("prod%d", i), podPolicy{})
		namespaces = append(namespaces, ns)
		if n > 0 {
			t.grant(home, ns, of)
		}
		t.service(ns, t.name)
		t.pod(ns, t.name, "shop-0", "")
		want = append(want, addressesOf(t.podsOf(ns, t.name, 1))...)
	}
	if n == 0 {
		t.grantAll(home, of)
		namespaces = []string{"*"}
	}
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		namespaces ` + strings.Join(namespaces, " ") + `
		selector app=` + t.name + `
		lookup ` + of.lookup() + `
		basename shop
	}`)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
}

// tryMissing has no rights at all at first.
func tryMissing(t *trial) {
	for _, of := range []resources{endpointSlices, pods} {
		ns := t.namespace(string(of), podPolicy{})
		t.account(ns)
		t.service(ns, "shop")
		t.pod(ns, "shop", "shop-0", "")
		want := addressesOf(t.podsOf(ns, "shop", 1))
		t.server.launch(`longnames shop.erl.internal {
			SERVICE_ACCOUNT
			selector app=shop
			lookup ` + of.lookup() + `
			basename shop
			startup_timeout 1s
		}`)
		t.server.forbids("(list|watch)", of, ns)
		for _, qtype := range []string{"SRV", "TXT", "A"} {
			t.rcode("shop.erl.internal", qtype, "SERVFAIL")
		}
		m, err := t.ask("udp", "shop.erl.internal", "SRV", 1232)
		t.must(err)
		if code := extendedError(m); code != dns.ExtendedErrorCodeNotReady {
			t.failf("extended error %d: %s", code, m)
		}
		if t.server.ready() == nil {
			t.failf("ready without any members known")
		}
		t.grant(ns, ns, of)
		t.wantsCluster("shop.erl.internal", "shop", want, want)
		t.server.logs("again after")
		t.must(t.server.ready())
		t.server.stop()
	}
}

// tryMissingNamespace has rights in one namespace of two: half of a cluster would be as bad as none.
func tryMissingNamespace(t *trial) {
	prod, test := t.namespace("prod", podPolicy{}), t.namespace("test", podPolicy{})
	t.account(prod)
	t.grant(prod, prod, endpointSlices)
	want := make([]string, 0, 2)
	for _, ns := range []string{prod, test} {
		t.service(ns, "shop")
		t.pod(ns, "shop", "shop-0", "")
		want = append(want, addressesOf(t.podsOf(ns, "shop", 1))...)
	}
	t.server.launch(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		namespaces ` + prod + ` ` + test + `
		selector app=shop
		basename shop
		startup_timeout 1s
	}`)
	t.server.forbids("(list|watch)", endpointSlices, test)
	t.rcode("shop.erl.internal", "SRV", "SERVFAIL")
	t.grant(prod, test, endpointSlices)
	t.wantsCluster("shop.erl.internal", "shop", want, want)
}

// setVerbs replaces the rules of the Role in a namespace.
func (t *trial) setVerbs(namespace string, change func([]rbacv1.PolicyRule) []rbacv1.PolicyRule) {
	var role rbacv1.Role
	t.must(printed("Role", &role))
	role.Namespace = namespace
	role.Rules = change(role.Rules)
	_, err := t.client.RbacV1().Roles(namespace).Update(t.ctx, &role, metav1.UpdateOptions{})
	t.must(err)
}

// tryNoWatch may list, which is enough to know the members once.
func tryNoWatch(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.setVerbs(ns, func(r []rbacv1.PolicyRule) []rbacv1.PolicyRule { return without("watch", r) })
	t.service(ns, "shop")
	t.pod(ns, "shop", "shop-0", "")
	want := addressesOf(t.podsOf(ns, "shop", 1))
	t.server.launch(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
		startup_timeout 1s
	}`)
	t.server.forbids("watch", endpointSlices, ns)
	m, err := t.ask("udp", "shop.erl.internal", "A", 0)
	t.must(err)
	if m.Rcode != dns.RcodeServerFailure && len(m.Answer) == 0 {
		t.failf("an empty answer: %s", m)
	}
	t.setVerbs(ns, func(r []rbacv1.PolicyRule) []rbacv1.PolicyRule { return r })
	t.wantsCluster("shop.erl.internal", "shop", want, want)
	t.pod(ns, "shop", "shop-1", "")
	want = addressesOf(t.podsOf(ns, "shop", 2))
	t.wantsCluster("shop.erl.internal", "shop", want, want)
}

// tryWithdrawn loses its rights while it runs. That is seen when its watch has to be made anew.
func tryWithdrawn(t *trial) {
	ns := t.shop(3)
	before := addressesOf(t.settles(ns, 3))
	stop := t.steady("SRV", atLeast(3, before...))
	t.must(t.client.RbacV1().RoleBindings(ns).Delete(t.ctx, "longnames", metav1.DeleteOptions{}))
	t.soon("the rights are gone", func() error {
		client, err := kubernetes.NewForConfig(t.config(t.token(ns, nil)))
		if err != nil {
			return err
		}
		if _, err := client.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{}); err == nil {
			return fmt.Errorf("still there")
		}
		return nil
	})
	t.server.proxy.cut()
	t.server.forbids("watch", endpointSlices, ns)
	t.scale("deployments", ns, 4)
	t.podsOf(ns, "shop", 4)
	t.wants("shop.erl.internal", "A", before...)
	t.bind(ns, ns)
	t.settles(ns, 4)
	t.server.logs("again after")
	stop()
}

// tryRotated gives CoreDNS a new token, as a kubelet does, and makes the old one invalid.
func tryRotated(t *trial) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	rotate := func(secret string) string {
		s, err := t.client.CoreV1().Secrets(ns).Create(t.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}}, metav1.CreateOptions{})
		t.must(err)
		token := t.token(ns, &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret, UID: s.UID})
		half := filepath.Join(t.server.account, ".token")
		t.must(os.WriteFile(half, []byte(token), 0o600))
		t.must(os.Rename(half, filepath.Join(t.server.account, "token")))
		return token
	}
	old := rotate("first")
	t.service(ns, "shop")
	t.deployment(ns, 3)
	t.podsOf(ns, "shop", 3)
	t.server.serve(`longnames shop.erl.internal {
		SERVICE_ACCOUNT
		selector app=shop
		basename shop
	}`)
	t.settles(ns, 3)
	stop := t.steady("SRV", atLeast(3))

	fresh, err := kubernetes.NewForConfig(t.config(rotate("second")))
	t.must(err)
	_, err = fresh.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{})
	t.must(err)
	t.must(t.client.CoreV1().Secrets(ns).Delete(t.ctx, "first", metav1.DeleteOptions{}))
	stale, err := kubernetes.NewForConfig(t.config(old))
	t.must(err)
	t.soon("the old token is refused", func() error {
		if _, err := stale.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{}); err == nil {
			return fmt.Errorf("it is still taken")
		}
		return nil
	})
	t.server.proxy.cut()
	t.scale("deployments", ns, 4)
	members := addressesOf(t.podsOf(ns, "shop", 4))
	t.within(90*time.Second, "the new token is used", func() error {
		got, err := t.values("shop.erl.internal", "A")
		if err != nil {
			return err
		}
		return same("A", got, members)
	})
	stop()
}
