package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// compileBeam compiles what is in beam, and gives the directory with the result.
func (b *bed) compileBeam(ctx context.Context) (string, error) {
	dir := filepath.Join(b.dir, "beam")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if out, err := toEndOf(exec.CommandContext(ctx, "erlc", "-o", dir, "beam/cluster.erl", "beam/clients.erl", "beam/downs.erl")); err != nil {
		return "", fmt.Errorf("erlc: %w: %s", err, out)
	}
	return dir, nil
}

// beam gives that directory.
func (t *trial) beam() string {
	dir, err := t.compiled()
	t.must(err)
	return dir
}

// erl is how nodes are started. They run on few threads: there are many, and few cores.
func (t *trial) erl(home string, args ...string) command {
	return command{
		name: filepath.Base(home), pod: true,
		args: append([]string{"erl", "-noinput", "-pa", t.beam(), "+S", "1:1", "+SDio", "1", "+A", "1"}, args...),
		env:  []string{"HOME=" + home},
	}
}

// nodes is how the pods of a trial run.
type nodes struct {
	basename string
	mode     string
	domain   string // for modes dns and hostname
	kind     string // of question
	ask      string // the name to ask
	inet6    bool
	env      []string // more of it
}

// process makes a pod run as a node, under the longname that libcluster's documentation tells people to set.
func (n *nodes) process(t *trial) func(*corev1.Pod, []netip.Addr) command {
	return func(pod *corev1.Pod, addresses []netip.Addr) command {
		with := pod.DeepCopy()
		with.Status.PodIP = addresses[0].String()
		// A node on its way out may still connect to one that has forgotten it already. When it is cut off then, only the
		// lack of ticks tells, after a minute by default.
		args := []string{"-name", n.basename + "@" + hostOf(n.mode, *with, n.domain), "-setcookie", t.name, "-kernel", "net_ticktime", "15"}
		if n.inet6 {
			args = append(args, "-proto_dist", "inet6_tcp")
		}
		args = append(args, "-s", "cluster", "main", "-extra", n.kind, n.ask+".", n.basename)
		home := filepath.Join(t.dir, pod.Name)
		_ = os.MkdirAll(home, 0o700) // erl says so if it is missing
		c := t.erl(home, args...)
		c.env = append(c.env, n.env...)
		return c
	}
}

// holds is for how long a mesh has to be seen: some polls of each node.
const holds = 3 * time.Second

// mesh waits until each node has found exactly all others, and its nodes() are these, and stays so.
func (t *trial) mesh(n *nodes, pods []corev1.Pod) {
	all := make([]string, 0, len(pods))
	for _, p := range pods {
		all = append(all, n.basename+"@"+hostOf(n.mode, p, n.domain))
	}
	since := time.Time{}
	t.within(2*patience, fmt.Sprintf("%d nodes are connected, each to all others", len(all)), func() error {
		err := t.meshed(pods, all)
		switch {
		case err != nil:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if err == nil && time.Since(since) < holds {
			err = errors.New("just now")
		}
		return err
	})
}

// meshed is an error if one of the nodes has not found all others, or is not connected to these.
func (t *trial) meshed(pods []corev1.Pod, all []string) error {
	for i, p := range pods {
		process, _ := t.kubelet.process(p.UID)
		if process == nil {
			return fmt.Errorf("%s does not run", p.Name)
		}
		if err := process.ended(); err != nil {
			return err
		}
		others := slices.Delete(slices.Clone(all), i, i+1)
		// Whom the others have connected it to, it does not disconnect: it has to have found them by itself.
		for _, what := range []string{"FOUND", "NODES"} {
			line, ok := process.last(what + " ")
			if !ok {
				return fmt.Errorf("%s says nothing yet", p.Name)
			}
			if err := same(what+" of "+all[i], strings.Fields(line), others); err != nil {
				return err
			}
		}
	}
	return nil
}

// neverDropped wants none of those that are left to have ever been disconnected by another: DNS named them all the time.
func (t *trial) neverDropped(n *nodes, left []corev1.Pod) {
	for _, p := range left {
		process, _ := t.kubelet.process(p.UID)
		if process == nil {
			t.failf("%s does not run", p.Name)
		}
		for line := range strings.Lines(process.output()) {
			dropped, ok := strings.CutPrefix(line, "DROPPED ")
			if !ok {
				continue
			}
			for _, other := range left {
				if node := n.basename + "@" + hostOf(n.mode, other, n.domain); slices.Contains(strings.Fields(dropped), node) {
					t.failf("%s has disconnected %s, which has been there all the time", p.Name, node)
				}
			}
		}
	}
}
