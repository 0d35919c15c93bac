package kubeapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// tree writes files and returns their directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cluster sets the environment that Kubernetes gives to containers.
func cluster(t *testing.T, host, port string) {
	t.Helper()
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
}

const kubeconfigText = `apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: "https://one.example.org:6443"}}
- {name: two, cluster: {server: "http://two.example.org"}}
contexts:
- {name: one, context: {cluster: one, user: u, namespace: prod}}
- {name: two, context: {cluster: two, user: u}}
- {name: lost, context: {cluster: nowhere, user: u}}
users:
- {name: u, user: {token: secret}}
`

func TestConnectWithKubeconfig(t *testing.T) {
	cluster(t, "", "")
	dir := tree(t, map[string]string{"config": kubeconfigText, "broken": "{", "empty": ""})
	for _, tc := range []struct {
		name       string
		file       string
		context    string
		namespaces []string
		host       string
		token      string
		want       []string // namespaces
		err        string
	}{
		{name: "current context", file: "config", host: "https://one.example.org:6443", token: "secret", want: []string{"prod"}},
		{name: "other context, without a namespace, and no token in clear", file: "config", context: "two", host: "http://two.example.org", want: []string{"default"}},
		{name: "namespaces named", file: "config", namespaces: []string{"a", "b"}, host: "https://one.example.org:6443", token: "secret", want: []string{"a", "b"}},
		{name: "all namespaces", file: "config", namespaces: []string{"*"}, host: "https://one.example.org:6443", token: "secret", want: []string{"*"}},
		{name: "unknown context", file: "config", context: "three", err: "context was not found for specified context: three"},
		{name: "context without a cluster", file: "config", context: "lost", err: "expected a context with a cluster that has a server"},
		{name: "missing file", file: "missing", err: "missing: no such file"},
		{name: "broken file", file: "broken", err: "kubeconfig " + filepath.Join(dir, "broken")},
		{name: "empty file", file: "empty", err: "expected a context with a cluster that has a server"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Config{Kubeconfig: filepath.Join(dir, tc.file), Context: tc.context, Namespaces: tc.namespaces}
			conn, err := c.connect()
			kubetest.WantError(t, err, tc.err)
			if err != nil {
				if !strings.Contains(err.Error(), "kubeconfig ") {
					t.Errorf("want the option named, got %v", err)
				}
				return
			}
			if conn.config.Host != tc.host || conn.config.BearerToken != tc.token {
				t.Errorf("want %s with token %q, got %s with %q", tc.host, tc.token, conn.config.Host, conn.config.BearerToken)
			}
			if !slices.Equal(conn.namespaces, tc.want) {
				t.Errorf("namespaces: want %q, got %q", tc.want, conn.namespaces)
			}
		})
	}
}

