package fakeapi

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// SetToken changes the bearer token that new requests need, as a rotation does; with "" none is needed.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

func (s *Server) currentToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// authenticate takes a certificate or a token, where any is asked for. A bad certificate is no TLS error but a 401.
func (s *Server) authenticate(r *http.Request) error {
	token := s.currentToken()
	switch {
	case token == "" && !s.conf.clientCert,
		token != "" && r.Header.Get("Authorization") == "Bearer "+token,
		s.conf.clientCert && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && s.ca.trusts(r.TLS.PeerCertificates[0]):
		return nil
	}
	return apierrors.NewUnauthorized("Unauthorized")
}

func commonName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}
