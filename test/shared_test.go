package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

// blocksOf are longnames blocks of one zone and of its reverse zone, each with some lines.
func blocksOf(server string, blocks ...string) string {
	text := server + " {\n"
	for _, lines := range blocks {
		text += "longnames erl.internal 10.in-addr.arpa {\nbasename app\nstartup_timeout 100ms\n" + lines + "\n}\n"
	}
	return text + "}\n"
}

// from are the lines of a block that reads the endpoints of an API server.
func from(api *fakeapi.Server, selector string) string {
	return "endpoint " + api.URL + "\nnamespaces prod\nselector " + selector
}

func TestAnAPIServerAndAManifest(t *testing.T) {
	api, dir := fakeapi.New(t), t.TempDir()
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1")+podManifest("b", "10.0.0.2"))
	s := start(t, blocksOf(".:0", from(api, "app=web"), "manifests "+dir+"/pods.yaml\nlookup pods\nselector app=web"))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
	s.wants("b.erl.internal.", "A", "10.0.0.2")
	s.wants("2.0.0.10.in-addr.arpa.", "PTR", "10.0.0.2.")
	serial := s.serial()

	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-3", "10.0.0.3", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3")
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.3")
	eventually(t, "a later serial", func() bool { return s.serial() > serial })
}

func TestTwoAPIServers(t *testing.T) {
	one, other := fakeapi.New(t), fakeapi.New(t)
	one.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	other.Put(slice(endpoint("web-0", "10.1.0.1", true), endpoint("web-1", "10.1.0.2", true)))
	dir := t.TempDir()
	snapshots := []string{filepath.Join(dir, "one.json"), filepath.Join(dir, "other.json")}
	text := blocksOf(".:0", from(one, "app=web")+"\nsnapshot "+snapshots[0], from(other, "app=web")+"\nsnapshot "+snapshots[1])
	s := start(t, text)
	all := []string{"app@10.0.0.1", "app@10.1.0.1", "app@10.1.0.2"}
	s.wants("erl.internal.", "TXT", all...)
	eventually(t, "the snapshots are written", func() bool {
		return !slices.ContainsFunc(snapshots, func(file string) bool { _, err := os.Stat(file); return err != nil })
	})
	other.Stop()
	s.wants("erl.internal.", "TXT", all...)

	s = s.restart(t, text)
	s.wants("erl.internal.", "TXT", all...)
	if got := s.ede("erl.internal.", "TXT"); got != int(dns.ExtendedErrorCodeStaleAnswer) {
		t.Errorf("with a snapshot: got extended error %d, want %d", got, dns.ExtendedErrorCodeStaleAnswer)
	}
	s = start(t, blocksOf(".:0", from(one, "app=web"), from(other, "app=web")))
	if got := s.rcode("erl.internal.", "TXT"); got != "SERVFAIL" {
		t.Errorf("without a snapshot: got %s, want SERVFAIL", got)
	}
	s.wants("1.0.0.10.in-addr.arpa.", "PTR", "10.0.0.1.")
	other.Start()
	s.soon("erl.internal.", "TXT", all...)
}

// Changes of a reload are there after it, and nobody is missing meanwhile.
func TestReloadOfBlocksThatShareAZone(t *testing.T) {
	const web, db, both = "app=web", "app=db", "'app in (web, db)'"
	for _, tc := range []struct {
		name          string
		before, after []string // selectors of the blocks
		want, then    []string
		away          []string // what is answered after a reload without the API server
	}{
		{"one is added", []string{web}, []string{web, db}, []string{"app@10.0.0.1"}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1"}},
		{"one is added before the other", []string{db}, []string{web, db}, []string{"app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.2"}},
		{"the second is taken away", []string{web, db}, []string{web}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1"}, []string{"app@10.0.0.1"}},
		{"the first is taken away", []string{web, db}, []string{db}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.2"}, []string{"app@10.0.0.2"}},
		{"they change their order", []string{web, db}, []string{db, web}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}},
		{"one instead of both", []string{web, db}, []string{both}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}},
		{"both instead of one", []string{both}, []string{web, db}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{"app@10.0.0.1", "app@10.0.0.2"}},
	} {
		for _, isAway := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, without the API server: %t", tc.name, isAway), func(t *testing.T) {
				api := fakeapi.New(t)
				for i, app := range []string{"web", "db"} {
					object := slice(endpoint(app, fmt.Sprintf("10.0.0.%d", i+1), true))
					object.Name, object.Labels = app, map[string]string{"app": app}
					api.Put(object)
				}
				port := freePort(t)
				text := func(selectors []string) string {
					var blocks []string
					for _, selector := range selectors {
						blocks = append(blocks, from(api, strings.ReplaceAll(selector, "'", `"`)))
					}
					return strings.Replace(blocksOf(".:"+port, blocks...), "{\n", "{\nbind 127.0.0.1\n", 1)
				}
				s := start(t, text(tc.before))
				s.wants("erl.internal.", "TXT", tc.want...)
				if isAway {
					api.Stop()
				}
				asker := askAllTheTime("127.0.0.1:"+port, "erl.internal.", tc.want, tc.then)
				next, err := s.instance.Restart(servertest.Input(text(tc.after)))
				if err != nil {
					t.Fatal(err)
				}
				s.use(next)
				if isAway {
					s.wants("erl.internal.", "TXT", tc.away...)
					asker.done(t)
					api.Start()
				}
				s.soon("erl.internal.", "TXT", tc.then...)
				if !isAway {
					asker.done(t)
				}
			})
		}
	}
}
