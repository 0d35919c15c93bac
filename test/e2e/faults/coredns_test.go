package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// coredns is what make has built.
const coredns = "../../../bin/coredns"

// snapshots is a directory that each host has for itself.
const snapshots = "/var/lib"

// replica is a CoreDNS on a host of its own.
type replica struct {
	*cluster.Host
	s       *stage
	theirs  bool // it is one of *kubernetes*
	name    string
	address string
	binary  string
	env     []string
	options string // of each longnames block
	process *cluster.Process
	checker *watch.Checker // that asks it in the row at hand
}

func (s *stage) newReplica(name string, theirs bool, options string) *replica {
	a := s.address()
	name = fmt.Sprintf("%s-%d", name, s.numbered) // as rows differ
	r := &replica{Host: s.NewHost(s, name, a), s: s, theirs: theirs, name: name, address: a.String(), options: options, env: []string{
		"KUBERNETES_SERVICE_HOST=" + cluster.APIClusterIP, "KUBERNETES_SERVICE_PORT=443", "CLUSTER_DOMAIN=", s.plan.env,
	}}
	var err error
	r.binary, err = filepath.Abs(coredns)
	_, again := r.Run(s.Context(), "ip", "route", "add", cluster.APIClusterIP, "via", s.wire.address)
	s.must(errors.Join(err, again))
	r.configure("", "", "")
	return r
}

func addresses(replicas []*replica) (out []string) {
	for _, r := range replicas {
		out = append(out, r.address)
	}
	return out
}

func (s *stage) everyReplica() []*replica { return slices.Concat(s.replicas, s.kubernetes) }

// each does the same with many at once. What *kubernetes* fails to do is of no importance but for the comparison.
func (s *stage) each(replicas []*replica, do func(r *replica) error) {
	errs := make([]error, len(replicas))
	var wg sync.WaitGroup
	for i, r := range replicas {
		wg.Go(func() { errs[i] = do(r) })
	}
	wg.Wait()
	for i, r := range replicas {
		if !r.theirs {
			s.must(errs[i])
		} else if errs[i] != nil {
			s.Log(errs[i])
		}
	}
}

// configure writes a Corefile with more options, plugins and servers.
func (r *replica) configure(options, plugins, servers string) {
	var blocks strings.Builder
	meshes := r.s.meshes
	switch {
	case r.theirs:
		fmt.Fprintf(&blocks, "kubernetes cluster.local {\nkubeconfig %s/kubeconfig\n%s\n}\n", r.s.account, options)
		meshes = nil
	case r.s.plan.crowd:
		meshes = append(slices.Clone(meshes), crowd)
	}
	for _, m := range meshes {
		blocks.WriteString(m.block(r.s.account, strings.ReplaceAll(r.options, "ZONE", m.zone)+"\n"+options))
	}
	r.s.must(os.WriteFile(r.corefile(), fmt.Appendf(nil, ".:53 {\nbind %[1]s\nerrors\nready %[1]s:8181\nprometheus %[1]s:9153\n%s%s\n}\n%s",
		r.address, blocks.String(), plugins, servers), 0o600))
}

func (r *replica) corefile() string { return filepath.Join(r.s.account, r.name+".Corefile") }

// banner is what CoreDNS says once it listens.
var banner = regexp.MustCompile(`(?m)^CoreDNS-`)

// launch starts CoreDNS, and waits until it listens.
func (r *replica) launch() error {
	before := 0
	if r.process != nil {
		before = len(r.process.Output())
	}
	args := []string{r.binary, "-conf", r.corefile()}
	if urgent {
		args = append([]string{"chrt", "--rr", corednsPriority}, args...)
	}
	r.process = r.Start(r.s, "coredns", r.env, args...)
	_, err := r.says(banner, before)
	return err
}

