package faults

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

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
	binary  string
	process *cluster.Process
	checker *watch.Checker            // that asks it in the row at hand
	told    atomic.Pointer[time.Time] // when it was told to end
}

// newReplica makes one that runs on the host of its name and number, for rows have some of their own.
func (s *stage) newReplica(name string, theirs bool) *replica {
	a := s.address()
	name = fmt.Sprintf("%s-%d", name, s.numbered)
	r := &replica{Host: s.NewHost(s, name, a), s: s, theirs: theirs, name: name}
	var err error
	r.binary, err = filepath.Abs(coredns)
	require.NoError(s, err)
	s.runs(r.Host, "ip", "route", "add", cluster.APIClusterIP, "via", s.wire.Address)
	r.configure("", "", "")
	return r
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
		blocks.WriteString(m.block(r.s.account, strings.ReplaceAll(r.s.plan.options, "ZONE", m.zone)+"\n"+options))
	}
	require.NoError(r.s, os.WriteFile(r.corefile(), fmt.Appendf(nil,
		".:53 {\nbind %[1]s\nerrors\nready %[1]s:8181\nprometheus %[1]s:9153\n%s%s\n}\n%s", r.Address, blocks.String(), plugins, servers), 0o600))
}

func (r *replica) corefile() string { return filepath.Join(r.s.account, r.name+".Corefile") }

// says waits until it says something, once something is done.
func (r *replica) says(what string, do func()) string {
	before := 0
	if r.process != nil {
		before = len(r.process.Output())
	}
	do()
	return r.process.Says(r.s, what, before)
}

// launch starts CoreDNS, and waits until it listens.
func (r *replica) launch() *replica {
	args := []string{r.binary, "-conf", r.corefile()}
	if urgent {
		args = append([]string{"chrt", "--rr", corednsPriority}, args...)
	}
	env := []string{"KUBERNETES_SERVICE_HOST=" + cluster.APIClusterIP, "KUBERNETES_SERVICE_PORT=443", "CLUSTER_DOMAIN=",
		r.s.plan.env}
	r.says(`(?m)^CoreDNS-`, func() { r.process = r.Start(r.s, "coredns", env, args...) })
	return r
}

// readily starts it, and waits until it is ready.
func (r *replica) readily() *replica {
	r.launch()
	r.s.within(patience, r.name+" is ready", func() error {
		_, err := r.ready()
		return err
	})
	return r
}

// reload has CoreDNS read a Corefile with more in it, which it can make use of or not.
func (r *replica) reload(want bool, options, plugins, servers string) {
	r.configure(options, plugins, servers)
	said := r.says(`\[INFO\] Reloading complete|\[ERROR\] SIGUSR1: `, func() { r.process.Signal(syscall.SIGUSR1) })
	require.Equal(r.s, want, strings.HasPrefix(said, "[INFO]"), "a reload of %s goes well", r.name)
}

// ready asks the *ready* plugin, and returns the header of the answer.
func (r *replica) ready() (http.Header, error) {
	_, header, err := r.s.clients.Get("http://" + r.Address + ":8181/ready")
	return header, err
}

// metric reads a number of CoreDNS' own: the sum of all series that have a name, and a label if there is one.
func (r *replica) metric(name, label string) (float64, error) {
	sum, series, err := r.s.clients.Metric(r.Address, name, label)
	if err == nil && series == 0 && label == "" {
		err = fmt.Errorf("%s has no metric %s", r.name, name)
	}
	return sum, err
}

// gauge waits until a metric is in a range.
func (r *replica) gauge(name, label string, least, most int) {
	r.s.within(4*patience, fmt.Sprintf("%s %s is %d to %d", name, label, least, most), func() error {
		n, err := r.metric(name, label)
		if err == nil && (int(n) < least || int(n) > most) {
			err = fmt.Errorf("got %.0f", n)
		}
		return err
	})
}

// answers is an error until the answers are what some clusters are now.
func (r *replica) answers(meshes []*mesh) error {
	for _, m := range meshes {
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
	ask := watch.Resolver{From: r.s.clients, Servers: []string{r.Address}}
	defer ask.Close()
	m, err := ask.Ask(r.s.Context(), name, qtype)
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", r.name, name, qtype, err)
	}
	return watch.Same(r.name+": "+name+" "+qtype, watch.Values(m), want)
}

// roll restarts all CoreDNS, one after the other. They may be given time to end. Who has been refused by one finds the next
// one there, however late he asks.
func (s *stage) roll(grace time.Duration, start func(*replica) *replica) {
	for _, r := range s.replicas {
		r.process.Stop(grace)
		time.Sleep(faultTime / 4)
		start(r)
		time.Sleep(faultTime / 4)
	}
}

// reloadOften goes through Corefiles that are the same, that differ, and that cannot be used. They are numbered, so that
// CoreDNS tells which one it goes by. It has to answer questions while each is read.
func (r *replica) reloadOften() {
	const many, asked, name, taken = 100, 250, "generation.test.", "5301"
	l, err := r.Listen("tcp", net.JoinHostPort(r.Address, taken))
	require.NoError(r.s, err)
	defer l.Close()
	current := 0
	for i := 1; i <= many; i++ {
		more, server := "", ""
		switch i % 8 {
		case 1:
			more = "nonsense"
		case 3, 7:
			server = fmt.Sprintf(".:%s {\nbind %s\nwhoami\n}\n", taken, r.Address)
		case 5:
			more = "ttl never"
		case 6:
			more = "ttl 4"
		}
		before, good := r.checker.Asked(), i%2 == 0
		r.reload(good, more, fmt.Sprintf("template IN TXT %s {\nanswer \"{{ .Name }} 0 IN TXT %d\"\n}\n", name, i), server)
		if good {
			current = i
		}
		require.NoError(r.s, cluster.Poll(patience, fmt.Sprintf("%s goes by Corefile %d, and is asked meanwhile", r.name, current), func() error {
			if n := r.checker.Asked() - before; n < asked {
				return fmt.Errorf("%d questions were answered", n)
			}
			if current == 0 {
				return nil
			}
			return r.answersTo(name, "TXT", strconv.Itoa(current))
		}))
	}
	r.reload(true, "", "", "")
}

// endTime is how long CoreDNS may take to end, as the README has it.
const endTime = 5 * time.Second

// untilEnd excuses questions that got no answer since CoreDNS has ended, or was about to when they were asked: not those
// that were lost while it was to live on.
func untilEnd(r *replica, _ *watch.Question, begin time.Time, kind, _ string) bool {
	told := r.told.Load()
	return kind == watch.Late && told != nil && told.Sub(begin) < 2*time.Second && r.process.EndsWithin(endTime)
}

func ends(s *stage) {
	time.Sleep(faultTime)
	s.extra.told.Store(new(time.Now()))
	s.extra.process.Signal(syscall.SIGTERM)
	ended := s.extra.process.EndsWithin(endTime)
	s.extra.checker.Stop()
	require.True(s, ended, "%s ends within %s", s.extra.name, endTime)
}

// untilKnown excuses SERVFAIL until the first right answer to the same question.
func untilKnown(_ *replica, q *watch.Question, begin time.Time, kind, got string) bool {
	return !q.AnsweredBefore(begin) && kind == watch.Error && got == dns.RcodeToString[dns.RcodeServerFailure]
}
