// Package cluster runs a real Kubernetes cluster for tests: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler, and nodes with kubelet, kube-proxy and containerd. Each node, and the control plane, is a machine of its
// own, in namespaces of the kernel; nothing of it touches the network, the mounts or the cgroups of others.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/pki"
)

// Options say how a cluster is to be.
type Options struct {
	Nodes     int      // how many; without any, pods are objects alone, see CreatePod
	Images    []string // that all nodes have from the start, of those that this package makes
	IPv6First bool     // a pod's first address is IPv6, not IPv4. Services of one family are IPv4 all the same.
}

// Cluster is one that runs.
type Cluster struct {
	Client kubernetes.Interface // with the administrator's rights
	Config *rest.Config         // of the client
	Nodes  []*Node

	options  Options
	run      *run
	pki      *pki.Authority
	binary   string // all of Kubernetes
	pause    string
	archives []string // the images that all nodes have
	plane    *machine
	numbers  int // of nodes, also of those that are no more

	mu     sync.Mutex // protects following
	hosts  []*Host
	cables int // of hosts
}

// root is the module of the end-to-end tests, as seen from where the tests of this package run.
const root = ".."

// Start starts a cluster, which ends with the test. If the test fails, it tells where the logs are, and how they end.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if err := missing(); err != nil {
		t.Fatalf("this machine cannot run a cluster: %v", err)
	}
	c := &Cluster{options: o}
	var err error
	if c.run, err = newRun(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(t) })
	begin := time.Now()
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the cluster runs after %.1f s", time.Since(begin).Seconds())
	return c
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.binary, err = build.ControlPlane(ctx, output, filepath.Join(root, "controlplane")); err != nil {
		return err
	}
	c.pause = filepath.Join(c.run.dir, "pause")
	if err := build.Go(ctx, output, root, c.pause, "./cluster/pause"); err != nil {
		return err
	}
	if c.pki, err = pki.New(filepath.Join(c.run.dir, "pki")); err != nil {
		return err
	}
	g, starting := errgroup.WithContext(ctx)
	if c.options.Nodes > 0 {
		g.Go(func() (err error) {
			c.archives, err = c.makeArchives(starting, append([]string{Pause}, c.options.Images...))
			return err
		})
	}
	g.Go(func() error {
		if err := c.startPlane(starting); err != nil {
			return err
		}
		for range c.options.Nodes {
			if _, err := c.startNode(starting); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	g, ctx = errgroup.WithContext(ctx)
	for _, n := range c.Nodes {
		g.Go(func() error { return n.ready(ctx) })
	}
	return g.Wait()
}

// connect makes the client.
func (c *Cluster) connect() error {
	c.Config = &rest.Config{Host: "https://" + apiAddress, QPS: -1}
	c.Config.CAFile = c.pki.Path("ca.crt")
	c.Config.CertFile, c.Config.KeyFile = c.pki.Path("admin.crt"), c.pki.Path("admin.key")
	c.Config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.plane.Dial(ctx, network, address)
	}
	// With files, client-go would look for new ones after the cluster's end, too.
	if err := rest.LoadTLSFiles(c.Config); err != nil {
		return err
	}
	var err error
	c.Client, err = kubernetes.NewForConfig(c.Config)
	return err
}

// TryKubectl runs kubectl with the administrator's rights, and returns what it prints.
func (c *Cluster) TryKubectl(ctx context.Context, args ...string) (string, error) {
	all := slices.Concat(c.plane.nsenter("--net"), c.kubectl(), args)
	out, err := output(exec.CommandContext(ctx, all[0], all[1:]...)) //nolint:gosec // what to run is ours
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, err
}

func (c *Cluster) kubectl() []string {
	return []string{c.binary, "kubectl", "--kubeconfig", c.kubeconfig("admin"), "--cache-dir", filepath.Join(c.run.dir, "kubectl")}
}

// Kubectl does the same for a test that cannot go on without.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.TryKubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// AddNode starts one more node.
func (c *Cluster) AddNode(t testing.TB) *Node {
	t.Helper()
	n, err := c.startNode(t.Context())
	if err == nil {
		err = n.ready(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (c *Cluster) machines() []*machine {
	var out []*machine
	for _, n := range c.Nodes {
		out = append(out, n.machine)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		out = append(out, h.machine)
	}
	if c.plane != nil {
		out = append(out, c.plane)
	}
	return out
}

// dead is an error if a part has ended.
func (c *Cluster) dead() error {
	var err error
	for _, m := range c.machines() {
		err = errors.Join(err, m.dead())
	}
	return err
}

// close ends the nodes, and then the control plane.
func (c *Cluster) close(t testing.TB) {
	t.Helper()
	begin := time.Now()
	if err := c.dead(); err != nil && !t.Failed() {
		t.Error(err)
	}
	for _, m := range c.machines() {
		m.stop()
	}
	failed := t.Failed()
	if err := c.run.close(failed); err != nil {
		t.Error(err)
	}
	t.Logf("the cluster ended within %.1f s", time.Since(begin).Seconds())
	if failed {
		for _, m := range c.machines() {
			for _, p := range m.all() {
				t.Logf("the end of %s:\n%s", p.log, tail(p.log, 10))
			}
		}
	}
}

// final is an error for which nobody needs to wait any longer.
type final struct{ error }

// poll tries until a check finds nothing wrong, and else returns what was wrong at last.
func poll(patience time.Duration, check func() error) error {
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := check()
		if err == nil || errors.As(err, new(final)) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// Eventually polls until a check finds nothing wrong. Otherwise the test fails with what was wrong at last.
func Eventually(t testing.TB, patience time.Duration, what string, check func() error) {
	t.Helper()
	if err := poll(patience, check); err != nil {
		t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}

// Part returns a process of the control plane, such as kube-apiserver.
func (c *Cluster) Part(name string) *Process {
	all := c.plane.all()
	for _, p := range slices.Backward(all) {
		if p.name == c.plane.name+"/"+name {
			return p
		}
	}
	panic("the control plane has no " + name)
}

// Add starts one more process of a part of the control plane, with options that override those of the first.
func (c *Cluster) Add(t testing.TB, part, name string, options ...string) {
	t.Helper()
	p, err := c.plane.spawn(name, nil, slices.Concat(c.Part(part).cmd.Args, options))
	if err != nil {
		t.Fatal(err)
	}
	p.part.Store(true)
}

// Restart starts a part of the control plane that has been stopped.
func (c *Cluster) Restart(t testing.TB, name string) {
	t.Helper()
	p, err := c.plane.spawn(name, nil, c.Part(name).cmd.Args)
	if err != nil {
		t.Fatal(err)
	}
	p.part.Store(true)
}

// Ready waits until the API server is.
func (c *Cluster) Ready(t testing.TB) {
	t.Helper()
	if err := c.apiReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}
