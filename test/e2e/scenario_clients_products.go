package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// product is something that has a manifest of its own in docs/clients.md. Its pods' environment says how its nodes are
// called, and what they ask for.
type product struct {
	client   string
	section  string // of the page, also its app's name in lower case
	mode     string
	secret   []string // its name and keys
	nodeName string   // the variable that is the node's name
	prefix   string   // of the longname, if the variable has none
	asksFor  string   // the variable that says for what it asks
	call     string   // of clients:nodes/3, or none: dnspython asks
}

var products = []product{
	{"Livebook", "Livebook", "ip", []string{"livebook", "cookie", "secret-key-base", "password"}, "LIVEBOOK_NODE", "", "LIVEBOOK_CLUSTER", "getbyname a aaaa"},
	{"EMQX", "EMQX", "hostname", []string{"emqx-cookie", "cookie"}, "EMQX_NODE__NAME", "", "EMQX_CLUSTER__DNS__NAME", "lookup srv"},
	{"CouchDB", "CouchDB", "hostname", []string{"couchdb", "cookie", "user", "password"}, "NODENAME", "couchdb@", "SRV_RECORD", ""},
}

// tryProducts asks what each product would ask, by what its manifest tells it, from within its pod. What it finds has to
// be what its pods are told to call themselves.
func tryProducts(t *trial) {
	t.beam()
	ns := t.namespace("prod", podPolicy{process: t.idleIn})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.everywhere(ns, pods)
	for _, p := range products {
		t.secret(ns, p.secret[0], p.secret[1:]...)
		t.applyText(strings.ToLower(p.section), t.snippet(clientsPage, p.section, "yaml", ns))
	}
	t.serveBlocks(t.snippet(clientsPage, "Mode hostname", "corefile", ns), t.snippet(clientsPage, "Livebook", "corefile", ns))
	for _, p := range products {
		t.tryProduct(p, ns)
	}
}

func (t *trial) tryProduct(p product, ns string) {
	app := strings.ToLower(p.section)
	pods := t.podsOf(ns, app, 3)
	want := make([]string, 0, len(pods))
	for _, pod := range pods {
		want = append(want, p.prefix+t.told(pod, 0, p.nodeName))
	}
	byHand := longnames(app, hostsOf(pods, p.mode, "erl.internal"))
	t.must(same("the names that the pods of "+p.section+" are told", want, byHand))
	container := 0
	if p.call == "" {
		container = 1 // it is a sidecar that asks
	}
	name := strings.TrimPrefix(t.told(pods[0], container, p.asksFor), "dns:")
	t.soon("CoreDNS knows "+name, func() error {
		values, err := t.values(strings.TrimPrefix(name, "_couchdb._tcp."), "TXT")
		if err != nil {
			return err
		}
		return same("TXT of "+name, values, want)
	})
	_, namespace := t.kubelet.process(pods[0].UID)
	if p.call != "" {
		t.finds(namespace, nil, p.call, name, app, want, 1)
	} else {
		t.must(same(name, t.dnspython(namespace, name, p.prefix), want))
	}
	t.note("%-14s mode %-8s %s: %s", p.client, p.mode, name, brief(want))
}

func hostsOf(pods []corev1.Pod, mode, domain string) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		out = append(out, hostOf(mode, p, domain))
	}
	return out
}

// told gives the value of a variable of a pod's container.
func (t *trial) told(pod corev1.Pod, container int, variable string) string {
	only := pod.DeepCopy()
	only.Spec.Containers = only.Spec.Containers[container : container+1]
	env, err := t.environment(only, []netip.Addr{netip.MustParseAddr(pod.Status.PodIP)})
	t.must(err)
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, variable+"="); ok {
			return value
		}
	}
	t.failf("%s: no %s in %q", pod.Name, variable, env)
	return ""
}

// resolve is what CouchDB's assembler does: it takes each target without its final dot.
const resolve = `
import sys, dns.resolver
for record in dns.resolver.resolve(sys.argv[1], "SRV"):
    print(sys.argv[2] + record.target.to_text()[:-1])
`

func (t *trial) dnspython(namespace, name, prefix string) []string {
	text, err := output(t.ctx, namespace, nil, "/usr/bin/python3", "-c", resolve, name, prefix)
	t.must(err)
	return strings.Fields(text)
}

// tryClientsRabbit runs brokers from the manifest in docs/clients.md, one after the other, until they are one cluster.
func tryClientsRabbit(t *trial) {
	ns := t.namespace("prod", podPolicy{process: t.broker, readyWhen: rabbitUp})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.secret(ns, "rabbit-cookie", "cookie")
	t.serveBlocks(t.snippet(clientsPage, "RabbitMQ", "corefile", ns))
	t.applyText("rabbit", t.snippet(clientsPage, "RabbitMQ", "yaml", ns))
	var pods []corev1.Pod
	t.within(4*time.Minute, "three brokers are ready", func() error {
		list, err := t.client.CoreV1().Pods(ns).List(t.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods = list.Items
		for _, p := range pods {
			if !isReady(&p) {
				return fmt.Errorf("%s is not", p.Name)
			}
		}
		if len(pods) != 3 {
			return fmt.Errorf("%d are", len(pods))
		}
		return nil
	})
	want := longnames("rabbit", hostsOf(pods, "hostname", "erl.internal"))
	n := &nodes{basename: "rabbit", mode: "hostname", domain: "erl.internal"}
	for i, p := range pods {
		t.must(same(p.Name+" is told", []string{t.told(p, 0, "RABBITMQ_NODENAME")}, want[i:i+1]))
		t.within(time.Minute, p.Name+" is in one cluster with the others", func() error {
			got, err := t.running(n, p)
			if err != nil {
				return err
			}
			return same("running nodes", got, want)
		})
		t.note("%-14s mode %-8s %s runs in one cluster with %s", "RabbitMQ", "hostname", p.Name, brief(want))
	}
}

// broker makes a pod run RabbitMQ, with the environment of its manifest. What is added are places for its files.
func (t *trial) broker(pod *corev1.Pod, addresses []netip.Addr) command {
	home := filepath.Join(t.dir, pod.Name)
	_ = os.MkdirAll(home, 0o700) // what cannot be written, RabbitMQ will miss and say so
	// rabbitmqctl, which asks it later, is told no cookie.
	_ = os.WriteFile(filepath.Join(home, ".erlang.cookie"), []byte(t.name), 0o400)
	env, err := t.environment(pod, addresses)
	if err != nil {
		t.note("%s: %v", pod.Name, err)
	}
	return command{name: pod.Name, pod: true, args: []string{rabbitBin + "rabbitmq-server"}, env: slices.Concat(env, []string{
		"HOME=" + home,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(home, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(home, "mnesia"),
		"RABBITMQ_LOG_BASE=" + home,
		"RABBITMQ_LOGS=-",
		"RABBITMQ_PID_FILE=" + filepath.Join(home, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1",
	})}
}
