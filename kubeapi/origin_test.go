package kubeapi

import (
	"slices"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// A CA is replaced by way of a bundle of both.
func TestOriginWithARotatedAuthority(t *testing.T) {
	for _, tc := range []struct {
		written, read, want string
	}{
		{"a", "a", ""},
		{"a", "a b", ""},
		{"a b", "b", ""},
		{"a", "b", "expected authority"},
		{"", "b", "expected authority"},
		{"a", "", "expected authority"},
	} {
		file := func(authority string) Origin {
			return Origin{"server": "https://10.0.0.1:6443", authorityPart: authority}
		}
		kubetest.WantError(t, file(tc.read).Check(file(tc.written)), tc.want)
	}
}

func TestOriginOfAnotherConfiguration(t *testing.T) {
	const server = "https://10.0.0.1:6443"
	for _, tc := range []struct {
		name   string
		change func(*Config)
		server string // default: the same
		want   string // empty if it is the same
	}{
		{"the same", func(*Config) {}, "", ""},
		{"server", func(*Config) {}, "https://10.0.0.2:6443", `expected server "https://10.0.0.2:6443", got "https://10.0.0.1:6443"`},
		{"server with a password", func(*Config) {}, "https://admin:hunter2@10.0.0.1:6443", ""},
		{"lookup", func(c *Config) { c.Lookup = Endpoints }, "", `expected lookup "endpoints", got "pods"`},
		{"namespaces", func(c *Config) { c.Namespaces = []string{"prod", "dev"} }, "", `expected namespaces "dev prod", got "dev prod staging"`},
		{"namespaces in another order", func(c *Config) { slices.Reverse(c.Namespaces) }, "", ""},
		{"selector", func(c *Config) { c.Selector = "app=chat" }, "", `expected selector "app=chat", got "app=shop,tier!=db"`},
		{"selector in another order", func(c *Config) { c.Selector = "tier!=db, app==shop" }, "", `expected selector "app==shop,tier!=db"`},
		{"selector with blanks", func(c *Config) { c.Selector = "tier!=db, app=shop" }, "", ""},
		{"labels", func(c *Config) { c.Labels = nil }, "", `expected labels "", got "app tier"`},
		{"labels in another order", func(c *Config) { slices.Reverse(c.Labels) }, "", ""},
		{"family", func(c *Config) { c.Family = IPv6 }, "", `expected family "ipv6", got ""`},
		{"options that do not matter", func(c *Config) { c.Cached, c.UserAgent, c.ServiceAccount = true, "x", "/x" }, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Config{Lookup: Pods, Namespaces: []string{"prod", "staging", "dev"}, Selector: "app=shop,tier!=db", Labels: []string{"app", "tier"}}
			before := newOrigin(c, server, c.Namespaces)
			tc.change(c)
			if tc.server == "" {
				tc.server = server
			}
			kubetest.WantError(t, newOrigin(c, tc.server, c.Namespaces).Check(before), tc.want)
		})
	}
}
