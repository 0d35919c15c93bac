package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// memberRows: what can become of the members.
func memberRows() []row {
	return []row{
		{name: "fault-all-probes-fail", what: "all members stop being ready at once", try: probesFail},
		{name: "fault-probes-one-by-one", what: "two members stop being ready at once, the others one after the other; some get ready again, and stop once more; then all do one by one", try: func(s *stage) {
			s.probes(func(ready func(pods ...bool)) {
				ready(false, false, true, true, true)
				s.doubted(2) // the third one lists everybody always
				ready(false, false, false, true, true)
				ready(false, false, false, false, true)
				ready(false, false, false, false, false)
				s.lasts(faultTime)
				ready(false, false, true, false, false)
				ready(true, false, true, true, false)
				ready(false, false, false, false, false)
				s.lasts(faultTime)
				ready(false, false, true, false, false)
				ready(false, false, true, true, false)
				ready(true, false, true, true, false)
				ready(true, false, true, true, true)
				s.doubted(2)
				ready(true, true, true, true, true)
				s.doubted(0)
			})
		}},
		{name: "fault-probes-include-all", what: "all members stop being ready one after the other, and get ready again, with `include all`", try: func(s *stage) {
			s.reloadWith("include all")
			s.probes(func(ready func(pods ...bool)) {
				for _, yes := range []bool{false, true} {
					for i := range clusterSize {
						pods := make([]bool, clusterSize)
						for j := range pods {
							pods[j] = (j <= i) == yes
						}
						ready(pods...)
					}
				}
			})
			s.reloadWith("")
		}},
		{name: "fault-deployment-recreated", what: "a Deployment is deleted, and made anew some time later", try: recreated},
		{name: "fault-rolling-update", what: "every member is replaced, one after the other", try: rolled},
	}
}

func probesFail(s *stage) {
	s.probes(func(ready func(pods ...bool)) {
		ready(false, false, false, false, false)
		s.lasts(faultTime)
		ready(true, true, true, true, true)
	})
}

// probeTime is longer than nodes wait until they ask again.
const probeTime = 2 * time.Second

// probes lets a row say which pods are ready, in the order of their addresses, for some time. It changes slices by hand:
// the controller would do so once or several times, as it happens.
func (s *stage) probes(try func(ready func(pods ...bool))) {
	for _, c := range s.allClusters() {
		s.selector(c, nil)
	}
	try(func(pods ...bool) {
		for _, c := range s.allClusters() {
			s.ready(c, pods)
		}
		s.lasts(probeTime)
	})
	for _, c := range s.allClusters() {
		s.selector(c, app(c.name))
	}
}

// reloadWith adds options to those of all blocks, or takes them away again.
func (s *stage) reloadWith(options string) {
	for _, r := range s.replicas {
		r.configure(s.plan.options+"\n"+options, "")
		if !r.reload() {
			s.failf("%s does not reload", r.name)
		}
	}
}

// doubted waits until the probes of so many clusters are not believed.
func (s *stage) doubted(want int) {
	s.soon(fmt.Sprintf("%d clusters are doubted", want), func() error {
		n, err := s.replicas[0].metric("coredns_longnames_doubted_clusters")
		if err == nil && n != float64(want) {
			err = fmt.Errorf("%.0f are", n)
		}
		return err
	})
}

func (s *stage) selector(c *cluster, selector map[string]string) {
	services := s.client.CoreV1().Services(c.namespace)
	service, err := services.Get(s.ctx, c.name, metav1.GetOptions{})
	s.must(err)
	service.Spec.Selector = selector
	_, err = services.Update(s.ctx, service, metav1.UpdateOptions{})
	s.must(err)
}

