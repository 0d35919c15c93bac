package fakeapi

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// clientName is the user in the files written here.
const clientName = "longnames"

// WriteKubeconfig writes a kubeconfig for the server with its present token and, with TLS, its authority and a client
// certificate. Its only context, "fakeapi", has the namespace, if any. It returns the file's path.
func (s *Server) WriteKubeconfig(dir, namespace string) string {
	s.tb.Helper()
	cluster := []string{"server: " + s.URL}
	context := []string{"cluster: fakeapi", "user: " + clientName}
	var user []string
	if namespace != "" {
		context = append(context, fmt.Sprintf("namespace: %q", namespace))
	}
	if token := s.currentToken(); token != "" {
		user = append(user, fmt.Sprintf("token: %q", token))
	}
	if s.ca != nil {
		cert, key := s.ClientCert(clientName)
		encode := base64.StdEncoding.EncodeToString
		cluster = append(cluster, "certificate-authority-data: "+encode(s.CAPEM()))
		user = append(user, "client-certificate-data: "+encode(cert), "client-key-data: "+encode(key))
	}
	join := func(fields []string) string { return strings.Join(fields, ", ") }
	return s.writeFile(dir, "kubeconfig", fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: fakeapi
clusters:
- {name: fakeapi, cluster: {%s}}
contexts:
- {name: fakeapi, context: {%s}}
users:
- {name: %s, user: {%s}}
`, join(cluster), join(context), clientName, join(user)))
}

// WriteServiceAccount writes what a pod finds of its service account: token, namespace and, with TLS, ca.crt. Writing
// again rotates the token.
func (s *Server) WriteServiceAccount(dir, token, namespace string) {
	s.tb.Helper()
	s.writeFile(dir, "token", []byte(token))
	s.writeFile(dir, "namespace", []byte(namespace))
	if s.ca != nil {
		s.writeFile(dir, "ca.crt", s.CAPEM())
	}
}

// WriteTLS writes a new client certificate, its key and the authority, and returns their paths. It needs TLS.
func (s *Server) WriteTLS(dir string) (certFile, keyFile, caFile string) {
	s.tb.Helper()
	cert, key := s.ClientCert(clientName)
	return s.writeFile(dir, "client.crt", cert), s.writeFile(dir, "client.key", key), s.writeFile(dir, "ca.crt", s.CAPEM())
}

// writeFile replaces the file in one step, so that a reader never sees a part of it.
func (s *Server) writeFile(dir, name string, content []byte) string {
	s.tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		s.tb.Fatalf("fakeapi: %v", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.tb.Fatalf("fakeapi: %v", err)
	}
	return path
}
