package kubeapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestValidateNamespaces(t *testing.T) {
	for _, tc := range []struct {
		name       string
		namespaces []string
		want       string // in the error, empty for none
	}{
		{"none", nil, ""},
		{"names", []string{"prod", "staging-2"}, ""},
		{"all", []string{"*"}, ""},
		{"all and one", []string{"prod", "*"}, "expected either * or names, got both"},
		{"all twice", []string{"*", "*"}, "expected either * or names, got both"},
		{"upper case", []string{"Prod"}, `"Prod" is no namespace`},
		{"dot", []string{"a.b"}, `"a.b" is no namespace`},
		{"empty", []string{""}, `"" is no namespace`},
		{"long", []string{strings.Repeat("a", 64)}, "is no namespace"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Config{Namespaces: tc.namespaces}
			kubetest.WantError(t, c.ValidateNamespaces(), tc.want)
		})
	}
}

func TestChecks(t *testing.T) {
	for _, tc := range []struct {
		name  string
		check func(string) error
		text  string
		want  string // in the error, empty for none
	}{
		{"selector, equality", CheckSelector, "app=shop,tier!=db", ""},
		{"selector, sets", CheckSelector, "app in (shop, chat), !canary, tier notin (db)", ""},
		{"selector, existence", CheckSelector, "app", ""},
		{"selector, nothing", CheckSelector, "", ""},
		{"selector, broken", CheckSelector, "app in (shop", `"app in (shop" is no label selector`},
		{"selector, bad value", CheckSelector, "app=a b", "is no label selector"},
		{"label", CheckLabelKey, "app", ""},
		{"label with prefix", CheckLabelKey, "app.kubernetes.io/name", ""},
		{"label, empty", CheckLabelKey, "", `"" is no label key`},
		{"label, blank", CheckLabelKey, "a b", `"a b" is no label key`},
		{"label, two prefixes", CheckLabelKey, "a/b/c", "is no label key"},
		{"port", CheckPortName, "epmd", ""},
		{"port with a dot", CheckPortName, "epmd.tcp", `"epmd.tcp" is no port name`},
		{"port, empty", CheckPortName, "", `"" is no port name`},
	} {
		t.Run(tc.name, func(t *testing.T) { kubetest.WantError(t, tc.check(tc.text), tc.want) })
	}
}

func TestForeignLabels(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Config
		want []string
	}{
		{"none", Config{Lookup: Endpoints, Selector: "app=shop,kubernetes.io/service-name", Labels: []string{"beam"}}, nil},
		{"a pod's, of slices", Config{Lookup: Endpoints, Selector: "app=shop,pod-template-hash=1"}, []string{"pod-template-hash"}},
		{"a slice's, of pods", Config{Lookup: Pods, Selector: "kubernetes.io/service-name in (a,b)"}, []string{"kubernetes.io/service-name"}},
		{"one whose value is read", Config{Lookup: Endpoints, Labels: []string{"beam", "apps.kubernetes.io/pod-index"}}, []string{"apps.kubernetes.io/pod-index"}},
		{"in both places", Config{Lookup: Pods, Selector: "kubernetes.io/service-name", Labels: []string{"kubernetes.io/service-name"}}, []string{"kubernetes.io/service-name"}},
		{"one that is not to be there", Config{Lookup: Pods, Selector: "!service.kubernetes.io/headless,kubernetes.io/service-name!=a,endpointslice.kubernetes.io/managed-by notin (b)"}, nil},
	} {
		if got := tc.c.ForeignLabels(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
