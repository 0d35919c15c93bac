// Package node tests longnames on a real cluster: what users install from deploy/, in pods of real nodes.
package node

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// patience is how long a busy machine may take for what takes seconds.
const patience = 3 * time.Minute

// bed is a namespace of a cluster, for one test.
type bed struct {
	*testing.T
	*cluster.Cluster
	namespace string
	server    string // ADDRESS:PORT of the CoreDNS that is asked
}

// Tests have a cluster each, which takes its part of a processor, and of the files that the kernel lets a user watch. Those
// of a stage run beside each other.
const (
	early = iota // the tests of processes run at the same time
	calm         // what is measured must not depend on a busy machine: these wait most of the time
	busy         // these have many parts beside each other
	stages
)

var (
	running [stages]sync.WaitGroup // tests, by stage
	tests   int                    // of all stages
)

// together runs a test beside the others of a stage, once all stages before have ended.
func together(t *testing.T, stage int) {
	t.Helper()
	running[stage].Add(1) // all tests do so before the first one goes on
	t.Cleanup(running[stage].Done)
	tests++
	t.Parallel()
	slots := flag.Lookup("test.parallel").Value.(flag.Getter).Get()
	require.GreaterOrEqual(t, slots, tests, "-test.parallel: tests that wait for their stage count as well")
	for before := range stage {
		running[before].Wait()
	}
}

// part is a part of a test.
type part struct {
	name string
	try  func(b *bed)
}

func (b *bed) run(name string, try func(b *bed)) {
	b.Run(name, func(t *testing.T) {
		q := *b
		q.T = t
		try(&q)
	})
}

// each runs parts one after the other.
func (b *bed) each(parts ...part) {
	for _, p := range parts {
		b.run(p.name, p.try)
	}
}

// beside runs parts beside each other, each in a namespace of its own.
func (b *bed) beside(parts ...part) {
	for _, p := range parts {
		b.run(p.name, func(b *bed) {
			b.Parallel()
			b.own()
			p.try(b)
		})
	}
}

// own makes a namespace that ends with the test, where a CoreDNS may read what it needs. If the test fails, it tells what
// there was.
func (b *bed) own() {
	name := strings.ToLower(b.Name()[strings.LastIndex(b.Name(), "/")+1:])
	b.namespace = name
	b.CreateNamespace(b, name)
	b.allow("longnames", "list,watch", "endpointslices.discovery.k8s.io,pods")
	b.Cleanup(func() {
		end := "delete namespace --wait=false " + name
		for _, args := range []string{"get pods,events -o wide", "logs -l app --prefix --tail=6", end} {
			out, err := b.TryKubectl(context.Background(), append([]string{"-n", name}, strings.Fields(args)...)...)
			if err != nil || b.Failed() {
				b.Log(out, err)
			}
		}
	})
}

// allow gives an account of the namespace some rights there.
func (b *bed) allow(account, verbs, resources string) {
	b.kubectl("create role %s --verb=%s --resource=%s", account, verbs, resources)
	b.kubectl("create rolebinding %s --role=%[1]s --serviceaccount=%[2]s:%[1]s", account, b.namespace)
}

// at is the same with another namespace.
func (b *bed) at(namespace string) *bed {
	q := *b
	q.namespace = namespace
	return &q
}

func (b *bed) should(err error) {
	if err != nil {
		b.Error(err)
	}
}

// eventually waits until a check finds nothing wrong.
func (b *bed) eventually(what string, check func() error) {
	cluster.Eventually(b.T, patience, what, check)
}

// try runs kubectl in the namespace, unless the command names another. Words have no spaces in them.
func (b *bed) try(format string, args ...any) (string, error) {
	words := strings.Fields("--namespace=" + b.namespace + " " + fmt.Sprintf(format, args...))
	return b.TryKubectl(b.Context(), words...)
}

func (b *bed) kubectl(format string, args ...any) string {
	out, err := b.try(format, args...)
	require.NoError(b, err)
	return out
}

// prints waits until kubectl prints what matches a pattern, and returns the last match of its last group.
func (b *bed) prints(pattern, format string, args ...any) (last string) {
	re := regexp.MustCompile(pattern)
	b.eventually("kubectl prints "+pattern, func() error {
		out, err := b.try(format, args...)
		found := re.FindAllStringSubmatch(out, -1)
		if err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("got %s", out)
		}
		last = found[len(found)-1][len(found[0])-1]
		return nil
	})
	return last
}

// get returns a field of an object.
func (b *bed) get(object, path string) string {
	return b.kubectl("get %s -o jsonpath={%s}", object, path)
}

// exec runs a command in a pod.
func (b *bed) exec(pod string, command ...string) string {
	return b.Kubectl(b.T, append([]string{"-n", b.namespace, "exec", pod, "--"}, command...)...)
}

// wait waits until an object has a condition, or whatever else kubectl can wait for.
func (b *bed) wait(object, condition string) {
	b.kubectl("wait %s --for=%s --timeout=%s", object, condition, patience)
}

// rolledOut waits until all pods of a Deployment or StatefulSet are of its newest kind, and ready.
func (b *bed) rolledOut(name string) {
	b.kubectl("rollout status %s --timeout=%s", name, patience)
}

