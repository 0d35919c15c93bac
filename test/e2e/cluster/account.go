package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CreateNamespace creates a namespace in which there can be pods: they need its account.
func (c *Cluster) CreateNamespace(t testing.TB, name string) {
	t.Helper()
	c.Kubectl(t, "create", "namespace", name)
	c.Kubectl(t, "wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=1m")
}

// Account creates a service account, and writes what a pod of it has mounted to a directory: ca.crt, namespace, token.
func (c *Cluster) Account(t testing.TB, namespace, name, dir string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.Client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	ca, err := os.ReadFile(c.Config.CAFile)
	must(t, errors.Join(err, os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600), //nolint:gosec // the caller says where
		os.WriteFile(filepath.Join(dir, "namespace"), []byte(namespace), 0o600),
		os.WriteFile(filepath.Join(dir, "token"), []byte(c.Token(t, namespace, name)), 0o600)))
}

// Token requests a token of an account.
func (c *Cluster) Token(t testing.TB, namespace, account string) string {
	t.Helper()
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	return token.Status.Token
}
