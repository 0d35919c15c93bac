package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tryClientsRabbit runs brokers from the manifest in docs/clients.md until they are one cluster. Their own probe tells
// when they are ready; one that boots has to find itself and the ones before it at once, and these up.
func tryClientsRabbit(t *trial, family string) {
	ns := t.namespace("prod", podPolicy{})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.secret(ns, "rabbit-cookie", "cookie")
	block, manifest := t.snippet(clientsPage, "RabbitMQ", "corefile", ns), t.snippet(clientsPage, "RabbitMQ", "yaml", ns)
	var more []string
	if family == "6" { // as the page has it
		more = strings.Split(strings.TrimSpace(t.snippet(clientsPage, "RabbitMQ over IPv6", "txt", ns)), "\n")
		block = strings.Replace(block, "10.0.0.0/8", "fd00::/16", 1)
		manifest = strings.Replace(manifest, "  clusterIP: None\n", "  clusterIP: None\n  ipFamilies: [IPv6]\n", 1)
		for line := range strings.Lines(t.snippet(clientsPage, "RabbitMQ over IPv6", "erlang", ns)) {
			manifest = strings.Replace(manifest, "  inetrc: |\n", "  inetrc: |\n    "+line, 1)
		}
	}
	env := func(pod *corev1.Pod, addresses []netip.Addr) ([]string, error) {
		return t.brokerEnv(pod, addresses, more)
	}
	t.policy(ns, podPolicy{families: family, unready: true, process: func(pod *corev1.Pod, addresses []netip.Addr) command {
		env, err := env(pod, addresses)
		if err != nil {
			t.note("%s: %v", pod.Name, err)
		}
		return command{name: pod.Name, pod: true, args: []string{rabbitBin + "rabbitmq-server"}, env: env}
	}})
	t.serveBlocks(block, t.kubernetesBlock(ns)) // OTP asks for its host's name in cluster.local, too
	t.applyText("rabbit", manifest)
	var pods []corev1.Pod
	t.within(5*time.Minute, "three brokers are ready, by their own probe", func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods = list.Items
		for i := range pods {
			t.mustBeUp(pods[:i])
			if found := t.discovered(pods[i]); found != nil {
				t.must(same("peers of "+pods[i].Name, found, longnames("rabbit", hostsOf(pods[:i+1], "hostname", clientsDomain))))
			}
			if !isReady(&pods[i]) {
				return t.probeBroker(&pods[i], env)
			}
		}
		if len(pods) != 3 {
			return fmt.Errorf("%d are", len(pods))
		}
		return nil
	})
	want := longnames("rabbit", hostsOf(pods, "hostname", clientsDomain))
	t.checksAddresses(ns, pods, env)
	for i, p := range pods {
		t.must(same("peers of "+p.Name, t.discovered(p), want[:i+1]))
		t.must(same(p.Name+" is told", []string{t.told(p, "RABBITMQ_NODENAME")}, want[i:i+1]))
		t.within(time.Minute, p.Name+" is in one cluster with the others", func() error {
			said, err := t.asBroker(&p, env, "rabbitmqctl", "eval", "rabbit_nodes:all_running().")
			if err != nil {
				return err
			}
			return same("running nodes", regexp.MustCompile(`rabbit@[^']+`).FindAllString(said, -1), want)
		})
		t.note("%-14s mode %-8s %s runs in one cluster with %s", "RabbitMQ", "hostname", p.Name, brief(want))
	}
}

