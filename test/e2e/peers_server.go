package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// peer is a CoreDNS that has one plugin, and a way to look into the process.
type peer struct {
	t        *trial
	name     string
	address  string
	corefile string
	env      []string
	process  *process
}

// pprofPort is where a peer lets look into it.
const pprofPort = "6053"

// newPeer makes one that is not started yet. No two that run may have the same number.
func (t *trial) newPeer(name string, n int, plugin string, env ...string) *peer {
	p := &peer{t: t, name: name, address: t.address("4", n), corefile: filepath.Join(t.dir, name+".Corefile"), env: env}
	t.must(batch(t.ctx, in(t.plane.name, "addr replace "+p.address+"/8 dev br0")...))
	text := fmt.Sprintf(".:53 {\nbind %s\npprof %s\n%s\n}\n", p.address, net.JoinHostPort(p.address, pprofPort), plugin)
	t.must(os.WriteFile(p.corefile, []byte(text), 0o600))
	return p
}

// adminConfig is read by both plugins that speak to the API server.
func (t *trial) adminConfig() string { return filepath.Join(t.bed.dir, "kubeconfig") }

// ourZone is what *longnames* serves here; a Service's cluster has its name, as *kubernetes* would have it, in there.
const ourZone = "svc.erl.internal"

func (t *trial) longnamesPlugin(namespace string, more ...string) string {
	return t.apiPlugin("longnames "+ourZone, namespace, more...)
}

func (t *trial) kubernetesPlugin(namespace string, more ...string) string {
	return t.apiPlugin("kubernetes cluster.local", namespace, append(more, "pods verified")...)
}

func (t *trial) apiPlugin(directive, namespace string, options ...string) string {
	return fmt.Sprintf("%s {\nkubeconfig %s\nnamespaces %s\n%s\n}", directive, t.adminConfig(), namespace, strings.Join(options, "\n"))
}

// ourName and theirName are what a Service's cluster is asked for.
func ourName(service, namespace string) string {
	return service + "." + namespace + "." + ourZone + "."
}
func theirName(service, namespace string) string {
	return service + "." + namespace + ".svc.cluster.local."
}

// start waits until CoreDNS listens; what it knows then is another question.
func (p *peer) start() {
	var err error
	p.process, err = start(p.t.plane.name, p.t.dir, command{name: p.name, args: []string{p.t.coredns, "-conf", p.corefile}, env: p.env})
	p.t.must(err)
	running := p.process
	p.t.cleanup(func() { running.stop(0) })
	p.t.soon(p.name+" listens", func() error { return running.says(banner) })
}

func (p *peer) stop() { p.process.stop(endTime) }

// knows waits until a question has so many answers.
func (p *peer) knows(name, qtype string, n int) {
	p.t.within(8*patience, fmt.Sprintf("%s knows %d of %s %s", p.name, n, name, qtype), func() error {
		if err := p.process.ended(); err != nil {
			p.t.failf("%w", err)
		}
		ask := &resolver{from: p.t.plane, servers: []string{p.address}, conns: make([]net.Conn, 1)}
		defer ask.close()
		m, err := ask.resolve(p.t.ctx, name, qtype)
		if err == nil && len(m.Answer) != n {
			err = fmt.Errorf("%s, %d answers", dns.RcodeToString[m.Rcode], len(m.Answer))
		}
		return err
	})
}

// look gets what CoreDNS has to say about itself.
func (p *peer) look(what string) ([]byte, error) {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: p.t.plane.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(p.t.ctx, http.MethodGet, "http://"+net.JoinHostPort(p.address, pprofPort)+"/debug/pprof/"+what, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s of %s: %s", what, p.name, response.Status)
	}
	return io.ReadAll(response.Body)
}

// cpu is what all threads of the process have used, in seconds: see proc_pid_stat(5). A tick is a hundredth on any Linux.
func (p *peer) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.cmd.Process.Pid))
	p.t.must(err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const user, system, ticks = 11, 12, 100
	return (p.t.parsed(fields[user]) + p.t.parsed(fields[system])) / ticks
}
