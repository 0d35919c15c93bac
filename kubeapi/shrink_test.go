package kubeapi

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestAddress(t *testing.T) {
	for _, tc := range []struct {
		text string
		want string // empty for none
		what string // it is instead
	}{
		{text: "10.0.0.1", want: "10.0.0.1"},
		{text: "fd00::1", want: "fd00::1"},
		{text: "FD00:0:0:0::1", want: "fd00::1"},
		{text: "2001:db8:0:0:1:0:0:1", want: "2001:db8::1:0:0:1"},
		{text: "169.253.0.1", want: "169.253.0.1"},
		{text: "255.255.255.254", want: "255.255.255.254"},
		{text: "", what: "no address"},
		{text: " 10.0.0.1", what: "no address"},
		{text: "10.0.0", what: "no address"},
		{text: "10.0.0.256", what: "no address"},
		{text: "010.0.0.1", what: "no address"},
		{text: "10.0.0.01", what: "no address"},
		{text: "10.0.0.1:80", what: "no address"},
		{text: "[fd00::1]", what: "no address"},
		{text: "10.0.0.0/8", what: "no address"},
		{text: "fe80::1%eth0", what: "no address"},
		{text: "node.example.org", what: "no address"},
		{text: "10.0.0.1\x00", what: "no address"},
		{text: "１０.0.0.1", what: "no address"},
		{text: strings.Repeat("1", 300), what: "no address"},
		{text: strings.Repeat(":", 300), what: "no address"},
		{text: "::ffff:10.0.0.1", what: "IPv4-mapped"},
		{text: "::ffff:127.0.0.1", what: "IPv4-mapped"},
		{text: "0.0.0.0", what: "the unspecified address"},
		{text: "::", what: "the unspecified address"},
		{text: "127.0.0.1", what: "a loopback address"},
		{text: "127.255.0.9", what: "a loopback address"},
		{text: "::1", what: "a loopback address"},
		{text: "169.254.169.254", what: "a link-local address"},
		{text: "fe80::1", what: "a link-local address"},
		{text: "febf::1", what: "a link-local address"},
		{text: "224.0.0.1", what: "a multicast address"},
		{text: "239.255.255.255", what: "a multicast address"},
		{text: "ff02::1", what: "a multicast address"},
		{text: "255.255.255.255", what: "the broadcast address"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			for _, c := range []Config{{}, {Manifests: []string{"pods.yaml"}}} {
				want := tc.want
				if tc.what == "a loopback address" && len(c.Manifests) > 0 {
					want = tc.text
				}
				var o Object
				o.Template = &Template{}
				got, ok := NewShrinker(&c).address(&o, tc.text)
				if ok != (want != "") || (ok && got.String() != want) {
					t.Errorf("manifests %q: want %q, got %v, %v", c.Manifests, want, got, ok)
				}
				if isLeftOut := len(o.Invalid) == 1 && o.Invalid[0] == tc.text[:min(len(tc.text), maxInvalidText)]; isLeftOut == ok {
					t.Errorf("manifests %q: want it left out unless it is an address, got %q", c.Manifests, o.Invalid)
				}
			}
			if got := NoAddress(tc.text); got != tc.what {
				t.Errorf("want %q, got %q", tc.what, got)
			}
		})
	}
}

func TestCreated(t *testing.T) {
	for _, tc := range []struct {
		at   time.Time
		want uint32
	}{
		{time.Unix(1_700_000_000, 999), 1_700_000_000},
		{time.Time{}, 0},
		{time.Unix(-1, 0), 0},
		{time.Unix(1<<32, 0), 0},
		{time.Unix(1<<32-1, 0), 1<<32 - 1},
	} {
		p := kubetest.NewPod("prod/shop-0", "10.0.0.1")
		p.CreationTimestamp = metav1.Time{Time: tc.at}
		if got := (Shrinker{}).pod(p).Created; got != tc.want {
			t.Errorf("%v: want %d, got %d", tc.at, tc.want, got)
		}
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
	for _, tc := range []struct {
		name string
		obj  any
		ok   bool
	}{
		{"pod", kubetest.NewPod("prod/a", "10.0.0.1"), true},
		{"slice", kubetest.NewSlice("prod/a"), true},
		{"in the reflector's hands", &shrunk{object: &Object{Name: "a"}}, true},
		{"service", &corev1.Service{}, false},
		{"list", &corev1.PodList{}, false},
		{"nil", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, err := NewShrinker(&Config{}).Shrink(tc.obj)
			if (err == nil) != tc.ok || (o != nil) != tc.ok || (o != nil && o.Name != "a") {
				t.Errorf("want ok %v, got %+v, %v", tc.ok, o, err)
			}
		})
	}
}
