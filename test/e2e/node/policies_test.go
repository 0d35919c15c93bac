package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// peer is an end of connections: a place, unless none begin there, and an address.
type peer struct {
	watch.Dialer
	address string
}

type peers struct {
	*bed
	all map[string]peer
}

func (b *bed) newPeers() peers {
	return peers{b, map[string]peer{
		"API server": {nil, "10.96.0.1"}, "API server itself": {nil, "10.250.0.1"},
		"cluster-dns service": {nil, cluster.ClusterDNS},
	}}
}

func (p peers) add(name string, pod corev1.Pod) {
	inside, err := p.Inside(p.Context(), pod)
	require.NoError(p, err)
	p.all[name] = peer{inside, pod.Status.PodIP}
}

// guest runs a pod that does nothing.
func (p peers) guest(name, namespace, label string, node *cluster.Node) {
	b := p.at(namespace)
	const overrides = `{"apiVersion":"v1","spec":{"nodeName":%q,"terminationGracePeriodSeconds":0}}`
	b.kubectl("run %s --image=%s --labels=guest=%s,%s --overrides="+overrides, name, cluster.Pause, name, label, node.Name())
	b.wait("pod/"+name, "condition=Ready")
	p.add(name, b.pods("guest=" + name)[0])
}

// reaches reports whether something comes back from an address within a while. Where nothing listens, it is a refusal.
// The agent drops packets that no policy allows.
func (p peers) reaches(from watch.Dialer, network, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(p.Context(), 2*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, network, address)
	if err == nil {
		conn.Close()
		if network == "udp" {
			_, err = watch.Exchange(p.Context(), from, network, address, "svc.erl.internal", "SOA", 0)
		}
	}
	switch {
	case err == nil || errors.Is(err, syscall.ECONNREFUSED):
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, err
}

// connection is one to some ports of somebody, such as "53/udp 53/tcp".
type connection struct {
	from, to, ports string
	want            bool // it is made
}

// connect tries connections, all at once.
func (p peers) connect(connections ...connection) {
	var wg sync.WaitGroup
	for _, c := range connections {
		from, to := p.all[c.from], p.all[c.to]
		require.False(p, from.Dialer == nil || to.address == "", "%s or %s is not known", c.from, c.to)
		for each := range strings.FieldsSeq(c.ports) {
			port, network, _ := strings.Cut(each, "/")
			wg.Go(func() {
				// A node takes a moment to hear of a new pod or policy. On a busy machine an allowed packet may be late.
				what, drops := fmt.Sprintf("%s to %s of %s", c.from, each, c.to), 0
				p.should(cluster.Poll(time.Minute, what, func() error {
					got, err := p.reaches(from, network, net.JoinHostPort(to.address, port))
					if drops++; err != nil || got {
						drops = 0
					}
					if err == nil && (got != c.want || !got && drops < 3) {
						err = fmt.Errorf("got %t, want %t", got, c.want)
					}
					return err
				}))
			})
		}
	}
	wg.Wait()
}

const (
	questions = "1053/udp 1053/tcp"
	lookups   = "53/udp 53/tcp"
)

// ingress is what the policy of deploy/, and the one of docs/security.md for another CoreDNS, let in.
func ingress(to string) []connection {
	return []connection{
		{"friend", to, questions, true},
		{"friend", to, "9153/tcp 8080/tcp", false},
		{"cluster-dns", to, questions, true},
		{"cluster-dns-by-helm", to, questions, true},
		{"system", to, questions, false},
		{"stranger", to, questions + " 9153/tcp", false},
		{"double", to, questions, false},
		{"prometheus", to, "9153/tcp", true},
		{"prometheus", to, questions, false},
	}
}

// policies are about connections, as kube-network-policies allows and drops them.
func (b *bed) policies() {
	p, nodes := b.newPeers(), b.Nodes
	for _, name := range []string{"friends", "strangers", "monitoring", "elsewhere", "shops"} {
		b.CreateNamespace(b, name)
	}
	b.kubectl("label namespace friends shops longnames.dev/client=true")
	for _, guest := range [][3]string{
		{"friend", "friends", "app=shop"},
		{"stranger", "strangers", "app=shop"},
		{"double", "strangers", "k8s-app=kube-dns"},
		{"cluster-dns-by-helm", "kube-system", "k8s-app=coredns"},
		{"system", "kube-system", "app=other"},
		{"prometheus", "monitoring", "app=prometheus"},
		{"member-2", "shops", "app=shop"},
		{"neighbour", "shops", "app=web"},
	} {
		p.guest(guest[0], guest[1], guest[2], nodes[0])
	}
	p.guest("theirs", "elsewhere", ours, nodes[1])
	p.guest("member", "shops", "app=shop", nodes[1])
	p.add("cluster-dns", b.at("kube-system").pods("k8s-app=kube-dns")[0])
	for _, n := range nodes {
		p.all[n.Name()] = peer{n, ""}
	}
	longnames := b.ours()
	for _, pod := range longnames {
		p.add(pod.Name, pod)
	}
	try := func(name string, connections ...connection) {
		b.run(name, func(b *bed) { peers{b, p.all}.connect(connections...) })
	}

	for _, pod := range longnames {
		try("Standalone-"+pod.Spec.NodeName, slices.Concat(ingress(pod.Name), []connection{
			{pod.Spec.NodeName, pod.Name, questions + " 8080/tcp 8181/tcp 9153/tcp", true}, // as kubelet does
			{pod.Name, "API server", "443/tcp", true},
			{pod.Name, "API server itself", "6443/tcp", true},
			{pod.Name, "API server itself", "80/tcp", false},
			{pod.Name, "cluster-dns service", lookups, false},
			{pod.Name, "friend", questions, false},
		})...)
	}
	fromNodes := func(want bool) (out []connection) {
		for _, pod := range longnames {
			for _, n := range nodes {
				if n.Name() != pod.Spec.NodeName {
					out = append(out, connection{n.Name(), pod.Name, questions, want})
					out = append(out, connection{n.Name(), pod.Name, "9153/tcp", false})
				}
			}
		}
		return out
	}
	try("Nodes", fromNodes(true)...)
	b.kubectl("-n longnames delete networkpolicy longnames-from-nodes")
	try("NodesWithoutPolicy", fromNodes(false)...)
	b.letNodesAsk()
	const ports = questions + " 4369/tcp"
	try("NoPolicy", connection{"friend", "stranger", ports, true}, connection{"stranger", "friend", ports, true},
		connection{"stranger", "cluster-dns service", lookups, true}, connection{"stranger", "API server", "443/tcp", true},
		connection{nodes[1].Name(), "stranger", ports, true})
	b.example("longnames-who-may-ask", "elsewhere")
	try("AnotherCoreDNS", append(ingress("theirs"), // which may be Helm's, and listen on 53
		connection{"friend", "theirs", lookups, true}, connection{"cluster-dns", "theirs", lookups, true},
		connection{"stranger", "theirs", lookups, false}, connection{"prometheus", "theirs", lookups, false},
		connection{nodes[0].Name(), "theirs", questions, false},
		connection{"theirs", "API server itself", "6443/tcp", true},
		connection{"theirs", "cluster-dns service", "53/udp", true})...)
	b.example("shop-distribution", "shops")
	const dist, beyond = "4369/tcp 9100/tcp 9105/tcp", "9099/tcp 9106/tcp"
	try("Distribution",
		connection{"member", "member-2", dist, true}, connection{"member-2", "member", dist, true},
		connection{"member", "member-2", beyond, false}, connection{"member-2", "member", beyond, false},
		connection{"neighbour", "member", dist, false}, connection{"member", "neighbour", dist, false},
		connection{"friend", "member", dist, false}, connection{"member", "friend", dist, false},
		connection{nodes[0].Name(), "member", dist, false},
		connection{nodes[0].Name(), "member", "4000/tcp", true},
		connection{"neighbour", "member", "4000/tcp", true},
		connection{"member", "API server itself", "443/tcp 5432/tcp", true}, connection{"member", "API server itself", "80/tcp", false},
		connection{"member", "cluster-dns service", lookups, true},
		connection{"member", longnames[0].Name, questions, true})
}

// example applies a policy of examples/networkpolicies to a namespace.
func (b *bed) example(name, namespace string) {
	text := read(b.T, "examples/networkpolicies/"+name+".yaml")
	b.create("%s", regexp.MustCompile(`(?m)^  namespace: \w+$`).ReplaceAllString(text, "  namespace: "+namespace))
}

// letNodesAsk applies the policy for nodes, with their network, as deploy/README.md says.
func (b *bed) letNodesAsk() {
	address, err := netip.ParseAddr(b.get("node/"+b.Nodes[0].Name(), ".status.addresses[0].address"))
	require.NoError(b, err)
	b.kubectl("apply --server-side --validate=strict -k %s", b.overlay(fmt.Sprintf(`
resources: [DEPLOY/overlays/stub-domain/node-local-dns]
patches:
- target: {kind: NetworkPolicy}
  patch: '[{"op": "replace", "path": "/spec/ingress/0/from/0/ipBlock/cidr", "value": "%s"}]'
`, netip.PrefixFrom(address, 24).Masked()), nil))
}