// gone waits until pods are. kubectl would wait for the next of that name, if that was there before kubectl began.
func (b *bed) gone(pods []corev1.Pod) {
	for _, pod := range pods {
		b.eventually(pod.Name+" is gone", func() error {
			now, err := b.Client.CoreV1().Pods(pod.Namespace).Get(b.Context(), pod.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && now.UID != pod.UID {
				return nil
			}
			return cmp.Or(err, errors.New("it is there"))
		})
	}
}

// write writes a file.
func (b *bed) write(file, text string) string {
	require.NoError(b, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// create makes objects from YAML.
func (b *bed) create(format string, args ...any) {
	b.kubectl("create --validate=strict -f %s", b.write(b.TempDir()+"/objects.yaml", fmt.Sprintf(format, args...)))
}

// overlay writes a kustomization on top of ours, and files beside it, as users would. In its text, DEPLOY is the way to
// our directory.
func (b *bed) overlay(text string, files map[string]string) string {
	dir := b.TempDir()
	to, err := filepath.Abs(checkout + "/deploy")
	require.NoError(b, err)
	to, err = filepath.Rel(dir, to)
	require.NoError(b, err)
	b.write(dir+"/kustomization.yaml", strings.ReplaceAll(text, "DEPLOY", to))
	for name, text := range files {
		b.write(filepath.Join(dir, name), text)
	}
	return dir
}

// ours is the label of pods of CoreDNS that deploy/ makes.
const ours = "app.kubernetes.io/name=longnames"

func ends(p corev1.Pod) bool { return p.DeletionTimestamp != nil }

// pods returns those with a label that are not about to end, by name.
func (b *bed) pods(selector string) []corev1.Pod {
	list, err := b.Client.CoreV1().Pods(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: selector})
	require.NoError(b, err)
	return slices.DeleteFunc(list.Items, ends)
}

// logs returns what a pod has said. Unlike kubectl, it costs next to nothing, where it is asked for often.
func (b *bed) logs(pod string) (string, error) {
	said, err := b.Client.CoreV1().Pods(b.namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(b.Context())
	return string(said), err
}

// running waits until an app has exactly n pods, all of which run, and returns them by name.
func (b *bed) running(app string, n int) (pods []corev1.Pod) {
	b.eventually(fmt.Sprintf("%d pods run", n), func() error {
		list, err := b.Client.CoreV1().Pods(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		require.NoError(b, err)
		pods = list.Items
		running := func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning && !ends(p) }
		if there := slices.DeleteFunc(slices.Clone(pods), running); len(pods) != n || len(there) > 0 {
			return fmt.Errorf("got %d pods, of which %d do not run", len(pods), len(there))
		}
		return nil
	})
	return pods
}

// hosts are those of pods, with a prefix.
func hosts(mode string, pods []corev1.Pod, domain, prefix string) []string {
	out := make([]string, 0, len(pods))
	for _, pod := range pods {
		out = append(out, prefix+watch.Host(mode, pod, domain))
	}
	return out
}

func addresses(pods []corev1.Pod) []string { return hosts("ip", pods, "", "") }

// node is where a pod runs.
func (b *bed) node(pod corev1.Pod) *cluster.Node {
	i := slices.IndexFunc(b.Nodes, func(n *cluster.Node) bool { return n.Name() == pod.Spec.NodeName })
	require.GreaterOrEqual(b, i, 0, "%s is on no node, but %q", pod.Name, pod.Spec.NodeName)
	return b.Nodes[i]
}

// onNode runs a script on the node of a pod. In it, $pid is the process of the pod's CoreDNS there.
func (b *bed) onNode(pod corev1.Pod, script string) (string, error) {
	n, pid, err := b.Process(b.Context(), pod)
	if err != nil {
		return "", err
	}
	return n.Shell(b.Context(), "pid="+pid+"; "+script)
}

func (b *bed) mustOnNode(pod corev1.Pod, script string) string {
	out, err := b.onNode(pod, script)
	require.NoError(b, err)
	return out
}

// silent checks that the CoreDNS of pods has not panicked, and has said nothing of some levels.
func (b *bed) silent(levels string, pods []corev1.Pod) {
	complaint := regexp.MustCompile(cluster.Crash.String() + `|^\[(` + levels + `)\].*`)
	// By the plugin health, for the machine is busy, and by ours, for it starts before there are nodes.
	expected := regexp.MustCompile(`(?m)^.* (took more than 1s|Nothing matches): .*$`)
	for _, pod := range pods {
		said := b.kubectl("logs %s", pod.Name)
		if previous, err := b.try("logs %s --previous", pod.Name); err == nil {
			said += previous
		}
		said = expected.ReplaceAllString(said, "")
		assert.Empty(b, complaint.FindString(said), "%s has logged it", pod.Name)
	}
}

// tag gives our image one more name on all nodes.
func (b *bed) tag(name string) {
	for _, n := range b.Nodes {
		require.NoError(b, n.Tag(b.Context(), cluster.CoreDNS, name))
	}
}
