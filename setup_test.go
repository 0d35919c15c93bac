package longnames

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	_ "github.com/coredns/coredns/plugin/bind" // to listen where only tests do
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/longnames/longnames/internal/servertest"
)

// shop has two ready endpoints.
const shop = "examples/deployment.yaml"

// files makes files in a new directory, and gives that.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A block that can be read may still name what is not there.
func TestSourceRefused(t *testing.T) {
	dir := files(t, map[string]string{
		"token":     "secret",
		"bad.yaml":  "kind: [",
		"bad.conf":  "kind: [",
		"some.conf": "{apiVersion: v1, kind: Config, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: 'https://a'}}]}",
	})
	for _, tc := range []struct {
		name  string
		lines []string
		line  string
		want  string
	}{
		{"not in a cluster", []string{"mode ip"}, "5", "not in a Kubernetes cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set)"},
		{"kubeconfig missing", []string{"kubeconfig none.conf"}, "5", "kubeconfig " + dir + "/none.conf: "},
		{"kubeconfig broken", []string{"kubeconfig bad.conf"}, "5", "kubeconfig " + dir + "/bad.conf: "},
		{"kubeconfig without the context", []string{"kubeconfig some.conf b"}, "5", "kubeconfig " + dir + "/some.conf: "},
		{"manifests missing", []string{"manifests none.yaml"}, "5", `manifests: no file matches "` + dir + `/none.yaml"`},
		{"manifests missing, one of two", []string{"manifests bad.yaml *.json"}, "5", `manifests: no file matches "` + dir + `/*.json"`},
		{"manifests with a bad pattern", []string{"manifests [a"}, "5", `manifests: pattern "` + dir + `/[a"`},
		{"manifests broken", []string{"manifests bad.yaml"}, "5", "manifests: " + dir + "/bad.yaml: document 1: "},
		{"certificate missing", []string{"tls a.crt a.key ca.crt", "endpoint https://a", "namespaces a"}, "7", dir + "/a.crt: no such file"},
		{"token missing", []string{"service_account none", "endpoint https://a", "namespaces a"}, "7", "service account: open " + dir + "/none/token"},
		{"CA missing", []string{"service_account .", "endpoint https://a", "namespaces a"}, "7", "service account: open " + dir + "/ca.crt"},
		{"namespace missing", []string{"service_account .", "endpoint http://a"}, "6", "name it with namespaces, or all with namespaces *"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			t.Setenv("KUBERNETES_SERVICE_PORT", "")
			c := caddy.NewTestController("dns", blockOf(tc.lines...))
			dnsserver.GetConfig(c).Root = dir
			wantError(t, setup(c), "plugin/longnames: Testfile:"+tc.line+" - ", tc.want)
			if got := dnsserver.GetConfig(c).Plugin; len(got) > 0 {
				t.Errorf("got %d plugins after an error, want none", len(got))
			}
		})
	}
}

