package main

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// faultTime is how long a fault lasts, unless a row says otherwise.
const faultTime = 12 * time.Second

// allPlans are all rows, by where they are tried. Those that take longest come first.
func allPlans() []*plan {
	return []*plan{
		{name: "matrix-stopped", own: true, replicas: 1, rows: stoppedRows()},
		{name: "matrix-older", own: true, replicas: 1, rows: olderRows()},
		{name: "matrix-http1", replicas: 1, env: []string{"DISABLE_HTTP2=1"}, rows: []row{halfOpen("fault-half-open-http1", "HTTP/1.1")}},
		{name: "matrix-statuses", replicas: 1, rows: httpRows()},
		{name: "matrix-store", own: true, replicas: 1, rows: storeRows()},
		{name: "matrix-coredns", replicas: 1, options: "snapshot DIR/ZONE.json", rows: corednsRows()},
		{name: "matrix-wire", replicas: 1, rows: wireRows()},
		{name: "matrix-api", own: true, replicas: 1, rows: apiRows()},
		{name: "matrix-relist", own: true, crowd: true, replicas: 1, rows: relistRows()},
		{name: "matrix-members", replicas: 1, deployment: true, rows: memberRows()},
		{name: "matrix-rights", replicas: 1, rows: rightsRows()},
		{name: "matrix-http2", replicas: 1, rows: []row{halfOpen("fault-half-open", "HTTP/2")}},
		{name: "matrix-clock", replicas: 1, rows: []row{clockRow()}},
		{name: "matrix-pair", replicas: 2, rows: pairRows()},
	}
}

// lasts is how long a fault lasts.
func (s *stage) lasts(d time.Duration) {
	select {
	case <-s.ctx.Done():
	case <-time.After(d):
	}
}

// grow has a node more in the clusters that are looked up in different ways.
func (s *stage) grow() {
	for _, c := range s.clusters[:2] {
		p := s.podAt(c, fmt.Sprintf("%s-more%d", c.name, s.more), 50+s.more)
		s.change(c, append(slices.Clone(c.pods), p), clusterSize)
		s.create(c, p)
	}
	s.more++
}

// shrink takes it away again.
func (s *stage) shrink() {
	s.trim()
	s.calm()
}

// trim deletes the nodes that are more than usual. After a row that has failed there may be some.
func (s *stage) trim() {
	for _, c := range s.clusters {
		surplus := c.pods[clusterSize:]
		s.change(c, c.pods[:clusterSize:clusterSize], clusterSize)
		if len(surplus) > 0 {
			s.remove(c, surplus...)
		}
	}
}

// remove deletes pods whose nodes have ended. If others disconnected one that lives on for a moment, OTP would have
// them disconnect each other, too, to prevent overlapping partitions.
func (s *stage) remove(c *cluster, pods ...corev1.Pod) {
	running, err := s.uids(c)
	s.must(err)
	for _, p := range pods {
		s.kubelet.release(running[p.Name].UID)
		s.deletePod(c.namespace, p.Name)
	}
}

// through has a fault come and go, with a change while it lasts: that has to be seen when it is over.
func (s *stage) through(fault, heal func()) {
	fault()
	s.grow()
	s.lasts(faultTime)
	heal()
	s.calm()
	s.shrink()
}

func (s *stage) podsGone(c *cluster) {
	s.soon("no pod of "+c.name+" is left", func() error {
		list, err := s.client.CoreV1().Pods(c.namespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app=" + c.name})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d are", len(list.Items))
		}
		return err
	})
}
