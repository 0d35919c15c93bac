package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Process returns the node of a pod that runs, and the ID that its process has there.
func (c *Cluster) Process(ctx context.Context, pod corev1.Pod) (n *Node, pid string, err error) {
	i := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.name == pod.Spec.NodeName })
	if i < 0 || len(pod.Status.ContainerStatuses) == 0 {
		return nil, "", fmt.Errorf("%s does not run", pod.Name)
	}
	n = c.Nodes[i]
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	out, err := n.Run(ctx, "ctr", "--namespace", "k8s.io", "tasks", "list")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); err == nil && f[0] == id {
			return n, f[1], nil
		}
	}
	return nil, "", fmt.Errorf("%s has no process: %w: %s", pod.Name, err, out)
}

// Pod is the network of a pod.
type Pod struct{ *network }

// Inside returns the network of a pod that runs.
func (c *Cluster) Inside(ctx context.Context, pod corev1.Pod) (Pod, error) {
	n, pid, err := c.Process(ctx, pod)
	if err != nil {
		return Pod{}, err
	}
	return Pod{&network{fmt.Sprintf("/proc/%d/root/proc/%s/ns/net", n.init.Pid(), pid)}}, nil
}
