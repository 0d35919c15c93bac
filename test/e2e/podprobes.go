package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// everySecond does something as long as a pod is there.
func (t *trial) everySecond(pod *corev1.Pod, do func()) {
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-time.After(time.Second):
		}
		now, err := t.kubelet.pods.Pods(pod.Namespace).Get(pod.Name)
		if err != nil || now.UID != pod.UID {
			return
		}
		do()
	}
}

// probes asks a pod's process whether it is ready and whether it lives, as the pod says. One that does not live is ended,
// and not started again.
func (t *trial) probes(pod *corev1.Pod, p *process) {
	c := pod.Spec.Containers[0]
	readiness, liveness := newProbe(c, c.ReadinessProbe, false), newProbe(c, c.LivenessProbe, true)
	t.everySecond(pod, func() {
		now, err := t.kubelet.pods.Pods(pod.Namespace).Get(pod.Name)
		if err != nil || now.Status.PodIP == "" || now.DeletionTimestamp != nil {
			return
		}
		if ready := readiness.good(t, now.Status.PodIP) && p.ended() == nil; ready != isReady(now) {
			t.note("%s: ready is %t", pod.Name, ready)
			if err := setReady(t.ctx, t.client, pod.Namespace, pod.Name, ready); err != nil {
				t.note("%s: %v", pod.Name, err)
			}
		}
		if !liveness.good(t, now.Status.PodIP) {
			t.note("%s does not live: %v", pod.Name, liveness.err)
			p.stop(0)
		}
	})
}

// probe is what one of a pod's probes has found so far.
type probe struct {
	*corev1.Probe
	port   int
	due    time.Time
	result bool
	failed int32
	err    error // of the last time
}

// newProbe begins with what is said before it asks for the first time.
func newProbe(c corev1.Container, p *corev1.Probe, before bool) *probe {
	out := &probe{Probe: p, result: before}
	if p == nil || p.HTTPGet == nil {
		out.err = fmt.Errorf("container %s has no such probe by HTTP", c.Name)
		out.result = false
		return out
	}
	out.due = time.Now().Add(time.Duration(p.InitialDelaySeconds) * time.Second)
	out.port = p.HTTPGet.Port.IntValue()
	if p.HTTPGet.Port.Type == intstr.String {
		i := slices.IndexFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == p.HTTPGet.Port.StrVal })
		if i >= 0 {
			out.port = int(c.Ports[i].ContainerPort)
		}
	}
	return out
}

// good tells what the probe has found, and asks again if it is time for it.
func (p *probe) good(t *trial, address string) bool {
	if p.Probe == nil || p.HTTPGet == nil || time.Now().Before(p.due) {
		return p.result
	}
	p.due = time.Now().Add(time.Duration(p.PeriodSeconds) * time.Second)
	p.err = p.get(t, address)
	if p.err == nil {
		p.failed, p.result = 0, true
		return true
	}
	p.failed++
	if p.failed >= p.FailureThreshold {
		p.result = false
	}
	return p.result
}

func (p *probe) get(t *trial, address string) error {
	client := http.Client{
		Timeout:   time.Duration(p.TimeoutSeconds) * time.Second,
		Transport: &http.Transport{DialContext: t.plane.dial, DisableKeepAlives: true},
	}
	url := "http://" + net.JoinHostPort(address, strconv.Itoa(p.port)) + p.HTTPGet.Path
	request, err := http.NewRequestWithContext(t.ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
