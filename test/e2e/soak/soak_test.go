// Package soak has honest clients ask CoreDNS as deploy/ ships it, and with it zones of all that deploy/ does not use, within
// its limit of memory and one CPU, while others flood it with hostile questions about hostile objects.
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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

var duration = flag.Duration("soak", 10*time.Minute, "how long the flood lasts")

const (
	coredns = "../../../bin/coredns" // which make has built
	shipped = "../../../deploy/base/"
	beside  = "Corefile" // of further zones
	zone    = "svc.erl.internal"
	port    = "1053"
	podZone = "pods.erl.internal" // with a cluster for each app and namespace
	oneZone = "one.erl.internal"  // one cluster of all namespaces

	// A limit of memory is for so many members, as docs/sizing.md has it where anybody may ask: by bytes for all of them,
	// bytes for each, and bytes for a pod with a name in a reverse zone and a host part in ours.
	bytesForAll, bytesForEach, bytesForPod = 100_000_000, 4 * 700, 4 * (840 + (215 - 41) + (255 - 41))
	// There are at most so many pods. The hostile tenant has at most so many members in slices, and one of the crowd of other
	// clusters has so many.
	mostPods, hostileMembers, together = 3_500, 12_000, 10

	patience = 2 * time.Minute
	worse    = 5  // times as long an honest question may take while there is the flood
	changes  = 10 // of a slice each second
)

