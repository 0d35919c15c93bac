package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metricScenarios: what can only be measured where Kubernetes itself tells when something changed.
func metricScenarios() []scenario {
	return []scenario{
		{"propagation-endpoints", func(t *trial) { tryPropagation(t, endpointSlices) }},
		{"propagation-pods", func(t *trial) { tryPropagation(t, pods) }},
	}
}

// tryPropagation has pods become ready one after the other. Each of these changes counts once, with a time of its own.
func tryPropagation(t *trial, of resources) {
	const zone, count = "shop.erl.internal", "propagation_duration_seconds_count"
	ns := t.namespace("prod", podPolicy{unready: true})
	t.account(ns)
	t.grant(ns, ns, of)
	t.service(ns, "shop")
	t.deployment(ns, 3)
	members := t.podsOf(ns, "shop", 3)
	all := addressesOf(members)
	t.endpoints(ns, "shop", len(members))
	t.server.serve("prometheus " + t.server.v4 + ":9153\nlongnames " + zone + " {\nSERVICE_ACCOUNT\nselector app=shop\n" +
		"basename shop\ninclude ready\nhold 0\nlookup " + of.lookup() + "\n}")
	t.wants(zone, "A", all...) // never nobody
	t.counted(0, count)
	begin := time.Now()
	t.soon("it is another second", func() error { // in which Kubernetes takes a change for a new one
		if begin.Unix() == time.Now().Unix() {
			return errors.New("it is not")
		}
		return nil
	})
	for i, pod := range members {
		t.must(setReady(t.ctx, t.client, ns, pod.Name, true))
		t.wants(zone, "A", all[:i+1]...)
		t.counted(float64(i+1), count)
	}
	// Kubernetes' times are up to a second too early.
	sum, most := t.metric("propagation_duration_seconds_sum"), float64(len(members))*(time.Since(begin)+time.Second).Seconds()
	if t.note("%v s in all", sum); sum > most {
		t.failf("propagation took %v s in all, but should at most %v", sum, most)
	}
	t.counted(1, "api_requests_total", `verb="watch"`, `code="200"`)
	t.counted(1, "api_requests_total")
	if n := t.metric("questions_total", `type="A"`, `result="success"`); n < 1+float64(len(members)) {
		t.failf("%v questions are counted, want at least %d", n, 1+len(members))
	}
}

// counted waits until a metric of *longnames* has a value: an answer may come just before what is counted of it.
func (t *trial) counted(want float64, name string, labels ...string) {
	t.soon(fmt.Sprintf("%s %v is %v", name, labels, want), func() error {
		if got := t.metric(name, labels...); got != want {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// metric reads a metric of *longnames*: the sum of all that have some labels.
func (t *trial) metric(name string, labels ...string) (sum float64) {
	text, err := t.server.metrics()
	t.must(err)
lines:
	for line := range strings.Lines(text) {
		of, ok := strings.CutPrefix(line, "coredns_longnames_"+name+"{")
		if !ok {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(of, l) {
				continue lines
			}
		}
		fields := strings.Fields(of)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		t.must(err)
		sum += n
	}
	return sum
}

// metrics asks the *prometheus* plugin.
func (s *server) metrics() (string, error) {
	ctx, cancel := context.WithTimeout(s.t.ctx, 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: s.t.plane.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(s.v4, "9153")+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics: %s", response.Status)
	}
	return string(text), err
}
