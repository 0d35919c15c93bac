package cluster_test

import (
	"testing"

	"github.com/longnames/longnames/test/e2e/cluster"
)

func TestCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Nodes: 2})
	t.Log(c.Kubectl(t, "get", "nodes,pods", "-A", "-o", "wide"))
}