func TestBlocksOfOneServerBlock(t *testing.T) {
	lines := func(zones string, more ...string) string {
		more = append(more, "manifests "+shop)
		return strings.Replace(blockOf(more...), "erl.internal", zones, 1) + "\n"
	}
	for _, tc := range []struct {
		name string
		text string
		want []string // zones, sorted
		err  string
	}{
		{"zones of their own", lines("a.internal") + lines("b.internal"), []string{"a.internal.", "b.internal."}, ""},
		{"a zone inside the other", lines("internal") + lines("b.internal"), []string{"b.internal.", "internal."}, ""},
		{"a shared zone", lines("a.internal") + lines("a.internal"), []string{"a.internal."}, ""},
		{"a shared reverse zone", lines("a.internal 10.in-addr.arpa", "ttl 9") + lines("b.internal 10.in-addr.arpa", "ttl 9"),
			[]string{"10.in-addr.arpa.", "a.internal.", "b.internal."}, ""},
		{"a shared zone with many clusters", lines("a.internal", "group_by app") + lines("a.internal", "group_by tier"), []string{"a.internal."}, ""},
		{"a shared zone and another ttl", lines("a.internal") + lines("b.internal") + lines("b.internal a.internal", "ttl 9"), nil,
			"Testfile:16 - Error during parsing: zone a.internal.: expected ttl 5 as in the longnames block of line 1, with which this one answers together"},
		{"a shared zone, and fallthrough in the first", lines("a.internal", "fallthrough") + lines("a.internal"), nil,
			"Testfile:11 - Error during parsing: zone a.internal.: expected fallthrough as in the longnames block of line 1, "},
		{"a shared zone, and fallthrough in the second", lines("a.internal") + lines("a.internal", "fallthrough"), nil,
			"zone a.internal.: expected no fallthrough as in the longnames block of line 1, "},
		{"a shared zone, and fallthrough in others", lines("a.internal", "fallthrough a.internal b.internal") + lines("a.internal", "fallthrough b.internal"), nil,
			"zone a.internal.: expected fallthrough a.internal. b.internal. as in the longnames block of line 1, "},
		{"a shared zone, and group_by in the first", lines("a.internal", "group_by app") + lines("a.internal"), nil, "zone a.internal.: expected group_by as in the"},
		{"a shared zone, and group_by in the second", lines("a.internal") + lines("a.internal", "group_by app"), nil, "zone a.internal.: expected no group_by as in the"},
		{"a shared reverse zone, and group_by in one", lines("a.internal 10.0.0.0/8") + lines("b.internal 10.0.0.0/8", "group_by app"), nil,
			"zone 10.in-addr.arpa.: expected no group_by as in the"},
		{"a zone that has another one's name server in it", lines("internal") + lines("dns.internal"), nil,
			"Testfile:10 - Error during parsing: zone dns.internal.: expected another name, since that of zone internal.'s name server lies in it"},
		{"the same, the other way round", lines("ns.dns.internal") + lines("internal"), nil,
			"zone ns.dns.internal.: expected another name, since that of zone internal.'s name server lies in it"},
		{"the same in one block", lines("internal dns.internal"), nil, "zone dns.internal.: expected another name"},
		{"a zone that only looks like it", lines("internal") + lines("ns.internal") + lines("mydns.internal"), []string{"internal.", "mydns.internal.", "ns.internal."}, ""},
		{"a bad one after a good one", lines("a.internal") + lines("b.internal", "ttl x"), nil, "Testfile:7 - "},
		{"options on one line", "longnames a.internal { selector app=shop }", nil, "Testfile:1 - "},
		{"a brace on its own", "longnames a.internal {\n selector app=shop\n basename shop\n manifests " + shop + "\n {\n ttl 5\n }\n}", nil,
			"Testfile:5 - Error during parsing: expected one option a line"},
		{"a brace too late", "longnames a.internal\n{\n selector app=shop\n}", nil, "Testfile:1 - "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := newLongnames(caddy.NewTestController("dns", tc.text))
			if tc.err != "" {
				wantError(t, err, tc.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			l.link()
			got := l.CacheBypassZones()
			slices.Sort(got)
			equal(t, "zones", got, tc.want)
		})
	}
}

// setupAll sets up server blocks of one instance, and returns their plugins.
func setupAll(t *testing.T, texts ...string) []*Longnames {
	t.Helper()
	c := caddy.NewTestController("dns", "")
	all := make([]*Longnames, 0, len(texts))
	for i, text := range texts {
		c.ServerBlockIndex = i
		c.Dispenser = caddyfile.NewDispenser("Testfile", strings.NewReader(text))
		if err := setup(c); err != nil {
			t.Fatal(err)
		}
		plugins := dnsserver.GetConfig(c).Plugin
		if len(plugins) != 1 {
			t.Fatalf("server block %d: got %d plugins, want 1", i, len(plugins))
		}
		next := test.ErrorHandler()
		l, ok := plugins[0](next).(*Longnames)
		if !ok || l.Next == nil {
			t.Fatalf("server block %d: got %T with next %v, want *Longnames with one", i, l, l.Next)
		}
		all = append(all, l)
	}
	return all
}

func TestReadyOnceAllBlocksOfAllServerBlocksAre(t *testing.T) {
	inZone := func(zone string) string {
		return strings.Replace(blockOf("manifests "+shop), "erl.internal", zone, 1) + "\n"
	}
	all := setupAll(t, inZone("a.internal")+inZone("b.internal"), inZone("c.internal"))
	var blocks []*block
	for _, l := range all {
		blocks = append(blocks, l.blocks...)
	}
	if got, want := len(blocks), 3; got != want {
		t.Fatalf("got %d blocks, want %d", got, want)
	}
	check := func(want bool) {
		t.Helper()
		for i, l := range all {
			if got := l.Ready(); got != want {
				t.Errorf("server block %d: got ready %t, want %t", i, got, want)
			}
		}
	}
	check(false)
	for i, b := range slices.Backward(blocks) {
		b.table.Synced()
		check(i == 0)
	}
}

func TestInstancesOfOtherProcessesDoNotCount(t *testing.T) {
	waiting := setupAll(t, blockOf("manifests "+shop))[0]
	synced := setupAll(t, blockOf("manifests "+shop))[0]
	synced.blocks[0].table.Synced()
	if !synced.Ready() || waiting.Ready() {
		t.Errorf("got ready %t and %t, want true and false", synced.Ready(), waiting.Ready())
	}
}

// startServer starts CoreDNS, as far as it needs no other plugin.
func startServer(t *testing.T, blocks string) *caddy.Instance {
	t.Helper()
	server := servertest.Start(t, corefile(blocks))
	servertest.Await(t, server)
	return server
}

func corefile(blocks string) string { return ".:0 {\nbind 127.0.0.1\n" + blocks + "\n}\n" }

// query asks over UDP, then over TCP, and returns the last answer.
func query(t *testing.T, server *caddy.Instance, name string, qtype uint16) *dns.Msg {
	t.Helper()
	udp, tcp := servertest.Await(t, server)
	servertest.Query(t, "udp", udp, new(dns.Msg).SetQuestion(name, qtype))
	return servertest.Query(t, "tcp", tcp, new(dns.Msg).SetQuestion(name, qtype))
}

func TestServerStartsAndEndsWithNothingLeftBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := startServer(t, blockOf("manifests "+shop))
	equal(t, "members", data(query(t, server, "erl.internal.", dns.TypeTXT).Answer), []string{"shop@10.1.0.11", "shop@10.1.0.12"})
	servertest.Stop(t, server)
	goleak.VerifyNone(t, before)
}

func TestReloadLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := startServer(t, blockOf("manifests "+shop))
	next, err := server.Restart(servertest.Input(corefile(blockOf("manifests "+shop, "basename store"))))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "members", data(query(t, next, "erl.internal.", dns.TypeTXT).Answer), []string{"store@10.1.0.11", "store@10.1.0.12"})
	servertest.Stop(t, next)
	goleak.VerifyNone(t, before)
}

func TestReloadThatFailsLeavesTheOldOneServing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := startServer(t, blockOf("manifests "+shop))
	_, err := server.Restart(servertest.Input(corefile(blockOf("manifests "+shop) + "\n" + blockOf("ttl x"))))
	wantError(t, err, "Corefile:9 - ", "option ttl: ")
	equal(t, "members", data(query(t, server, "erl.internal.", dns.TypeTXT).Answer), []string{"shop@10.1.0.11", "shop@10.1.0.12"})
	servertest.Stop(t, server)
	goleak.VerifyNone(t, before)
}

// An address that is not ours cannot be listened on, which CoreDNS finds out only after
// the start of all plugins.
func TestReloadThatFailsLateLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	server := startServer(t, blockOf("manifests "+shop))
	during := goleak.IgnoreCurrent()
	for range 3 {
		bad := strings.Replace(corefile(blockOf("manifests "+shop)), "127.0.0.1", "192.0.2.1", 1)
		if _, err := server.Restart(servertest.Input(bad)); err == nil {
			t.Fatal("got no error")
		}
	}
	goleak.VerifyNone(t, during)
	equal(t, "members", data(query(t, server, "erl.internal.", dns.TypeTXT).Answer), []string{"shop@10.1.0.11", "shop@10.1.0.12"})
	next, err := server.Restart(servertest.Input(corefile(blockOf("manifests "+shop, "basename store"))))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "members", data(query(t, next, "erl.internal.", dns.TypeTXT).Answer), []string{"store@10.1.0.11", "store@10.1.0.12"})
	servertest.Stop(t, next)
	goleak.VerifyNone(t, before)
}

