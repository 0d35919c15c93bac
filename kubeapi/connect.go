package kubeapi

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
)

// serviceAccountDir is where Kubernetes mounts a pod's service account.
// https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// errNoNamespace is the error if neither the configuration nor the cluster names a namespace.
var errNoNamespace = errors.New("no default namespace is configured: name it with namespaces, or all with namespaces *")

// connection has the address and credentials of an API server, and the namespaces to watch there.
type connection struct {
	config     *rest.Config
	namespaces []string
}

// connect reads the files that the configuration names. It does not speak to the API server.
func (c *Config) connect() (*connection, error) {
	conn, err := c.locate()
	if err != nil {
		return nil, err
	}
	if len(c.Namespaces) > 0 {
		conn.namespaces = c.Namespaces
	}
	if len(conn.namespaces) == 0 {
		return nil, errNoNamespace
	}
	// All of this has to be set before a client is made, which copies it.
	conn.config.UserAgent = c.UserAgent
	conn.config.ContentType = "application/vnd.kubernetes.protobuf"
	conn.config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	conn.config.QPS = -1 // a reflector has its own back-off, the API server its own fairness
	conn.config.WarningHandler = warnings{c.Log}
	return conn, nil
}

func (c *Config) locate() (*connection, error) {
	if c.Kubeconfig != "" {
		return c.fromKubeconfig()
	}
	return c.fromServiceAccount()
}

func (c *Config) fromKubeconfig() (*connection, error) {
	// The usual loader would use a pod's service account for an empty file.
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}
	file, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", c.Kubeconfig, err)
	}
	loader := clientcmd.NewNonInteractiveClientConfig(*file, c.Context, &clientcmd.ConfigOverrides{}, rules)
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("kubeconfig %s: expected a context with a cluster that has a server, found none", c.Kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", c.Kubeconfig, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: namespace: %w", c.Kubeconfig, err)
	}
	return &connection{config: config, namespaces: []string{namespace}}, nil
}

// fromServiceAccount connects to the server of the environment or of Endpoint, with a client certificate or
// the token of a service account.
func (c *Config) fromServiceAccount() (*connection, error) {
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	conn := &connection{config: &rest.Config{Host: host}}
	dir := cmp.Or(c.ServiceAccount, serviceAccountDir)
	if text, err := os.ReadFile(filepath.Join(dir, "namespace")); err == nil {
		if namespace := strings.TrimSpace(string(text)); namespace != "" {
			conn.namespaces = []string{namespace}
		}
	}
	if c.CertFile != "" {
		conn.config.TLSClientConfig = rest.TLSClientConfig{CertFile: c.CertFile, KeyFile: c.KeyFile, CAFile: c.CAFile}
		return conn, readable(c.CertFile, c.KeyFile, c.CAFile)
	}
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	if c.Endpoint != "" && c.ServiceAccount == "" {
		// Outside a cluster there may be no account; and a token is nothing to send in clear.
		if strings.HasPrefix(host, "http://") || !exists(token) {
			return conn, nil
		}
	}
	if err := readable(token); err != nil {
		return nil, fmt.Errorf("service account: %w", err)
	}
	// Not BearerTokenFile: that sends a token which was revoked for up to a minute more,
	// where this one reads the file again after a 401 too.
	conn.config.Wrap(transport.ResettableTokenSourceWrapTransport(transport.NewCachedFileTokenSource(token)))
	if strings.HasPrefix(host, "https://") {
		if err := readable(ca); err != nil {
			return nil, fmt.Errorf("service account: %w", err)
		}
		conn.config.CAFile = ca
	}
	return conn, nil
}

// host returns the URL of the API server.
func (c *Config) host() (string, error) {
	if c.Endpoint != "" {
		if err := CheckEndpoint(c.Endpoint); err != nil {
			return "", fmt.Errorf("endpoint: %w", err)
		}
		return c.Endpoint, nil
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return "", errors.New("not in a Kubernetes cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): " +
			"name an API server with kubeconfig or endpoint, or files with manifests")
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// exists reports whether there is a file, readable or not.
func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// readable returns an error if one of the files cannot be read.
func readable(files ...string) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// warnings keeps the API server's warnings, which are for developers, out of the log.
type warnings struct{ log Logger }

func (w warnings) HandleWarningHeader(_ int, _, text string) {
	w.log.Debugf("API server warns: %s", text)
}
