package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// dialer is where connections are made from: a node or a pod.
type dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// reaches reports whether something comes back from an address within a while. Where nothing listens, it is a refusal.
// The agent drops packets that no policy allows.
func reaches(ctx context.Context, from dialer, network, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, network, address)
	if err == nil && network == "udp" {
		deadline, _ := ctx.Deadline()
		c := &dns.Conn{Conn: conn}
		if err = errors.Join(c.SetDeadline(deadline), c.WriteMsg(new(dns.Msg).SetQuestion("svc.erl.internal.", dns.TypeSOA))); err == nil {
			_, err = c.ReadMsg()
		}
	}
	if conn != nil {
		conn.Close()
	}
	switch {
	case err == nil || errors.Is(err, syscall.ECONNREFUSED):
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, err
}

// guest is a pod that does nothing.
type guest struct {
	name, namespace string
	labels          map[string]string
}

// app labels a pod.
func app(name string) map[string]string { return map[string]string{"app": name} }

// peers are the ends of connections, by name.
type peers struct {
	places    map[string]dialer
	addresses map[string]string
}

func newPeers() *peers {
	return &peers{places: make(map[string]dialer), addresses: map[string]string{
		"API server": "10.96.0.1", "API server itself": "10.250.0.1", "cluster-dns service": cluster.ClusterDNS,
	}}
}

func (p *peers) add(t *testing.T, b bed, name string, pod corev1.Pod) {
	t.Helper()
	inside, err := b.Inside(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	p.places[name], p.addresses[name] = inside, pod.Status.PodIP
}

// namespace makes one, unless it is there, for the duration of the test.
func (b bed) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	all := b.Client.CoreV1().Namespaces()
	_, err := all.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	switch {
	case err == nil:
		t.Cleanup(func() { _ = all.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}) })
	case !apierrors.IsAlreadyExists(err):
		t.Fatal(err)
	}
}

// host runs guests on a node.
func (b bed) host(t *testing.T, node string, p *peers, guests ...guest) {
	t.Helper()
	for _, g := range guests {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: g.name, Labels: g.labels},
			Spec: corev1.PodSpec{
				NodeName: node, TerminationGracePeriodSeconds: new(int64),
				Containers: []corev1.Container{{Name: "guest", Image: cluster.Pause}},
			},
		}
		pods := b.Client.CoreV1().Pods(g.namespace)
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = pods.Delete(context.WithoutCancel(t.Context()), g.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		})
	}
	for _, g := range guests {
		b.Kubectl(t, "-n", g.namespace, "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/"+g.name)
		pod, err := b.Client.CoreV1().Pods(g.namespace).Get(t.Context(), g.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.add(t, b, g.name, *pod)
	}
}

// connection is one to some ports of somebody, such as "53/udp 53/tcp".
type connection struct {
	from, to, ports string
	want            bool // it is made
}