// says waits until it says something more than it had said before.
func (r *replica) says(what *regexp.Regexp, before int) (said string, err error) {
	err = eventually(patience, fmt.Sprintf("%s says %s", r.name, what), func() error {
		if said = what.FindString(r.process.Output()[before:]); said == "" {
			return errors.Join(errors.New("it does not"), r.process.Ended())
		}
		return nil
	})
	return said, err
}

// readily starts it, and waits until it is ready.
func (r *replica) readily() error {
	if err := r.launch(); err != nil {
		return err
	}
	return eventually(patience, r.name+" is ready", func() error {
		_, _, err := r.get("8181", "/ready")
		return err
	})
}

// get reads a page of CoreDNS'.
func (r *replica) get(port, path string) (string, http.Header, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: r.s.clients.Dial, DisableKeepAlives: true}}
	response, err := client.Get("http://" + net.JoinHostPort(r.address, port) + path)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s", r.name, path, response.Status)
	}
	return string(text), response.Header, err
}

// metric reads a number of CoreDNS' own: the sum of all series that have a name, and a label if there is one. Series with
// labels come into being when they are first counted.
func (r *replica) metric(name, label string) (sum float64, err error) {
	text, _, err := r.get("9153", "/metrics")
	found := regexp.MustCompile(`(?m)^(?:coredns_longnames_)?`+name+`(\{.*`+label+`.*\})? (.+)$`).FindAllStringSubmatch(text, -1)
	if err == nil && len(found) == 0 && label == "" {
		err = fmt.Errorf("%s has no metric %s", r.name, name)
	}
	for _, f := range found {
		n, failed := strconv.ParseFloat(f[2], 64)
		sum, err = sum+n, errors.Join(err, failed)
	}
	return sum, err
}

// gauge waits until a metric is in a range.
func (r *replica) gauge(name string, least, most int) {
	r.s.within(patience, fmt.Sprintf("%s is %d to %d", name, least, most), func() error {
		n, err := r.metric(name, "")
		if err == nil && (int(n) < least || int(n) > most) {
			err = fmt.Errorf("got %.0f", n)
		}
		return err
	})
}

// answers is an error until the answers are what the clusters are now.
func (r *replica) answers() error {
	for _, m := range r.s.allMeshes() {
		for _, q := range m.questions[r.theirs] {
			if err := r.answersTo(q.Name, q.Type, m.values(q.Type, m.pods)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// answersTo is an error until the answer to a question is this.
func (r *replica) answersTo(name, qtype string, want ...string) error {
	ask := watch.Resolver{From: r.s.clients, Servers: []string{r.address}}
	defer ask.Close()
	m, err := ask.Ask(r.s.Context(), name, qtype)
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", r.name, name, qtype, err)
	}
	return watch.Same(r.name+": "+name+" "+qtype, watch.Values(m), want)
}

// plugged has packets reach it, or vanish, as if its pod was gone: from one that is there but does not listen comes a
// refusal.
func (r *replica) plugged(yes bool) error {
	rules := "flush ruleset"
	if !yes {
		rules += `; table inet plug {
			chain in { type filter hook input priority 0; iifname "eth0" drop; }
			chain out { type filter hook output priority 0; oifname "eth0" drop; }
		}`
	}
	_, err := r.Run(r.s.Context(), "nft", rules)
	return err
}

// reloaded matches the line that CoreDNS logs after a reload, whether that has succeeded or failed.
var reloaded = regexp.MustCompile(`\[INFO\] Reloading complete|\[ERROR\] SIGUSR1: `)

// reload has CoreDNS read its Corefile again, which it can make use of or not.
func (r *replica) reload(want bool) error {
	before := len(r.process.Output())
	r.process.Signal(syscall.SIGUSR1)
	said, err := r.says(reloaded, before)
	if err != nil {
		return err
	}
	if got := strings.HasPrefix(said, "[INFO]"); got != want {
		return fmt.Errorf("a reload of %s has gone well: %t, want %t", r.name, got, want)
	}
	return nil
}