// checksAddresses has each broker ask for its own address by the command that docs/clients.md prints: it gets the name in
// the zone, while the system's resolver goes by /etc/hosts.
func (t *trial) checksAddresses(ns string, pods []corev1.Pod, env brokerEnvironment) {
	all, err := snippets(clientsPage)
	t.must(err)
	tried := 0
	for _, s := range all {
		_, expression, found := strings.Cut(s.text, "rabbitmqctl eval '")
		if s.section != "RabbitMQ" || !found {
			continue
		}
		expression, _, _ = strings.Cut(expression, "'")
		tried++
		for _, p := range pods {
			host := p.Spec.Hostname + "." + p.Spec.Subdomain + "." + ns + ".svc."
			said, err := t.asBroker(&p, env, "rabbitmqctl", "eval", strings.Replace(expression, "10.1.0.21", p.Status.PodIP, 1))
			t.must(err)
			_, namespace := t.kubelet.process(p.UID)
			system, err := output(t.ctx, namespace, nil, "getent", "hosts", p.Status.PodIP)
			t.must(err)
			t.note("%s is %s to itself, and to getent %s", p.Status.PodIP, strings.TrimSpace(said), strings.TrimSpace(system))
			if !strings.Contains(said, `"`+host+clientsDomain+`"`) || !strings.Contains(system, " "+host+clusterDomain+" ") {
				t.failf("%s: want %s of the broker, and %s of getent", p.Name, host+clientsDomain, host+clusterDomain)
			}
		}
	}
	if tried != 1 {
		t.failf("%d commands to check with, want 1", tried)
	}
}

// mustBeUp wants brokers to have booted, to the end.
func (t *trial) mustBeUp(pods []corev1.Pod) {
	for _, pod := range pods {
		if p, _ := t.kubelet.process(pod.UID); p == nil || p.says(rabbitUp) != nil {
			t.failf("the broker after %s has been started before that one was up", pod.Name)
		}
	}
}

// brokerEnvironment gives what a broker is told.
type brokerEnvironment func(*corev1.Pod, []netip.Addr) ([]string, error)

// probeBroker runs a pod's readiness probe once, as a kubelet does.
func (t *trial) probeBroker(pod *corev1.Pod, env brokerEnvironment) error {
	probe := pod.Spec.Containers[0].ReadinessProbe
	if probe == nil || probe.Exec == nil {
		t.failf("%s has no probe that runs a command", pod.Name)
	}
	if _, err := t.asBroker(pod, env, probe.Exec.Command...); err != nil {
		return err
	}
	t.note("%s: its probe succeeds", pod.Name)
	if err := setReady(t.ctx, t.client, pod.Namespace, pod.Name, true); err != nil {
		return err
	}
	return errors.New("just now")
}

// asBroker runs one of RabbitMQ's tools in a pod. It knows what the pod's environment says, and nothing else: no cookie
// that the server may have written.
func (t *trial) asBroker(pod *corev1.Pod, env brokerEnvironment, args ...string) (string, error) {
	p, namespace := t.kubelet.process(pod.UID)
	if p == nil || pod.Status.PodIP == "" {
		return "", fmt.Errorf("%s does not run", pod.Name)
	}
	if err := p.ended(); err != nil {
		t.failf("%w", err)
	}
	told, err := env(pod, []netip.Addr{netip.MustParseAddr(pod.Status.PodIP)})
	if err != nil {
		return "", err
	}
	home := filepath.Join(t.dir, pod.Name, "tools")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	return output(t.ctx, namespace, append(told, "HOME="+home), append([]string{rabbitBin + args[0]}, args[1:]...)...)
}

// brokerEnv is the environment of a manifest, and more of the page. What is added are places for its files, and that it
// runs on few threads.
func (t *trial) brokerEnv(pod *corev1.Pod, addresses []netip.Addr, more []string) ([]string, error) {
	home := filepath.Join(t.dir, pod.Name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if len(more) > 0 {
		pod = pod.DeepCopy()
		for _, variable := range more {
			name, value, _ := strings.Cut(variable, "=")
			pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	env, err := t.environment(pod, addresses)
	const arguments = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="
	few := []string{arguments + "+S 1:1"}
	for _, variable := range env {
		if of, ok := strings.CutPrefix(variable, arguments); ok {
			few = append(few, of)
		}
	}
	return slices.Concat(env, []string{
		"HOME=" + home,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(home, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(home, "mnesia"),
		"RABBITMQ_LOG_BASE=" + home,
		"RABBITMQ_LOGS=-",
		"RABBITMQ_PID_FILE=" + filepath.Join(home, "pid"),
		strings.Join(few, " "),
	}), err
}
