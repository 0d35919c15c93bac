// Package soak has honest clients ask CoreDNS as deploy/ ships it, within its limit of memory and one CPU, while others
// flood it with hostile questions about hostile objects.
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

var duration = flag.Duration("soak", 10*time.Minute, "how long the flood lasts")

const (
	coredns = "../../../bin/coredns" // which make has built
	shipped = "../../../deploy/base/"
	zone    = "svc.erl.internal"
	port    = "1053"

	// A limit of memory is for so many members, as docs/operations.md has it where anybody may ask: by bytes for all of them
	// and bytes for each.
	bytesForAll, bytesForEach = 100_000_000, 4 * 700
	// The hostile tenant has at most so many of them, and one of the crowd of other clusters has so many.
	hostileMembers, together = 12_000, 10

	patience = 2 * time.Minute
	// worse is how many times as long an honest question may take while there is the flood, and short what is not told
	// apart from the noise of a busy machine.
	worse, short = 5, 2 * time.Millisecond
)

// soak is CoreDNS, and those who ask it.
type soak struct {
	testing.TB
	*cluster.Cluster
	slices                    discoveryclient.DiscoveryV1Interface
	server, clients, attacker *cluster.Host
	coredns                   *cluster.Process
	honest                    []tenant
	others                    int           // how many other clusters there are
	numbered                  atomic.Uint32 // addresses
}

// tenant has an honest cluster.
type tenant struct {
	name string
	pods []string // addresses
}

func (s *soak) address() string { return net.JoinHostPort(s.server.Address, port) }

// fresh returns an address that nobody has had.
func (s *soak) fresh() string {
	n := s.numbered.Add(1)
	return netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

func TestSoak(t *testing.T) {
	debug.SetGCPercent(1000) // it has priority, and would take all CPUs for that
	s := &soak{TB: t, Cluster: cluster.Start(t, cluster.Options{})}
	fast := rest.CopyConfig(s.Config)
	fast.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(fast)
	require.NoError(s, err)
	s.slices = client.DiscoveryV1()
	limit := s.limit()
	s.populate((limit - bytesForAll) / bytesForEach)
	s.serve(limit)

	alone := s.measure(max(*duration/10, 10*time.Second))
	rate := s.capacity(10*time.Second) / 2
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	var asked, written int
	others.Go(func() { asked = s.flood(ctx, rate) })
	others.Go(func() { written = s.churn(ctx) })
	for i := range stalled {
		others.Go(func() { s.stall(ctx, i, question(zone, dns.TypeAXFR), question("wide.evil."+zone, dns.TypeSRV)) })
	}
	flooded := s.measure(*duration)
	stop()
	others.Wait()
	s.report(alone, flooded)
	seconds := flooded.took.Seconds()
	t.Logf("the flood: %d questions, %.0f a second, half of the capacity; a slice rewritten %d times, %.1f a second",
		asked, float64(asked)/seconds, written, float64(written)/seconds)
	assert.GreaterOrEqual(t, float64(asked)/seconds, 0.9*rate, "questions of the flood a second")
	assert.GreaterOrEqual(t, float64(written)/seconds, 5.0, "times a second that a slice was rewritten")
	assert.GreaterOrEqual(t, flooded.answers, 0.9*float64(asked), "answers to the flood")
}

// limit returns the limit of memory that is shipped.
func (s *soak) limit() int64 {
	text, err := os.ReadFile(shipped + "deployment.yaml")
	require.NoError(s, err)
	found := regexp.MustCompile(`(?s)\n +limits:.*?\n +memory: (\d+)Mi\n`).FindSubmatch(text)
	require.NotNil(s, found, "%sdeployment.yaml has a limit of memory", shipped)
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(s, err)
	return n << 20
}

// populate has all tenants write what they have: so many members in all.
func (s *soak) populate(members int64) {
	for _, name := range []string{"prod", "longnames", "others", evil, "pod", "svc", "dns"} {
		s.CreateNamespace(s, name)
	}
	for i, size := range []int{3, 10, 100} {
		c := tenant{name: []string{"shop", "cart", "large"}[i]}
		for range size {
			c.pods = append(c.pods, s.fresh())
		}
		s.honest = append(s.honest, c)
		s.CreateService(s, "prod", c.name)
		s.Kubectl(s, "label", "service", c.name, "--namespace", "prod", "longnames.dev/basename="+c.name)
		cluster.Many(s, 0, size, func(i int) {
			s.CreatePod(s, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: fmt.Sprintf("%s-%d", c.name, i),
				Labels: map[string]string{"app": c.name}}}, true, c.pods[i])
		})
	}
	s.others = int(members-hostileMembers) / together
	cluster.Many(s, 0, s.others, func(i int) {
		s.create(slice("others", other(i), other(i), "app", s.endpoints(together, other(i))...))
	})
	hostile := s.hostile()
	cluster.Many(s, 0, len(hostile), func(i int) { s.create(hostile[i]) })
	s.most(20_000, s.ports)
	s.most(many, s.addresses)
	s.create(slice(evil, "churn", "churn", "x", s.endpoints(many, "churn")...))
}

