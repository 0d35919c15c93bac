package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
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
		{"rights-missing-endpoints", func(t *trial) { tryMissing(t, endpointSlices, false, "list", "watch") }},
		{"rights-missing-pods", func(t *trial) { tryMissing(t, pods, false, "list", "watch") }},
		{"rights-missing-watch-endpoints", func(t *trial) { tryMissing(t, endpointSlices, false, "watch") }},
		{"rights-missing-watch-pods", func(t *trial) { tryMissing(t, pods, false, "watch") }},
		{"rights-missing-list-endpoints", func(t *trial) { tryMissing(t, endpointSlices, false, "list") }},
		{"rights-missing-list-pods", func(t *trial) { tryMissing(t, pods, false, "list") }},
		{"rights-missing-list-streamed", tryStreamed},
		{"rights-missing-namespace", tryMissingNamespace},
		{"rights-missing-all-namespaces", func(t *trial) { tryMissing(t, endpointSlices, true, "list", "watch") }},
		{"rights-missing-watch-all-namespaces", func(t *trial) { tryMissing(t, endpointSlices, true, "watch") }},
		{"rights-missing-list-all-namespaces", func(t *trial) { tryMissing(t, endpointSlices, true, "list") }},
		{"rights-withdrawn", tryWithdrawn},
		{"token-rotated", tryRotated},
	}
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
		t.everywhere(home, of)
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

// tryWithdrawn loses its rights while it runs. That is seen when its watch has to be made anew.
func tryWithdrawn(t *trial) {
	ns := t.shop(3)
	before := addressesOf(t.settles(ns, 3))
	v := t.vigil(before)
	t.must(t.client.RbacV1().RoleBindings(ns).Delete(t.ctx, "longnames", metav1.DeleteOptions{}))
	t.soon("the rights are gone", func() error {
		client, err := kubernetes.NewForConfig(t.config(t.token(ns, nil)))
		if err != nil {
			return err
		}
		if _, err := client.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{}); err == nil {
			return errors.New("still there")
		}
		return nil
	})
	t.server.proxy.cut()
	lost := refusals(endpointSlices, ns, ns, "list", "watch")
	t.server.forbids(lost...)
	t.pod(ns, "shop", "shop-more", t.address("4", 5))
	t.podsOf(ns, "shop", 4)
	v.sees(100)
	v.then(slices.Concat(before, []string{t.address("4", 5)})...)
	t.bind(ns, ns)
	t.settles(ns, 4)
	t.server.grants()
	v.end()
	t.server.forbids(lost...)
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
	t.server.serve(watchedBlock("selector app=shop"))
	t.server.may(`API server answers 401 Unauthorized: `)
	before := addressesOf(t.settles(ns, 3))
	v := t.vigil(before)

	fresh, err := kubernetes.NewForConfig(t.config(rotate("second")))
	t.must(err)
	_, err = fresh.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{})
	t.must(err)
	t.must(t.client.CoreV1().Secrets(ns).Delete(t.ctx, "first", metav1.DeleteOptions{}))
	stale, err := kubernetes.NewForConfig(t.config(old))
	t.must(err)
	t.soon("the old token is refused", func() error {
		if _, err := stale.DiscoveryV1().EndpointSlices(ns).List(t.ctx, metav1.ListOptions{}); err == nil {
			return errors.New("it is still taken")
		}
		return nil
	})
	t.server.proxy.cut()
	members := slices.Concat(before, []string{t.address("4", 5)})
	v.then(members...)
	t.pod(ns, "shop", "shop-more", t.address("4", 5))
	t.within(90*time.Second, "the new token is used", func() error {
		got, err := t.values("shop.erl.internal", "A")
		if err != nil {
			return err
		}
		return same("A", got, members)
	})
	v.end()
}
