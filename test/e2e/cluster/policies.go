package cluster

import (
	"context"
	"errors"
)

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

// startPolicies has the node enforce NetworkPolicies.
func (n *Node) startPolicies(ctx context.Context) error {
	_, err := n.Run(ctx, "sh", "-euc", firstPackets)
	return errors.Join(err, n.start("kube-network-policies", n.cluster.binary, "kube-network-policies", "--kubeconfig="+n.cluster.kubeconfig("policies")))
}
