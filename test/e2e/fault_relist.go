package main

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// crowdSize is how many pods a crowd has.
const crowdSize = 20_000

// relistRows are tried where CoreDNS watches a crowd, too.
func relistRows() []row {
	return []row{{
		name: "fault-relist-20000-pods", struck: []string{"unreachable"}, what: "CoreDNS has to read 20 000 pods again, three times", try: func(s *stage) {
			s.crowd()
			s.soonInCrowd()
			for range 3 {
				s.proxy.now(wireFault{cut: true})
				s.compact()
				s.away()
				s.back()
				s.grow()
				s.proxy.now(wireFault{})
				s.seen(4 * patience)
				s.soonInCrowd()
				s.shrink()
			}
		},
	}}
}

const (
	crowdNamespace = "crowd"
	crowdZone      = "crowd.erl.internal"
)

func crowdBlock(account string) string {
	return fmt.Sprintf("longnames %s {\nservice_account %s\nnamespaces %s\nselector app=crowd\nlookup pods\nbasename crowd\n}\n",
		crowdZone, account, crowdNamespace)
}

func crowdAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", 200+i/62500, i/250%250, i%250+1) }

// crowd plants them.
func (s *stage) crowd() {
	_, err := s.client.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: crowdNamespace}}, metav1.CreateOptions{})
	s.must(err)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	s.plant(crowdSize, func(i int) *corev1.Pod {
		name := fmt.Sprintf("crowd-%d", i)
		p := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: crowdNamespace, UID: types.UID(name), Labels: app("crowd"), CreationTimestamp: now,
			},
			Spec: podSpec(), Status: statusOf([]netip.Addr{netip.MustParseAddr(crowdAddress(i))}, true),
		}
		p.Spec.NodeName = fakeNode
		return p
	})
}

// soonInCrowd waits until CoreDNS has all of the crowd.
func (s *stage) soonInCrowd() {
	r := s.replicas[0]
	for _, i := range []int{0, crowdSize / 2, crowdSize - 1} {
		name := fmt.Sprintf("crowd-%d.%s", i, crowdZone)
		s.within(4*patience, name+" is known", func() error {
			m, err := s.askOne(r, name, "A")
			if err != nil {
				return err
			}
			return same(name, data(m), []string{crowdAddress(i)})
		})
	}
}
