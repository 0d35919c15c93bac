package faults

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

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
	kubernetes []*replica // as many of *kubernetes*, which all of theirs ask
	extras     []*replica // for the row at hand, which no node asks

	left map[string]bool // nodes that have been told to leave in the row at hand: it is no loss when they go

	mu       sync.Mutex // protects following
	numbered int        // how many addresses there are
	nodes    map[string]*node
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
	s.must(os.WriteFile(s.account+"/kubeconfig", fmt.Appendf(nil, kubeconfig, cluster.APIClusterIP, s.account), 0o600))
	s.clients = s.NewHost(s, "clients", s.address())
	s.wire = s.newWire()
	s.newMeshes()
	for range max(s.plan.replicas, 1) {
		s.replicas = append(s.replicas, s.newReplica("longnames", false, s.plan.options))
		s.kubernetes = append(s.kubernetes, s.newReplica("kubernetes", true, ""))
	}
	s.namespace(ourNamespace)
	s.namespace(theirNamespace)
	s.authorize()
	all := s.allMeshes()
	for _, m := range all {
		s.service(m)
	}
	s.many(len(all)*meshSize, func(i int) {
		if m := all[i/meshSize]; len(m.pods) > 0 {
			s.create(m, m.pods[i%meshSize])
		}
	})
	if s.plan.deployment {
		s.deploy(s.meshes[0])
	}
	s.each(s.everyReplica(), (*replica).launch)
	s.calm()
}

// must ends the row at an error.
func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// patience is how long a busy machine may take for what happens soon.
const patience = 30 * time.Second

// eventually polls until a check finds nothing wrong, and else returns what was wrong at last.
func eventually(patience time.Duration, what string, check func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s: %w", patience, what, err)
		}
	}
}

func (s *stage) within(patience time.Duration, what string, check func() error) {
	s.Helper()
	s.must(eventually(patience, what, check))
	s.Logf("%s %s", time.Now().Format("15:04:05.000"), what)
}

// many does n things, some at once.
func (s *stage) many(n int, do func(i int)) {
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
	if s.Failed() {
		s.FailNow()
	}
}

// address returns one that nothing else has.
func (s *stage) address() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbered++
	return cluster.HostAddresses(0, s.numbered)[0]
}

// namespace creates one, in which there can be pods.
func (s *stage) namespace(name string) {
	s.Kubectl(s, "create", "namespace", name)
	s.Kubectl(s, "wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout", patience.String())
}

// service creates a headless Service, whose selector is app=NAME.
func (s *stage) service(m *mesh) {
	s.Kubectl(s, "create", "service", "clusterip", m.name, "--clusterip=None", "--namespace", m.namespace)
}

// authorize gives CoreDNS an account with the rights of *kubernetes*, which needs more.
func (s *stage) authorize() {
	s.Account(s, ourNamespace, "coredns", s.account)
	s.Kubectl(s, "create", "clusterrole", "coredns", "--verb=list,watch", "--resource=pods,services,namespaces,endpointslices.discovery.k8s.io")
	s.Kubectl(s, "create", "clusterrolebinding", "coredns", "--clusterrole=coredns", "--serviceaccount="+ourNamespace+":coredns")
}

// calm waits until nothing of an earlier row is to be seen: every server answers what is right, and all nodes are
// connected.
func (s *stage) calm() {
	s.seen(2 * patience)
	for _, m := range s.meshes {
		s.within(4*patience, "the nodes of "+m.name+" are connected", func() error { return s.connected(m) })
	}
}

// seen waits until every server answers what is right, and has nothing else be right from then on.
func (s *stage) seen(patience time.Duration) {
	for _, r := range slices.Concat(s.replicas, s.extras) {
		if !r.theirs && r.process.Ended() == nil {
			s.within(patience, r.name+" answers what is right", r.answers)
		}
	}
	for _, m := range s.allMeshes() {
		m.settled()
	}
}

// recovers waits for *kubernetes*, too, as far as it can.
func (s *stage) recovers() {
	for _, r := range s.kubernetes {
		if err := eventually(patience, r.name+" recovers", r.answers); err != nil {
			s.Log(err)
			r.process.Stop(0)
			s.must(r.launch())
		}
	}
	if err := eventually(patience, "the nodes of kubernetes recover", func() error { return s.connected(s.other) }); err != nil {
		s.Log(err)
	}
}

// still waits until no node has lost another for some time. Nodes that have just found each other may do so, and
// the answers that they have had are not to blame.
func (s *stage) still() {
	count, since := 0, time.Now()
	s.within(4*patience, "no node loses another", func() error {
		var err error
		for _, m := range s.meshes {
			err = errors.Join(err, s.connected(m))
		}
		if now := len(s.downs(s.allMeshes()...)); now != count || err != nil {
			count, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return errors.Join(err, errors.New("until now"))
		}
		return nil
	})
}

// trim deletes the nodes that are more than usual. After a row that has failed there may be some.
func (s *stage) trim() {
	for _, m := range s.meshes {
		surplus := m.pods[meshSize:]
		s.change(m, m.pods[:meshSize:meshSize], meshSize)
		s.remove(surplus...)
	}
}

// grow has a node more in the clusters that are looked up in different ways.
func (s *stage) grow() {
	for _, m := range s.meshes[:2] {
		p := m.pod(s.address(), "more-")
		s.change(m, append(slices.Clone(m.pods), p), meshSize)
		s.create(m, p)
	}
}

// shrinks takes it away again, once it has been seen.
func (s *stage) shrinks() {
	s.calm()
	s.trim()
	s.calm()
}

// faultTime is how long a fault lasts, unless a row says otherwise.
const faultTime = 12 * time.Second

// through has a fault come and go, with a change while it lasts: that has to be seen when it is over.
func (s *stage) through(fault, heal func()) {
	fault()
	s.grow()
	time.Sleep(faultTime)
	heal()
	s.shrinks()
}

// gauge waits until a metric of CoreDNS has a value. The metric held_clusters counts clusters whose vanished members are still
// listed, and doubted_clusters those whose probes are not believed.
func (s *stage) gauge(name string, want int) { s.replicas[0].gauge(name, want, want) }
