// Package peers measures longnames side by side with other plugins of the same CoreDNS binary: over the same objects, on
// the same machine, in one run.
package peers

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
)

var (
	rounds   = flag.Int("rounds", 5, "measure each `n` times, in turns")
	load     = flag.Duration("load", 4*time.Second, "put load on a server for so `long` in each round")
	writes   = flag.Int("writes", 200, "wait for `n` writes to be answered in each round")
	costTime = flag.Duration("cost", 10*time.Minute, "look at the API servers for so `long` with each number of nodes")
	page     = flag.String("page", "", "write the tables to this `file`, if all parts are measured")
)

// coredns is a copy of what make has built, for somebody may build another meanwhile.
var coredns string

// TestPeers measures part by part, for nothing else is to use the machine.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("this takes half an hour")
	}
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // clients of clusters that have ended look for their certificates
	coredns = filepath.Join(t.TempDir(), "coredns")
	require.NoError(t, build.CopyFile(coredns, "../../../bin/coredns"))
	r, measured := new(report), 0
	parts := []struct {
		name    string
		measure func(*bed, *report)
	}{{"udp", measureUDP}, {"tcp", measureTCP}, {"latency", measureLatency}, {"memory", measureMemory},
		{"cost", measureCost}}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			part.measure(newBed(t), r)
			measured++
		})
	}
	text := r.markdown(facts(t))
	t.Log(text)
	if *page != "" && measured == len(parts) && !t.Failed() {
		assert.NoError(t, os.WriteFile(*page, []byte(text), 0o644))
	}
}

// bed is a control plane, with one namespace for the objects of a part, and one host for all servers and what asks them.
type bed struct {
	testing.TB
	*cluster.Cluster
	host      *cluster.Host
	namespace string
	dir       string
	servers   int
	processes int
	tokens    []string // of pods
	addresses atomic.Int64
}

func newBed(t testing.TB) *bed {
	t.Helper()
	c := cluster.Start(t, cluster.Options{})
	host := c.NewHost(t, "host", cluster.HostAddress(0, 0))
	b := &bed{TB: t, Cluster: c, host: host, namespace: path.Base(t.Name()) + "-prod", dir: t.TempDir()}
	b.CreateNamespace(t, b.namespace)
	return b
}

// patience is how long a busy machine may take.
const patience = 4 * time.Minute

func (b *bed) soon(what string, check func() error) {
	cluster.Eventually(b, patience, what, check)
}

// address returns one that no pod has had.
func (b *bed) address() netip.Addr {
	n := b.addresses.Add(1) + 9
	return netip.MustParseAddr(fmt.Sprintf("10.%d.%d.%d", 1+n/62500, n/250%250, n%250+1))
}

// app labels all objects of an app.
func app(name string) map[string]string { return map[string]string{"app": name} }

// sized is the name of a Service with so many pods. It is short: dnsperf takes no answer above 16 KB over TCP, and
// *kubernetes* repeats the name three times for each pod.
func sized(n int) string { return fmt.Sprintf("app-%d", n) }

// clusters creates Services with so many pods, and returns the addresses of these.
func (b *bed) clusters(sizes ...int) map[int][]netip.Addr {
	out := make(map[int][]netip.Addr)
	for _, n := range sizes {
		b.CreateService(b, b.namespace, sized(n))
		for i := range n {
			out[n] = append(out[n], b.address())
			meta := metav1.ObjectMeta{Namespace: b.namespace, Name: fmt.Sprintf("%s-%d", sized(n), i), Labels: app(sized(n))}
			b.CreatePod(b, &corev1.Pod{ObjectMeta: meta}, true, out[n][i].String())
		}
		b.Kubectl(b, "-n", b.namespace, "wait", "endpoints/"+sized(n),
			fmt.Sprintf("--for=jsonpath={.subsets[0].addresses[%d].ip}", n-1), "--timeout=4m")
	}
	return out
}
