package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/kubeapi/manifest"
)

// expandConfigs are configurations under which Objects differ.
func expandConfigs() []kubeapi.Config {
	var configs []kubeapi.Config
	for _, lookup := range []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints} {
		for _, family := range []kubeapi.Family{kubeapi.AnyFamily, kubeapi.IPv4, kubeapi.IPv6} {
			for _, keys := range [][]string{nil, {"app"}, {"missing", "app", discoveryv1.LabelServiceName, "app"}} {
				for _, selector := range []string{"", "app=shop,tier in (a),!x", discoveryv1.LabelServiceName + "=shop"} {
					configs = append(configs, kubeapi.Config{Lookup: lookup, Family: family, Labels: keys, Selector: selector})
				}
			}
		}
	}
	return configs
}

// wantRestored wants an object to stay what it is when it is expanded, also as JSON, and
// shrunk again.
func wantRestored(t *testing.T, c *kubeapi.Config, obj any) {
	t.Helper()
	s := kubeapi.NewShrinker(c)
	want, err := s.Shrink(obj)
	if err != nil {
		t.Fatal(err)
	}
	expanded := newExpander(c).expand(want)
	text, err := json.Marshal(expanded)
	if err != nil {
		t.Fatal(err)
	}
	want = uncut(want)
	read, err := manifest.DecodeObject("it", text, c.Lookup)
	if err != nil {
		t.Fatalf("want one object, got %v of %s", err, text)
	}
	for how, obj := range map[string]any{"as it is": expanded, "as JSON": read} {
		got, err := s.Shrink(obj)
		if err != nil {
			t.Fatal(err)
		}
		if !uncut(got).Same(want) || got.Version != want.Version {
			t.Errorf("%s, %s, family %q, labels %q, selector %q:\nwant %+v\n got %+v",
				how, c.Lookup, c.Family, c.Labels, c.Selector, want, got)
		}
	}
}

// uncut returns an object without what is said of its limits: a snapshot does not have what has been left out, but it
// has names that are too long.
func uncut(o *kubeapi.Object) *kubeapi.Object {
	kept, template := *o, *o.Template
	kept.Template, template.Cut = &template, nil
	return &kept
}

func TestExpandedObjectsShrinkToTheSame(t *testing.T) {
	for seed := range uint64(50) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			for _, c := range expandConfigs() {
				if c.Lookup == kubeapi.Pods {
					wantRestored(t, &c, g.pod())
				} else {
					wantRestored(t, &c, g.slice())
				}
			}
		})
	}
}

// FuzzExpand looks for objects that are not the same once they have been expanded.
func FuzzExpand(f *testing.F) {
	configs := expandConfigs()
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		f.Fatalf("want examples, got %q, %v", examples, err)
	}
	for _, path := range examples {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
			doc, err := yaml.YAMLToJSON(doc)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc, uint(0))
			f.Add(doc, uint(len(configs)/2)) // the other lookup
		}
	}
	// Few, for Go runs all of them before it fuzzes, at some 50 ms each.
	for seed := range uint64(5) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		for i, obj := range []any{g.pod(), g.slice()} {
			text, err := json.Marshal(obj)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, uint(i*len(configs)/2)+uint(seed))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, i uint) {
		c := configs[i%uint(len(configs))]
		if obj, err := manifest.DecodeObject("it", data, c.Lookup); err == nil {
			wantRestored(t, &c, obj)
		}
	})
}

// generator makes objects with all that there may be in them, also what a real API server
// would not let in.
type generator struct{ *rand.Rand }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

// some returns up to most results of make.
func some[T any](g generator, most int, make func() T) []T {
	var all []T
	for range g.IntN(most + 1) {
		all = append(all, make())
	}
	return all
}

// maybe returns v or nil.
func maybe[T any](g generator, v T) *T {
	if g.IntN(3) == 0 {
		return nil
	}
	return &v
}

func (g generator) meta() metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace:       pick(g, "prod", "staging"),
		Name:            pick(g, "a", "shop-x7k2p", "queue-0", strings.Repeat("n", 300)),
		ResourceVersion: pick(g, "", "0", "1", "4711", "18446744073709551615", "none"),
	}
	if g.IntN(2) == 0 {
		m.CreationTimestamp = metav1.Unix(1_700_000_000, 0)
	}
	for _, key := range []string{"app", "tier", "other", discoveryv1.LabelServiceName} {
		if g.IntN(2) == 0 {
			metav1.SetMetaDataLabel(&m, key, pick(g, "", "shop", "a", "queue"))
		}
	}
	return m
}

func (g generator) address() string {
	return pick(g, "10.0.0.1", "10.0.0.2", "fd00::1", "FD00:0::2", "::1", "10.0.0.300", "", "::", "fe80::1%eth0", "<node>\u2028")
}

func (g generator) protocol() corev1.Protocol {
	return pick(g, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP, "", "QUIC")
}

