package kubeapi

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestSliceHasMembers(t *testing.T) {
	e := kubetest.NewSlice("prod/shop-x7k2p")
	e.ResourceVersion = "4711"
	e.Labels[discoveryv1.LabelServiceName] = "shop"
	e.Ports = []discoveryv1.EndpointPort{{Name: new("epmd"), Port: new(int32(4369))}}
	e.Endpoints = []discoveryv1.Endpoint{{
		Addresses:  []string{"10.0.0.1"},
		Hostname:   new("shop-0"),
		Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: "shop-0", UID: "u-0"},
	}}
	got := Shrinker{}.slice(e)
	want := &Object{
		Template: &Template{Namespace: "prod", Service: "shop", Ports: []Port{{"epmd", "TCP", 4369}}},
		Name:     "shop-x7k2p", Version: 4711,
		Members: []Member{{ID: "shop-0", IsPod: true, Hostname: "shop-0", Address: addr("10.0.0.1"), Ready: true, Serving: true}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\nwant %+v\n got %+v", want, got)
	}
}

func TestEndpointConditions(t *testing.T) {
	for _, tc := range []struct {
		name                        string
		ready, serving, terminating *bool
		want                        Member
	}{
		{"all unset", nil, nil, nil, Member{Ready: true, Serving: true}},
		{"ready", new(true), new(true), new(false), Member{Ready: true, Serving: true}},
		{"not ready", new(false), new(false), new(false), Member{}},
		{"not ready, the rest unset", new(false), nil, nil, Member{}},
		{"ready, but not serving, of publishNotReadyAddresses", new(true), new(false), new(false), Member{Ready: true}},
		{"terminating and serving", new(false), new(true), new(true), Member{Serving: true, Terminating: true}},
		{"terminating", new(false), new(false), new(true), Member{Terminating: true}},
		{"ready though terminating, of publishNotReadyAddresses", new(true), new(true), new(true), Member{Ready: true, Serving: true, Terminating: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := kubetest.NewSlice("prod/shop", "10.0.0.1")
			e.Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: tc.ready, Serving: tc.serving, Terminating: tc.terminating}
			tc.want.Address = addr("10.0.0.1")
			if got := (Shrinker{}).slice(e).Members; !slices.Equal(got, []Member{tc.want}) {
				t.Errorf("\nwant %+v\n got %+v", tc.want, got)
			}
		})
	}
}

func TestEndpointTargets(t *testing.T) {
	for _, tc := range []struct {
		name   string
		target *corev1.ObjectReference
		want   Member
	}{
		{"none", nil, Member{}},
		{"pod", &corev1.ObjectReference{Kind: "Pod", Name: "shop-0", UID: "u-0"}, Member{ID: "shop-0", IsPod: true}},
		{"pod without UID", &corev1.ObjectReference{Kind: "Pod", Name: "shop-0"}, Member{ID: "shop-0", IsPod: true}},
		{"node", &corev1.ObjectReference{Kind: "Node", Name: "node-a", UID: "u-a"}, Member{ID: "u-a"}},
		{"pod without name", &corev1.ObjectReference{Kind: "Pod", UID: "u-0"}, Member{ID: "u-0"}},
		{"no kind", &corev1.ObjectReference{Name: "shop-0", UID: "u-0"}, Member{ID: "u-0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := kubetest.NewSlice("prod/shop", "10.0.0.1")
			e.Endpoints[0].TargetRef = tc.target
			tc.want.Address, tc.want.Ready, tc.want.Serving = addr("10.0.0.1"), true, true
			if got := (Shrinker{}).slice(e).Members; !slices.Equal(got, []Member{tc.want}) {
				t.Errorf("\nwant %+v\n got %+v", tc.want, got)
			}
		})
	}
}

