package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rabbitScenarios: RabbitMQ as it comes, which finds addresses by A and AAAA and names by PTR.
func rabbitScenarios() []scenario {
	return []scenario{
		{"rabbitmq-ip", func(t *trial) { tryRabbit(t, "ip") }},
		{"rabbitmq-hostname", func(t *trial) { tryRabbit(t, "hostname") }},
	}
}

// tryRabbit boots three at once, which find each other before any is ready: in mode ip, for nobody is, and in mode
// hostname, for the Service publishes all, as RabbitMQ's documentation wants it. In mode ip they have the inetrc of
// docs/clients.md. In mode hostname they do without: they are called as the kubelet calls them, and *kubernetes* answers
// for their hosts.
func tryRabbit(t *trial, mode string) {
	n := &nodes{basename: "rabbit", mode: mode, domain: clusterDomain, ask: "erl.internal"}
	ns := t.namespace("prod", podPolicy{unaddressed: true})
	t.account(ns)
	t.everywhere(ns, endpointSlices)
	t.service(ns, "rabbit", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = mode == "hostname" })
	block := `erl.internal 10.0.0.0/8 {
    longnames {
		namespaces ` + ns + `
		selector app=rabbit
		basename rabbit
		mode ` + mode + `
	}
}
`
	if mode == "ip" {
		n.env = t.inetrc("RabbitMQ")
	}
	t.serveBlocks(block, t.kubernetesBlock(ns))
	t.statefulSet(ns, "rabbit", "rabbit", 3)
	t.policy(ns, podPolicy{process: n.rabbit(t), readyWhen: rabbitUp})
	pods := t.podsOf(ns, "rabbit", 3)
	hosts := make([]string, 0, len(pods))
	for _, p := range pods {
		hosts = append(hosts, hostOf(mode, p, n.domain))
	}
	t.within(2*time.Minute, "three brokers are ready", func() error {
		for _, p := range pods {
			got, err := t.client.CoreV1().Pods(ns).Get(t.ctx, p.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !isReady(got) {
				return fmt.Errorf("%s is not", p.Name)
			}
		}
		return nil
	})
	t.wantsCluster(n.ask, "rabbit", hosts, addressesOf(pods))
	for _, p := range pods {
		t.must(same("peers of "+p.Name, t.discovered(p), longnames("rabbit", hosts)))
		t.within(time.Minute, p.Name+" is in one cluster with the others", func() error {
			got, err := t.running(n, p)
			if err != nil {
				return err
			}
			return same("running nodes", got, longnames("rabbit", hosts))
		})
	}
}
