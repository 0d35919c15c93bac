package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stage is where rows of the matrix are tried, one after the other: three clusters of real nodes that ask *longnames*,
// one that asks *kubernetes*, and what these watch through a wire of their own. Stages stand side by side.
type stage struct {
	*trial
	matrix *matrix
	plan   *plan
	proxy  *wire

	ours, theirs   string // namespaces
	clusters       []*cluster
	other          *cluster // its nodes ask *kubernetes*
	questionsOf    map[*cluster][]*question
	theirQuestions []*question

	replicas   []*replica // of *longnames*, which all of our nodes ask
	kubernetes []*replica // as many of *kubernetes*, which all of theirs ask
	extras     []*replica // for the row at hand, which no node asks

	left map[string]bool // nodes that have been told to leave
	more int             // nodes that have been added
	made int             // replicas that have been made for single rows
}

// plan is what a stage is for.
type plan struct {
	name     string
	own      bool // it has a control plane of its own, to be harmed
	crowd    bool // there are many pods besides
	replicas int  // of each kind
	// deployment has the cluster that is called shop be one.
	deployment bool
	options    string   // of each longnames block
	env        []string // of each CoreDNS
	rows       []row
}

// set builds the stage.
func (s *stage) set() {
	s.left = make(map[string]bool)
	s.must(batch(s.ctx, in(s.plane.name, "addr replace "+apiSide+"/16 dev br0", "addr replace 10.255.255.254/8 dev br0")...))
	s.proxy = s.newWire()
	for i := range s.plan.replicas {
		s.replicas = append(s.replicas, s.newReplica(fmt.Sprintf("longnames%d", i), i))
		s.kubernetes = append(s.kubernetes, s.newTheirs(fmt.Sprintf("kubernetes%d", i), 5+i))
	}

	s.ours = s.namespace("ours", podPolicy{process: s.process, servers: addressesOfReplicas(s.replicas)})
	s.theirs = s.namespace("theirs", podPolicy{process: s.process, servers: addressesOfReplicas(s.kubernetes)})
	s.newClusters()
	s.account(s.ours)
	s.allow(true)
	s.writeKubeconfig()
	for _, r := range s.replicas {
		r.configure(s.plan.options, "")
	}
	for _, r := range s.kubernetes {
		r.configure("", "")
	}
	s.many(len(s.allClusters()), func(i int) { s.populate(s.allClusters()[i]) })
	s.newQuestions()
	for _, r := range s.everyReplica() {
		r.launch()
	}
	s.calm()
}

func addressesOfReplicas(replicas []*replica) []string {
	out := make([]string, 0, len(replicas))
	for _, r := range replicas {
		out = append(out, r.address)
	}
	return out
}

func (s *stage) everyReplica() []*replica {
	return slices.Concat(s.replicas, s.kubernetes, s.extras)
}

// blocks are all longnames blocks of the stage.
func (s *stage) blocks(options string) string {
	var out strings.Builder
	for _, c := range s.clusters {
		out.WriteString(c.block(s.server.account, strings.ReplaceAll(options, "ZONE", c.zone)))
	}
	return out.String()
}

func (s *stage) kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") }

