package node

import (
	"fmt"
	"slices"
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
	states      map[string]map[string]bool // by name: addresses, and whether they are terminating
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
	for address, terminating := range e.states[s.Name] {
		switch _, there := now[address]; {
		case there:
		case terminating:
			e.announced = append(e.announced, address)
		default:
			e.unannounced = append(e.unannounced, address)
		}
	}
	e.states[s.Name] = now
}

// seen returns what has vanished.
func (e *ends) seen() (announced, unannounced []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.announced), slices.Clone(e.unannounced)
}

// watchEnds watches the EndpointSlices of a Service until the test ends.
func (b bed) watchEnds(t *testing.T, namespace, service string) *ends {
	t.Helper()
	e := &ends{states: make(map[string]map[string]bool)}
	w, err := b.Client.DiscoveryV1().EndpointSlices(namespace).Watch(t.Context(),
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
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
	t.Cleanup(func() { w.Stop(); <-done })
	return e
}

// endsAreAnnounced: an address is seen to be terminating before it vanishes, unless the end of its pod is forced.
func (b bed) endsAreAnnounced(t *testing.T) {
	tests := []struct {
		name      string
		do        [][]string
		ends      int // of pods
		left      int
		sometimes bool // an end is announced
	}{
		{"RollingRestart", [][]string{{"rollout", "restart", "statefulset/shop"}, {"rollout", "status", "--timeout=" + patience.String(), "statefulset/shop"}}, 3, 3, false},
		{"Deletion", [][]string{{"delete", "pod", "shop-0"}}, 1, 3, false},
		// The API server marks such a pod, and deletes it at once. Whether the controller sees the one before the other is a
		// matter of luck.
		{"ForcedDeletion", [][]string{{"delete", "pod", "shop-1", "--grace-period=0", "--force"}}, 1, 3, true},
		{"ScaleDown", [][]string{{"scale", "statefulset/shop", "--replicas=2"}}, 1, 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := b.watchEnds(t, "prod", "shop")
			for _, args := range tt.do {
				b.Kubectl(t, append([]string{"-n", "prod"}, args...)...)
			}
			cluster.Eventually(t, patience, "all ends are seen", func() error {
				if announced, unannounced := e.seen(); len(announced)+len(unannounced) != tt.ends {
					return fmt.Errorf("got %d, want %d", len(announced)+len(unannounced), tt.ends)
				}
				return nil
			})
			announced, unannounced := e.seen()
			t.Logf("%d of %d ends were announced", len(announced), tt.ends)
			if len(unannounced) > 0 && !tt.sometimes {
				t.Errorf("%v vanished without having been terminating", unannounced)
			}
			b.meshed(t, tt.left)
		})
	}
}

// TestEnds: an address that vanishes without a word is noticed.
func TestEnds(t *testing.T) {
	slice := func(terminating bool, addresses ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Terminating: &terminating},
			})
		}
		return s
	}
	tests := []struct {
		name                   string
		events                 []watch.Event
		announced, unannounced []string
	}{
		{"Announced", []watch.Event{{Type: watch.Modified, Object: slice(true, "10.0.0.1")}, {Type: watch.Modified, Object: slice(false)}}, []string{"10.0.0.1"}, nil},
		{"Unannounced", []watch.Event{{Type: watch.Modified, Object: slice(false)}}, nil, []string{"10.0.0.1"}},
		{"SliceDeleted", []watch.Event{{Type: watch.Deleted, Object: slice(true, "10.0.0.1")}}, nil, []string{"10.0.0.1"}},
		{"Stays", []watch.Event{{Type: watch.Modified, Object: slice(true, "10.0.0.1")}}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &ends{states: make(map[string]map[string]bool)}
			e.add(watch.Event{Type: watch.Added, Object: slice(false, "10.0.0.1")})
			for _, event := range tt.events {
				e.add(event)
			}
			if !slices.Equal(e.announced, tt.announced) || !slices.Equal(e.unannounced, tt.unannounced) {
				t.Errorf("got %v announced and %v not, want %v and %v", e.announced, e.unannounced, tt.announced, tt.unannounced)
			}
		})
	}
}
