package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Where a CoreDNS of a stage finds the API server: at an address that nothing else has, so that nothing else is hurt when
// packets from and to there vanish.
const apiSide = "172.16.0.1"

// nowhere is the hardware address of nobody.
const nowhere = "02:00:00:00:de:ad"

// replica is a CoreDNS in a network namespace of its own, as in a pod.
type replica struct {
	s        *stage
	theirs   bool // it is one of *kubernetes*
	name     string
	netns    string
	cable    string
	address  string // for questions
	apiPeer  string // for the API server
	n        int
	corefile string
	binary   string
	env      []string
	wrap     []string // what it is run by
	process  *process
	starts   int
	checker  *checker // that asks it in the row at hand
}

func (s *stage) newReplica(name string, n int) *replica {
	r := &replica{
		s: s, name: name, n: n, binary: s.coredns, env: s.plan.env,
		netns:   s.netns(fmt.Sprintf("d%d-%d", s.number, n)),
		cable:   fmt.Sprintf("d%d-%d", s.number, n),
		address: s.address("4", n), apiPeer: fmt.Sprintf("172.16.%d.%d", s.number, n+1),
	}
	r.corefile = filepath.Join(s.dir, name+".Corefile")
	s.must(newPodNetns(s.ctx, s.plane.name, r.netns, r.cable, []netip.Addr{netip.MustParseAddr(r.address)}))
	s.cleanup(func() { _ = s.removeNetns(r.netns) })
	s.must(batch(s.ctx, in(r.netns, "addr add "+r.apiPeer+"/16 dev eth0")...))
	return r
}

// newTheirs makes one of *kubernetes*.
func (s *stage) newTheirs(name string, n int) *replica {
	r := s.newReplica(name, n)
	r.theirs = true
	return r
}

// configure writes a Corefile for what it is of, with options, in which DIR is a directory of its own, and more plugins.
func (r *replica) configure(options, more string) {
	r.s.must(os.MkdirAll(r.dir(), 0o700))
	if r.theirs {
		r.write(r.s.theirBlock(options) + more)
		return
	}
	text := r.s.blocks(strings.ReplaceAll(options, "DIR", r.dir()))
	if r.s.plan.crowd {
		text += crowdBlock(r.s.server.account)
	}
	r.write(text + more)
}

// write writes the Corefile.
func (r *replica) write(plugins string) {
	text := fmt.Sprintf(".:53 {\nbind %s\nerrors\nready %s:8181\nprometheus %s:9153\n%s\n}\n", r.address, r.address, r.address, plugins)
	r.s.must(os.WriteFile(r.corefile, []byte(text), 0o600))
}

// append adds to the Corefile.
func (r *replica) append(text string) {
	f, err := os.OpenFile(r.corefile, os.O_APPEND|os.O_WRONLY, 0o600)
	r.s.must(err)
	_, err = f.WriteString(text)
	r.s.must(errors.Join(err, f.Close()))
}

// launch starts CoreDNS.
func (r *replica) launch() {
	r.starts++
	host, port, err := net.SplitHostPort(r.s.proxy.address())
	r.s.must(err)
	r.process, err = start(r.netns, r.s.dir, command{
		name: fmt.Sprintf("%s-%d", r.name, r.starts),
		args: append(slices.Clone(r.wrap), r.binary, "-conf", r.corefile), urgent: true,
		env: append([]string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port, "CLUSTER_DOMAIN="}, r.env...),
	})
	r.s.must(err)
	p := r.process
	r.s.cleanup(func() { p.stop(0) })
	r.s.must(p.until(r.s.ctx, patience, banner))
	r.s.note("%s listens", r.name)
}

// banner is what CoreDNS says once it listens.
var banner = regexp.MustCompile(`(?m)^CoreDNS-`)

// readily starts it and waits until it is ready.
func (r *replica) readily() {
	r.launch()
	r.s.soon(r.name+" is ready", r.ready)
}

