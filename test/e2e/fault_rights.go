package main

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// rightsRows: the API server does not let CoreDNS in any more.
func rightsRows() []row {
	return []row{
		{name: "fault-403", struck: []string{"forbidden"}, what: "CoreDNS loses its role, and gets it back", try: func(s *stage) {
			s.through(func() {
				s.allow(false)
				s.refused(apierrors.IsForbidden)
				s.proxy.cut()
			}, func() { s.allow(true) })
		}},
		{name: "fault-401", struck: []string{"unauthorized"}, what: "CoreDNS' token is revoked with its service account, and a new one is written", try: func(s *stage) {
			s.through(func() {
				s.must(s.client.CoreV1().ServiceAccounts(s.ours).Delete(s.ctx, "coredns", metav1.DeleteOptions{}))
				s.refused(apierrors.IsUnauthorized)
				s.proxy.cut()
			}, func() { s.account(s.ours) })
		}},
	}
}

// refused waits until CoreDNS would be.
func (s *stage) refused(how func(error) bool) {
	config := s.config("")
	config.CertFile, config.KeyFile = "", ""
	config.BearerTokenFile = s.server.account + "/token"
	client, err := kubernetes.NewForConfig(config)
	s.must(err)
	s.soon("CoreDNS is refused", func() error {
		_, err := client.CoreV1().Pods(s.ours).List(s.ctx, metav1.ListOptions{Limit: 1})
		if !how(err) {
			return fmt.Errorf("it gets %w", err)
		}
		return nil
	})
}
