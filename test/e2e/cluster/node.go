package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Node is one of a cluster.
type Node struct {
	*machine
	cluster *Cluster
}

// Pause is what the sandboxes of pods run.
const Pause = "localhost/pause:e2e"

// The bridge plugin would let pods of a node answer each other beside netfilter, and so beside kube-proxy, if the kernel
// does not hand it what bridges carry. With ptp, all is routed.
const networkConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
	{"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "%s"}], [{"subnet": "%s"}]],
		"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}
]}
`

// Without CAP_SYS_RESOURCE, nobody can lower oom_score_adj, and runc would not start anything.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "` + Pause + `"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "%s"
`

const containerdSocket = "/run/containerd/containerd.sock"

// kubeletConfig has all that differs from a kubelet's defaults. The node shares the computer's disk and memory with
// others, and does not care how much they leave. It measures volumes often, and looks for changes of ConfigMaps often: what
// comes of these is to be seen soon.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [pods]
containerRuntimeEndpoint: unix://` + containerdSocket + `
clusterDNS: [` + ClusterDNS + `]
clusterDomain: ` + clusterDNSDomain + `
resolvConf: %s
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
volumeStatsAggPeriod: 5s
syncFrequency: 10s
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %s}
clusterCIDR: ` + podNetwork + `
conntrack: {maxPerCore: 0}
`

// firstPackets hands the first packet of each connection to kube-network-policies. It has rules for that itself, but these
// need nft_queue, which not every kernel has. As in these, what root sends on the node passes, for the sake of probes.
const firstPackets = `
for iptables in iptables ip6tables; do $iptables-restore --noflush <<-END
	*mangle
	-A POSTROUTING -m owner --uid-owner 0 -j ACCEPT
	-A POSTROUTING -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
	-A POSTROUTING -p ipv6-icmp -j ACCEPT
	-A POSTROUTING -j NFQUEUE --queue-num 100
	COMMIT
	END
done
`

// startNode starts a node which has a cable to the control plane's bridge, and routes to the pods of the others.
func (c *Cluster) startNode(ctx context.Context) (*Node, error) {
	c.numbers++
	number := c.numbers
	n := &Node{cluster: c}
	name, address := fmt.Sprintf("node-%d", number), nodeAddress(number)
	var err error
	if n.machine, err = newMachine(c.run, name, c.pause); err != nil {
		return nil, err
	}
	c.Nodes = append(c.Nodes, n)
	if err := c.plane.ip(ctx, append(n.cable(name),
		"route add "+podSubnet(number)+" via "+address+" dev br0 onlink",
		"route add "+podSubnet6(number)+" via "+inet6(address)+" dev br0 onlink")...); err != nil {
		return nil, err
	}
	lines := []string{
		"addr add " + address + machineNetmask + " dev eth0", "addr add " + inet6(address) + "/64 dev eth0", "link set eth0 up",
		"route add default via " + planeAddress, "route add default via " + inet6(planeAddress),
	}
	for other := 1; other <= c.options.Nodes; other++ {
		if other != number {
			lines = append(lines, "route add "+podSubnet(other)+" via "+nodeAddress(other),
				"route add "+podSubnet6(other)+" via "+inet6(nodeAddress(other)))
		}
	}
	if err := n.ip(ctx, lines...); err != nil {
		return nil, err
	}
	kubelet, err := c.user(ctx, name+".conf", "system:node:"+name, "system:nodes")
	proxy, err2 := c.user(ctx, "proxy.conf", "system:kube-proxy")
	policies, err3 := c.user(ctx, "policies.conf", "kube-network-policies", "system:masters")
	_, err4 := n.Run(ctx, "sh", "-euc", firstPackets)
	if err := errors.Join(err, err2, err3, err4,
		os.MkdirAll(n.file("cni"), 0o755),
		n.write("cni/10-pods.conflist", networkConfig, podSubnet(number), podSubnet6(number)),
		n.write("containerd.toml", containerdConfig, n.file("cni")),
		n.write("kubelet.yaml", kubeletConfig, c.run.file("pki", "ca.crt"), n.file("resolv.conf")),
		n.write("kube-proxy.yaml", proxyConfig, proxy),
		n.write("resolv.conf", "nameserver %s\n", Upstream),
		n.start("containerd", "--config="+n.file("containerd.toml")),
		n.start("kube-proxy", "--config="+n.file("kube-proxy.yaml")),
		n.start("kube-network-policies", "--kubeconfig="+policies),
	); err != nil {
		return nil, err
	}
	// A kubelet that does not find it ends.
	if err := c.until(ctx, "containerd runs", func() error {
		_, err := os.Stat(filepath.Join(n.dir, containerdSocket))
		return err
	}); err != nil {
		return nil, err
	}
	addresses := address + "," + inet6(address)
	if c.options.IPv6First {
		addresses = inet6(address) + "," + address
	}
	return n, n.start("kubelet", "--config="+n.file("kubelet.yaml"), "--kubeconfig="+kubelet, "--node-ip="+addresses,
		"--v=2")
}

func (n *Node) file(name string) string { return filepath.Join(n.dir, name) }

func (n *Node) write(name, format string, args ...any) error {
	return os.WriteFile(n.file(name), fmt.Appendf(nil, format, args...), 0o644) //nolint:gosec // all may read it
}

// Name is the node's name.
func (n *Node) Name() string { return n.name }

// Shell runs a script on the node.
func (n *Node) Shell(ctx context.Context, script string) (string, error) {
	return n.Run(ctx, "sh", "-euc", script)
}

// Tag gives an image another name.
func (n *Node) Tag(ctx context.Context, image, name string) error {
	_, err := n.Run(ctx, "ctr", "--namespace", "k8s.io", "images", "tag", "--force", image, name)
	return err
}

// Kill ends the node and all that runs on it, without a word to anybody, as a loss of power does.
func (n *Node) Kill() {
	n.cluster.Nodes = slices.DeleteFunc(n.cluster.Nodes, func(other *Node) bool { return other == n })
	n.stop()
}

// ready imports images, and waits until pods can run on the node.
func (n *Node) ready(ctx context.Context) error {
	for _, archive := range n.cluster.archives {
		if _, err := n.Run(ctx, "ctr", "--namespace", "k8s.io", "images", "import", archive); err != nil {
			return err
		}
	}
	return n.cluster.until(ctx, n.name+" is ready", func() error {
		_, err := n.cluster.TryKubectl(ctx, "wait", "--for=condition=Ready", "--timeout=1s", "node/"+n.name)
		return err
	})
}