func TestConnectWithoutKubeconfig(t *testing.T) {
	account := tree(t, map[string]string{"token": "secret", "namespace": "prod\n", "ca.crt": "x"})
	bare := tree(t, map[string]string{"token": "secret", "namespace": " \n"})
	certs := tree(t, map[string]string{"crt": "x", "key": "x", "ca": "x"})
	crt, key, ca := filepath.Join(certs, "crt"), filepath.Join(certs, "key"), filepath.Join(certs, "ca")
	const token = "Bearer secret"
	all := []string{"*"}

	for _, tc := range []struct {
		name     string
		env      [2]string
		config   Config
		host     string
		token    string
		tls      rest.TLSClientConfig
		want     []string // namespaces
		err      string
		errClass error
	}{
		{
			name: "in a cluster", env: [2]string{"10.96.0.1", "443"}, config: Config{ServiceAccount: account},
			host: "https://10.96.0.1:443", token: token, tls: rest.TLSClientConfig{CAFile: filepath.Join(account, "ca.crt")}, want: []string{"prod"},
		},
		{
			name: "in a cluster with IPv6", env: [2]string{"fd00::1", "6443"}, config: Config{ServiceAccount: account, Namespaces: []string{"a"}},
			host: "https://[fd00::1]:6443", token: token, tls: rest.TLSClientConfig{CAFile: filepath.Join(account, "ca.crt")}, want: []string{"a"},
		},
		{name: "nowhere", err: "name an API server with kubeconfig or endpoint, or files with manifests"},
		{name: "half an environment", env: [2]string{"10.96.0.1", ""}, err: "not in a Kubernetes cluster"},
		{name: "in a cluster without an account", env: [2]string{"10.96.0.1", "443"}, config: Config{ServiceAccount: certs, Namespaces: all}, err: "service account: ", errClass: os.ErrNotExist},
		{name: "account without an authority", env: [2]string{"10.96.0.1", "443"}, config: Config{ServiceAccount: bare, Namespaces: all}, err: "ca.crt", errClass: os.ErrNotExist},
		{name: "blank namespace", env: [2]string{"10.96.0.1", "443"}, config: Config{Endpoint: "http://10.0.0.1:8080", ServiceAccount: bare}, errClass: errNoNamespace, err: "namespaces *"},

		{name: "endpoint", config: Config{Endpoint: "https://10.0.0.1:6443", Namespaces: all}, host: "https://10.0.0.1:6443", want: all},
		{name: "endpoint, not the environment", env: [2]string{"10.96.0.1", "443"}, config: Config{Endpoint: "http://10.0.0.1:8080", Namespaces: all}, host: "http://10.0.0.1:8080", want: all},
		{name: "endpoint with a path", config: Config{Endpoint: "https://rancher.example.org/k8s/clusters/c-1", Namespaces: all}, host: "https://rancher.example.org/k8s/clusters/c-1", want: all},
		{name: "endpoint without a namespace", config: Config{Endpoint: "http://10.0.0.1:8080"}, err: "namespaces *", errClass: errNoNamespace},
		{
			name: "endpoint and account", config: Config{Endpoint: "https://10.0.0.1:6443", ServiceAccount: account},
			host: "https://10.0.0.1:6443", token: token, tls: rest.TLSClientConfig{CAFile: filepath.Join(account, "ca.crt")}, want: []string{"prod"},
		},
		{name: "endpoint in clear and account", config: Config{Endpoint: "http://10.0.0.1:8080", ServiceAccount: bare, Namespaces: all}, host: "http://10.0.0.1:8080", token: token, want: all},
		{
			name: "endpoint and certificate", config: Config{Endpoint: "https://10.0.0.1:6443", CertFile: crt, KeyFile: key, CAFile: ca, Namespaces: all},
			host: "https://10.0.0.1:6443", tls: rest.TLSClientConfig{CertFile: crt, KeyFile: key, CAFile: ca}, want: all,
		},
		{name: "certificate that is missing", config: Config{Endpoint: "https://10.0.0.1:6443", CertFile: crt, KeyFile: "missing", CAFile: ca, Namespaces: all}, err: "missing", errClass: os.ErrNotExist},
		{name: "endpoint without a scheme", config: Config{Endpoint: "10.0.0.1:6443", Namespaces: all}, err: `expected a URL like https://10.0.0.1:6443, got "10.0.0.1:6443"`},
		{name: "endpoint of another scheme", config: Config{Endpoint: "ftp://10.0.0.1", Namespaces: all}, err: "expected a URL"},
		{name: "endpoint without a host", config: Config{Endpoint: "https://", Namespaces: all}, err: "expected a URL"},
		{name: "endpoint that is garbage", config: Config{Endpoint: "https://[::1", Namespaces: all}, err: "expected a URL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster(t, tc.env[0], tc.env[1])
			conn, err := tc.config.connect()
			kubetest.WantError(t, err, tc.err)
			if tc.errClass != nil && !errors.Is(err, tc.errClass) {
				t.Errorf("want %v, got %v", tc.errClass, err)
			}
			if err != nil {
				return
			}
			if conn.config.Host != tc.host {
				t.Errorf("host: want %q, got %q", tc.host, conn.config.Host)
			}
			if got := authorization(t, conn.config); got != tc.token {
				t.Errorf("token: want %q, got %q", tc.token, got)
			}
			if got := conn.config.TLSClientConfig; got.CAFile != tc.tls.CAFile || got.CertFile != tc.tls.CertFile || got.KeyFile != tc.tls.KeyFile {
				t.Errorf("TLS: want %v, got %v", tc.tls, got)
			}
			if !slices.Equal(conn.namespaces, tc.want) {
				t.Errorf("namespaces: want %q, got %q", tc.want, conn.namespaces)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// authorization is the header that requests get.
func authorization(t *testing.T, config *rest.Config) (header string) {
	t.Helper()
	if config.WrapTransport == nil {
		return ""
	}
	rt := config.WrapTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Get("Authorization")
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	}))
	resp, err := rt.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return header
}

func TestConnectSetsTheWholeConfig(t *testing.T) {
	log := &kubetest.Log{}
	c := &Config{Endpoint: "http://10.0.0.1:8080", Namespaces: []string{"*"}, UserAgent: "longnames/1", Log: log}
	conn, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	got := conn.config
	if got.ContentType != "application/vnd.kubernetes.protobuf" || !strings.HasPrefix(got.AcceptContentTypes, got.ContentType+",") {
		t.Errorf("want protobuf, got %q and %q", got.ContentType, got.AcceptContentTypes)
	}
	if got.UserAgent != "longnames/1" {
		t.Errorf("User-Agent: want longnames/1, got %q", got.UserAgent)
	}
	if got.QPS >= 0 || got.RateLimiter != nil {
		t.Errorf("want no rate limit, got %v and %v", got.QPS, got.RateLimiter)
	}
	got.WarningHandler.HandleWarningHeader(299, "-", "v1 is deprecated")
	log.Want(t) // nothing for the operator
	if want := []string{"DEBUG API server warns: v1 is deprecated"}; !slices.Equal(log.Lines(), want) {
		t.Errorf("want %q, got %q", want, log.Lines())
	}
}

// A file that is there but is no certificate is found before there is anything to watch.
func TestNewFailsWithBadCertificates(t *testing.T) {
	dir := tree(t, map[string]string{"crt": "x", "key": "x", "ca": "x"})
	_, err := New(Config{
		Endpoint: "https://10.0.0.1:6443", Namespaces: []string{"*"},
		CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key"), CAFile: filepath.Join(dir, "ca"),
	})
	kubetest.WantError(t, err, "client: ")
}
