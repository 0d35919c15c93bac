package main

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

func TestInsertBefore(t *testing.T) {
	tests := []struct {
		name    string
		list    []string
		want    []string
		wantErr bool
	}{
		{name: "middle", list: []string{"cache", "kubernetes", "file"}, want: []string{"cache", "longnames", "kubernetes", "file"}},
		{name: "first", list: []string{"kubernetes", "file"}, want: []string{"longnames", "kubernetes", "file"}},
		{name: "last", list: []string{"cache", "kubernetes"}, want: []string{"cache", "longnames", "kubernetes"}},
		{name: "only the whole word", list: []string{"kubernetes2", "k8s_external"}, wantErr: true},
		{name: "missing", list: []string{"cache", "file"}, wantErr: true},
		{name: "empty", wantErr: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			// Room at the end: an insertion in place would go unnoticed without it.
			list := slices.Grow(slices.Clone(tc.list), 1)
			got, err := insertBefore(list, "longnames", "kubernetes")
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %t", err, tc.wantErr)
			}
			if err != nil && !strings.Contains(err.Error(), `"kubernetes"`) {
				t.Errorf("error %q does not name the missing directive", err)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if !slices.Equal(list, tc.list) {
				t.Errorf("the list itself became %v", list)
			}
		})
	}
}

// TestAddDirective asks the real CoreDNS: a plugin without a directive is unknown to every Corefile, and the order of
// the directives is the order in which plugins are asked.
func TestAddDirective(t *testing.T) {
	original := dnsserver.Directives
	t.Cleanup(func() { dnsserver.Directives = original })

	if err := addDirective(); err != nil {
		t.Fatal(err)
	}
	i := slices.Index(dnsserver.Directives, "longnames")
	if i < 0 || i+1 >= len(dnsserver.Directives) || dnsserver.Directives[i+1] != "kubernetes" {
		t.Errorf("longnames is not directly before kubernetes: %v", dnsserver.Directives)
	}
	if cache := slices.Index(dnsserver.Directives, "cache"); cache < 0 || cache > i {
		t.Errorf("cache is not before longnames: %v", dnsserver.Directives)
	}
	if plugins := caddy.ListPlugins()["others"]; !slices.Contains(plugins, "dns.longnames") {
		t.Errorf("dns.longnames is not among the plugins: %v", plugins)
	}
	if err := addDirective(); err == nil {
		t.Error("a second longnames was accepted")
	}
}

func TestVersionOf(t *testing.T) {
	built := func(v string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: v}} }
	tests := []struct {
		name   string
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{name: "linked", linked: "v1.2.3-4-gabc-dirty", info: built("v9.9.9"), want: "v1.2.3-4-gabc-dirty"},
		{name: "installed as a module", info: built("v1.2.3"), want: "v1.2.3"},
		{name: "built in a checkout", info: built("(devel)"), want: "devel"},
		{name: "test binary", info: built(""), want: "devel"},
		{name: "no build info", want: "devel"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := versionOf(tc.linked, tc.info); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	tests := []struct {
		name            string
		version, commit string
		want            string
	}{
		{name: "built by make", version: "v1.2.3", commit: "0123456789ab", want: "longnames-v1.2.3, commit 0123456789ab"},
		{name: "commit not known", version: "devel", want: "longnames-devel"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := release(tc.version, tc.commit); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
