package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// meshSize is how many nodes each cluster has when nothing changes.
const meshSize = 5

// mesh is a cluster of Erlang nodes that live through the faults of a stage.
type mesh struct {
	name      string // also of its app, its Service and its nodes' basename
	namespace string
	zone      string // if its nodes ask *longnames*
	mode      string
	lookup    string
	kind      string // what its nodes ask for
	pods      []corev1.Pod
	// questions to *kubernetes* (true) are by the name of the Service, those to *longnames* by that of the zone.
	questions map[bool][]*watch.Question
}

// newMeshes makes clusters that differ in how they are named, looked up and asked for.
func (s *stage) newMeshes() {
	s.meshes = []*mesh{
		{name: "shop", mode: "ip", lookup: "endpoints", kind: "a"},
		{name: "cart", mode: "dns", lookup: "pods", kind: "txt"},
		{name: "queue", mode: "hostname", lookup: "endpoints", kind: "srv"},
	}
	s.other = &mesh{name: "other", namespace: theirNamespace, mode: "ip", kind: "a"}
	for _, m := range s.allMeshes() {
		m.questions = make(map[bool][]*watch.Question)
		if m != s.other {
			m.namespace, m.zone = ourNamespace, m.name+".erl.internal"
			for _, qtype := range []string{"SRV", "TXT", "A"} {
				m.questions[false] = append(m.questions[false], &watch.Question{Name: m.zone, Type: qtype})
			}
		}
		m.questions[true] = []*watch.Question{{Name: m.name + "." + m.namespace + ".svc.cluster.local", Type: "A"}}
		for range meshSize {
			m.pods = append(m.pods, m.pod(s.address(), ""))
		}
		m.settled()
	}
}

func (s *stage) allMeshes() []*mesh { return append(slices.Clone(s.meshes), s.other) }

// block is what a Corefile has for the cluster.
func (m *mesh) block(account, options string) string {
	if m.mode != "ip" {
		options += "\ncluster_domain " + m.zone
	}
	return fmt.Sprintf("longnames %s {\nservice_account %s\nnamespaces %s\nselector app=%s\nlookup %s\nmode %s\nbasename %s\n%s\n}\n",
		m.zone, account, m.namespace, m.name, m.lookup, m.mode, m.name, options)
}

// pod returns one with an address that nobody else has, and a name after that.
func (m *mesh) pod(address, infix string) corev1.Pod {
	name := fmt.Sprintf("%s-%s%s", m.name, infix, strings.ReplaceAll(address, ".", "-"))
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: name, Labels: app(m.name)},
		Spec:       corev1.PodSpec{Hostname: name, Subdomain: m.name},
		Status:     corev1.PodStatus{PodIP: address},
	}
}

func app(name string) map[string]string { return map[string]string{"app": name} }

func (m *mesh) host(p corev1.Pod) string { return watch.Host(m.mode, p, m.zone) }

func (m *mesh) node(p corev1.Pod) string { return m.name + "@" + m.host(p) }

// values are what is right to answer for some pods.
func (m *mesh) values(qtype string, pods []corev1.Pod) (out []string) {
	for _, p := range pods {
		out = append(out, map[string]string{"TXT": m.node(p), "SRV": m.host(p), "A": p.Status.PodIP}[qtype])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// expect says what is right to answer from now on.
func (m *mesh) expect(right func(qtype string) *watch.Truth) {
	for _, q := range slices.Concat(m.questions[false], m.questions[true]) {
		q.Expect(right(q.Type))
	}
}

// settled accepts nothing but the cluster's members.
func (m *mesh) settled() {
	m.expect(func(qtype string) *watch.Truth { return watch.Exactly(m.values(qtype, m.pods)) })
}

// change says what a cluster is going to be, before that comes about. From then on answers can be anything from what it
// was to what it will be, of no less than so many.
func (s *stage) change(m *mesh, after []corev1.Pod, least int) {
	m.expect(func(qtype string) *watch.Truth {
		return watch.Between(m.values(qtype, m.pods), m.values(qtype, after), least)
	})
	for _, p := range m.pods {
		if !slices.ContainsFunc(after, func(a corev1.Pod) bool { return a.Name == p.Name && a.Status.PodIP == p.Status.PodIP }) {
			s.left[m.node(p)] = true
		}
	}
	m.pods = after
}

// node is an Erlang node.
type node struct {
	host *cluster.Host
	erl  *cluster.Process
	mesh *mesh
	seen int // of its output, when the row began
}

// start starts the node of a pod.
func (s *stage) start(m *mesh, p corev1.Pod) {
	servers := []string{s.kubernetes.Address}
	if m != s.other {
		servers = nil
		for _, r := range s.replicas {
			servers = append(servers, r.Address)
		}
	}
	// The names of two hosts differ, and those of two pods, of which one replaces the other, may not.
	name := fmt.Sprintf("%s-%s", m.name, strings.ReplaceAll(p.Status.PodIP, ".", "-"))
	h := s.NewHost(s, name, p.Status.PodIP)
	h.Resolve(s, servers...)
	erl := h.Erl(s, m.node(p), "-pa", s.modules, "-setcookie", "faults",
		"-s", "downs", "main", "-s", "cluster", "main", "-extra", m.kind, m.questions[m == s.other][0].Name+".", m.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[p.Status.PodIP] = &node{host: h, erl: erl, mesh: m}
}

// create creates a pod that is a node.
func (s *stage) create(m *mesh, p corev1.Pod) {
	s.start(m, p)
	s.declare(p)
}

// declare creates a pod whose node runs.
func (s *stage) declare(p corev1.Pod) {
	s.CreatePod(s, &p, true, p.Status.PodIP)
}

// remove deletes pods whose nodes have ended. If others disconnected one that lives on for a moment, OTP would have
// them disconnect each other, too, to prevent overlapping partitions.
func (s *stage) remove(pods ...corev1.Pod) {
	for _, p := range pods {
		if n := s.nodes[p.Status.PodIP]; n != nil {
			n.host.Close()
		}
		s.DeletePod(s, p.Namespace, p.Name)
	}
}

// forget misses all nodes from now on.
func (s *stage) forget() {
	clear(s.left)
	for _, n := range s.nodes {
		n.seen = len(n.erl.Output())
	}
}

// downs are the times that a node of some clusters has lost one that was not told to leave.
func (s *stage) downs(meshes ...*mesh) (out []string) {
	for _, n := range s.nodes {
		if slices.Contains(meshes, n.mesh) {
			out = append(out, watch.Lost(n.erl.Output()[n.seen:], s.left)...)
		}
	}
	return out
}

// connected is an error until each node of a cluster has found all others, and is connected to these.
func (s *stage) connected(m *mesh) error {
	all := m.values("TXT", m.pods)
	for _, p := range m.pods {
		n := s.nodes[p.Status.PodIP]
		if err := errors.Join(n.erl.Ended(), watch.Meshed(m.node(p), n.erl.Output(), all)); err != nil {
			return err
		}
	}
	return nil
}
