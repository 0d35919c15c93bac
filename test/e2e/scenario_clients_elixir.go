package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// askedFor is what the configuration of docs/clients.md has an app ask for, and by which function, by section.
var askedFor = map[string]string{
	"Kubernetes.DNSSRV": "shop prod Shop.Peers.srv/1",
	"Kubernetes.DNS":    "shop.prod.svc.erl.internal. Shop.Peers.a/1",
	"DNSPoll":           "shop.prod.svc.erl.internal. Shop.Peers.addresses/1",
	"dns_cluster":       "shop.prod.svc.erl.internal.",
	"peerage":           "shop.prod.svc.erl.internal",
	"Others":            "caravan.erl.internal",
	// of docs/migrating-from-libcluster.md
	"Which strategy next": "shop prod Shop.Peers.srv/1",
}

// tryElixirConfig evaluates what the pages print for config/runtime.exs as Elixir does: in production it has to say who
// is asked for, and name resolvers that the pages' modules have; in tests, without any variable, nothing.
func tryElixirConfig(t *trial) {
	script, err := filepath.Abs("testdata/config.exs")
	t.must(err)
	tried := make(map[string]bool)
	for _, page := range []string{clientsPage, migratingPage} {
		all, err := snippets(page)
		t.must(err)
		modules := filepath.Join(t.dir, strings.TrimSuffix(filepath.Base(page), ".md"))
		t.must(os.MkdirAll(modules, 0o755))
		for _, s := range all {
			if s.language != "elixir" {
				continue
			}
			t.parses(s.text)
			if strings.Contains(s.text, "\ndefmodule ") {
				t.elixirc(modules, s.text)
			}
		}
		for _, s := range all {
			if s.language != "elixir" || !strings.HasPrefix(s.text, "# config/runtime.exs\n") {
				continue
			}
			want, known := askedFor[s.section]
			if !known {
				t.failf("%s, section %q: nobody has said what it asks for", filepath.Base(page), s.section)
			}
			tried[s.section] = true
			file := filepath.Join(modules, "runtime.exs")
			t.must(os.WriteFile(file, []byte("import Config\n"+s.text), 0o600))
			got := t.evaluates(script, modules, file, "prod", "POD_NAMESPACE=prod", "DNS_CLUSTER_QUERY=shop.prod.svc.erl.internal.")
			t.must(same(s.section+" in production", []string{got}, []string{want}))
			t.must(same(s.section+" in tests", []string{t.evaluates(script, modules, file, "test")}, []string{""}))
		}
	}
	for section := range askedFor {
		if !tried[section] {
			t.failf("section %q has no config/runtime.exs", section)
		}
	}
}

// parses wants a text to be Elixir.
func (t *trial) parses(text string) {
	cmd := exec.CommandContext(t.ctx, "elixir", "-e", "Code.string_to_quoted!(IO.read(:stdio, :eof))")
	cmd.Stdin = strings.NewReader(text)
	if out, err := toEndOf(cmd); err != nil {
		t.failf("%s: %w: %s", text, err, out)
	}
}

// evaluates gives what testdata/config.exs says of a file in an environment.
func (t *trial) evaluates(script, modules, file, environment string, variables ...string) string {
	cmd := exec.CommandContext(t.ctx, "elixir", "-pa", modules, script, file, environment)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.dir, "LC_ALL=C.UTF-8"}, variables...)
	out, err := toEndOf(cmd)
	if err != nil {
		t.failf("%s: %w: %s", file, err, out)
	}
	return strings.TrimSpace(out)
}
