package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The addresses of a cluster, which has both families. Machines are in one network, and pods in one that each node has.
const (
	planeAddress     = "10.250.0.1"
	etcdPeerAddress  = "127.0.0.1:2380"
	serviceNetwork   = "10.96.0.0/16,fd96::/112"
	podNetwork       = "10.244.0.0/16,fd00:44::/48"
	machineNetmask   = "/24"
	clusterDNSDomain = "cluster.local"
	etcdDir          = "/var/lib/etcd"
)

// Where the parts of a cluster are.
const (
	APIServer    = planeAddress + ":6443" // for hosts
	APIClusterIP = "10.96.0.1"            // for pods
	ClusterDNS   = "10.96.0.10"           // the nameserver that pods have
	Etcd         = "127.0.0.1:2379"       // which only the client's dialer reaches
)

// EtcdDir returns the directory with etcd's data.
func (c *Cluster) EtcdDir() string { return filepath.Join(c.plane.dir, etcdDir) }

func nodeAddress(n int) string { return fmt.Sprintf("10.250.0.%d", 10+n) }
func podSubnet(n int) string   { return fmt.Sprintf("10.244.%d.0/24", n) }
func podSubnet6(n int) string  { return fmt.Sprintf("fd00:44:0:%d::/64", n) }

// inet6 is the IPv6 address of a machine.
func inet6(address string) string { return "fd50::" + address[strings.LastIndex(address, ".")+1:] }

// adminConf is the kubeconfig of the administrator, in the directory of a run. The others are beside it.
const adminConf = "admin.conf"

// Kubeconfig returns the path of a kubeconfig with the administrator's rights.
func (c *Cluster) Kubeconfig() string { return c.run.file(adminConf) }