// ready sets which pods of a cluster are, in the order of their addresses.
func (s *stage) ready(c *cluster, pods []bool) {
	is := make(map[string]bool, len(pods))
	for i, p := range slices.SortedFunc(slices.Values(c.pods), func(a, b corev1.Pod) int { return strings.Compare(a.Status.PodIP, b.Status.PodIP) }) {
		is[p.Status.PodIP] = pods[i]
		s.must(setReady(s.ctx, s.client, c.namespace, p.Name, pods[i]))
	}
	endpoints := s.client.DiscoveryV1().EndpointSlices(c.namespace)
	list, err := endpoints.List(s.ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + c.name})
	s.must(err)
	for _, slice := range list.Items {
		for i := range slice.Endpoints {
			yes := is[slice.Endpoints[i].Addresses[0]]
			slice.Endpoints[i].Conditions.Ready, slice.Endpoints[i].Conditions.Serving = &yes, &yes
		}
		_, err := endpoints.Update(s.ctx, &slice, metav1.UpdateOptions{})
		s.must(err)
	}
}

// toCome are the addresses of the pods that a controller will make: they are given in turn.
func (s *stage) toCome() []corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]corev1.Pod, clusterSize)
	for i := range out {
		out[i].Status.PodIP = s.address("4", s.next+i)
	}
	return out
}

func recreated(s *stage) {
	c := s.clusters[0]
	s.change(c, s.toCome(), 1)
	background := metav1.DeletePropagationBackground
	s.must(s.client.AppsV1().Deployments(c.namespace).Delete(s.ctx, c.name, metav1.DeleteOptions{PropagationPolicy: &background}))
	s.podsGone(c)
	s.held(1)
	s.lasts(faultTime)
	s.deployment(c.namespace, clusterSize)
	c.pods = s.podsNow(c, clusterSize)
}

// rolled updates a Deployment, of which four of five are there at any time. In the other clusters it does by hand what
// a controller does, so that at each step it is known what is right.
func rolled(s *stage) {
	deployed := s.clusters[0]
	s.change(deployed, s.toCome(), clusterSize-1)
	_, err := s.client.AppsV1().Deployments(deployed.namespace).Patch(s.ctx, deployed.name, types.MergePatchType,
		[]byte(`{"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`), metav1.PatchOptions{})
	s.must(err)
	for _, r := range s.replicas {
		s.soon("all of them are new", func() error { return s.answered(r) })
	}
	s.settled(deployed)
	deployed.pods = s.podsNow(deployed, clusterSize)
	for i := range clusterSize {
		for _, c := range s.clusters[1:] {
			s.replace(c, i)
		}
		for _, r := range s.replicas {
			s.soon("the new ones are seen", func() error { return s.answered(r) })
		}
		for _, c := range s.clusters {
			s.settled(c)
		}
	}
}

// replace gives the member at i a new address, and where it can have one a new name.
func (s *stage) replace(c *cluster, i int) {
	old := c.pods[i]
	fresh := s.podAt(c, fmt.Sprintf("%s-new%d", c.name, i), clusterSize+i)
	if c.mode == "hostname" {
		// One name cannot be two pods.
		fresh.Name, fresh.Spec.Hostname = old.Name, old.Spec.Hostname
		s.goes(c, i)
		s.change(c, slices.Insert(slices.Clone(c.pods), i, fresh), clusterSize-1)
		s.create(c, fresh)
		return
	}
	s.change(c, slices.Insert(slices.Clone(c.pods), i+1, fresh), clusterSize)
	s.create(c, fresh)
	for _, r := range s.replicas {
		s.soon("the new one is seen", func() error { return s.answered(r) })
	}
	s.goes(c, i)
}

// goes deletes the member at i.
func (s *stage) goes(c *cluster, i int) {
	p := c.pods[i]
	name := p.Name
	s.change(c, slices.Delete(slices.Clone(c.pods), i, i+1), clusterSize-1)
	s.remove(c, p)
	s.soon(name+" is gone", func() error {
		_, err := s.client.CoreV1().Pods(c.namespace).Get(s.ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%s is there: %w", name, errors.Join(err))
	})
	for _, r := range s.replicas {
		s.soon(name+" is no member any more", func() error { return s.answered(r) })
	}
	s.settled(c)
}