func other(i int) string { return fmt.Sprint("other-", i) }

// confine makes cgroups for CoreDNS, and puts in place what a pod has mounted. Its one CPU is as good as its own: in a cluster
// it does not share that with the API server, and with those who ask.
const confine = `
for each in /sys/fs/cgroup/*; do
	for file in memory.limit_in_bytes cpu.cfs_quota_us cpuacct.usage; do
		[ ! -e "$each/$file" ] || mkdir -p "$each/coredns"
	done
done
echo "$0" | tee /sys/fs/cgroup/*/coredns/memory.limit_in_bytes
cat /sys/fs/cgroup/*/coredns/cpu.cfs_period_us | tee /sys/fs/cgroup/*/coredns/cpu.cfs_quota_us
echo 262144 | tee /sys/fs/cgroup/*/cpu.shares /sys/fs/cgroup/*/coredns/cpu.shares
mkdir -p /var/lib/coredns /var/run/secrets/kubernetes.io
cp -r "$1" /var/run/secrets/kubernetes.io/serviceaccount
`

// serve starts CoreDNS as deploy/ has it, with a limit of memory and one CPU, and waits until its answers are right.
func (s *soak) serve(limit int64) {
	account := filepath.Join(s.TempDir(), "account")
	s.Account(s, "longnames", "longnames", account)
	s.Kubectl(s, "create", "clusterrole", "longnames", "--verb=list,watch", "--resource=endpointslices.discovery.k8s.io")
	s.Kubectl(s, "create", "clusterrolebinding", "longnames", "--clusterrole=longnames", "--serviceaccount=longnames:longnames")
	s.server = s.NewHost(s, "coredns", cluster.HostAddress(0, 0))
	s.clients = s.NewHost(s, "clients", cluster.HostAddress(1, 0))
	s.attacker = s.NewHost(s, "attacker", cluster.HostAddress(2, 0))
	_, err := s.attacker.Run(s.Context(), "ip", "route", "add", "local", strings.TrimSuffix(source(0), "1")+"0/24", "dev", "lo")
	_, err2 := s.server.Run(s.Context(), "sh", "-euc", confine, strconv.FormatInt(limit, 10), account)
	binary, err3 := filepath.Abs(coredns)
	corefile, err4 := filepath.Abs(shipped + "Corefile")
	require.NoError(s, errors.Join(err, err2, err3, err4))
	const within = `for each in /sys/fs/cgroup/*/coredns/cgroup.procs; do echo 0 >"$each"; done; exec "$@"`
	apiHost, apiPort, _ := net.SplitHostPort(cluster.APIServer)
	s.coredns = s.server.Start(s, "coredns", []string{"KUBERNETES_SERVICE_HOST=" + apiHost, "KUBERNETES_SERVICE_PORT=" + apiPort},
		"sh", "-euc", within, "sh", binary, "-conf", corefile)
	resolver := watch.Resolver{From: s.clients, Servers: []string{s.address()}}
	defer resolver.Close()
	cluster.Eventually(s, patience, "the answers are right", func() error {
		for _, c := range s.honest {
			for _, qtype := range types {
				m, err := resolver.Ask(s.Context(), c.fqdn(), qtype)
				if err == nil {
					err = watch.Same(c.name+" "+qtype, watch.Values(m), c.values(qtype))
				}
				if err := errors.Join(err, s.coredns.Ended()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	cluster.Eventually(s, patience, "all members are listed", func() error {
		got, least := s.metric("coredns_longnames_members"), s.others*together+hostileMembers/2
		if int(got) < least {
			return fmt.Errorf("got %.0f, want %d at least", got, least)
		}
		s.Logf("%.0f members are listed", got)
		return nil
	})
}

var types = []string{"SRV", "TXT", "A"}

func (c tenant) fqdn() string { return c.name + ".prod." + zone }

// values are what is right to answer, in mode ip.
func (c tenant) values(qtype string) (all []string) {
	for _, address := range c.pods {
		if qtype == "TXT" {
			address = c.name + "@" + address
		}
		all = append(all, address)
	}
	return all
}

// metric reads one of CoreDNS' own.
func (s *soak) metric(name string) float64 {
	sum, _, err := s.clients.Metric(s.server.Address, name)
	require.NoError(s, err)
	return sum
}

// cgroup reads a file of CoreDNS' cgroup: its last number.
func (s *soak) cgroup(file string) int64 {
	out, err := s.server.Run(s.Context(), "sh", "-c", "cat /sys/fs/cgroup/*/coredns/"+file)
	require.NoError(s, err)
	fields := strings.Fields(out)
	n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	require.NoError(s, err)
	return n
}

// figures are what was measured in a while.
type figures struct {
	ways    []watch.Counts // of honest clients
	took    time.Duration
	cpu     time.Duration // of CoreDNS
	answers float64       // to everybody
}

// ways are how honest clients ask: as OTP does, with EDNS, and over TCP.
var ways = []string{"UDP", "UDP with EDNS", "TCP"}

// measure has honest clients ask, each way at a rate.
func (s *soak) measure(d time.Duration) (f figures) {
	asking := []*watch.Checker{{Rate: 200}, {Rate: 100, EDNS: 1232}, {Rate: 50, TCP: true}}
	begin, cpu, answers := time.Now(), s.cgroup("cpuacct.usage"), s.metric("coredns_dns_responses_total")
	for _, c := range asking {
		c.From, c.Servers = s.clients, []string{s.address()}
		for _, of := range s.honest {
			for _, qtype := range types {
				q := &watch.Question{Name: of.fqdn(), Type: qtype}
				q.Expect(watch.Exactly(of.values(qtype)))
				c.Questions = append(c.Questions, q)
			}
		}
		c.Start(s.Context())
	}
	s.coredns.EndsWithin(d)
	for _, c := range asking {
		f.ways = append(f.ways, c.End())
	}
	require.NoError(s, s.coredns.Ended())
	f.took, f.cpu = time.Since(begin), time.Duration(s.cgroup("cpuacct.usage")-cpu)
	f.answers = s.metric("coredns_dns_responses_total") - answers
	return f
}

// capacity returns how many honest questions a second CoreDNS answers at most.
func (s *soak) capacity(d time.Duration) float64 {
	var questions strings.Builder
	for _, c := range s.honest {
		for _, qtype := range types {
			fmt.Fprintln(&questions, c.fqdn(), qtype)
		}
	}
	file := filepath.Join(s.TempDir(), "questions")
	require.NoError(s, os.WriteFile(file, []byte(questions.String()), 0o600))
	out, err := s.clients.Run(s.Context(), "dnsperf", "-s", s.server.Address, "-p", port, "-d", file, "-c", "8", "-l", fmt.Sprint(d.Seconds()))
	require.NoError(s, err)
	found := regexp.MustCompile(`Queries per second: +([0-9.]+)`).FindStringSubmatch(out)
	require.NotNil(s, found, out)
	rate, err := strconv.ParseFloat(found[1], 64)
	require.NoError(s, err)
	s.Logf("the capacity is %.0f questions a second", rate)
	return rate
}

// report logs the figures as a table, and holds them against what is promised.
func (s *soak) report(alone, flooded figures) {
	table := "| honest clients | questions | wrong | asked again | p50 | p99 | longest |\n|---|---|---|---|---|---|---|\n"
	for i, way := range ways {
		for when, c := range []*watch.Counts{&alone.ways[i], &flooded.ways[i]} {
			table += fmt.Sprintf("| %s, %s | %d | %s | %d | %.2f ms | %.2f ms | %.0f ms |\n", way, []string{"alone", "under the flood"}[when],
				c.Asked, c.Kinds(), c.Repeated, ms(c.Quantile(0.5)), ms(c.Quantile(0.99)), ms(c.Longest))
			assert.Empty(s, c.Wrong, "%s: answers that were wrong, at last:\n%s", way, strings.Join(c.Last, "\n"))
			assert.Zero(s, c.Repeated, "%s: questions that were lost", way)
		}
		most := worse * max(alone.ways[i].Quantile(0.99), short)
		assert.LessOrEqual(s, flooded.ways[i].Quantile(0.99), most, "%s: p99", way)
	}
	table += "\n| CoreDNS | answers a second | CPUs used |\n|---|---|---|\n"
	for when, f := range []figures{alone, flooded} {
		table += fmt.Sprintf("| %s | %.0f | %.2f |\n", []string{"alone", "under the flood"}[when], f.answers/f.took.Seconds(),
			f.cpu.Seconds()/f.took.Seconds())
	}
	throttled, err := s.server.Run(s.Context(), "sh", "-c", "cat /sys/fs/cgroup/*/coredns/cpu.stat")
	require.NoError(s, err)
	s.Log("CPU: ", strings.Join(strings.Fields(throttled), " "))
	killed := s.cgroup("memory.oom_control")
	s.Logf("\n%s\nmemory: %.1f MiB at most, also for files; it was killed for it %d times", table,
		float64(s.cgroup("memory.max_usage_in_bytes"))/(1<<20), killed)
	assert.Zero(s, killed, "times that CoreDNS was killed for memory")
	assert.Empty(s, cluster.Crash.FindString(s.coredns.Output()), "CoreDNS has logged it")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
