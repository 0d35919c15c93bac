package faults

import (
	"errors"
	"fmt"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// memberRows: what can become of the members.
func memberRows() []row {
	return []row{
		{name: "all-probes-fail", what: "all members stop being ready at once", try: func(s *stage) {
			s.probes(func(ready func(pods string)) {
				ready("-----")
				time.Sleep(faultTime)
				ready("+++++")
			})
		}},
		{name: "probes-one-by-one", what: "two members stop being ready at once, the others one after the other; some get ready again, and stop once more; then all do one by one", try: func(s *stage) {
			s.probes(func(ready func(pods string)) {
				ready("--+++")
				s.gauge("doubted_clusters", 2) // the third one lists everybody always
				ready("---++")
				ready("----+")
				ready("-----")
				time.Sleep(faultTime)
				ready("--+--")
				ready("+-++-")
				ready("-----")
				time.Sleep(faultTime)
				ready("--+--")
				ready("--++-")
				ready("+-++-")
				ready("+-+++")
				s.gauge("doubted_clusters", 2)
				ready("+++++")
				s.gauge("doubted_clusters", 0)
			})
		}},
		{name: "probes-include-all", what: "all members stop being ready one after the other, and get ready again, with `include all`", try: func(s *stage) {
			s.reloadWith("include all")
			s.probes(func(ready func(pods string)) {
				for _, pods := range []string{"-++++", "--+++", "---++", "----+", "-----", "+----", "++---", "+++--", "++++-", "+++++"} {
					ready(pods)
				}
			})
			s.reloadWith("")
		}},
		{name: "deployment-recreated", what: "a Deployment is deleted, and made anew some time later", try: func(s *stage) {
			m := s.meshes[0]
			s.change(m, s.toCome(), 1)
			s.Kubectl(s, "delete", "deployment", m.name, "--namespace", m.namespace)
			s.within(2*patience, "no pod is left", func() error { return s.kubelet(m, 0) })
			s.gauge("held_clusters", 1)
			time.Sleep(faultTime)
			s.deploy(m)
		}},
		{name: "rolling-update", what: "every member is replaced, one after the other", try: rolled},
	}
}

// probes lets a row say which pods are ready, in order, for longer than nodes wait until they ask again. It changes slices
// by hand: the controller would do so once or several times, as it happens.
func (s *stage) probes(try func(ready func(pods string))) {
	for _, m := range s.allMeshes() {
		s.selector(m, "null")
	}
	try(func(pods string) {
		for _, m := range s.allMeshes() {
			s.ready(m, pods)
		}
		time.Sleep(2 * time.Second)
	})
	for _, m := range s.allMeshes() {
		s.selector(m, fmt.Sprintf(`{"app": %q}`, m.name))
	}
}

// selector changes that of a Service. Without any, its slices are nobody's.
func (s *stage) selector(m *mesh, selector string) {
	s.Kubectl(s, "patch", "service", m.name, "--namespace", m.namespace, "--patch", `{"spec": {"selector": `+selector+`}}`)
}

// ready has pods of a cluster be ready (+) or not (-).
func (s *stage) ready(m *mesh, pods string) {
	is := make(map[string]bool)
	for i, p := range m.pods {
		is[p.Status.PodIP] = pods[i] == '+'
		s.SetReady(s, m.namespace, p.Name, pods[i] == '+')
	}
	endpoints := s.Client.DiscoveryV1().EndpointSlices(m.namespace)
	list, err := endpoints.List(s.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + m.name})
	s.must(err)
	for _, slice := range list.Items {
		for i := range slice.Endpoints {
			yes := is[slice.Endpoints[i].Addresses[0]]
			slice.Endpoints[i].Conditions.Ready, slice.Endpoints[i].Conditions.Serving = &yes, &yes
		}
		_, err := endpoints.Update(s.Context(), &slice, metav1.UpdateOptions{})
		s.must(err)
	}
}

// reloadWith adds options to those of all blocks, or takes them away again.
func (s *stage) reloadWith(options string) {
	for _, r := range s.replicas {
		r.configure(options, "", "")
		s.must(r.reload(true))
	}
}

// seenBy waits until all CoreDNS have seen a change.
func (s *stage) seenBy(what string) {
	for _, r := range s.replicas {
		s.within(patience, what, r.answers)
	}
}

// rolled updates a Deployment, of which four of five are there at any time. In the other clusters it does by hand what
// a controller does, so that at each step it is known what is right.
func rolled(s *stage) {
	deployed := s.meshes[0]
	s.change(deployed, s.toCome(), meshSize-1)
	s.Kubectl(s, "rollout", "restart", "deployment", deployed.name, "--namespace", deployed.namespace)
	want := deployed.values("A", deployed.pods)
	s.within(4*patience, "all pods of the Deployment are new", func() error {
		if err := s.kubelet(deployed, meshSize); err != nil {
			return err
		}
		if !slices.Equal(deployed.values("A", deployed.pods), want) {
			return errors.New("some are old")
		}
		return nil
	})
	s.seenBy("all of them are new")
	deployed.settled()
	for i := range meshSize {
		for _, m := range s.meshes[1:] {
			s.replace(m, i)
		}
		s.seenBy("the new ones are seen")
		for _, m := range s.meshes {
			m.settled()
		}
	}
}

// replace gives the member at i a new address, and where it can have one a new name.
func (s *stage) replace(m *mesh, i int) {
	old := m.pods[i]
	fresh := m.pod(s.address(), fmt.Sprintf("new%d-", i))
	if m.mode == "hostname" {
		// One name cannot be two pods.
		fresh.Name, fresh.Spec.Hostname = old.Name, old.Spec.Hostname
		s.goes(m, i)
		s.change(m, slices.Insert(slices.Clone(m.pods), i, fresh), meshSize-1)
		s.create(m, fresh)
		return
	}
	s.change(m, slices.Insert(slices.Clone(m.pods), i+1, fresh), meshSize)
	s.create(m, fresh)
	s.seenBy("the new one is seen")
	s.goes(m, i)
}

// goes deletes the member at i.
func (s *stage) goes(m *mesh, i int) {
	p := m.pods[i]
	s.change(m, slices.Delete(slices.Clone(m.pods), i, i+1), meshSize-1)
	s.remove(p)
	s.seenBy(p.Name + " is no member any more")
	m.settled()
}
