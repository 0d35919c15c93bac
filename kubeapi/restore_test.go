package kubeapi

import (
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestRestoreFromAnotherSource(t *testing.T) {
	known := []*Object{
		{
			Template: &Template{Namespace: "prod", Labels: []Label{{"shop", true}, {"blue", true}}}, Name: "a", Version: 5,
			Members: []Member{{Address: addr("10.0.0.1")}, {Address: addr("fd00::1")}},
		},
		{
			Template: &Template{Namespace: "test", Labels: []Label{{"chat", true}, {}}}, Name: "b", Version: 6,
			Members: []Member{{Address: addr("10.0.0.2")}},
		},
	}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string // members; none if nothing can be restored
		labels []Label  // of the first object
	}{
		{"as it is", func(*Config) {}, []string{"prod/a 10.0.0.1", "prod/a fd00::1", "test/b 10.0.0.2"}, []Label{{"shop", true}, {"blue", true}}},
		{"labels in another order", func(c *Config) { c.Labels = []string{"team", "app"} }, []string{"prod/a 10.0.0.1", "prod/a fd00::1", "test/b 10.0.0.2"}, []Label{{"blue", true}, {"shop", true}}},
		{"fewer labels", func(c *Config) { c.Labels = []string{"team"} }, []string{"prod/a 10.0.0.1", "prod/a fd00::1", "test/b 10.0.0.2"}, []Label{{"blue", true}}},
		{"a label that is not known", func(c *Config) { c.Labels = []string{"app", "tier"} }, nil, nil},
		{"one family", func(c *Config) { c.Family = IPv6 }, []string{"prod/a fd00::1"}, []Label{{"shop", true}, {"blue", true}}},
		{"one namespace", func(c *Config) { c.Namespaces = []string{"test", "dev"} }, []string{"test/b 10.0.0.2"}, []Label{{"chat", true}, {}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{
				Lookup: Endpoints, Namespaces: []string{AllNamespaces}, Labels: []string{"app", "team"},
				Endpoint: "http://127.0.0.1:1", Log: &kubetest.Log{},
			}
			old, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			old.Restore(known)
			tc.change(&c)
			source, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := source.RestoreFrom(old), tc.want != nil; got != want {
				t.Errorf("want %t, got %t", want, got)
			}
			objects, _ := source.Objects()
			slices.SortFunc(objects, CompareObjects)
			var got []string
			for _, o := range objects {
				for _, m := range o.Members {
					got = append(got, o.Namespace+"/"+o.Name+" "+m.Address.String())
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
			if tc.want == nil {
				return
			}
			if got := objects[0].Labels; !slices.Equal(got, tc.labels) {
				t.Errorf("labels: want %v, got %v", tc.labels, got)
			}
		})
	}
	t.Run("nothing known", func(t *testing.T) {
		c := Config{Lookup: Pods, Namespaces: []string{"prod"}, Endpoint: "http://127.0.0.1:1", Log: &kubetest.Log{}}
		old, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		source, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if source.RestoreFrom(old) {
			t.Error("want nothing restored")
		}
	})
}

func TestReducedLeavesTheObjectAsItIs(t *testing.T) {
	o := &Object{Template: &Template{Labels: []Label{{"a", true}, {"b", true}}}, Members: []Member{{Address: addr("10.0.0.1")}, {Address: addr("fd00::1")}}}
	o.reduced([]int{1}, IPv6, newTemplates())
	if len(o.Labels) != 2 || len(o.Members) != 2 || o.Members[0].Address != addr("10.0.0.1") {
		t.Errorf("want it unchanged, got %+v", o)
	}
}
