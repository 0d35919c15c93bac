package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// Pod is the network of a pod.
type Pod struct{ *network }

// Inside returns the network of a pod that runs.
func (c *Cluster) Inside(ctx context.Context, pod corev1.Pod) (Pod, error) {
	i := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.name == pod.Spec.NodeName })
	if i < 0 || len(pod.Status.ContainerStatuses) == 0 {
		return Pod{}, fmt.Errorf("%s does not run", pod.Name)
	}
	n := c.Nodes[i]
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	out, err := n.Run(ctx, "ctr", "--namespace", "k8s.io", "tasks", "list")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); err == nil && f[0] == id {
			// The number is that of the node's PID namespace.
			return Pod{&network{fmt.Sprintf("/proc/%d/root/proc/%s/ns/net", n.init.Pid(), f[1])}}, nil
		}
	}
	return Pod{}, fmt.Errorf("%s has no process: %w: %s", pod.Name, err, out)
}

// ServeDNS is the nameserver of the nodes, until the test ends.
func (c *Cluster) ServeDNS(t testing.TB, handler dns.Handler) {
	t.Helper()
	const address = planeAddress + ":53"
	tcp, err := c.plane.Listen("tcp", address)
	must(t, err)
	var udp net.PacketConn
	must(t, c.plane.there(func() (err error) {
		udp, err = net.ListenPacket("udp", address)
		return err
	}))
	for _, s := range []*dns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
}
