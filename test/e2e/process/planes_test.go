package process

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// planes are two clusters of Kubernetes, each with a control plane of its own. Hosts are in the network of the first.
type planes [2]*bed

// TestPlanes has CoreDNS read members from both. The API server of one is killed, and both CoreDNS while it is away.
func TestPlanes(t *testing.T) {
	var p planes
	cluster.Many(t, 0, len(p), func(i int) {
		p[i] = &bed{Cluster: cluster.Start(t, cluster.Options{}), part: i + 1, name: "planes"}
		p[i].open(t, endpointSlices, listWatch)
	})
	const size, rate = 3, 500
	blocks := func(options ...string) string {
		return p.blocks(t, unitedZone+" 10.in-addr.arpa", append(options, "startup_timeout 1s")...)
	}
	u := &united{t: t, planes: p, modules: cluster.Modules(t, "cluster.erl", "clients.erl", "downs.erl"),
		nodes: make(map[string]*node), left: make(map[string]bool)}
	for i := range 2 {
		s := p.server(t, i, blocks("snapshot "+t.TempDir()+"/%d.json"))
		s.may(unreachable)
		s.may(justStarted)
		s.may(`plugin/errors: 2 node-.*: no next plugin found`) // a node asks for its own host
		s.start()
		u.servers = append(u.servers, s)
	}
	u.Checker = &watch.Checker{From: p[0].NewHost(t, "clients", p[0].address(5)), Rate: rate, Retried: true}
	for _, s := range u.servers {
		u.Servers = append(u.Servers, s.Address)
	}
	for _, qtype := range []string{"SRV", "TXT", "A"} {
		u.Questions = append(u.Questions, &watch.Question{Name: unitedZone, Type: qtype})
	}
	cluster.Many(t, 0, 2*size, func(i int) { u.run(i%2, i/2) })
	for _, b := range p {
		b.shop(t, 0, size)
	}
	u.sizes = [2]int{size, size}
	u.settles()
	since := time.Now() // nodes that have just found each other may lose each other again
	soon(t, "all nodes are connected, and stay so", func() error {
		err := u.connected()
		if err != nil {
			since = time.Now()
		} else if time.Since(since) < 3*time.Second {
			err = errors.New("not yet for long")
		}
		return err
	})
	for _, n := range u.nodes {
		n.seen = len(n.erl.Output())
	}
	u.Start(t.Context())
	defer u.judge()
	begin := time.Now()
	step := func(what string) { t.Logf("%5.1f s: %s, %d questions", time.Since(begin).Seconds(), what, u.Asked()) }

	step("the API server of one is killed")
	p[1].Part("kube-controller-manager").Stop(0)
	p[1].Part("kube-apiserver").Stop(0)
	u.change(0, size+1)
	step("the other one has one member more")
	for _, s := range u.servers { // a client that one refuses finds the other one there
		s.process.Stop(0)
		time.Sleep(3 * time.Second)
		s.start()
		s.logs(`plugin/longnames: ` + unitedZone + `\. snapshot: \d+ objects? of .* ago`)
		time.Sleep(3 * time.Second)
	}
	step("both CoreDNS have been killed and started")
	u.settles()
	u.change(0, size)
	step("a member has left")
	cold := p.server(t, 3, blocks()) // which has no snapshot
	cold.may(unreachable)
	cold.may(justStarted)
	cold.start()
	for i, b := range p {
		want := []string{b.address(10), "SERVFAIL"}[i]
		cold.wants(watch.Reverse(b.address(10)), "PTR", want)
	}
	cold.rcode(unitedZone, "TXT", dns.RcodeServerFailure)
	assert.Error(t, cold.ready(), "only some of the members are known")
	p[1].Restart(t, "kube-apiserver")
	p[1].Back(t)
	step("the API server is back")
	u.change(1, size+1)
	step("its cluster has one member more")
	u.change(1, size)
	step("a member has left there")
	for _, s := range append(u.servers, cold) {
		soon(t, "CoreDNS is ready", s.ready)
		s.wants(unitedZone, "TXT", u.values("shop@%s", u.sizes)...)
		s.counts(2*size, "members", `zone="`+unitedZone+`."`)
	}
}

// localAPIServer is where hosts find the API server of the second cluster. Its certificate has that address.
const localAPIServer = "127.0.0.1:6443"

const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
	"clusters": [{"name": "e2e", "cluster": {"server": "https://%[1]s", "certificate-authority": "%[2]s/ca.crt"}}],
	"users": [{"name": "coredns", "user": {"tokenFile": "%[2]s/token"}}],
	"contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "coredns", "namespace": "%[3]s"}}]}`

// blocks are those of a zone, one a cluster. An option has the number of the cluster for %d.
func (p planes) blocks(t *testing.T, zone string, options ...string) (out string) {
	t.Helper()
	for i, api := range []string{cluster.APIServer, localAPIServer} {
		file := write(t, t.TempDir()+"/kubeconfig", fmt.Sprintf(kubeconfig, api, p[i].account, p[i].prod))
		out += strings.NewReplacer("service_account "+p[i].account, "kubeconfig "+file, "%d", fmt.Sprint(i)).
			Replace(p[i].block(zone, options...))
	}
	return out
}

