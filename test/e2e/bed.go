package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/pki"
)

// Where the control plane listens, inside its own namespace.
const (
	apiAddress   = "127.0.0.1:6443"
	olderAddress = "127.0.0.1:6444"
	etcdAddress  = "127.0.0.1:2379"
	etcdPeers    = "127.0.0.1:2380"
	kcmPort      = "10257"
)

// fakeNode is the node that all pods are on. The endpointslice controller leaves out pods whose node does not exist.
const fakeNode = "node"

// bed is what the scenarios share: a control plane, with a kubelet of ours, in a network namespace.
type bed struct {
	*run
	coredns string // the binary
	plane   *netns
	pki     *pki.Authority
	client  kubernetes.Interface
	toEtcd  *http.Client
	kubelet *kubelet
	older   func() error // starts the API server that cannot stream lists
	binary  string       // the control plane
	whole   bool         // it has all that pods of others need, see openWhole
	picture string       // of the dashboard, to be drawn; empty if none is

	compiled func() (string, error) // gives the directory with our Erlang modules
	images   *images

	mu    sync.Mutex // protects parts
	parts []*process // to be stopped from the last to the first
}

// openBed starts the control plane. Who gets a bed, even with an error, has to close it.
func openBed(ctx context.Context, r *run, controlplane, coredns string) (*bed, error) {
	b := &bed{run: r, coredns: coredns, binary: controlplane, images: newImages(ctx, r)}
	return b, b.open(ctx)
}

// openWhole starts another control plane, with all that pods need which are not ours to make: service accounts, quotas
// and disruption budgets. It has a network of its own, and shares nothing with this one but the images.
func (b *bed) openWhole(ctx context.Context, name string) (*bed, error) {
	own, err := b.within(name)
	if err != nil {
		return nil, err
	}
	w := &bed{run: own, coredns: b.coredns, binary: b.binary, images: b.images, whole: true}
	return w, w.open(ctx)
}

// open starts the control plane.
func (b *bed) open(ctx context.Context) error {
	b.older = sync.OnceValue(func() error { return b.startOlder(ctx) })
	b.compiled = sync.OnceValues(func() (string, error) { return b.compileBeam(ctx) })
	if err := newBridge(ctx, b.netns("plane")); err != nil {
		return err
	}
	var err error
	if b.plane, err = openNetns(b.netns("plane")); err != nil {
		return err
	}
	b.toEtcd = &http.Client{Transport: &http.Transport{DialContext: b.plane.dial, MaxIdleConnsPerHost: 8}}
	if b.pki, err = newPKI(filepath.Join(b.dir, "pki")); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	if err := b.startPlane(ctx); err != nil {
		return err
	}
	b.kubelet, err = newKubelet(ctx, b)
	return err
}

// newPKI makes an authority with certificates for the API server and the administrator.
func newPKI(dir string) (*pki.Authority, error) {
	p, err := pki.New(dir)
	if err != nil {
		return nil, err
	}
	return p, errors.Join(
		p.Server("apiserver", "kube-apiserver", "127.0.0.1", apiSide, kubernetesAddress),
		p.Client("admin", "admin", "system:masters"))
}

// config is for the administrator, or with a token for whoever has that.
func (b *bed) config(token string) *rest.Config {
	c := &rest.Config{Host: "https://" + apiAddress, QPS: -1, BearerToken: token, WarningHandler: rest.NoWarnings{}}
	c.CAFile = b.pki.Path("ca.crt")
	if token == "" {
		c.CertFile, c.KeyFile = b.pki.Path("admin.crt"), b.pki.Path("admin.key")
	}
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return b.plane.dial(ctx, network, address)
	}
	return c
}

