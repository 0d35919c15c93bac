package faults

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ready makes pods of each cluster ready (+) or not (-), once or several times, each for longer than nodes wait until they
// ask again.
func (s *stage) ready(steps ...string) {
	for _, pods := range steps {
		for _, m := range s.allMeshes() {
			for i, p := range m.pods {
				s.SetReady(s, m.namespace, p.Name, pods[i] == '+')
			}
		}
		time.Sleep(2 * time.Second)
	}
}

// replace replaces the member at i, as a controller does. Where it keeps its name, it has another address.
func (s *stage) replace(m *mesh, i int) {
	old, fresh := m.pods[i], m.pod(s.address(), "new-")
	if m.mode == "hostname" {
		fresh.Name, fresh.Spec.Hostname = old.Name, old.Spec.Hostname
	}
	s.change(m, slices.Delete(slices.Clone(m.pods), i, i+1), meshSize-1)
	s.remove(old)
	s.seen(announced, m)
	s.change(m, slices.Insert(slices.Clone(m.pods), i, fresh), meshSize-1)
	s.create(m, fresh)
	s.seen(patience, m)
}

// lostRows: members that fail or vanish, though nothing has announced their end. Those that live are in every answer, and
// the dead in none once hold is over. CoreDNS may be rolled while they are suspect.
func lostRows(rolled bool) []row {
	meanwhile := func(s *stage) {
		if rolled {
			s.roll(10*time.Second, (*replica).readily)
		}
	}
	// lose has some nodes of each cluster die, and then does what becomes of their pods. Ours that are looked up as pods
	// tell of their end, if they tell of anything.
	lose := func(s *stage, reason string, n int, die func(m *mesh, lost []corev1.Pod), then func()) {
		lost := make(map[*mesh][]corev1.Pod)
		for _, m := range s.allMeshes() {
			lost[m] = m.pods[:n]
			s.change(m, m.pods[n:], meshSize-n)
			for _, p := range lost[m] {
				s.nodes[p.Status.PodIP].host.Close()
			}
			die(m, lost[m])
		}
		if reason == "missing" {
			s.seen(announced, s.meshes[1])
		}
		then()
		s.suspects(reason, 2*n)
		begin := time.Now()
		meanwhile(s)
		s.suspects(reason, 2*n)
		s.seen(time.Until(begin.Add(hold+announced)), s.meshes[0], s.meshes[2])
		s.suspects(reason, 0)
		for m, pods := range lost {
			s.erase(m, pods...)
		}
		s.restock(patience)
	}
	rows := []row{
		{name: "most-lose-label",
			what: "three of five members lose their label for longer than `hold`, and get it back",
			try: func(s *stage) {
				s.relabel(3, "lost")
				s.suspects("missing", 3*len(s.meshes))
				meanwhile(s)
				time.Sleep(hold + announced)
				s.suspects("missing", 3*len(s.meshes))
				s.relabel(3, "")
				s.suspects("missing", 0)
			}},
		{name: "one-probe-fails",
			what: "one probe fails alone, and passes again within `hold`; then a node dies, and its probe fails for good",
			try: func(s *stage) {
				s.ready("-++++")
				s.suspects("failing", 2)
				meanwhile(s)
				s.ready("+++++")
				s.suspects("failing", 0)
				s.still()
				lose(s, "failing", 1, func(m *mesh, lost []corev1.Pod) {
					if m != s.meshes[1] { // which lists everybody always
						s.SetReady(s, m.namespace, lost[0].Name, false)
					}
				}, func() {})
			}},
		{name: "vanish-unannounced",
			what: "two of five members end while the controller of EndpointSlices is stopped, so that these never say so",
			try: func(s *stage) {
				s.Part("kube-controller-manager").Stop(0)
				lose(s, "missing", 2, func(m *mesh, lost []corev1.Pod) { s.erase(m, lost...) },
					func() { s.Restart(s, "kube-controller-manager") })
			}},
		{name: "evicted",
			what: "a pod is evicted by its kubelet, which says that it has failed, but not that it ends",
			try: func(s *stage) {
				lose(s, "missing", 1, func(m *mesh, lost []corev1.Pod) {
					s.UpdatePodStatus(s, m.namespace, lost[0].Name, func(status *corev1.PodStatus) {
						status.Phase, status.Reason = corev1.PodFailed, "Evicted"
						for i := range status.Conditions {
							status.Conditions[i].Status = corev1.ConditionFalse
						}
					})
				}, func() {})
			}},
	}
	for i := range rows {
		if rows[i].restarts = rolled; rolled {
			rows[i].what += "; two CoreDNS are restarted meanwhile, one after the other"
		}
	}
	return rows
}

// relabel changes the label of some pods of each cluster, or gives them back their own.
func (s *stage) relabel(n int, label string) {
	for _, m := range s.allMeshes() {
		args := []string{"label", "--overwrite", "--namespace", m.namespace, "pod"}
		for _, p := range m.pods[:n] {
			args = append(args, p.Name)
		}
		// At once, or some would be given up before others are missing.
		s.Kubectl(s, append(args, "app="+cmp.Or(label, m.name))...)
	}
}

// erase deletes pods at once, if they are still there.
func (s *stage) erase(m *mesh, pods ...corev1.Pod) {
	for _, p := range pods {
		s.Kubectl(s, "delete", "pod", p.Name, "--namespace", m.namespace, "--ignore-not-found", "--force", "--grace-period=0")
	}
}
