package faults

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// stage is where rows are tried: three clusters of Erlang nodes that ask *longnames*, one that asks *kubernetes*, and the
// control plane that these watch, through a wire.
type stage struct {
	testing.TB // of the row at hand
	*cluster.Cluster
	plan               plan
	modules, toxiproxy string

	wire    *wire
	store   *http.Client  // of etcd
	clients *cluster.Host // from where questions are asked
	account string        // the directory of CoreDNS' service account
	meshes  []*mesh
	other   *mesh // its nodes ask *kubernetes*

	replicas   []*replica // of *longnames*, which all of our nodes ask
	kubernetes *replica   // one of *kubernetes*, which all of theirs ask
	extra      *replica   // for the row at hand, which no node asks; it may be nil

	left     map[string]bool // nodes that have been told to leave in the row at hand: it is no loss when they go
	numbered int             // how many addresses there are

	mu    sync.Mutex // protects nodes while some are started
	nodes map[string]*node
}

// The namespaces of the nodes that ask *longnames*, and of those that ask *kubernetes*.
const (
	ourNamespace   = "ours"
	theirNamespace = "theirs"
)

// kubeconfig has *kubernetes* use the same account: it takes no directory for it.
const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
	"clusters": [{"name": "e2e", "cluster": {"server": "https://%[1]s", "certificate-authority": "%[2]s/ca.crt"}}],
	"users": [{"name": "coredns", "user": {"tokenFile": "%[2]s/token"}}],
	"contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "coredns"}}]}`

// set builds the stage.
func (s *stage) set() {
	s.left, s.nodes = make(map[string]bool), make(map[string]*node)
	s.store = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: s.Config.Dial, MaxIdleConnsPerHost: 8}}
	s.Cleanup(s.store.CloseIdleConnections)
	s.account = s.TempDir()
	require.NoError(s, os.WriteFile(s.account+"/kubeconfig", fmt.Appendf(nil, kubeconfig, cluster.APIClusterIP, s.account), 0o600))
	s.clients = s.NewHost(s, "clients", s.address())
	s.wire = s.newWire()
	s.newMeshes()
	for range max(s.plan.replicas, 1) {
		s.replicas = append(s.replicas, s.newReplica("longnames", false))
	}
	s.kubernetes = s.newReplica("kubernetes", true)
	s.CreateNamespace(s, ourNamespace)
	s.CreateNamespace(s, theirNamespace)
	s.authorize()
	all := s.allMeshes()
	for _, m := range all {
		s.CreateService(s, m.namespace, m.name)
	}
	cluster.Many(s, 0, len(all)*meshSize, func(i int) { s.create(all[i/meshSize], all[i/meshSize].pods[i%meshSize]) })
	for _, r := range append(s.ours(), s.kubernetes) {
		r.launch()
	}
	s.calm()
}

// patience is how long a busy machine may take for what happens soon.
const patience = 30 * time.Second

// runs runs a command on a host.
func (s *stage) runs(h *cluster.Host, args ...string) {
	_, err := h.Run(s.Context(), args...)
	require.NoError(s, err)
}

func (s *stage) within(patience time.Duration, what string, check func() error) {
	require.NoError(s, cluster.Poll(patience, what, check))
	s.Logf("%s %s", time.Now().Format("15:04:05.000"), what)
}

// address returns one that nothing else has.
func (s *stage) address() string {
	s.numbered++
	return cluster.HostAddress(0, s.numbered)
}

// authorize gives CoreDNS an account with the rights of *kubernetes*, which needs more.
func (s *stage) authorize() {
	s.Account(s, ourNamespace, "coredns", s.account)
	s.Kubectl(s, "create", "clusterrole", "coredns", "--verb=list,watch",
		"--resource=pods,services,namespaces,endpointslices.discovery.k8s.io")
	s.Kubectl(s, "create", "clusterrolebinding", "coredns", "--clusterrole=coredns", "--serviceaccount="+ourNamespace+":coredns")
}

// ours are all CoreDNS of *longnames* that run.
func (s *stage) ours() []*replica {
	if s.extra != nil && s.extra.process.Ended() == nil {
		return append(slices.Clip(s.replicas), s.extra)
	}
	return slices.Clip(s.replicas)
}

// calm waits until nothing of an earlier row is to be seen: every server answers what is right, and all nodes are
// connected.
func (s *stage) calm() {
	s.seen(2*patience, s.allMeshes()...)
	for _, m := range s.meshes {
		s.within(4*patience, "the nodes of "+m.name+" are connected", func() error { return s.connected(m) })
	}
}

// seen waits until every server answers rightly for some clusters, and accepts nothing else from then on.
func (s *stage) seen(patience time.Duration, meshes ...*mesh) {
	for _, r := range s.ours() {
		s.within(patience, r.name+" answers what is right", func() error { return r.answers(meshes) })
	}
	for _, m := range meshes {
		m.settled()
	}
}

// recovers waits for *kubernetes*, too, as far as it can.
func (s *stage) recovers() {
	right := func() error { return s.kubernetes.answers(s.allMeshes()) }
	if err := cluster.Poll(patience, "kubernetes recovers", right); err != nil {
		s.Log(err)
		s.kubernetes.process.Stop(0)
		s.kubernetes.launch()
	}
	connected := func() error { return s.connected(s.other) }
	if err := cluster.Poll(patience, "the nodes of kubernetes recover", connected); err != nil {
		s.Log(err)
	}
}

// still waits until no node has lost another for some time. Nodes that have just found each other may do so, and the
// answers that they have had are not to blame.
func (s *stage) still() {
	count, since := -1, time.Now()
	s.within(4*patience, "no node loses another", func() error {
		if now := len(s.downs(s.allMeshes()...)); now != count {
			count, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return fmt.Errorf("%d times until now", count)
		}
		return nil
	})
	s.calm()
}

// restock has each cluster have as many nodes as usual, and waits for so long until those that go are answered no more.
func (s *stage) restock(patience time.Duration) {
	for _, m := range s.allMeshes() {
		s.add(m, meshSize-len(m.pods))
		if surplus := m.pods[meshSize:]; len(surplus) > 0 {
			s.change(m, m.pods[:meshSize:meshSize], meshSize)
			s.remove(surplus...)
			s.seen(patience, m)
		}
	}
}

// add has a cluster have more nodes.
func (s *stage) add(m *mesh, n int) {
	before := len(m.pods)
	after := slices.Clone(m.pods)
	for range n {
		after = append(after, m.pod(s.address(), "more-"))
	}
	s.change(m, after, before)
	cluster.Many(s, 0, max(n, 0), func(i int) { s.create(m, after[before+i]) })
}

// grow has a node more in the clusters that are looked up in different ways.
func (s *stage) grow() {
	s.add(s.meshes[0], 1)
	s.add(s.meshes[1], 1)
}

// shrinks takes it away again, once it has been seen.
func (s *stage) shrinks() {
	s.calm()
	s.restock(announced)
	s.calm()
}

// through makes a fault come and go, with a change while it lasts: that has to be seen when it is over.
func (s *stage) through(fault, heal func()) {
	fault()
	s.grow()
	time.Sleep(faultTime)
	heal()
	s.shrinks()
}

// suspects waits until all CoreDNS have so many members that are suspect for a reason.
func (s *stage) suspects(reason string, want int) {
	for _, r := range s.replicas {
		r.gauge("coredns_longnames_suspect_members", fmt.Sprintf("reason=%q", reason), want, want)
	}
}