func (b *bed) connect() error {
	var err error
	b.client, err = kubernetes.NewForConfig(b.config(""))
	return err
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%s", certificate-authority: %s}}]
users: [{name: admin, user: {client-certificate: %s, client-key: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: admin}}]
current-context: e2e
`

func (b *bed) startPlane(ctx context.Context) error {
	p := b.pki
	config := filepath.Join(b.dir, "kubeconfig")
	text := fmt.Sprintf(kubeconfig, apiAddress, p.Path("ca.crt"), p.Path("admin.crt"), p.Path("admin.key"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if err := b.part("etcd", b.binary, "etcd",
		"--name=e2e", "--data-dir="+filepath.Join(b.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://"+etcdAddress, "--advertise-client-urls=http://"+etcdAddress,
		"--listen-peer-urls=http://"+etcdPeers, "--initial-advertise-peer-urls=http://"+etcdPeers,
		"--initial-cluster=e2e=http://"+etcdPeers); err != nil {
		return err
	}
	// It waits for etcd by itself.
	if err := b.startAPI(ctx, "kube-apiserver", b.client, "--secure-port=6443"); err != nil {
		return err
	}
	controllers := "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller," +
		"serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller," +
		"namespace-controller,garbage-collector-controller," +
		"deployment-controller,replicaset-controller,statefulset-controller"
	if b.whole {
		controllers += ",disruption-controller,resourcequota-controller"
	}
	if err := b.part("kube-controller-manager", b.binary, "kube-controller-manager",
		"--kubeconfig="+config, "--authentication-kubeconfig="+config, "--authorization-kubeconfig="+config,
		"--bind-address=127.0.0.1", "--secure-port="+kcmPort, "--cert-dir="+p.Dir(), "--leader-elect=false",
		"--root-ca-file="+p.Path("ca.crt"), "--service-account-private-key-file="+p.Path("sa.key"),
		"--controllers="+controllers,
		"--endpoint-updates-batch-period=0s", "--endpointslice-updates-batch-period=0s",
		"--kube-api-qps=1000", "--kube-api-burst=2000"); err != nil {
		return err
	}
	if _, err := b.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fakeNode}},
		metav1.CreateOptions{}); err != nil {
		return err
	}
	return b.until(ctx, "the controllers run", func() error {
		_, err := b.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// startAPI starts an API server, and waits until who has a client for it is served.
func (b *bed) startAPI(ctx context.Context, name string, client kubernetes.Interface, more ...string) error {
	p := b.pki
	audit, err := b.auditArgs(name)
	if err != nil {
		return err
	}
	args := slices.Concat([]string{b.binary, "kube-apiserver",
		"--etcd-servers=http://" + etcdAddress,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--cert-dir=" + p.Dir(), "--tls-cert-file=" + p.Path("apiserver.crt"), "--tls-private-key-file=" + p.Path("apiserver.key"),
		"--client-ca-file=" + p.Path("ca.crt"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + p.Path("sa.key"), "--service-account-key-file=" + p.Path("sa.pub"),
		"--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112", "--shutdown-delay-duration=0s"}, audit, more)
	if !b.whole {
		// Pods need no service accounts of their own here.
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	if err := b.part(name, args...); err != nil {
		return err
	}
	return b.until(ctx, name+" is ready", func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// startOlder starts an API server with the same contents as the other, which cannot stream lists: that of Kubernetes
// 1.33 could not by default, and older ones could not at all.
func (b *bed) startOlder(ctx context.Context) error {
	config := b.config("")
	config.Host = "https://" + olderAddress
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return b.startAPI(ctx, "kube-apiserver-older", client, "--secure-port=6444", "--feature-gates=WatchList=false")
}

// dead tells which parts of the control plane have ended.
func (b *bed) dead() []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []error
	for _, p := range b.parts {
		if err := p.ended(); err != nil {
			out = append(out, err)
		}
	}
	return out
}

// part starts a part of the control plane.
func (b *bed) part(name string, args ...string) error {
	p, err := start(b.plane.name, b.dir, command{name: name, args: args})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts = append(b.parts, p)
	return nil
}

// until waits for what takes its time at start, as long as all parts run.
func (b *bed) until(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := eventually(ctx, 2*time.Minute, func() error {
		if dead := b.dead(); len(dead) > 0 {
			cancel(dead[0])
			return dead[0]
		}
		return check()
	})
	if err != nil {
		return fmt.Errorf("not until %s: %w", what, err)
	}
	return nil
}

func (b *bed) close() {
	if b.kubelet != nil {
		b.kubelet.close()
	}
	for _, p := range slices.Backward(b.parts) {
		// Nothing of it is kept but the logs.
		p.signal(syscall.SIGKILL)
	}
	for _, p := range b.parts {
		<-p.done
	}
	if b.plane != nil {
		b.plane.close()
	}
	if !b.whole {
		b.images.close()
	}
	// What is left to see are logs.
	_ = os.RemoveAll(filepath.Join(b.dir, "etcd"))
	_ = os.RemoveAll(filepath.Join(b.dir, "pki"))
	_ = os.Remove(filepath.Join(b.dir, "kubeconfig"))
}