// server prepares a CoreDNS on a host that reaches both API servers.
func (p planes) server(t *testing.T, n int, blocks string) *server {
	t.Helper()
	s := p[0].server(t, n, blocks)
	l, err := s.Listen("tcp", localAPIServer)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := p[1].Config.Dial(t.Context(), "tcp", cluster.APIServer)
				if err != nil {
					return // as if it had been refused
				}
				go func() {
					defer far.Close()
					_, _ = io.Copy(far, near)
				}()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return s
}

// united is a cluster of Erlang nodes whose pods are in both clusters of Kubernetes, and the CoreDNS that they ask.
type united struct {
	*watch.Checker
	t       *testing.T
	planes  planes
	servers []*server
	modules string
	sizes   [2]int     // each has members from number 10 on
	mu      sync.Mutex // protects nodes while some are started
	nodes   map[string]*node
	left    map[string]bool // nodes that have been told to leave
}

// node is an Erlang node.
type node struct {
	*cluster.Host
	erl  *cluster.Process
	seen int // of its output, when nodes began to be missed
}

const unitedZone = "shop.internal"

// Errors that CoreDNS logs of an API server that has been killed, and of one that has just started: it forbids all for a
// moment.
const (
	unreachable = `API server cannot be reached: .*(: EOF|connection reset by peer|connection refused|GOAWAY)`
	justStarted = `API server forbids `
)

// values are what is right to answer for some sizes.
func (u *united) values(form string, sizes [2]int) (out []string) {
	for i, b := range u.planes {
		out = append(out, b.some(10, 10+sizes[i], form)...)
	}
	return out
}

// expect accepts all sets from some sizes to others.
func (u *united) expect(before, after [2]int) {
	for i, form := range []string{"%s", "shop@%s", "%s"} {
		u.Questions[i].Expect(watch.Between(u.values(form, before), u.values(form, after),
			min(before[0]+before[1], after[0]+after[1])))
	}
}

// settles waits until all servers answer with all members, and accepts nothing else.
func (u *united) settles() {
	u.t.Helper()
	for _, s := range u.servers {
		for i, q := range []string{"SRV", "TXT", "A"} {
			s.wants(unitedZone, q, u.values([]string{"%s", "shop@%s", "%s"}[i], u.sizes)...)
		}
		for i, b := range u.planes {
			address := b.address(10 + u.sizes[i] - 1)
			s.wants(watch.Reverse(address), "PTR", address)
		}
	}
	u.expect(u.sizes, u.sizes)
}

// change has one cluster have another number of members, and waits until all see that.
func (u *united) change(plane, size int) {
	u.t.Helper()
	b, before := u.planes[plane], u.sizes
	u.sizes[plane] = size
	u.expect(before, u.sizes)
	for i := before[plane]; i < size; i++ {
		u.run(plane, i)
	}
	b.shop(u.t, before[plane], size)
	for i := size; i < before[plane]; i++ {
		name := "shop@" + b.address(10+i)
		u.left[name] = true
		u.nodes[name].Close()
	}
	b.close(u.t, size, before[plane])
	u.settles()
	soon(u.t, "all nodes are connected", u.connected)
}

// run starts the node of a pod. Some ask for addresses, and some for longnames.
func (u *united) run(plane, i int) {
	address := u.planes[plane].address(10 + i)
	h := u.planes[0].NewHost(u.t, "node-"+strings.ReplaceAll(address, ".", "-"), address)
	h.Resolve(u.t, u.planes[0].address(0), u.planes[0].address(1))
	name := "shop@" + address
	erl := h.Erl(u.t, name, "-pa", u.modules, "-setcookie", "planes",
		"-s", "downs", "main", "-s", "cluster", "main", "-extra", []string{"a", "txt"}[i%2], unitedZone+".", "shop")
	u.mu.Lock()
	defer u.mu.Unlock()
	u.nodes[name] = &node{Host: h, erl: erl}
}

// connected is an error until each node has found all others, and is connected to these.
func (u *united) connected() error {
	all := u.values("shop@%s", u.sizes)
	for _, name := range all {
		n := u.nodes[name]
		if err := errors.Join(n.erl.Ended(), watch.Meshed(name, n.erl.Output(), all)); err != nil {
			return err
		}
	}
	return nil
}

// judge wants no answer to have been wrong, and no node to have been lost.
func (u *united) judge() {
	counts := u.End()
	u.t.Logf("%d questions, wrong: %s, the longest took %s", counts.Asked, counts.Kinds(), counts.Longest.Round(time.Millisecond))
	assert.NoError(u.t, counts.Err())
	for name, n := range u.nodes {
		assert.Empty(u.t, watch.Lost(n.erl.Output()[n.seen:], u.left), "%s has lost nodes that live", name)
	}
}
