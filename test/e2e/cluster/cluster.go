// Package cluster runs a real Kubernetes cluster for tests: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler, and nodes with kubelet, kube-proxy and containerd. Each node, and the control plane, is a machine of its
// own, in namespaces of the kernel; nothing of it touches the network, the mounts or the cgroups of others.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/build"
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
	version  string   // of Kubernetes
	pause    string   // the binary
	archives []string // the images that all nodes have
	plane    *machine
	numbers  int // of nodes, also of those that are no more

	mu    sync.Mutex // protects following
	hosts []*Host
}

// root is the module of the end-to-end tests, as seen from where the tests of this package run.
const root = ".."

// Start starts a cluster, which ends with the test. If the test fails, it tells where the logs are, and how they end.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{options: o}
	var err error
	c.run, err = newRun()
	require.NoError(t, err)
	t.Cleanup(func() { c.close(t) })
	begin := time.Now()
	require.NoError(t, c.start(t.Context()))
	t.Logf("the cluster runs after %.1f s", time.Since(begin).Seconds())
	return c
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.build(ctx); err != nil {
		return err
	}
	g, starting := errgroup.WithContext(ctx)
	if c.options.Nodes > 0 {
		g.Go(func() (err error) {
			c.archives, err = makeArchives(starting, append([]string{Pause}, c.options.Images...))
			return err
		})
	}
	g.Go(func() error {
		err := c.startPlane(starting)
		for range c.options.Nodes {
			if err == nil {
				_, err = c.startNode(starting)
			}
		}
		return err
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

// components are what the binary of Kubernetes is, by the name under which it is called.
var components = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kube-network-policies",
	"kubeadm", "kubectl",
}

// build makes binaries, and directories for all that there will be.
func (c *Cluster) build(ctx context.Context) error {
	binary, version, err := build.ControlPlane(ctx, filepath.Join(root, "controlplane"))
	c.version, c.pause = version, c.run.file("pause")
	err = errors.Join(err, build.Go(ctx, root, c.pause, "./cluster/pause"), os.Mkdir(c.run.file("bin"), 0o755))
	for _, name := range components {
		err = errors.Join(err, os.Symlink(binary, c.run.file("bin", name)))
	}
	return err
}

// TryKubectl runs kubectl with the administrator's rights, and returns what it prints.
func (c *Cluster) TryKubectl(ctx context.Context, args ...string) (string, error) {
	return c.plane.Run(ctx, append([]string{"kubectl"}, args...)...)
}

// Kubectl is TryKubectl, but fails the test on an error.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.TryKubectl(t.Context(), args...)
	require.NoError(t, err)
	return out
}

// Shell runs a script in a directory as an administrator would, with kubectl and helm, and returns what it prints.
func (c *Cluster) Shell(t testing.TB, dir, script string) string {
	t.Helper()
	helm, err := build.Helm(t.Context(), filepath.Join(root, "helm"))
	if err == nil {
		err = os.Symlink(helm, c.run.file("bin", "helm"))
	}
	if !errors.Is(err, os.ErrExist) {
		require.NoError(t, err)
	}
	out, err := c.plane.Run(t.Context(), "sh", "-euc", `cd "$0"; `+script, dir)
	require.NoError(t, err)
	return out
}

// AddNode starts one more node.
func (c *Cluster) AddNode(t testing.TB) *Node {
	t.Helper()
	n, err := c.startNode(t.Context())
	if err == nil {
		err = n.ready(t.Context())
	}
	require.NoError(t, err)
	return n
}

func (c *Cluster) machines() (all []*machine) {
	for _, n := range c.Nodes {
		all = append(all, n.machine)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		all = append(all, h.machine)
	}
	if c.plane != nil {
		all = append(all, c.plane)
	}
	return all
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
				t.Logf("the end of %s:\n%s", p.log, p.tail())
			}
		}
	}
}

// Part returns a process of the control plane, such as kube-apiserver.
func (c *Cluster) Part(name string) *Process {
	for _, p := range slices.Backward(c.plane.all()) {
		if p.name == c.plane.name+"/"+name {
			return p
		}
	}
	panic("the control plane has no " + name)
}

// Add starts one more process of a part of the control plane, with options that override those of the first.
func (c *Cluster) Add(t testing.TB, part, name string, options ...string) {
	t.Helper()
	require.NoError(t, c.plane.startPart(name, slices.Concat(c.Part(part).cmd.Args, options)))
}

// Restart starts a part of the control plane that has been stopped.
func (c *Cluster) Restart(t testing.TB, name string) {
	t.Helper()
	c.Add(t, name, name)
}

// Ready waits until the API server is.
func (c *Cluster) Ready(t testing.TB) {
	t.Helper()
	require.NoError(t, c.apiReady(t.Context()))
}

// Back waits until the API server is ready again, and has another kube-controller-manager begin. A real one ends once it
// has not renewed its lease for 10 s, and the next one does not know which heartbeats have been missed: this one would
// take all nodes for lost, and with them the pods of each Service.
func (c *Cluster) Back(t testing.TB) {
	t.Helper()
	c.Ready(t)
	const controllers = "kube-controller-manager"
	c.Part(controllers).Stop(0)
	c.Restart(t, controllers)
}

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