// writeKubeconfig has *kubernetes* use the same account: it takes no directory for it.
func (s *stage) writeKubeconfig() {
	s.must(os.WriteFile(s.kubeconfig(), fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%s", certificate-authority: %s}}]
users: [{name: coredns, user: {tokenFile: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: coredns}}]
current-context: e2e
`, s.proxy.address(), s.pki.Path("ca.crt"), filepath.Join(s.server.account, "token")), 0o600))
}

// theirBlock is what a Corefile has for *kubernetes*.
func (s *stage) theirBlock(options string) string {
	return fmt.Sprintf("kubernetes cluster.local {\nkubeconfig %s\n%s\n}\n", s.kubeconfig(), options)
}

// allow gives the account its rights, or takes them away. They are those of *kubernetes*, which needs more.
func (s *stage) allow(yes bool) {
	name := "matrix-" + s.name
	roles, bindings := s.client.RbacV1().ClusterRoles(), s.client.RbacV1().ClusterRoleBindings()
	if !yes {
		s.must(bindings.Delete(s.ctx, name, metav1.DeleteOptions{}))
		s.must(roles.Delete(s.ctx, name, metav1.DeleteOptions{}))
		return
	}
	verbs := []string{"list", "watch"}
	_, err := roles.Create(s.ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods", "services", "namespaces"}, Verbs: verbs},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: verbs},
		},
	}, metav1.CreateOptions{})
	s.must(err)
	_, err = bindings.Create(s.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "coredns", Namespace: s.ours}},
	}, metav1.CreateOptions{})
	s.must(err)
}

// leaves has it be no loss when a node goes.
func (s *stage) leaves(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[node] = true
}

// calm waits until nothing of an earlier row is to be seen: every server answers what is right, and all nodes are
// connected.
func (s *stage) calm() {
	s.seen(2 * patience)
	for _, c := range s.clusters {
		s.within(2*patience, "the nodes of "+c.name+" are connected", func() error { return s.connected(c) })
	}
}

// seen waits until every server answers what is right, and has nothing else be right from then on.
func (s *stage) seen(patience time.Duration) {
	for _, r := range slices.Concat(s.replicas, s.extras) {
		if r.theirs || r.process.ended() != nil {
			continue
		}
		s.within(patience, r.name+" answers what is right", func() error { return s.answered(r) })
	}
	for _, c := range s.allClusters() {
		s.settled(c)
	}
}

// forget has all nodes be missed again.
func (s *stage) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.left)
}

// recovers waits for *kubernetes*, too, as far as it can.
func (s *stage) recovers() {
	for _, r := range s.kubernetes {
		if err := eventually(s.ctx, patience, func() error { return s.answered(r) }); err != nil {
			s.note("%s does not recover: %v", r.name, err)
			r.kill()
			r.launch()
		}
	}
	if err := eventually(s.ctx, patience, func() error { return s.connected(s.other) }); err != nil {
		s.note("the nodes of kubernetes do not: %v", err)
	}
}

// stillTime is for how long no node may lose another before a row begins. Those that have just found each other may do
// so, without any fault of who told them of each other.
const stillTime = 3 * time.Second

func (s *stage) still() {
	count := func() (n int) {
		for _, c := range s.allClusters() {
			downs, _ := s.downs(c)
			n += downs
		}
		return n
	}
	n, since := count(), time.Now()
	s.within(4*patience, "no node loses another", func() error {
		if now := count(); now != n {
			n, since = now, time.Now()
		}
		for _, c := range s.clusters {
			if err := s.connected(c); err != nil {
				since = time.Now()
				return err
			}
		}
		if time.Since(since) < stillTime {
			return errors.New("until now")
		}
		return nil
	})
}

// processes gives the nodes of a cluster.
func (s *stage) processes(c *cluster) (map[string]*process, error) {
	running, err := s.uids(c)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*process, len(c.pods))
	for _, p := range c.pods {
		process, _ := s.kubelet.process(running[p.Name].UID)
		if process == nil {
			return nil, fmt.Errorf("%s does not run", p.Name)
		}
		if err := process.ended(); err != nil {
			return nil, err
		}
		out[c.node(p)] = process
	}
	return out, nil
}

// connected is an error until each node of a cluster has found all others, and is connected to these.
func (s *stage) connected(c *cluster) error {
	processes, err := s.processes(c)
	if err != nil {
		return err
	}
	for node, p := range processes {
		var others []string
		for other := range processes {
			if other != node {
				others = append(others, other)
			}
		}
		for _, what := range []string{"FOUND", "NODES"} {
			line, ok := p.last(what + " ")
			if !ok {
				return fmt.Errorf("%s says nothing yet", node)
			}
			if err := same(what+" of "+node, strings.Fields(line), others); err != nil {
				return err
			}
		}
	}
	return nil
}

// downs counts how often nodes of a cluster have lost one that was not told to leave.
func (s *stage) downs(c *cluster) (n int, last []string) {
	s.kubelet.mu.Lock()
	var outputs []string
	for _, g := range s.kubelet.given {
		if g.owner == s.trial && g.process != nil && strings.HasPrefix(g.process.name, c.name+"-") {
			outputs = append(outputs, g.process.output())
		}
	}
	s.kubelet.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, out := range outputs {
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(line, "DOWN "); ok {
				node, _, _ := strings.Cut(rest, " ")
				if !s.left[node] {
					n++
					last = append(last, strings.TrimSpace(rest))
				}
			}
		}
	}
	return n, last
}