// kubeadmConfig is for the parts of kubeadm that do not need a machine of its own: certificates, kubeconfigs, and the
// cluster's DNS. Its image is Stock.
const kubeadmConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: %s}
nodeRegistration: {name: plane, criSocket: "unix://` + containerdSocket + `"}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: %s
certificatesDir: %s
encryptionAlgorithm: ECDSA-P256
networking: {serviceSubnet: "%s", dnsDomain: %s}
apiServer: {certSANs: [127.0.0.1]}
dns: {imageRepository: coredns, imageTag: stock}
`

func (c *Cluster) kubeadm(ctx context.Context, args ...string) (string, error) {
	return c.plane.Run(ctx, append(append([]string{"kubeadm"}, args...), "--config", c.run.file("kubeadm.yaml"))...)
}

// DeployDNS has kubeadm deploy the cluster's DNS, with the Service that NodeLocal DNSCache adds.
func (c *Cluster) DeployDNS(t testing.TB) {
	t.Helper()
	_, err := c.kubeadm(t.Context(), "init", "phase", "addon", "coredns", "--kubeconfig", c.Kubeconfig())
	require.NoError(t, err)
	c.Kubectl(t, "-n", "kube-system", "expose", "service", "kube-dns", "--name=kube-dns-upstream")
}

// user makes a kubeconfig for a user, and returns its path.
func (c *Cluster) user(ctx context.Context, file, user string, groups ...string) (string, error) {
	text, err := c.kubeadm(ctx, "kubeconfig", "user", "--client-name", user, "--org="+strings.Join(groups, ","))
	return c.run.file(file), errors.Join(err, os.WriteFile(c.run.file(file), []byte(text), 0o600))
}

// startPlane starts the control plane: a machine, to whose bridge the nodes are connected.
func (c *Cluster) startPlane(ctx context.Context) error {
	var err error
	if c.plane, err = newMachine(c.run, "plane", c.pause); err != nil {
		return err
	}
	if err := c.plane.ip(ctx,
		"link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0",
		"addr add "+planeAddress+machineNetmask+" dev br0",
		"addr add "+hostGateway+hostNetmask+" dev br0",
		"addr add "+inet6(planeAddress)+"/64 dev br0",
		"link set br0 up"); err != nil {
		return err
	}
	pki := c.run.file("pki") + "/"
	err = os.WriteFile(c.run.file("kubeadm.yaml"),
		fmt.Appendf(nil, kubeadmConfig, planeAddress, c.version, pki, serviceNetwork, clusterDNSDomain), 0o600)
	if err == nil {
		_, err = c.kubeadm(ctx, "init", "phase", "certs", "all")
	}
	_, err2 := c.user(ctx, adminConf, "admin", "system:masters")
	controllers, err3 := c.user(ctx, "controller-manager.conf", "system:kube-controller-manager")
	scheduler, err4 := c.user(ctx, "scheduler.conf", "system:kube-scheduler")
	if err := errors.Join(err, err2, err3, err4, c.connect(pki)); err != nil {
		return err
	}
	controlled := "*"
	if c.options.Nodes == 0 {
		controlled = "*,-node-lifecycle-controller" // nobody says that the node of such pods lives
	}
	if err := errors.Join(
		c.plane.start("etcd",
			"--name=e2e", "--data-dir="+etcdDir, "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=http://"+Etcd, "--advertise-client-urls=http://"+Etcd,
			"--listen-peer-urls=http://"+etcdPeerAddress, "--initial-advertise-peer-urls=http://"+etcdPeerAddress,
			"--initial-cluster=e2e=http://"+etcdPeerAddress),
		// It waits for etcd by itself, as the others wait for it.
		c.plane.start("kube-apiserver",
			"--etcd-servers=http://"+Etcd, "--bind-address="+planeAddress, "--advertise-address="+planeAddress,
			"--tls-cert-file="+pki+"apiserver.crt", "--tls-private-key-file="+pki+"apiserver.key", "--client-ca-file="+pki+"ca.crt",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--kubelet-client-certificate="+pki+"apiserver-kubelet-client.crt",
			"--kubelet-client-key="+pki+"apiserver-kubelet-client.key",
			"--kubelet-preferred-address-types=InternalIP", // names of nodes are in no DNS
			"--service-account-issuer=https://kubernetes.default.svc."+clusterDNSDomain,
			"--service-account-signing-key-file="+pki+"sa.key", "--service-account-key-file="+pki+"sa.pub",
			"--service-cluster-ip-range="+serviceNetwork),
		c.plane.start("kube-scheduler", "--kubeconfig="+scheduler, "--authentication-kubeconfig="+scheduler,
			"--authorization-kubeconfig="+scheduler, "--leader-elect=false"),
		c.apiReady(ctx),
		c.plane.start("kube-controller-manager", "--controllers="+controlled,
			"--kubeconfig="+controllers, "--authentication-kubeconfig="+controllers, "--authorization-kubeconfig="+controllers,
			"--leader-elect=false", "--use-service-account-credentials", "--cert-dir="+pki,
			"--root-ca-file="+pki+"ca.crt", "--service-account-private-key-file="+pki+"sa.key",
			"--cluster-signing-cert-file="+pki+"ca.crt", "--cluster-signing-key-file="+pki+"ca.key"),
	); err != nil {
		return err
	}
	// This is the API server as a client of kubelets.
	if _, err := c.TryKubectl(ctx, "create", "clusterrolebinding", "kubelet-client", "--clusterrole=system:kubelet-api-admin",
		"--user=kube-apiserver-kubelet-client"); err != nil {
		return err
	}
	return c.until(ctx, "the controllers run", func() error {
		_, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// connect makes the client.
func (c *Cluster) connect(pki string) error {
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig()); err != nil {
		return err
	}
	c.Config.QPS, c.Config.CAFile, c.Config.Dial = -1, pki+"ca.crt", c.plane.Dial
	c.Client, err = kubernetes.NewForConfig(c.Config)
	return err
}

func (c *Cluster) apiReady(ctx context.Context) error {
	return c.until(ctx, "the API server is ready", func() error {
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}
