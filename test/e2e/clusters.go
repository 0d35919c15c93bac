package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clusterSize is how many nodes each cluster has when nothing changes.
const clusterSize = 5

// cluster is one of those that live through the faults of a stage.
type cluster struct {
	name      string // also of its app, its Service and its nodes' basename
	namespace string
	zone      string // empty: its nodes ask *kubernetes*
	mode      string
	lookup    string
	kind      string // what its nodes ask for
	first     int    // the last part of the first address that is its own
	pods      []corev1.Pod
}

// clusters are all that differ in how they are named, looked up and asked for.
func (s *stage) newClusters() {
	ours := func(i int, name, mode, lookup, kind string) *cluster {
		return &cluster{name: name, namespace: s.ours, zone: name + ".erl.internal", mode: mode, lookup: lookup, kind: kind, first: 100 * i}
	}
	s.clusters = []*cluster{
		ours(1, "shop", "ip", "endpoints", "a"),
		ours(2, "cart", "dns", "pods", "txt"),
		ours(3, "queue", "hostname", "endpoints", "srv"),
	}
	s.other = &cluster{name: "other", namespace: s.theirs, mode: "ip", kind: "a", first: 400}
}

func (s *stage) allClusters() []*cluster { return append(slices.Clone(s.clusters), s.other) }

// block is what a Corefile has for the cluster.
func (c *cluster) block(account, more string) string {
	options := ""
	if c.mode != "ip" {
		options = "cluster_domain " + c.zone
	}
	return fmt.Sprintf("longnames %s {\nservice_account %s\nnamespaces %s\nselector app=%s\nlookup %s\nmode %s\nbasename %s\n%s\n%s\n}\n",
		c.zone, account, c.namespace, c.name, c.lookup, c.mode, c.name, options, more)
}

// asks gives the name that its nodes ask for.
func (c *cluster) asks() string {
	if c.zone == "" {
		return c.name + "." + c.namespace + ".svc.cluster.local."
	}
	return c.zone + "."
}

// podAt is a pod that has a place in the cluster, with an address that nobody else has.
func (s *stage) podAt(c *cluster, name string, n int) corev1.Pod {
	var p corev1.Pod
	p.Name, p.Namespace = name, c.namespace
	p.Spec.Hostname, p.Spec.Subdomain = name, c.name
	p.Status.PodIP = s.address("4", c.first+n)
	return p
}

// create makes a pod that is a node.
func (s *stage) create(c *cluster, p corev1.Pod) {
	s.pod(c.namespace, c.name, p.Name, p.Status.PodIP, hosted(c.name))
}

// populate makes a cluster's objects and its nodes.
func (s *stage) populate(c *cluster) {
	s.service(c.namespace, c.name)
	if s.plan.deployment && c.name == "shop" {
		s.deployment(c.namespace, clusterSize)
		c.pods = s.podsNow(c, clusterSize)
		return
	}
	for i := range clusterSize {
		p := s.podAt(c, fmt.Sprintf("%s-%d", c.name, i), i)
		c.pods = append(c.pods, p)
		s.create(c, p)
	}
}

// node is the name of a pod's node.
func (c *cluster) node(p corev1.Pod) string { return c.name + "@" + hostOf(c.mode, p, c.zone) }

