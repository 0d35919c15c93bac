package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is how long a scenario waits for what must happen soon.
const patience = 30 * time.Second

// clock is how logs of ours tell the time.
const clock = "15:04:05.000"

// scenario is a claim, and how to try it.
type scenario struct {
	name string
	try  func(t *trial)
}

// trial is one go at a scenario. It has a network, namespaces and a CoreDNS of its own, so that many run at once.
type trial struct {
	scenario
	*bed
	ctx    context.Context
	number int    // names its network: 10.NUMBER.0.0/16, fd00::NUMBER:0/112
	dir    string // for logs
	server *server

	mu       sync.Mutex // protects following
	policies map[string]podPolicy
	next     int // the last part of the next pod's address
	notes    strings.Builder
	answers  map[string]string // the last one to each question
	closers  []func()
}

// failure ends a trial.
type failure struct{ error }

// attempt tries a scenario, and cleans up behind it.
func attempt(ctx context.Context, b *bed, s scenario, number int) (err error) {
	t := &trial{scenario: s, bed: b, number: number, next: 10, policies: make(map[string]podPolicy), answers: make(map[string]string)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.ctx = ctx
	t.dir = filepath.Join(b.dir, s.name)
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f.error
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			t.note("FAILED: %v", err)
		}
		cancel()
		t.close()
	}()
	t.server = newServer(t)
	s.try(t)
	t.server.end()
	return nil
}

func (t *trial) close() {
	t.kubelet.disown(t)
	t.mu.Lock()
	closers := t.closers
	t.mu.Unlock()
	for _, c := range slices.Backward(closers) {
		c()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = os.WriteFile(filepath.Join(t.dir, "notes.log"), []byte(t.notes.String()), 0o600)
	var answers strings.Builder
	for _, question := range slices.Sorted(maps.Keys(t.answers)) {
		fmt.Fprintf(&answers, "%s\n", t.answers[question])
	}
	_ = os.WriteFile(filepath.Join(t.dir, "answers.log"), []byte(answers.String()), 0o600)
}

// cleanup has something done when the trial is over.
func (t *trial) cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closers = append(t.closers, f)
}

func (t *trial) failf(format string, args ...any) {
	panic(failure{fmt.Errorf(format, args...)})
}

// must ends the trial at an error.
func (t *trial) must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// note keeps what may tell later why a trial failed.
func (t *trial) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(&t.notes, time.Now().Format(clock)+" "+format+"\n", args...)
}

// soon waits until check finds nothing wrong.
func (t *trial) soon(what string, check func() error) {
	t.within(patience, what, check)
}

func (t *trial) within(patience time.Duration, what string, check func() error) {
	if err := eventually(t.ctx, patience, check); err != nil {
		t.failf("not within %s: %s: %w", patience, what, err)
	}
	t.note("%s", what)
}

// address gives an address of the trial's network.
func (t *trial) address(family string, n int) string {
	if family == "6" {
		return fmt.Sprintf("fd00::%x:%x", t.number, n)
	}
	return fmt.Sprintf("10.%d.%d.%d", t.number, n/250, n%250+1)
}

// podPolicy says what becomes of a namespace's pods.
type podPolicy struct {
	families    string   // of the addresses, the primary one first: "4" (the default), "6", "46", "64"
	unready     bool     // they do not become ready
	unaddressed bool     // they stay pending
	lingers     bool     // they stay after they are deleted, until this changes
	servers     []string // that its pods ask, by default the trial's
	// process is what a pod runs, and readyWhen what it says once it is ready.
	process   func(pod *corev1.Pod, addresses []netip.Addr) command
	readyWhen *regexp.Regexp
	// container runs what the pod itself says, in its network namespace, instead of a process. Its probes tell whether it
	// is ready, and it may end in good order.
	container func(pod *corev1.Pod, netns string) (command, error)
}

// runs tells whether pods run anything.
func (p podPolicy) runs() bool { return p.process != nil || p.container != nil }

// command is what a pod runs.
func (p podPolicy) command(pod *corev1.Pod, addresses []netip.Addr, netns string) (command, error) {
	if p.container != nil {
		return p.container(pod, netns)
	}
	return p.process(pod, addresses), nil
}

// namespace makes a Kubernetes namespace of this trial's, with a policy for its pods.
func (t *trial) namespace(name string, policy podPolicy) string {
	name = t.name + "-" + name
	_, err := t.client.CoreV1().Namespaces().Create(t.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	t.must(err)
	t.policy(name, policy)
	t.kubelet.own(name, t)
	return name
}

// policy changes what becomes of a namespace's pods.
func (t *trial) policy(namespace string, policy podPolicy) {
	t.mu.Lock()
	t.policies[namespace] = policy
	t.mu.Unlock()
	t.kubelet.look(namespace)
}

func (t *trial) policyOf(pod *corev1.Pod) podPolicy {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.policies[pod.Namespace]
}

// addressesFor gives a pod the addresses that it asks for, or new ones.
func (t *trial) addressesFor(pod *corev1.Pod, policy podPolicy) ([]netip.Addr, error) {
	var texts []string
	if asked := pod.Annotations[addressesKey]; asked != "" {
		texts = strings.Split(asked, ",")
	} else {
		t.mu.Lock()
		n := t.next
		t.next++
		t.mu.Unlock()
		families := policy.families
		if families == "" {
			families = "4"
		}
		for family := range strings.SplitSeq(families, "") {
			texts = append(texts, t.address(family, n))
		}
	}
	out := make([]netip.Addr, 0, len(texts))
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}