// dir is for what it keeps.
func (r *replica) dir() string { return filepath.Join(r.s.dir, r.name) }

// remove ends it for good.
func (r *replica) remove() {
	if r.process != nil {
		r.kill()
	}
	r.s.must(r.s.removeNetns(r.netns))
}

// ready asks the *ready* plugin.
func (r *replica) ready() error {
	_, err := r.get("8181", "/ready")
	return err
}

// metric reads a number of CoreDNS' own: the sum of all that have the name and some labels. One with labels may come into
// being with its first.
func (r *replica) metric(name string, labels ...string) (float64, error) {
	text, err := r.get("9153", "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found, err := sumOf(text, name, labels...)
	if err == nil && !found && len(labels) == 0 {
		err = fmt.Errorf("%s has no metric %s", r.name, name)
	}
	return sum, err
}

// kill is a crash.
func (r *replica) kill() { r.process.stop(0) }

// plug and unplug its cable: its pod is there, or gone. From one that is gone nothing comes back; from one that is there
// but does not listen comes a refusal. The link stays up: the kernel may take a second to tell that one is up again.
func (r *replica) plug()   { r.cabled("master br0") }
func (r *replica) unplug() { r.cabled("nomaster") }

func (r *replica) cabled(how string) {
	r.s.must(batch(r.s.ctx, in(r.s.plane.name, "link set "+r.cable+" "+how)...))
}

// vanish loses all packets between CoreDNS and the API server, in both directions, without telling either of them.
func (r *replica) vanish() {
	lines := append(in(r.netns, "neigh replace "+apiSide+" lladdr "+nowhere+" dev eth0 nud permanent"),
		in(r.s.plane.name, "neigh replace "+r.apiPeer+" lladdr "+nowhere+" dev br0 nud permanent")...)
	r.s.must(batch(r.s.ctx, lines...))
}

// move gives CoreDNS, after vanish, another address: what is sent to the one before is still lost.
func (r *replica) move() {
	old := r.apiPeer
	r.apiPeer = fmt.Sprintf("172.16.%d.%d", 100+r.s.number, r.n+1)
	r.s.must(batch(r.s.ctx, in(r.netns,
		"addr del "+old+"/16 dev eth0",
		"addr add "+r.apiPeer+"/16 dev eth0",
		"neigh del "+apiSide+" dev eth0")...))
}

// appear ends that.
func (r *replica) appear() {
	lines := append(in(r.netns, "neigh del "+apiSide+" dev eth0"), in(r.s.plane.name, "neigh del "+r.apiPeer+" dev br0")...)
	r.s.must(batch(r.s.ctx, lines...))
}

// respond asks for a page of CoreDNS'.
func (r *replica) respond(port, path string) (*http.Response, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: r.s.plane.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(r.s.ctx, http.MethodGet, "http://"+net.JoinHostPort(r.address, port)+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(request)
}

// get reads it.
func (r *replica) get(port, path string) (string, error) {
	response, err := r.respond(port, path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s", r.name, path, response.Status)
	}
	return string(text), err
}

// reload has CoreDNS read its Corefile again, and tells whether it could make use of it.
func (r *replica) reload() (good bool) {
	before := len(r.process.output())
	r.process.signal(syscall.SIGUSR1)
	r.s.soon(r.name+" has reloaded", func() error {
		if err := r.process.ended(); err != nil {
			r.s.failf("%w", err)
		}
		said := reloaded.FindString(r.process.output()[before:])
		if said == "" {
			return fmt.Errorf("%s does not say so", r.name)
		}
		good = strings.HasPrefix(said, "[INFO]")
		return nil
	})
	return good
}

// reloaded is what CoreDNS says after a reload, be it good or bad.
var reloaded = regexp.MustCompile(`\[INFO\] Reloading complete|\[ERROR\] SIGUSR1: `)