// stubborn is a plugin that cannot end.
const stubborn = "stubborn"

func init() {
	plugin.Register(stubborn, func(c *caddy.Controller) error {
		c.OnShutdown(func() error { return errors.New("cannot") })
		return nil
	})
}

// A reload also fails if a plugin of the old one fails to end, with the new one serving
// already: it is that which needs its members.
func TestReloadThatFailsAfterTheNewOneServes(t *testing.T) {
	directives := dnsserver.Directives
	t.Cleanup(func() { dnsserver.Directives = directives })
	dnsserver.Directives = append(slices.Clone(directives), stubborn)
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	manifest := filepath.Join(dir, "slices.yaml")
	copyFile(t, shop, manifest)
	server := startServer(t, stubborn+"\n"+blockOf("manifests "+manifest))
	var fresh *caddy.Instance
	if _, err := server.Restart(servertest.Input(corefile(blockOf("manifests "+manifest, "basename store")))); err == nil {
		t.Fatal("got no error")
	}
	for _, i := range caddy.Instances() {
		fresh = i
	}
	equal(t, "members", data(query(t, fresh, "erl.internal.", dns.TypeTXT).Answer), []string{"store@10.1.0.11", "store@10.1.0.12"})
	copyFile(t, shop, manifest, "10.1.0.12", "10.1.0.99")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := data(query(t, fresh, "erl.internal.", dns.TypeTXT).Answer)
		if slices.Contains(got, "store@10.1.0.99") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want the member that has changed", got)
		}
	}
	servertest.Stop(t, fresh)
	goleak.VerifyNone(t, before)
}

// copyFile copies a file, with the first of each pair of texts replaced by the second.
func copyFile(t *testing.T, from, to string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStartupTimeoutsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &instance{}
		for _, timeout := range []string{"3s", "5s", "1s", "5s"} {
			b, err := newBlock(configOf(t, blockOf("namespaces prod", "endpoint http://127.0.0.1:1", "startup_timeout "+timeout)))
			if err != nil {
				t.Fatal(err)
			}
			p.blocks = append(p.blocks, b)
		}
		start := time.Now()
		p.start()
		if got, want := time.Since(start), 5*time.Second; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		p.stop(true)
	})
}

// CoreDNS has other zones to serve: it does not wait for an API server any longer than
// startup_timeout.
func TestServerStartsWithoutAPIServer(t *testing.T) {
	before := goleak.IgnoreCurrent()
	account := files(t, map[string]string{"token": "secret", "namespace": "prod"})
	server := startServer(t, blockOf("endpoint http://127.0.0.1:1", "service_account "+account, "startup_timeout 1ms"))
	if got, want := query(t, server, "erl.internal.", dns.TypeSRV).Rcode, dns.RcodeServerFailure; got != want {
		t.Errorf("got %s, want %s", dns.RcodeToString[got], dns.RcodeToString[want])
	}
	servertest.Stop(t, server)
	goleak.VerifyNone(t, before)
}

func TestShutdownTwiceOrWithoutStart(t *testing.T) {
	l := setupAll(t, blockOf("manifests "+shop))[0]
	l.blocks[0].stop(true)
	l.blocks[0].start(nil, nil)
	<-l.blocks[0].table.done
	l.blocks[0].stop(true)
	l.blocks[0].stop(true)
}
