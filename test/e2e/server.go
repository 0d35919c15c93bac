package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// server is a trial's CoreDNS. It listens on addresses of its own on the bridge, and speaks to the API server through a
// proxy that can be cut.
type server struct {
	t         *trial
	v4, v6    string
	account   string // directory of the service account
	api       string // the address of its API server
	proxy     *proxy
	process   *process
	starts    atomic.Int64
	reachable bool             // its addresses are on the bridge
	allowed   []*regexp.Regexp // errors that it may log, besides ownName
}

func newServer(t *trial) *server {
	return &server{t: t, v4: t.address("4", 0), v6: t.address("6", 1), account: filepath.Join(t.dir, "serviceaccount"), api: apiAddress}
}

// addresses gives those that somebody with certain addresses can reach.
func (s *server) addresses(of []netip.Addr) []string {
	var out []string
	for _, a := range of {
		if a.Is4() {
			out = append(out, s.v4)
		} else {
			out = append(out, s.v6)
		}
	}
	return out
}

// serve starts CoreDNS with what a server block has of *longnames*, and waits until it listens. More server blocks can
// follow after a line "}".
func (s *server) serve(plugins string) {
	s.launch(plugins)
	s.t.soon("CoreDNS is ready", s.ready)
}

// reach makes the addresses on which CoreDNS will listen.
func (s *server) reach() {
	if !s.reachable {
		lines := in(s.t.plane.name, "addr add "+s.v4+"/8 dev br0", "addr add "+s.v6+"/16 dev br0 nodad")
		s.t.must(batch(s.t.ctx, lines...))
		s.reachable = true
	}
}

// launch is serve for a server that does not become ready.
func (s *server) launch(plugins string) {
	t := s.t
	s.reach()
	var err error
	if s.proxy == nil {
		s.proxy, err = newProxy(t.bed, s.api)
		t.must(err)
		t.cleanup(s.proxy.close)
	}
	text := fmt.Sprintf(".:53 {\nbind %s %s\nerrors\nlog\nready %s:8181\n%s\n}\n", s.v4, s.v6, s.v4, plugins)
	text = strings.ReplaceAll(text, "SERVICE_ACCOUNT", "service_account "+s.account)
	corefile := filepath.Join(t.dir, "Corefile")
	t.must(os.WriteFile(corefile, []byte(text), 0o600))
	host, port, err := net.SplitHostPort(s.proxy.address())
	t.must(err)
	s.process, err = start(t.plane.name, t.dir, command{
		name: fmt.Sprintf("coredns%d", s.starts.Add(1)),
		args: []string{t.coredns, "-conf", corefile},
		env:  []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port, "CLUSTER_DOMAIN="},
	})
	t.must(err)
	p := s.process
	t.cleanup(func() { p.stop(5 * time.Second) })
	t.soon("CoreDNS listens", func() error {
		if err := p.ended(); err != nil {
			t.failf("%w", err)
		}
		return p.says(banner)
	})
}

// may allows it to log an error.
func (s *server) may(pattern string) { s.allowed = append(s.allowed, regexp.MustCompile(pattern)) }

// endTime is how long CoreDNS may take to end: the README's word for it is 5 s, for the plugin.
const endTime = 5 * time.Second

// ownName is what is logged when OTP looks its host's own name up, for a family that /etc/hosts has no address of.
var ownName = regexp.MustCompile(`plugin/errors: 2 [^.]+\. A+: plugin/[a-z]+: no next plugin found`)

// panicked is what is logged of a panic, be it the end or not.
var panicked = regexp.MustCompile(`(?m)^(panic|fatal error): .*|.*Recovered from panic.*`)

// end has CoreDNS end in good order, as a kubelet does, and looks into its log for what nobody has looked for.
func (s *server) end() {
	if s.process == nil {
		return
	}
	s.t.must(s.process.ended())
	begin := time.Now()
	s.process.signal(syscall.SIGTERM)
	select {
	case <-s.process.done:
	case <-time.After(endTime):
		s.t.failf("CoreDNS has not ended within %s", endTime)
	}
	if s.process.err != nil {
		s.t.failf("CoreDNS has ended with %w: %s", s.process.err, tail(s.process.output()))
	}
	s.t.note("CoreDNS has ended after %s", time.Since(begin))
	if found := panicked.FindString(s.process.output()); found != "" {
		s.t.failf("CoreDNS has logged %s", found)
	}
	for line := range strings.Lines(s.process.output()) {
		if strings.HasPrefix(line, "[ERROR]") && !ownName.MatchString(line) && !slices.ContainsFunc(s.allowed, func(re *regexp.Regexp) bool { return re.MatchString(line) }) {
			s.t.failf("CoreDNS has logged %s", line)
		}
	}
}

// ready asks the *ready* plugin.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(s.t.ctx, 2*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: s.t.plane.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(s.v4, "8181")+"/ready", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ready: %s", response.Status)
	}
	return nil
}

// logs waits for a line in CoreDNS' log.
func (s *server) logs(pattern string) {
	re := regexp.MustCompile(pattern)
	s.t.soon("CoreDNS logs "+pattern, func() error { return s.process.says(re) })
}
