package cluster_test

import (
	"fmt"
	"sync"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// ends notes the addresses that vanish from the EndpointSlices of a Service, and whether they were terminating before.
type ends struct {
	mu          sync.Mutex
	slices      map[string]map[string]bool // by name: addresses, and whether they are terminating
	announced   []string
	unannounced []string
}

func (e *ends) add(event watch.Event) {
	s, ok := event.Object.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := make(map[string]bool)
	if event.Type != watch.Deleted {
		for _, endpoint := range s.Endpoints {
			now[endpoint.Addresses[0]] = endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating
		}
	}
	for address, terminating := range e.slices[s.Name] {
		switch _, there := now[address]; {
		case there:
		case terminating:
			e.announced = append(e.announced, address)
		default:
			e.unannounced = append(e.unannounced, address)
		}
	}
	e.slices[s.Name] = now
}

// endsAreAnnounced: what the plugin relies on, that an end is seen before an address vanishes, is what Kubernetes does.
func (b bed) endsAreAnnounced(t *testing.T) {
	tests := []struct {
		name string
		do   [][]string
		ends int // of pods
		left int
	}{
		{"RollingRestart", [][]string{{"rollout", "restart", "statefulset/shop"}, {"rollout", "status", "--timeout=" + patience.String(), "statefulset/shop"}}, 3, 3},
		{"Deletion", [][]string{{"delete", "pod", "shop-0"}}, 1, 3},
		{"ForcedDeletion", [][]string{{"delete", "pod", "shop-1", "--grace-period=0", "--force"}}, 1, 3},
		{"ScaleDown", [][]string{{"scale", "statefulset/shop", "--replicas=2"}}, 1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &ends{slices: make(map[string]map[string]bool)}
			w, err := b.Client.DiscoveryV1().EndpointSlices("prod").Watch(t.Context(),
				metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=shop"})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for event := range w.ResultChan() {
					e.add(event)
				}
			}()
			defer func() { w.Stop(); <-done }()
			for _, args := range tt.do {
				b.Kubectl(t, append([]string{"-n", "prod"}, args...)...)
			}
			cluster.Eventually(t, patience, "all ends are seen", func() error {
				e.mu.Lock()
				defer e.mu.Unlock()
				if got := len(e.announced) + len(e.unannounced); got != tt.ends {
					return fmt.Errorf("got %d, want %d", got, tt.ends)
				}
				return nil
			})
			if len(e.unannounced) > 0 {
				t.Errorf("%v vanished without having been terminating", e.unannounced)
			}
			b.meshed(t, tt.left)
		})
	}
}