func TestEndpointAddresses(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, tc := range []struct {
		name    string
		kind    discoveryv1.AddressType
		family  Family
		of      [][]string // addresses of each endpoint
		want    []string
		invalid []string
		cut     bool
	}{
		{name: "no endpoints"},
		{name: "endpoint without any", of: [][]string{{}, {"10.0.0.1"}}, want: []string{"10.0.0.1"}},
		{name: "the first address of every endpoint", of: [][]string{{"10.0.0.1", "10.0.0.2"}, {"10.0.0.3"}}, want: []string{"10.0.0.1", "10.0.0.3"}, cut: true},
		{name: "the first of the family", family: IPv6, of: [][]string{{"10.0.0.1", "fd00::1"}}, want: []string{"fd00::1"}},
		{name: "IPv6", kind: discoveryv1.AddressTypeIPv6, of: [][]string{{"fd00:0::1"}}, want: []string{"fd00::1"}},
		{name: "only IPv4", family: IPv4, of: [][]string{{"10.0.0.1"}, {"fd00::1"}}, want: []string{"10.0.0.1"}},
		{name: "only IPv6", family: IPv6, of: [][]string{{"10.0.0.1"}, {"fd00::1"}}, want: []string{"fd00::1"}},
		{name: "names of FQDN slices", kind: discoveryv1.AddressTypeFQDN, of: [][]string{{"node.example.org"}, {"10.0.0.1"}}, invalid: []string{"node.example.org"}},
		{name: "what is none harms no other", of: [][]string{{"x", "10.0.0.1"}, {long}, {"10.0.0.3"}}, want: []string{"10.0.0.1", "10.0.0.3"}, invalid: []string{"x", long[:maxInvalidText]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := kubetest.NewSlice("prod/shop")
			e.AddressType = tc.kind
			for _, addresses := range tc.of {
				e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Addresses: addresses, TargetRef: &corev1.ObjectReference{UID: "u"}})
			}
			o := Shrinker{family: tc.family}.slice(e)
			var got []string
			for _, m := range o.Members {
				got = append(got, m.Address.String())
				if m.ID != "u" {
					t.Errorf("%v: want the endpoint's other fields, got %+v", m.Address, m)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("addresses: want %q, got %q", tc.want, got)
			}
			if !slices.Equal(o.Invalid, tc.invalid) {
				t.Errorf("invalid: want %q, got %q", tc.invalid, o.Invalid)
			}
			if (len(o.Cut) > 0) != tc.cut {
				t.Errorf("cut: want %t, got %q", tc.cut, o.Cut)
			}
		})
	}
}

func TestEndpointPorts(t *testing.T) {
	e := kubetest.NewSlice("prod/shop", "10.0.0.1")
	e.Ports = []discoveryv1.EndpointPort{
		{Name: new("epmd"), Port: new(int32(4369))},
		{Name: new("dns"), Port: new(int32(53)), Protocol: new(corev1.ProtocolUDP)},
		{Name: new("plain"), Port: new(int32(1)), Protocol: new(corev1.Protocol(""))},
		{Port: new(int32(80))},
		{Name: new(""), Port: new(int32(81))},
		{Name: new("any")},
		{Name: new("zero"), Port: new(int32(0))},
		{Name: new("negative"), Port: new(int32(-4369))},
		{Name: new("high"), Port: new(int32(69905))},
		{Name: new("highest"), Port: new(int32(65535))},
	}
	want := []Port{{"epmd", "TCP", 4369}, {"dns", "UDP", 53}, {"plain", "TCP", 1}, {"highest", "TCP", 65535}}
	if got := (Shrinker{}).slice(e).Ports; !slices.Equal(got, want) {
		t.Errorf("\nwant %v\n got %v", want, got)
	}
}

// An object has as many addresses as it likes, but not in memory.
func TestFewAddressesAreKept(t *testing.T) {
	e := kubetest.NewSlice("prod/shop")
	var want []string
	for i := range 3 * MaxMembers {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprint("none", i), a}})
		if i < MaxMembers {
			want = append(want, a)
		}
	}
	o := Shrinker{}.slice(e)
	var got []string
	for _, m := range o.Members {
		got = append(got, m.Address.String())
	}
	if !slices.Equal(got, want) || cap(o.Members) > MaxMembers {
		t.Errorf("got %d members, room for %d: %q; want the first %d", len(got), cap(o.Members), got, MaxMembers)
	}
	if len(o.Invalid) != maxInvalid || !slices.Equal(o.Cut, []string{"10 addresses that are none", "1000 addresses"}) {
		t.Errorf("got %d invalid ones, cut %q; want %d, and that both are cut", len(o.Invalid), o.Cut, maxInvalid)
	}
}

// The API looks at neither, so that a slice of a megabyte can be one name.
func TestNamesThatNobodyHasAreNotKept(t *testing.T) {
	fits, long := strings.Repeat("a", maxName), strings.Repeat("a", maxName+1)
	for _, tc := range []struct {
		name, pod, uid, hostname string
		want                     Member
		cut                      bool
	}{
		{"names that fit", fits, "", fits, Member{ID: fits, IsPod: true, Hostname: fits}, false},
		{"a pod's name", long, "", "h", Member{}, true},
		{"a UID", "", long, "h", Member{}, true},
		{"a hostname", "p", "", long, Member{}, true},
	} {
		e := discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, Hostname: &tc.hostname, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: tc.pod, UID: types.UID(tc.uid)}}
		o := Shrinker{}.slice(&discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{e}})
		tc.want.Address, tc.want.Ready, tc.want.Serving = addr("10.0.0.1"), true, true
		if len(o.Members) != 1 || o.Members[0] != tc.want || (len(o.Cut) > 0) != tc.cut {
			t.Errorf("%s: got %v and cut %q, want %v, and cut: %t", tc.name, o.Members, o.Cut, tc.want, tc.cut)
		}
	}
}