func (g generator) container() corev1.Container {
	return corev1.Container{
		Name: pick(g, "app", "sidecar"),
		Ports: some(g, 3, func() corev1.ContainerPort {
			return corev1.ContainerPort{
				Name: pick(g, "epmd", "dist", ""), Protocol: g.protocol(), ContainerPort: pick[int32](g, 0, 1, 4369, 65535, 65536, -1),
			}
		}),
		RestartPolicy: maybe(g, corev1.ContainerRestartPolicyAlways),
	}
}

func (g generator) pod() *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: g.meta(),
		Spec: corev1.PodSpec{
			Hostname: pick(g, "", "queue-0"), Subdomain: pick(g, "", "queue-nodes"),
			Containers: some(g, 2, g.container), InitContainers: some(g, 2, g.container),
		},
		Status: corev1.PodStatus{
			Phase:  pick(g, "", corev1.PodPending, corev1.PodRunning, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed),
			PodIP:  g.address(),
			PodIPs: some(g, 3, func() corev1.PodIP { return corev1.PodIP{IP: g.address()} }),
			Conditions: some(g, 2, func() corev1.PodCondition {
				return corev1.PodCondition{
					Type:   pick(g, corev1.PodReady, corev1.PodScheduled),
					Status: pick(g, corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown),
				}
			}),
		},
	}
	p.DeletionTimestamp = maybe(g, metav1.Unix(g.Int64N(1<<32), 0))
	return p
}

func (g generator) slice() *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  g.meta(),
		AddressType: pick(g, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN, ""),
		Endpoints: some(g, 4, func() discoveryv1.Endpoint {
			return discoveryv1.Endpoint{
				Addresses: some(g, 1, g.address), // what is cut off is not in a snapshot
				Conditions: discoveryv1.EndpointConditions{
					Ready: maybe(g, g.IntN(2) == 0), Serving: maybe(g, g.IntN(2) == 0), Terminating: maybe(g, g.IntN(2) == 0),
				},
				Hostname: maybe(g, pick(g, "", "queue-0")),
				TargetRef: maybe(g, corev1.ObjectReference{
					Kind: pick(g, "Pod", "Node", ""), Name: pick(g, "", "queue-0"), UID: pick[types.UID](g, "", "u-0"),
				}),
			}
		}),
		Ports: some(g, 3, func() discoveryv1.EndpointPort {
			return discoveryv1.EndpointPort{
				Name: maybe(g, pick(g, "epmd", "dist", "")), Protocol: maybe(g, g.protocol()),
				Port: maybe(g, pick[int32](g, 0, 1, 4369, 65535, 65536, -1)),
			}
		}),
	}
}

