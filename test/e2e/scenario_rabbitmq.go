package main

import (
	"fmt"
	"time"
)

// rabbitScenarios: RabbitMQ as it comes, which finds addresses by A and AAAA and names by PTR.
func rabbitScenarios() []scenario {
	return []scenario{
		{"rabbitmq-ip", func(t *trial) { tryRabbit(t, "ip") }},
		{"rabbitmq-hostname", func(t *trial) { tryRabbit(t, "hostname") }},
	}
}

func tryRabbit(t *trial, mode string) {
	n := &nodes{basename: "rabbit", mode: mode, domain: "erl.internal", ask: "erl.internal"}
	ns := t.namespace("prod", podPolicy{process: n.rabbit(t), readyWhen: rabbitUp})
	t.account(ns)
	t.grant(ns, ns, endpointSlices)
	t.service(ns, "rabbit")
	options := "mode " + mode
	if mode != "ip" {
		options += "\ncluster_domain erl.internal"
	}
	t.server.serve(`longnames erl.internal 10.0.0.0/8 {
		SERVICE_ACCOUNT
		selector app=rabbit
		basename rabbit
		` + options + `
	}`)
	// One is ready before the next one starts, as is the rule of a StatefulSet.
	t.statefulSet(ns, "rabbit", "rabbit", 3, "OrderedReady")
	t.within(2*time.Minute, "three brokers are ready", func() error {
		hosts, err := t.values(n.ask, "SRV")
		if err == nil && len(hosts) != 3 {
			err = fmt.Errorf("got %s", brief(hosts))
		}
		return err
	})
	pods := t.podsOf(ns, "rabbit", 3)
	want := make([]string, 0, len(pods))
	for _, p := range pods {
		want = append(want, "rabbit@"+hostOf(mode, p, n.domain))
	}
	for _, p := range pods {
		t.within(time.Minute, p.Name+" is in one cluster with the others", func() error {
			got, err := t.running(n, p)
			if err != nil {
				return err
			}
			return same("running nodes", got, want)
		})
	}
}
