package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// readme is where users read which rights CoreDNS needs. What is granted here is taken from there, so that it cannot
// be more.
const readme = "../../README.md"

// printed reads the one object of a kind that the README prints.
func printed(kind string, into any) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllSubmatch(text, -1) {
		for _, document := range regexp.MustCompile(`(?m)^---$`).Split(string(block[1]), -1) {
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
				return err
			}
			if meta.Kind == kind {
				return yaml.UnmarshalStrict([]byte(document), into)
			}
		}
	}
	return fmt.Errorf("the README prints no %s", kind)
}

// rules are those printed, except for some verbs.
func rules(of resources, printed []rbacv1.PolicyRule, except ...string) []rbacv1.PolicyRule {
	for i := range printed {
		r := &printed[i]
		if of == pods {
			r.APIGroups, r.Resources = []string{""}, []string{string(pods)}
		}
		r.Verbs = slices.DeleteFunc(r.Verbs, func(v string) bool { return slices.Contains(except, v) })
	}
	return printed
}

// account makes CoreDNS' service account and writes its files, as they are mounted into a pod.
func (t *trial) account(namespace string) {
	_, err := t.client.CoreV1().ServiceAccounts(namespace).Create(t.ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "coredns"}}, metav1.CreateOptions{})
	t.must(err)
	ca, err := os.ReadFile(t.pki.Path("ca.crt"))
	t.must(err)
	t.must(os.MkdirAll(t.server.account, 0o700))
	for name, text := range map[string]string{"ca.crt": string(ca), "namespace": namespace, "token": t.token(namespace, nil)} {
		t.must(os.WriteFile(filepath.Join(t.server.account, name), []byte(text), 0o600))
	}
}

// token asks for one, which may be bound to an object: it ends with that.
func (t *trial) token(namespace string, bound *authenticationv1.BoundObjectReference) string {
	seconds := int64(3600)
	token, err := t.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.ctx, "coredns", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds, BoundObjectRef: bound},
	}, metav1.CreateOptions{})
	t.must(err)
	return token.Status.Token
}

// grant gives the account in a namespace rights in a namespace, by a Role: all that the README prints, except for some
// verbs.
func (t *trial) grant(account, namespace string, of resources, except ...string) {
	var role rbacv1.Role
	t.must(printed("Role", &role))
	role.Namespace = namespace
	role.Rules = rules(of, role.Rules, except...)
	_, err := t.client.RbacV1().Roles(namespace).Create(t.ctx, &role, metav1.CreateOptions{})
	t.must(err)
	t.bind(account, namespace)
}

// bind makes the RoleBinding to the Role of the same name.
func (t *trial) bind(account, namespace string) {
	var binding rbacv1.RoleBinding
	t.must(printed("RoleBinding", &binding))
	binding.Namespace = namespace
	binding.Subjects[0].Namespace = account
	_, err := t.client.RbacV1().RoleBindings(namespace).Create(t.ctx, &binding, metav1.CreateOptions{})
	t.must(err)
}

// everywhere gives it rights in all namespaces, by the ClusterRole that the README prints, except for some verbs.
func (t *trial) everywhere(account string, of resources, except ...string) {
	var role rbacv1.ClusterRole
	t.must(printed("ClusterRole", &role))
	t.grantAll(account, rules(of, role.Rules, except...))
}

// grantAll gives it what some rules say, in all namespaces, besides what it has there.
func (t *trial) grantAll(account string, rules []rbacv1.PolicyRule) {
	var role rbacv1.ClusterRole
	t.must(printed("ClusterRole", &role))
	var binding rbacv1.ClusterRoleBinding
	t.must(printed("ClusterRoleBinding", &binding))
	// These have no namespace to tell one trial's from another's.
	role.Name += "-" + t.name
	binding.Name = role.Name
	binding.RoleRef.Name = role.Name
	binding.Subjects[0].Namespace = account
	roles := t.client.RbacV1().ClusterRoles()
	if old, err := roles.Get(t.ctx, role.Name, metav1.GetOptions{}); err == nil {
		old.Rules = slices.Concat(old.Rules, rules)
		_, err = roles.Update(t.ctx, old, metav1.UpdateOptions{})
		t.must(err)
		return
	}
	role.Rules = rules
	_, err := roles.Create(t.ctx, &role, metav1.CreateOptions{})
	t.must(err)
	_, err = t.client.RbacV1().ClusterRoleBindings().Create(t.ctx, &binding, metav1.CreateOptions{})
	t.must(err)
}
