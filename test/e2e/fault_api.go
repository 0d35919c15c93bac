package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// apiRows: what can become of the API server and its store. Each has a control plane to itself.
func apiRows() []row {
	return []row{
		{name: "fault-api-killed", struck: []string{"unreachable"}, what: "the API server is killed, and started again", try: func(s *stage) {
			s.away()
			s.lasts(faultTime)
			s.back()
			s.grow()
			s.calm()
			s.shrink()
		}},
		{name: "fault-410", struck: []string{"expired"}, what: "what CoreDNS has seen last is compacted away while it is put off, so that it has to read everything again", try: forgotten},
	}
}

// forgotten has CoreDNS come back with a version that nobody knows any more. It is put off, not cut off: after that it
// would not go on from any version.
func forgotten(s *stage) {
	i := s.interceptWatches()
	i.refuse(http.StatusTooManyRequests)
	s.grow()
	s.compact()
	s.away()
	s.back()
	s.lasts(faultTime / 2)
	i.answers(nil)
	s.calm()
	s.shrink()
	s.proxy.lead(apiAddress)
}

// storeRows: what can become of etcd.
func storeRows() []row {
	return []row{
		{name: "fault-etcd-restored", struck: []string{"unreachable"}, what: "etcd is killed, and restored from a copy that is older, its versions being raised as they should be", try: func(s *stage) { restored(s, true) }},
		{name: "fault-etcd-wiped", struck: []string{"unreachable"}, what: "etcd is killed and restored empty; all objects are made anew within `hold`: until then nobody is missing, then those are answered that are back", try: wiped},
	}
}

// olderRows has a stage to itself, for it takes long.
func olderRows() []row {
	return []row{
		{name: "fault-etcd-goes-back", struck: []string{"unreachable"}, what: "etcd is killed, and restored from a copy that is older, without its versions being raised", try: func(s *stage) { restored(s, false) }},
	}
}

func stoppedRows() []row {
	return []row{
		{name: "fault-api-stopped", struck: []string{"silent", "unreachable"}, what: "the API server is stopped for two minutes: it takes connections and answers nothing", try: func(s *stage) {
			api := s.partNamed("kube-apiserver")
			api.signal(syscall.SIGSTOP)
			s.lasts(2 * time.Minute)
			api.signal(syscall.SIGCONT)
			s.freshKubelet()
			s.grow()
			s.calm()
			s.shrink()
		}},
	}
}

// back starts again what away has ended, with a fresh kubelet.
func (s *stage) back() {
	s.trial.back()
	s.freshKubelet()
}

// freshKubelet has the kubelet of ours look anew; by itself it might not for a minute. What runs goes on.
func (s *stage) freshKubelet() {
	old := s.kubelet
	old.close()
	fresh, err := newKubelet(s.ctx, s.bed)
	s.must(err)
	fresh.mu.Lock()
	fresh.owners, fresh.given, fresh.cables = old.owners, old.given, old.cables
	fresh.mu.Unlock()
	s.kubelet = fresh
	for _, ns := range []string{s.ours, s.theirs} {
		fresh.look(ns)
	}
}

// withStore has something done to etcd's directory while etcd and the API server are down, and waits until they are back.
// Its versions are raised above all that there have been, or not.
func (s *stage) withStore(raised bool, do func(dir string) error) {
	was := s.revision()
	s.away()
	s.partNamed("etcd").stop(0)
	s.must(do(filepath.Join(s.bed.dir, "etcd")))
	s.lasts(faultTime / 2)
	s.must(s.respawn("etcd"))
	if raised {
		s.bump(was + 1000)
	}
	s.back()
	s.note("etcd was at %d, and is at %d", was, s.revision())
}

func restored(s *stage, raised bool) {
	copied := filepath.Join(s.bed.dir, "etcd-copy")
	s.withStore(true, func(dir string) error { return os.CopyFS(copied, os.DirFS(dir)) })
	s.calm()
	s.grow()
	s.calm()
	s.shrink() // so that the members are those of the copy, but not its versions
	if !raised {
		// An API server that has just started may forbid all for a moment: then everything is read anew in any case.
		s.proxy.now(wireFault{cut: true})
	}
	s.withStore(raised, func(dir string) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.Rename(copied, dir)
	})
	s.proxy.now(wireFault{})
	if raised {
		s.calm()
	}
	s.grow()
	s.seen(silence)
	s.calm()
	s.shrink()
}

func wiped(s *stage) {
	s.withStore(true, os.RemoveAll)
	// The nodes run on, whatever the API server knows of them.
	given := make(map[string]types.UID)
	s.kubelet.mu.Lock()
	for uid, g := range s.kubelet.given {
		if g.owner == s.trial && g.process != nil {
			given[g.process.name] = uid
		}
	}
	s.kubelet.mu.Unlock()
	_, err := s.client.CoreV1().Nodes().Create(s.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fakeNode}}, metav1.CreateOptions{})
	s.must(err)
	policies := make(map[string]podPolicy)
	for _, ns := range []string{s.ours, s.theirs} {
		s.mu.Lock()
		policies[ns] = s.policies[ns]
		s.mu.Unlock()
		s.policy(ns, podPolicy{unaddressed: true})
		_, err := s.client.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
		s.must(err)
	}
	s.account(s.ours)
	s.allow(true)
	s.held(len(s.clusters)) // CoreDNS has read that there is nobody
	s.lasts(faultTime)
	for _, c := range s.allClusters() {
		// A second after the first member is back, those that are not back yet are none.
		s.judge(c, func(qtype string) *truth { return between(nil, c.values(qtype, c.pods), 1) })
		for _, p := range c.pods {
			s.leaves(c.node(p))
		}
		s.service(c.namespace, c.name)
		for _, p := range c.pods {
			s.create(c, p)
		}
		fresh, err := s.uids(c)
		s.must(err)
		s.kubelet.mu.Lock()
		for name, p := range fresh {
			if uid, ok := given[name]; ok {
				s.kubelet.given[p.UID] = s.kubelet.given[uid]
				delete(s.kubelet.given, uid)
			}
		}
		s.kubelet.mu.Unlock()
	}
	for ns, policy := range policies {
		s.policy(ns, policy)
	}
	s.held(0)
}

// held waits until so many clusters are answered with members that have vanished.
func (s *stage) held(want int) {
	s.soon(fmt.Sprintf("%d clusters are held", want), func() error {
		n, err := s.replicas[0].metric("coredns_longnames_held_clusters")
		if err == nil && int(n) != want {
			err = fmt.Errorf("%.0f are", n)
		}
		return err
	})
}