func TestExpandedPod(t *testing.T) {
	c := &kubeapi.Config{Lookup: kubeapi.Pods, Labels: []string{"app"}}
	got := newExpander(c).expand(&kubeapi.Object{
		Template: &kubeapi.Template{
			Namespace: "prod", Labels: []kubeapi.Label{{Value: "queue", Set: true}}, Service: "queue-nodes",
			Ports: []kubeapi.Port{{Name: "epmd", Protocol: "TCP", Number: 4369}},
		},
		Name: "queue-0", Version: 4711,
		Members: []kubeapi.Member{{ID: "queue-0", IsPod: true, Hostname: "queue-0", Address: netip.MustParseAddr("10.0.0.1"), Ready: true, Serving: true}},
	})
	want := kubetest.NewPod("prod/queue-0", "10.0.0.1", "app=queue")
	want.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	want.ResourceVersion = "4711"
	want.Spec.Hostname, want.Spec.Subdomain = "queue-0", "queue-nodes"
	want.Spec.Containers = []corev1.Container{{Name: "ports", Ports: []corev1.ContainerPort{{Name: "epmd", Protocol: "TCP", ContainerPort: 4369}}}}
	want.Status = corev1.PodStatus{
		PodIPs:     []corev1.PodIP{{IP: "10.0.0.1"}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\nwant %+v\n got %+v", want, got)
	}
}

func TestExpandedSlice(t *testing.T) {
	c := &kubeapi.Config{Lookup: kubeapi.Endpoints, Labels: []string{"app"}}
	got := newExpander(c).expand(&kubeapi.Object{
		Template: &kubeapi.Template{
			Namespace: "prod", Labels: []kubeapi.Label{{Value: "shop", Set: true}}, Service: "shop",
			Ports: []kubeapi.Port{{Name: "epmd", Protocol: "TCP", Number: 4369}},
		},
		Name: "shop-x7k2p", Version: 4711,
		Members: []kubeapi.Member{{ID: "shop-0", IsPod: true, Hostname: "shop-0", Address: netip.MustParseAddr("fd00::1"), Ready: true, Serving: true}},
	})
	want := kubetest.NewSlice("prod/shop-x7k2p")
	want.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	want.ResourceVersion = "4711"
	want.Labels[discoveryv1.LabelServiceName] = "shop"
	want.AddressType = discoveryv1.AddressTypeIPv6
	want.Ports = []discoveryv1.EndpointPort{{Name: new("epmd"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(4369))}}
	want.Endpoints = []discoveryv1.Endpoint{{
		Addresses:  []string{"fd00::1"},
		Hostname:   new("shop-0"),
		Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: "shop-0"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\nwant %+v\n got %+v", want, got)
	}
}

func TestExpandedObjectsHaveTheLabelsOfTheSelector(t *testing.T) {
	for _, tc := range []struct {
		selector string
		keys     []string
		kept     []kubeapi.Label
		want     map[string]string
	}{
		{"", nil, nil, nil},
		{"app=shop", nil, nil, labels.Set{"app": "shop"}},
		{"app==shop, tier in (a)", nil, nil, labels.Set{"app": "shop", "tier": "a"}},
		{"app=", nil, nil, labels.Set{"app": ""}},
		{"!canary,tier!=db,zone notin (a)", nil, nil, nil},
		{"app in (shop, chat)", nil, nil, nil}, // it may be either
		{"app", nil, nil, nil},
		{"app", []string{"app"}, []kubeapi.Label{{Value: "shop", Set: true}}, labels.Set{"app": "shop"}},
		{"app in (shop, chat)", []string{"app"}, []kubeapi.Label{{Value: "chat", Set: true}}, labels.Set{"app": "chat"}},
		{"app=shop", []string{"tier"}, []kubeapi.Label{{}}, labels.Set{"app": "shop"}},
	} {
		t.Run(tc.selector, func(t *testing.T) {
			for _, lookup := range []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints} {
				c := &kubeapi.Config{Lookup: lookup, Selector: tc.selector, Labels: tc.keys}
				got := newExpander(c).expand(&kubeapi.Object{Template: &kubeapi.Template{Namespace: "prod", Labels: tc.kept}, Name: "a"}).GetLabels()
				if !maps.Equal(got, tc.want) {
					t.Errorf("%s: want %q, got %q", lookup, tc.want, got)
				}
			}
		})
	}
}

// The generator is of use only if it makes all that expanding has to do with.
func TestGeneratorMakesEveryCase(t *testing.T) {
	cases := map[string]func(*kubeapi.Object) bool{
		"no member":      func(o *kubeapi.Object) bool { return len(o.Members) == 0 },
		"no version":     func(o *kubeapi.Object) bool { return o.Version == 0 },
		"highest":        func(o *kubeapi.Object) bool { return o.Version == 1<<64-1 },
		"label unset":    func(o *kubeapi.Object) bool { return !o.Labels[0].Set },
		"label empty":    func(o *kubeapi.Object) bool { return o.Labels[0] == kubeapi.Label{Set: true} },
		"no service":     func(o *kubeapi.Object) bool { return o.Service == "" },
		"both families":  func(o *kubeapi.Object) bool { return hasFamily(o, kubeapi.IPv4) && hasFamily(o, kubeapi.IPv6) },
		"invalid only":   func(o *kubeapi.Object) bool { return len(o.Members) == 0 && len(o.Invalid) > 0 },
		"invalid beside": func(o *kubeapi.Object) bool { return len(o.Members) > 0 && len(o.Invalid) > 0 },
		"no target":      hasMember(func(m kubeapi.Member) bool { return m.ID == "" }),
		"pod":            hasMember(func(m kubeapi.Member) bool { return m.IsPod }),
		"other than pod": hasMember(func(m kubeapi.Member) bool { return m.ID != "" && !m.IsPod }),
		"hostname":       hasMember(func(m kubeapi.Member) bool { return m.Hostname != "" }),
		"terminating":    hasMember(func(m kubeapi.Member) bool { return m.Terminating }),
		"serving only":   hasMember(func(m kubeapi.Member) bool { return m.Serving && !m.Ready }),
	}
	for _, protocol := range []string{"TCP", "UDP", "SCTP"} {
		cases[protocol] = func(o *kubeapi.Object) bool {
			return slices.ContainsFunc(o.Ports, func(p kubeapi.Port) bool { return p.Protocol == protocol })
		}
	}
	c := &kubeapi.Config{Labels: []string{"app"}}
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		for _, o := range []*kubeapi.Object{shrink(t, c, g.pod()), shrink(t, c, g.slice())} {
			maps.DeleteFunc(cases, func(_ string, is func(*kubeapi.Object) bool) bool { return is(o) })
		}
	}
	if len(cases) > 0 {
		t.Errorf("want all, got none of %q", slices.Sorted(maps.Keys(cases)))
	}
}

func hasMember(is func(kubeapi.Member) bool) func(*kubeapi.Object) bool {
	return func(o *kubeapi.Object) bool { return slices.ContainsFunc(o.Members, is) }
}

func hasFamily(o *kubeapi.Object, f kubeapi.Family) bool {
	return hasMember(func(m kubeapi.Member) bool { return m.Address.Is4() == (f == kubeapi.IPv4) })(o)
}
