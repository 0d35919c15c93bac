package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The addresses of a cluster, which has both families. Machines are in one network, and pods in one that each node has.
const (
	planeAddress     = "10.250.0.1"
	apiAddress       = planeAddress + ":6443"
	etcdPeerAddress  = "127.0.0.1:2380"
	serviceNetwork   = "10.96.0.0/16,fd96::/112"
	podNetwork       = "10.244.0.0/16,fd00:44::/48"
	machineNetmask   = "/24"
	clusterDNSDomain = "cluster.local"
	etcdDir          = "/var/lib/etcd"
)

// Etcd is the address and the port of etcd, which only the client's dialer reaches. APIClusterIP is the address of the API
// server's Service.
const (
	Etcd         = "127.0.0.1:2379"
	APIClusterIP = "10.96.0.1"
)

// ClusterDNS is the address of the nameserver that pods have. It is for tests to deploy one there.
const ClusterDNS = "10.96.0.10"

// EtcdDir returns the directory with etcd's data.
func (c *Cluster) EtcdDir() string { return filepath.Join(c.plane.dir, etcdDir) }

func nodeAddress(n int) string { return fmt.Sprintf("10.250.0.%d", 10+n) }
func podSubnet(n int) string   { return fmt.Sprintf("10.244.%d.0/24", n) }
func podSubnet6(n int) string  { return fmt.Sprintf("fd00:44:0:%d::/64", n) }

// inet6 is the IPv6 address of a machine.
func inet6(address string) string { return "fd50::" + address[strings.LastIndex(address, ".")+1:] }

// startPlane starts the control plane: a machine, to whose bridge the nodes are connected.
func (c *Cluster) startPlane(ctx context.Context) error {
	var err error
	if c.plane, err = newMachine(c.run, "plane", planeAddress, c.pause); err != nil {
		return err
	}
	if err := c.plane.ip(ctx,
		"link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0",
		"addr add "+planeAddress+machineNetmask+" dev br0",
		"addr add "+hostGateway4+hostNetmask4+" dev br0",
		"addr add "+hostGateway6+hostNetmask6+" dev br0 nodad",
		"addr add "+inet6(planeAddress)+"/64 dev br0",
		"link set br0 up"); err != nil {
		return err
	}
	p := c.pki
	if err := errors.Join(
		p.Server("apiserver", "kube-apiserver", planeAddress, APIClusterIP, "127.0.0.1", "kubernetes.default.svc"),
		p.Client("apiserver-kubelet", "kube-apiserver-kubelet", "system:masters"),
		c.user("admin", "admin", "system:masters"),
		c.user("controller-manager", "system:kube-controller-manager"),
		c.user("scheduler", "system:kube-scheduler"),
		c.user("proxy", "system:kube-proxy"),
		c.user("policies", "kube-network-policies", "system:masters")); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	controllers, scheduler := c.kubeconfig("controller-manager"), c.kubeconfig("scheduler")
	if err := errors.Join(
		c.plane.start("etcd", c.binary, "etcd",
			"--name=e2e", "--data-dir="+etcdDir, "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=http://"+Etcd, "--advertise-client-urls=http://"+Etcd,
			"--listen-peer-urls=http://"+etcdPeerAddress, "--initial-advertise-peer-urls=http://"+etcdPeerAddress,
			"--initial-cluster=e2e=http://"+etcdPeerAddress),
		// It waits for etcd by itself, as the others wait for it.
		c.plane.start("kube-apiserver", c.binary, "kube-apiserver",
			"--etcd-servers=http://"+Etcd,
			"--bind-address="+planeAddress, "--advertise-address="+planeAddress, "--cert-dir="+p.Dir(),
			"--tls-cert-file="+p.Path("apiserver.crt"), "--tls-private-key-file="+p.Path("apiserver.key"),
			"--client-ca-file="+p.Path("ca.crt"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--kubelet-client-certificate="+p.Path("apiserver-kubelet.crt"), "--kubelet-client-key="+p.Path("apiserver-kubelet.key"),
			"--kubelet-certificate-authority="+p.Path("ca.crt"),
			"--kubelet-preferred-address-types=InternalIP", // names of nodes are in no DNS
			"--service-account-issuer=https://kubernetes.default.svc."+clusterDNSDomain,
			"--service-account-signing-key-file="+p.Path("sa.key"), "--service-account-key-file="+p.Path("sa.pub"),
			"--service-cluster-ip-range="+serviceNetwork),
		c.plane.start("kube-scheduler", c.binary, "kube-scheduler",
			"--kubeconfig="+scheduler, "--authentication-kubeconfig="+scheduler, "--authorization-kubeconfig="+scheduler,
			"--leader-elect=false"),
	); err != nil {
		return err
	}
	if err := c.apiReady(ctx); err != nil {
		return err
	}
	controlled := "*"
	if c.options.Nodes == 0 {
		controlled = "*,-node-lifecycle-controller" // nobody says that the node of such pods lives
	}
	if err := c.plane.start("kube-controller-manager", c.binary, "kube-controller-manager", "--controllers="+controlled,
		"--kubeconfig="+controllers, "--authentication-kubeconfig="+controllers, "--authorization-kubeconfig="+controllers,
		"--leader-elect=false", "--use-service-account-credentials", "--cert-dir="+p.Dir(),
		"--root-ca-file="+p.Path("ca.crt"), "--service-account-private-key-file="+p.Path("sa.key"),
		"--cluster-signing-cert-file="+p.Path("ca.crt"), "--cluster-signing-key-file="+p.Path("ca.key")); err != nil {
		return err
	}
	return c.until(ctx, "the controllers run", func() error {
		_, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *Cluster) apiReady(ctx context.Context) error {
	return c.until(ctx, "the API server is ready", func() error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// user makes a certificate and a kubeconfig for a user.
func (c *Cluster) user(name, user string, groups ...string) error {
	return errors.Join(
		c.pki.Client(name, user, groups...),
		os.WriteFile(c.kubeconfig(name), fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%s", certificate-authority: %s}}]
users: [{name: e2e, user: {client-certificate: %s, client-key: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]
current-context: e2e
`, apiAddress, c.pki.Path("ca.crt"), c.pki.Path(name+".crt"), c.pki.Path(name+".key")), 0o600))
}

// kubeconfig is that of a user.
func (c *Cluster) kubeconfig(name string) string { return filepath.Join(c.pki.Dir(), name+".conf") }

// startTime is how long each step of a start may take, on a busy machine.
const startTime = 3 * time.Minute

// until waits for a step of the start, as long as all parts run.
func (c *Cluster) until(ctx context.Context, what string, check func() error) error {
	err := poll(startTime, func() error {
		if err := errors.Join(c.dead(), context.Cause(ctx)); err != nil {
			return final{err}
		}
		return check()
	})
	if err != nil {
		return fmt.Errorf("not until %s: %w", what, err)
	}
	return nil
}
