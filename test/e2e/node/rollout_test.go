package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// standaloneAddress is what the component fixed-address gives the Service.
const standaloneAddress = "10.96.0.15:53"

// stream is somebody who asks all the time.
type stream struct {
	questions int
	again     int     // questions that had to be asked once more
	lost      []error // those that were in vain then, too
}

func (s stream) neverLost(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d questions, %d of them twice", what, s.questions, s.again)
	if len(s.lost) > 0 {
		t.Errorf("%s: %d of %d questions are lost, the first: %v", what, len(s.lost), s.questions, s.lost[0])
	}
}

// ask asks a server from a node for the members, until it is told to stop.
func (b bed) ask(t *testing.T, from *cluster.Node, server string) (stop func() stream) {
	t.Helper()
	return b.askFor(t, from, server, clusterName, "TXT", 1)
}

// askFor asks for something of which there are always some values at least, and certain ones among them. As resolvers do, it
// asks once more, from another port, when there is no answer. An answer that is wrong is as bad as none then.
func (b bed) askFor(t *testing.T, from *cluster.Node, server, name, qtype string, least int, always ...string) (stop func() stream) {
	t.Helper()
	return keepAsking(func() (answered bool, err error) {
		answer, err := query(t, from, "udp", server, name, qtype)
		if err != nil {
			return false, err
		}
		if answer.Rcode == dns.RcodeServerFailure {
			// A flow may lead to a new pod, not ready yet, that has got the address of one that has ended.
			return false, errors.New("SERVFAIL")
		}
		got := values(answer)
		missing := slices.ContainsFunc(always, func(a string) bool { return !slices.Contains(got, a) })
		if answer.Rcode != dns.RcodeSuccess || len(got) < least || missing {
			err = fmt.Errorf("got %q, want %d or more, among them %q", got, least, always)
		}
		return true, err
	})
}

// keepAsking asks until it is told to stop, and once more when there is no answer.
func keepAsking(once func() (answered bool, err error)) (stop func() stream) {
	quit, done := make(chan struct{}), make(chan struct{})
	var s stream
	go func() {
		defer close(done)
		for {
			begin := time.Now()
			s.questions++
			answered, err := once()
			if !answered {
				s.again++
				_, err = once()
			}
			if err != nil {
				s.lost = append(s.lost, fmt.Errorf("asked at %s: %w", begin.Format(time.StampMilli), err))
			}
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() stream {
		close(quit)
		<-done
		return s
	}
}

// rolledOut waits until all pods of a Deployment or StatefulSet are of its newest kind, and ready.
func (b bed) rolledOut(t *testing.T, namespace, name string) {
	t.Helper()
	b.Kubectl(t, "-n", namespace, "rollout", "status", "--timeout="+patience.String(), name)
}

// gone waits until pods are.
func (b bed) gone(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	for _, pod := range pods {
		b.Kubectl(t, "-n", pod.Namespace, "wait", "--for=delete", "--timeout="+patience.String(), "pod/"+pod.Name)
	}
}

// neverSilent: no question is lost while CoreDNS is replaced. Some have to be asked once more: kube-proxy lets a UDP flow
// go on to an endpoint that is terminating, and flows are told apart by nothing but ports, of which some come again.
func (b bed) neverSilent(t *testing.T) {
	node := b.Nodes[1].Name()
	const clusterDNS = cluster.ClusterDNS + ":53"
	tests := []struct {
		name    string
		servers []string
		do      func(t *testing.T, before []corev1.Pod)
	}{
		{"RollingRestart", []string{standaloneAddress, clusterDNS}, func(t *testing.T, before []corev1.Pod) {
			t.Helper()
			begin := time.Now()
			b.Kubectl(t, "-n", "longnames", "rollout", "restart", "deployment/longnames")
			b.gone(t, before)
			b.notDropped(t, begin)
		}},
		// Both pods of the cluster's DNS may be on that node: nothing that kubeadm installs keeps them apart.
		{"Drain", []string{standaloneAddress}, func(t *testing.T, before []corev1.Pod) {
			t.Helper()
			b.Kubectl(t, "drain", node, "--delete-emptydir-data", "--timeout="+patience.String())
			for _, pod := range before {
				if pod.Spec.NodeName == node {
					b.gone(t, []corev1.Pod{pod})
				}
			}
			for _, pod := range b.pods(t, "longnames", ours) {
				if pod.Spec.NodeName == node {
					t.Errorf("%s is on %s, which is drained", pod.Name, node)
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stops := make(map[string]func() stream)
			for _, server := range tt.servers {
				b.answers(t, b.Nodes[0], "udp", server)
				stops[server] = b.ask(t, b.Nodes[0], server)
			}
			tt.do(t, b.pods(t, "longnames", ours))
			b.rolledOut(t, "longnames", "deployment/longnames")
			for name, stop := range stops {
				stop().neverLost(t, name)
			}
			b.Kubectl(t, "uncordon", node)
			b.rolledOut(t, "prod", "statefulset/shop")
			b.meshed(t, 3)
		})
	}
}