// values are what is right to answer for so many pods.
func (c *cluster) values(qtype string, pods []corev1.Pod) []string {
	out := make([]string, 0, len(pods))
	for _, p := range pods {
		switch qtype {
		case "TXT":
			out = append(out, c.node(p))
		case "SRV":
			out = append(out, hostOf(c.mode, p, c.zone))
		default:
			out = append(out, p.Status.PodIP)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// process makes a pod run as a node of a cluster of its namespace.
func (s *stage) process(pod *corev1.Pod, addresses []netip.Addr) command {
	i := slices.IndexFunc(s.allClusters(), func(c *cluster) bool { return c.name == pod.Labels["app"] })
	c := s.allClusters()[i]
	with := pod.DeepCopy()
	with.Status.PodIP = addresses[0].String()
	if with.Spec.Hostname == "" {
		with.Spec.Hostname = pod.Name
	}
	home := filepath.Join(s.dir, pod.Name)
	_ = os.MkdirAll(home, 0o700) // erl says so if it is missing
	return s.erl(home, "-name", c.node(*with), "-setcookie", s.name, "-kernel", "net_ticktime", "15",
		"-s", "downs", "main", "-s", "cluster", "main", "-extra", c.kind, c.asks(), c.name)
}

// change tells what a cluster is going to be, before that comes about. From then on answers can be anything from what
// it was to what it will be, of no less than so many.
func (s *stage) change(c *cluster, after []corev1.Pod, least int) {
	s.judge(c, func(qtype string) *truth { return between(c.values(qtype, c.pods), c.values(qtype, after), least) })
	for _, p := range c.pods {
		if !slices.ContainsFunc(after, func(a corev1.Pod) bool { return a.Name == p.Name && a.Status.PodIP == p.Status.PodIP }) {
			s.leaves(c.node(p))
		}
	}
	c.pods = after
}

// settled has nothing but the cluster's members be right.
func (s *stage) settled(c *cluster) {
	s.judge(c, func(qtype string) *truth { return exactly(c.values(qtype, c.pods)) })
}

func (s *stage) judge(c *cluster, right func(qtype string) *truth) {
	for _, q := range s.questionsOf[c] {
		q.right.Store(right(q.qtype))
	}
}

// newQuestions makes what is asked about each cluster: its lists, by the name of its zone or of its Service.
func (s *stage) newQuestions() {
	s.questionsOf = make(map[*cluster][]*question)
	for _, c := range s.clusters {
		for _, qtype := range []string{"SRV", "TXT", "A"} {
			s.questionsOf[c] = append(s.questionsOf[c], &question{name: c.asks(), qtype: qtype})
		}
	}
	// *kubernetes* is asked for the same pods, and for those whose nodes ask nobody else.
	for _, c := range s.allClusters() {
		q := &question{name: c.name + "." + c.namespace + ".svc.cluster.local.", qtype: "A"}
		s.questionsOf[c] = append(s.questionsOf[c], q)
		s.theirQuestions = append(s.theirQuestions, q)
	}
	for _, c := range s.allClusters() {
		s.settled(c)
	}
}

func (s *stage) ourQuestions() []*question {
	var out []*question
	for _, c := range s.clusters {
		for _, q := range s.questionsOf[c] {
			if !slices.Contains(s.theirQuestions, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

// answered is an error until a server's answers are what the clusters are now.
func (s *stage) answered(r *replica) error {
	questions := s.ourQuestions()
	if r.theirs {
		questions = s.theirQuestions
	}
	for _, q := range questions {
		c := s.clusterOf(q)
		m, err := s.askOne(r, q.name, q.qtype)
		if err != nil {
			return err
		}
		if err := same(r.name+": "+q.name+" "+q.qtype, data(m), c.values(q.qtype, c.pods)); err != nil {
			return err
		}
	}
	return nil
}

// askOne asks a server as a node does.
func (s *stage) askOne(r *replica, name, qtype string) (*dns.Msg, error) {
	ask := &resolver{from: s.plane, servers: []string{r.address}, conns: make([]net.Conn, 1)}
	defer ask.close()
	m, err := ask.resolve(s.ctx, dns.Fqdn(name), qtype)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, qtype, err)
	}
	return m, nil
}

func (s *stage) clusterOf(q *question) *cluster {
	for c, questions := range s.questionsOf {
		if slices.Contains(questions, q) {
			return c
		}
	}
	return nil
}

// podsNow gives the pods of a cluster as Kubernetes has them, once there are exactly n.
func (s *stage) podsNow(c *cluster, n int) []corev1.Pod {
	out := s.podsOf(c.namespace, c.name, n)
	for i := range out {
		if out[i].Spec.Hostname == "" {
			out[i].Spec.Hostname = out[i].Name
		}
	}
	return out
}

// uids finds the pods of a cluster that run.
func (s *stage) uids(c *cluster) (map[string]corev1.Pod, error) {
	list, err := s.client.CoreV1().Pods(c.namespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app=" + c.name})
	if err != nil {
		return nil, err
	}
	out := make(map[string]corev1.Pod)
	for _, p := range list.Items {
		out[p.Name] = p
	}
	return out, nil
}
