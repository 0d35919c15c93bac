package process

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

const (
	coredns = "../../../bin/coredns" // which make has built
	deploy  = "../../../deploy"
	endTime = 5 * time.Second // the README's word for how long CoreDNS may take to end
)

// server is a CoreDNS on a host of its own.
type server struct {
	*cluster.Host
	bed      *bed
	t        *testing.T
	corefile string
	apiPort  string
	process  *cluster.Process
	starts   int
	allowed  []*regexp.Regexp // errors that it may log
}

var apiHost, apiPort, _ = net.SplitHostPort(cluster.APIServer)

const corefile = `.:53 {
bind %s
errors
log
ready %[1]s:8181
prometheus %[1]s:9153
%[2]s
}
`

// server prepares one, with what its server block has besides. More blocks can follow a "}".
func (b *bed) server(t *testing.T, n int, plugins string) *server {
	t.Helper()
	return &server{
		Host: b.NewHost(t, fmt.Sprintf("%s-%d", b.name, n), b.address(n)), bed: b, t: t, apiPort: apiPort,
		corefile: write(t, t.TempDir()+"/Corefile", fmt.Sprintf(corefile, b.address(n), plugins)),
	}
}

// serve starts one, and waits until it is ready.
func (b *bed) serve(t *testing.T, plugins string) *server {
	t.Helper()
	s := b.server(t, 0, plugins)
	s.start()
	soon(t, "CoreDNS is ready", s.ready)
	return s
}

// start starts it, for the first time or again, and waits until it listens.
func (s *server) start() {
	binary, err := filepath.Abs(coredns)
	require.NoError(s.t, err)
	s.starts++
	s.process = s.Start(s.t, fmt.Sprintf("coredns-%d", s.starts),
		[]string{"KUBERNETES_SERVICE_HOST=" + apiHost, "KUBERNETES_SERVICE_PORT=" + s.apiPort, "CLUSTER_DOMAIN="},
		binary, "-conf", s.corefile)
	s.t.Cleanup(s.end)
	s.logs("(?m)^CoreDNS-")
}

var logged = regexp.MustCompile(cluster.Crash.String() + `|^\[ERROR\] .*`)

// end has CoreDNS end in good order, as a kubelet does, and looks into its log for what nobody has looked for.
func (s *server) end() {
	p := s.process
	if s.process = nil; p == nil {
		return
	}
	require.NoError(s.t, p.Ended())
	p.Signal(syscall.SIGTERM)
	require.True(s.t, p.EndsWithin(endTime), "CoreDNS ends within %s", endTime)
	require.NoError(s.t, p.Err())
	for _, line := range logged.FindAllString(p.Output(), -1) {
		allowed := slices.ContainsFunc(s.allowed, func(re *regexp.Regexp) bool { return re.MatchString(line) })
		assert.True(s.t, allowed, "CoreDNS has logged %s", line)
	}
}

// may allows it to log an error.
func (s *server) may(pattern string) { s.allowed = append(s.allowed, regexp.MustCompile(pattern)) }

// logs waits for a match in CoreDNS' log.
func (s *server) logs(pattern string) {
	s.process.Says(s.t, pattern, 0)
}

var warning = regexp.MustCompile(`(?m)^\[(?:WARNING|ERROR)\] plugin/longnames: .*$`)

// warns waits until the warnings and errors that CoreDNS has logged are exactly these, by patterns.
func (s *server) warns(patterns ...string) {
	soon(s.t, "each warning is logged once", func() error {
		lines := warning.FindAllString(s.process.Output(), -1)
		for _, p := range patterns {
			at := slices.IndexFunc(lines, regexp.MustCompile(p).MatchString)
			if at < 0 {
				return fmt.Errorf("want a line like %q, got %q besides", p, lines)
			}
			lines = slices.Delete(lines, at, at+1)
		}
		if len(lines) > 0 {
			return fmt.Errorf("got also %q", lines)
		}
		return nil
	})
}

// run runs a command on the host.
func (s *server) run(args ...string) string {
	out, err := s.Run(s.t.Context(), args...)
	require.NoError(s.t, err)
	return out
}

// cut ends its connections to the API server. It can make new ones, but the first of these may be hit, too.
func (s *server) cut() {
	require.Contains(s.t, s.run("ss", "-K", "dst", apiHost), "ESTAB") // it prints what the kernel has ended
	s.may(`API server cannot be reached: .*: software caused connection abort; `)
}

// away has the API server be out of its reach, until back.
func (s *server) away() {
	s.run("ip", "route", "add", "unreachable", apiHost)
	s.cut()
	s.may(`API server cannot be reached: .*: connect: no route to host; `)
}

func (s *server) back() {
	s.run("ip", "route", "del", "unreachable", apiHost)
}

// ready asks the *ready* plugin.
func (s *server) ready() error {
	_, _, err := s.Get("http://" + s.Address + ":8181/ready")
	return err
}

// counts waits until a metric of *longnames* has a value, in the sum of all series with some labels: an answer may come just
// before what is counted of it.
func (s *server) counts(want float64, name string, labels ...string) {
	soon(s.t, fmt.Sprintf("%s %v is %v", name, labels, want), func() error {
		got, series, err := s.Metric(s.Address, "coredns_longnames_"+name, labels...)
		if err == nil && (got != want || series == 0) {
			err = fmt.Errorf("it is %v, in %d series", got, series)
		}
		return err
	})
}

// ask asks over UDP, with EDNS if there is a size, or TCP.
func (s *server) ask(network, name, qtype string, size uint16) (*dns.Msg, error) {
	return watch.Exchange(s.t.Context(), s, network, net.JoinHostPort(s.Address, "53"), name, qtype, size)
}

// wants waits until an answer is exactly this.
func (s *server) wants(name, qtype string, want ...string) {
	soon(s.t, fmt.Sprintf("%s %s is %q", name, qtype, want), func() error {
		m, err := s.ask("tcp", name, qtype, 0)
		if err == nil {
			err = watch.Same("the answer", watch.Values(m), want)
		}
		return err
	})
}

// wantsShop waits for all that is answered of members called shop in mode ip, which have the IPv4 addresses from one number
// to before another.
func (s *server) wantsShop(from, to int) {
	addresses := s.bed.some(from, to, "%s")
	s.wants("shop.erl.internal", "SRV", addresses...)
	s.wants("shop.erl.internal", "TXT", s.bed.some(from, to, "shop@%s")...)
	s.wants("shop.erl.internal", "A", addresses...)
	s.wants("shop.erl.internal", "AAAA")
}

// rcode waits for a response code, over UDP.
func (s *server) rcode(name, qtype string, want int) (m *dns.Msg) {
	soon(s.t, name+" "+qtype+" is "+dns.RcodeToString[want], func() (err error) {
		if m, err = s.ask("udp", name, qtype, 1232); err == nil && m.Rcode != want {
			err = fmt.Errorf("got %s", m)
		}
		return err
	})
	return m
}