// soak is CoreDNS, and those who ask it.
type soak struct {
	testing.TB
	*cluster.Cluster
	fast                      kubernetes.Interface // speaks protobuf
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

// fresh6 returns an IPv6 address as fresh returns an IPv4 one.
func (s *soak) fresh6() string {
	n := s.numbered.Add(1)
	return fmt.Sprintf("fd00::%x:%x", 1+n>>16, n&0xffff)
}

// dashed is an address as a label.
func dashed(address string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(address) }

func TestSoak(t *testing.T) {
	debug.SetGCPercent(1000) // it has priority, and would take all CPUs for that
	s := &soak{TB: t, Cluster: cluster.Start(t, cluster.Options{})}
	fast := rest.CopyConfig(s.Config)
	fast.ContentType = "application/vnd.kubernetes.protobuf"
	var err error
	s.fast, err = kubernetes.NewForConfig(fast)
	require.NoError(s, err)
	limit := s.limit()
	s.populate((limit - bytesForAll - mostPods*bytesForPod) / bytesForEach)
	s.serve(limit)

	alone := s.measure(max(*duration/10, 10*time.Second))
	rate := s.capacity(10*time.Second) / 2
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	var asked, written int
	others.Go(func() { asked = s.flood(ctx, rate) })
	others.Go(func() { written = s.churn(ctx) })
	for i := range stalled {
		others.Go(func() {
			s.stall(ctx, i, question(podZone, dns.TypeAXFR), question("wide.evil."+zone, dns.TypeSRV),
				question("11.in-addr.arpa", dns.TypeAXFR), question("crowd.evil."+podZone, dns.TypeSRV))
		})
	}
	flooded := s.measure(*duration)
	stop()
	others.Wait()
	require.NoError(t, s.check(), "after the flood")
	s.report(alone, flooded)
	seconds := flooded.took.Seconds()
	t.Logf("the flood: %d questions, %.0f a second, half of the capacity; a slice rewritten %d times, %.1f a second",
		asked, float64(asked)/seconds, written, float64(written)/seconds)
	assert.GreaterOrEqual(t, float64(asked)/seconds, 0.9*rate, "questions of the flood a second")
	assert.GreaterOrEqual(t, float64(written)/seconds, 0.9*changes, "times a second that a slice was rewritten")
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

// populate has all tenants write what they have: so many members in slices.
func (s *soak) populate(members int64) {
	for _, name := range []string{"prod", "longnames", "others", evil, "pod", "svc", "dns"} {
		s.CreateNamespace(s, name)
	}
	for i, size := range []int{3, 10, 100, 5} {
		c := tenant{name: []string{"shop", "cart", "large", "six"}[i]}
		for range size {
			address := s.fresh()
			if c.name == "six" {
				address = s.fresh6()
			}
			c.pods = append(c.pods, address)
		}
		s.honest = append(s.honest, c)
		s.CreateService(s, "prod", c.name)
		s.Kubectl(s, "label", "service", c.name, "--namespace", "prod", "longnames.dev/basename="+c.name)
		cluster.Many(s, 0, size, func(i int) {
			s.CreatePod(s, pod("prod", fmt.Sprintf("%s-%d", c.name, i), c.name, c.name, c.pods[i], true), true, c.pods[i])
		})
	}
	s.others = int(members-hostileMembers) / together
	cluster.Many(s, 0, s.others, func(i int) {
		s.create(slice("others", other(i), other(i), "app", s.endpoints(together, other(i))...))
	})
	hostile := s.hostile()
	cluster.Many(s, 0, len(hostile), func(i int) { s.create(hostile[i]) })
	ports := s.most(20_000, s.ports)
	cluster.Many(s, 0, 9, func(int) { s.create(s.ports(ports)) })
	s.most(many, s.addresses)
	s.create(slice(evil, "churn", "churn", "x", s.endpoints(many, "churn")...))
	pods := s.pods()
	require.Less(s, len(pods), mostPods)
	s.run(pods[0])
	cluster.Many(s, 1, len(pods), func(i int) { s.run(pods[i]) })
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

// serve starts CoreDNS as deploy/ has it, and the other zones, with a limit of memory and one CPU, and waits until its
// answers are right.
func (s *soak) serve(limit int64) {
	account := filepath.Join(s.TempDir(), "account")
	s.Account(s, "longnames", "longnames", account)
	s.Kubectl(s, "create", "clusterrole", "longnames", "--verb=list,watch", "--resource=endpointslices.discovery.k8s.io,pods")
	s.Kubectl(s, "create", "clusterrolebinding", "longnames", "--clusterrole=longnames", "--serviceaccount=longnames:longnames")
	s.server = s.NewHost(s, "coredns", cluster.HostAddress(0, 0))
	s.clients = s.NewHost(s, "clients", cluster.HostAddress(1, 0))
	s.attacker = s.NewHost(s, "attacker", cluster.HostAddress(2, 0))
	_, err := s.attacker.Run(s.Context(), "ip", "route", "add", "local", strings.TrimSuffix(source(0), "1")+"0/24", "dev", "lo")
	_, err2 := s.server.Run(s.Context(), "sh", "-euc", confine, strconv.FormatInt(limit, 10), account)
	binary, err3 := filepath.Abs(coredns)
	text, err4 := os.ReadFile(shipped + "Corefile")
	more, err5 := os.ReadFile(beside)
	corefile := filepath.Join(s.TempDir(), "Corefile")
	require.NoError(s, errors.Join(err, err2, err3, err4, err5, os.WriteFile(corefile, append(text, more...), 0o600)))
	const within = `for each in /sys/fs/cgroup/*/coredns/cgroup.procs; do echo 0 >"$each"; done; exec "$@"`
	apiHost, apiPort, _ := net.SplitHostPort(cluster.APIServer)
	s.coredns = s.server.Start(s, "coredns", []string{"KUBERNETES_SERVICE_HOST=" + apiHost, "KUBERNETES_SERVICE_PORT=" + apiPort},
		"sh", "-euc", within, "sh", binary, "-conf", corefile)
	cluster.Eventually(s, patience, "the answers are right", s.check)
	cluster.Eventually(s, patience, "all members are listed", func() error {
		got, least := s.metric("coredns_longnames_members"), s.others*together+hostileMembers/2+2*many
		if int(got) < least {
			return fmt.Errorf("got %.0f, want %d at least", got, least)
		}
		s.Logf("%.0f members are listed", got)
		return nil
	})
}

// truth is what is right to answer to a question: nothing where there is no such record.
type truth struct {
	name, qtype string
	values      []string
}

// truths are those about honest clusters, about nodes of them that others would like to be, and about the name server.
func (s *soak) truths() (all []truth) {
	add := func(name, qtype string, values ...string) { all = append(all, truth{name, qtype, values}) }
	for _, c := range s.honest {
		first, family, name := c.pods[0], "A", c.name+".prod."+podZone
		if strings.Contains(first, ":") {
			family = "AAAA"
		} else { // Services here are of one family
			add(c.name+".prod."+zone, "SRV", c.pods...)
			add(c.name+".prod."+zone, "TXT", each(c.pods, func(address string) string { return c.name + "@" + address })...)
			add(c.name+".prod."+zone, "A", c.pods...)
		}
		hosts := each(c.pods, func(address string) string { return dashed(address) + ".prod.pod." + podZone })
		add(name, "SRV", hosts...)
		add(name, "TXT", each(hosts, func(host string) string { return c.name + "@" + host })...)
		add(name, family, c.pods...)
		add(c.name+"-0."+name, "TXT", c.name+"@"+hosts[0])
		add(dashed(first)+"."+name, "SRV", hosts[0])
		for _, below := range []string{c.name + "-0.", dashed(first) + ".", dashed(first) + ".prod.pod."} {
			add(below+oneZone, family, first)
		}
		add(hosts[0], family, first)
		add(watch.Reverse(first), "PTR", hosts[0])
	}
	for _, z := range []string{zone, podZone, oneZone} {
		add("ns.dns."+z, "A", s.server.Address)
		add("ns.dns."+z, "AAAA")
	}
	return all
}

func each(values []string, of func(string) string) (all []string) {
	for _, v := range values {
		all = append(all, of(v))
	}
	return all
}

// check asks everything once, and returns what is not right as an error.
func (s *soak) check() error {
	resolver := watch.Resolver{From: s.clients, Servers: []string{s.address()}}
	defer resolver.Close()
	for _, t := range s.truths() {
		m, err := resolver.Ask(s.Context(), t.name, t.qtype)
		if err == nil {
			err = watch.Same(t.name+" "+t.qtype, watch.Values(m), t.values)
		}
		if err := errors.Join(err, s.coredns.Ended()); err != nil {
			return err
		}
	}
	// Somebody who waits is told of its own port.
	conn, err := s.attacker.DialFrom(s.Context(), source(0), s.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	own := new(dns.Msg).SetQuestion("_p00042._tcp.crowd.evil."+podZone+".", dns.TypeSRV)
	m, _, err := new(dns.Client).ExchangeWithConn(own, &dns.Conn{Conn: conn})
	if err != nil {
		return err
	}
	return watch.Same("a port of a pod that waits", watch.Values(m), []string{dashed(source(0)) + ".evil.pod." + podZone})
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
		for _, t := range s.truths() {
			if len(t.values) > 0 {
				q := &watch.Question{Name: t.name, Type: t.qtype}
				q.Expect(watch.Exactly(t.values))
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
	for _, t := range s.truths() {
		fmt.Fprintln(&questions, t.name, t.qtype)
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
	table := "| honest clients | questions | wrong | asked again | p50 | p99 | times alone | longest |\n|---|---|---|---|---|---|---|---|\n"
	for i, way := range ways {
		before := alone.ways[i].Quantile(0.99)
		for when, c := range []*watch.Counts{&alone.ways[i], &flooded.ways[i]} {
			table += fmt.Sprintf("| %s, %s | %d | %s | %d | %.2f ms | %.2f ms | %.1f | %.0f ms |\n", way, []string{"alone", "under the flood"}[when],
				c.Asked, c.Kinds(), c.Repeated, ms(c.Quantile(0.5)), ms(c.Quantile(0.99)),
				c.Quantile(0.99).Seconds()/before.Seconds(), ms(c.Longest))
			assert.NoError(s, c.Err(), way)
			assert.Zero(s, c.Repeated, "%s: questions that were lost", way)
		}
		assert.LessOrEqual(s, flooded.ways[i].Quantile(0.99), worse*before, "%s: p99", way)
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
	givenUp := strings.Count(s.coredns.Output(), "given up: the secondary does not read")
	s.Logf("\n%s\nmemory: %.1f MiB at most, also for files, and an RSS of %.1f MiB now, with the binary; it was killed for it %d times; %d transfers "+
		"were given up", table, float64(s.cgroup("memory.max_usage_in_bytes"))/(1<<20),
		s.metric("process_resident_memory_bytes")/(1<<20), killed, givenUp)
	assert.Positive(s, givenUp, "transfers that have stalled")
	assert.Zero(s, killed, "times that CoreDNS was killed for memory")
	assert.Empty(s, cluster.Crash.FindString(s.coredns.Output()), "CoreDNS has logged it")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
