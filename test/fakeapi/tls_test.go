package fakeapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/longnames/longnames/test/fakeapi"
)

// trusting is a client that knows the server's authority, if any, and may have a certificate of a server's.
func trusting(t *testing.T, s *fakeapi.Server, issuer *fakeapi.Server) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CAPEM())
	conf := &tls.Config{RootCAs: pool}
	if issuer != nil {
		pair, err := tls.X509KeyPair(issuer.ClientCert("someone"))
		if err != nil {
			t.Fatal(err)
		}
		// Without this, a client keeps a certificate back that the server cannot have issued.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func TestClientCertificateIsAskedFor(t *testing.T) {
	s, foreign := fakeapi.New(t, fakeapi.WithClientCert()), fakeapi.New(t, fakeapi.WithTLS())
	for _, tc := range []struct {
		name   string
		issuer *fakeapi.Server
		user   string
		want   int
	}{
		{"ours", s, "someone", 200},
		{"foreign", foreign, "someone", 401},
		{"none", nil, "", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(s.Requests())
			got, err := fetch(t, trusting(t, s, tc.issuer), s.URL+allPods)
			if err != nil || got.status != tc.want || got.proto != "HTTP/2.0" {
				t.Errorf("want %d over HTTP/2.0, got %d over %s, %v", tc.want, got.status, got.proto, err)
			}
			if got := s.Requests()[before].User; got != tc.user {
				t.Errorf("user: want %q, got %q", tc.user, got)
			}
		})
	}
	if _, err := fetch(t, client(t), s.URL+allPods); err == nil {
		t.Error("a client without the authority: want an error, got none")
	}
}

func TestWrittenFilesLetClientsIn(t *testing.T) {
	s := fakeapi.New(t, fakeapi.WithClientCert())
	dir := t.TempDir()
	s.SetToken("first")
	s.WriteServiceAccount(dir, "first", "there")
	certFile, keyFile, caFile := s.WriteTLS(t.TempDir())
	kubeconfig := s.WriteKubeconfig(t.TempDir(), "here")
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, nil)
	if namespace, _, err := loader.Namespace(); err != nil || namespace != "here" {
		t.Errorf("kubeconfig's namespace: want here, got %q, %v", namespace, err)
	}
	fromFile, err := loader.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	if fromFile.BearerToken != "first" {
		t.Errorf("kubeconfig's token: want first, got %q", fromFile.BearerToken)
	}
	if namespace, err := os.ReadFile(filepath.Join(dir, "namespace")); string(namespace) != "there" {
		t.Errorf("service account's namespace: want there, got %q, %v", namespace, err)
	}
	fromFile.BearerToken = ""
	for name, conf := range map[string]*rest.Config{
		"kubeconfig": fromFile,
		"service account": {Host: s.URL, BearerTokenFile: filepath.Join(dir, "token"),
			TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")}},
		"certificate": {Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAFile: caFile, CertFile: certFile, KeyFile: keyFile}},
	} {
		if err := rest.LoadTLSFiles(conf); err != nil { // client-go watches certificate files for ever
			t.Fatal(err)
		}
		if got := status(t, transportFor(t, conf), s); got != http.StatusOK {
			t.Errorf("%s: want 200, got %d", name, got)
		}
	}
}

func TestKubeconfigWithoutTLS(t *testing.T) {
	s := fakeapi.New(t)
	conf, err := clientcmd.BuildConfigFromFlags("", s.WriteKubeconfig(t.TempDir(), ""))
	if err != nil {
		t.Fatal(err)
	}
	if conf.Host != s.URL || s.CAPEM() != nil {
		t.Errorf("want %s and no authority, got %s and %q", s.URL, conf.Host, s.CAPEM())
	}
}

func TestTokenCanRotate(t *testing.T) {
	s := fakeapi.New(t, fakeapi.WithToken("old"))
	conf := &rest.Config{Host: s.URL, BearerToken: "old"}
	transport := transportFor(t, conf)
	if got := status(t, transport, s); got != http.StatusOK {
		t.Errorf("want 200, got %d", got)
	}
	s.SetToken("new")
	if got := status(t, transport, s); got != http.StatusUnauthorized {
		t.Errorf("rotated: want 401, got %d", got)
	}
	s.SetToken("")
	if got := status(t, transport, s); got != http.StatusOK {
		t.Errorf("open to all: want 200, got %d", got)
	}
}

func transportFor(t *testing.T, conf *rest.Config) http.RoundTripper {
	t.Helper()
	transport, err := rest.TransportFor(conf)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func status(t *testing.T, transport http.RoundTripper, s *fakeapi.Server) int {
	t.Helper()
	got, err := fetch(t, &http.Client{Transport: transport, Timeout: patience}, s.URL+allPods)
	if err != nil {
		t.Fatal(err)
	}
	return got.status
}