// connect tries connections, all at once.
func (p *peers) connect(t *testing.T, connections ...connection) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range connections {
		from, to := p.places[c.from], p.addresses[c.to]
		if from == nil || to == "" {
			t.Fatalf("%s or %s is not known", c.from, c.to)
		}
		for each := range strings.FieldsSeq(c.ports) {
			port, network, _ := strings.Cut(each, "/")
			wg.Go(func() {
				// A node takes a moment to hear of a new pod or policy.
				for begin := time.Now(); ; {
					got, err := reaches(t.Context(), from, network, net.JoinHostPort(to, port))
					if err == nil && got == c.want {
						return
					}
					if time.Since(begin) > 20*time.Second {
						t.Errorf("%s to %s of %s: got %t and error %v, want %t", c.from, each, c.to, got, err, c.want)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// questions are over UDP and TCP.
const questions = "1053/udp 1053/tcp"

// ingress is what the policy of deploy/, and the one of docs/operations.md for another CoreDNS, let in.
func ingress(to string) []connection {
	return []connection{
		{"node of ours", to, questions, true},
		{"node of ours", to, "9153/tcp 8080/tcp", false},
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
func (b bed) policies(t *testing.T) {
	p := newPeers()
	beam := map[string]string{"beam": "true"}
	b.namespace(t, "friends", beam)
	b.namespace(t, "strangers", nil)
	b.namespace(t, "monitoring", nil)
	b.host(t, b.Nodes[0].Name(), p,
		guest{"friend", "friends", app("shop")},
		guest{"stranger", "strangers", app("shop")},
		guest{"double", "strangers", map[string]string{"k8s-app": "kube-dns"}},
		guest{"cluster-dns-by-helm", "kube-system", map[string]string{"k8s-app": "coredns"}},
		guest{"system", "kube-system", app("other")},
		guest{"prometheus", "monitoring", app("prometheus")})
	p.places["node of ours"] = p.places["friend"]
	p.add(t, b, "cluster-dns", b.pods(t, "kube-system", "k8s-app=kube-dns")[0])
	for _, n := range b.Nodes {
		p.places[n.Name()] = n
	}

	t.Run("Standalone", func(t *testing.T) {
		for _, pod := range b.pods(t, "longnames", ours) {
			p.add(t, b, pod.Name, pod)
			p.connect(t, slices.Concat(ingress(pod.Name), []connection{
				{pod.Spec.NodeName, pod.Name, questions + " 8080/tcp 8181/tcp 9153/tcp", true}, // as kubelet does
				{pod.Name, "API server", "443/tcp", true},
				{pod.Name, "API server itself", "6443/tcp", true},
				{pod.Name, "API server itself", "80/tcp", false},
				{pod.Name, "cluster-dns service", "53/udp 53/tcp", false},
				{pod.Name, "friend", "1053/udp 1053/tcp", false},
			})...)
		}
	})
	t.Run("Nodes", func(t *testing.T) {
		var all []connection
		for _, pod := range b.pods(t, "longnames", ours) {
			p.add(t, b, pod.Name, pod)
			for _, n := range b.Nodes {
				if n.Name() != pod.Spec.NodeName {
					all = append(all, connection{n.Name(), pod.Name, questions, true}, connection{n.Name(), pod.Name, "9153/tcp", false})
				}
			}
		}
		p.connect(t, all...)
		b.Kubectl(t, "-n", "longnames", "delete", "networkpolicy", "longnames-from-nodes")
		t.Cleanup(func() { b.letNodesAsk(t) })
		for i := range all {
			all[i].want = false
		}
		p.connect(t, all...)
	})
	t.Run("NoPolicy", func(t *testing.T) {
		const ports = questions + " 4369/tcp"
		p.connect(t, connection{"friend", "stranger", ports, true}, connection{"stranger", "friend", ports, true},
			connection{"stranger", "cluster-dns service", "53/udp 53/tcp", true}, connection{"stranger", "API server", "443/tcp", true},
			connection{b.Nodes[1].Name(), "stranger", ports, true})
	})
	t.Run("AnotherCoreDNS", func(t *testing.T) {
		b.example(t, "longnames-who-may-ask", "elsewhere")
		b.host(t, b.Nodes[1].Name(), p, guest{"theirs", "elsewhere", map[string]string{"app.kubernetes.io/name": "longnames"}})
		p.connect(t, append(ingress("theirs"),
			connection{b.Nodes[0].Name(), "theirs", questions, false},
			connection{"theirs", "API server itself", "6443/tcp", true},
			connection{"theirs", "cluster-dns service", "53/udp", true})...)
	})
	t.Run("Distribution", func(t *testing.T) {
		b.example(t, "shop-distribution", "shops")
		b.host(t, b.Nodes[1].Name(), p, guest{"member", "shops", app("shop")})
		b.host(t, b.Nodes[0].Name(), p, guest{"member-2", "shops", app("shop")}, guest{"neighbour", "shops", app("web")})
		const dist, beyond = "4369/tcp 9100/tcp 9105/tcp", "9099/tcp 9106/tcp"
		longnames := b.pods(t, "longnames", ours)[0]
		p.add(t, b, "longnames", longnames)
		b.Kubectl(t, "label", "namespace", "shops", "beam=true")
		p.connect(t,
			connection{"member", "member-2", dist, true}, connection{"member-2", "member", dist, true},
			connection{"member", "member-2", beyond, false}, connection{"member-2", "member", beyond, false},
			connection{"neighbour", "member", dist, false}, connection{"member", "neighbour", dist, false},
			connection{"friend", "member", dist, false}, connection{"member", "friend", dist, false},
			connection{b.Nodes[0].Name(), "member", dist, false},
			connection{b.Nodes[0].Name(), "member", "4000/tcp", true},
			connection{"neighbour", "member", "4000/tcp", true},
			connection{"member", "API server itself", "443/tcp 5432/tcp", true}, connection{"member", "API server itself", "80/tcp", false},
			connection{"member", "cluster-dns service", "53/udp 53/tcp", true},
			connection{"member", "longnames", questions, true})
	})
}

var theirNamespace = regexp.MustCompile(`(?m)^  namespace: \w+$`)

// example applies a policy of docs/operations.md to a namespace.
func (b bed) example(t *testing.T, name, namespace string) {
	t.Helper()
	for _, s := range codeBlocks(t, "docs/operations.md", "Who may ask", "yaml") {
		if strings.Contains(s, "name: "+name+"\n") {
			b.namespace(t, namespace, nil)
			file := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(file, []byte(theirNamespace.ReplaceAllString(s, "  namespace: "+namespace)), 0o600); err != nil {
				t.Fatal(err)
			}
			b.Kubectl(t, "create", "--validate=strict", "-f", file)
			return
		}
	}
	t.Fatalf("docs/operations.md has no policy %s", name)
}

// letNodesAsk applies the policy for nodes, with their network, as deploy/README.md says.
func (b bed) letNodesAsk(t *testing.T) {
	t.Helper()
	node, err := b.Client.CoreV1().Nodes().Get(context.WithoutCancel(t.Context()), b.Nodes[0].Name(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	address, err := netip.ParseAddr(node.Status.Addresses[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	dir := overlay(t, fmt.Sprintf(`resources: [DEPLOY/overlays/stub-domain/node-local-dns]
patches:
- target: {kind: NetworkPolicy}
  patch: '[{"op": "replace", "path": "/spec/ingress/0/from/0/ipBlock/cidr", "value": "%s"}]'
`, netip.PrefixFrom(address, 24).Masked()))
	if out, err := b.TryKubectl(context.WithoutCancel(t.Context()), "apply", "--server-side", "--validate=strict", "-k", dir); err != nil {
		t.Fatal(err, out)
	}
}
