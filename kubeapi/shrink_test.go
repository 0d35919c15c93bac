package kubeapi

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestAddress(t *testing.T) {
	for _, tc := range []struct {
		text string
		want string // empty for none
	}{
		{"10.0.0.1", "10.0.0.1"},
		{"fd00::1", "fd00::1"},
		{"FD00:0:0:0::1", "fd00::1"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"", ""},
		{" 10.0.0.1", ""},
		{"10.0.0", ""},
		{"10.0.0.256", ""},
		{"010.0.0.1", ""},
		{"10.0.0.01", ""},
		{"10.0.0.1:80", ""},
		{"[fd00::1]", ""},
		{"10.0.0.0/8", ""},
		{"fe80::1%eth0", ""},
		{"::ffff:10.0.0.1", ""},
		{"0.0.0.0", ""},
		{"::", ""},
		{"224.0.0.1", ""},
		{"ff02::1", ""},
		{"node.example.org", ""},
		{"10.0.0.1\x00", ""},
		{"１０.0.0.1", ""},
		{strings.Repeat("1", 300), ""},
		{strings.Repeat(":", 300), ""},
	} {
		t.Run(tc.text, func(t *testing.T) {
			got, ok := address(tc.text)
			if ok != (tc.want != "") || (ok && got.String() != tc.want) {
				t.Errorf("want %q, got %v, %v", tc.want, got, ok)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for _, tc := range []struct {
		text string
		want uint64
	}{
		{"4711", 4711},
		{"18446744073709551615", 1<<64 - 1},
		{"18446744073709551616", 0},
		{"", 0},
		{"-1", 0},
		{"0x10", 0},
		{"v1", 0},
	} {
		if got := version(tc.text); got != tc.want {
			t.Errorf("%q: want %d, got %d", tc.text, tc.want, got)
		}
	}
}

func TestLabelsInTheOrderAskedFor(t *testing.T) {
	p := kubetest.NewPod("prod/shop-0", "10.0.0.1", "app=shop", "empty=", "other=x")
	for _, tc := range []struct {
		name string
		keys []string
		want []Label
	}{
		{"none", nil, nil},
		{"set, unset, empty", []string{"app", "missing", "empty"}, []Label{{"shop", true}, {"", false}, {"", true}}},
		{"one twice", []string{"app", "app"}, []Label{{"shop", true}, {"shop", true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (Shrinker{labels: tc.keys}).pod(p).Labels; !slices.Equal(got, tc.want) {
				t.Errorf("want %+v, got %+v", tc.want, got)
			}
		})
	}
}

func TestShrinkTakesPodsAndSlicesOnly(t *testing.T) {
	object := &Object{Template: &Template{}, Name: "a"}
	for _, tc := range []struct {
		name string
		obj  any
		ok   bool
	}{
		{"pod", kubetest.NewPod("prod/a", "10.0.0.1"), true},
		{"slice", kubetest.NewSlice("prod/a"), true},
		{"shrunk already", object, true},
		{"in the reflector's hands", &shrunk{object: object}, true},
		{"service", &corev1.Service{}, false},
		{"list", &corev1.PodList{}, false},
		{"nil", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, err := Shrinker{}.Shrink(tc.obj)
			if (err == nil) != tc.ok || (o != nil) != tc.ok || (o != nil && o.Name != "a") {
				t.Errorf("want ok %v, got %+v, %v", tc.ok, o, err)
			}
		})
	}
}
