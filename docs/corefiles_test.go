package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metadata"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/root"
	_ "github.com/coredns/coredns/plugin/transfer"
	_ "github.com/coredns/coredns/plugin/view"
	"github.com/miekg/dns"

	_ "github.com/longnames/longnames"
	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

// serverBlocks parses a Corefile. It needs only the names of plugins to be known.
func serverBlocks(t *testing.T, corefile string) []caddyfile.ServerBlock {
	t.Helper()
	blocks, err := caddyfile.Parse("Corefile", strings.NewReader(corefile), dnsserver.Directives)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// words returns the zones of each server block of a Corefile, and the words of its plugins.
func words(t *testing.T, corefile string) []map[string]string {
	t.Helper()
	var found []map[string]string
	for _, block := range serverBlocks(t, corefile) {
		of := map[string]string{"zones": strings.Join(block.Keys, " ")}
		for directive, tokens := range block.Tokens {
			for _, token := range tokens {
				of[directive] += token.Text + " "
			}
		}
		found = append(found, of)
	}
	return found
}

// optionsIn returns the options of each longnames block of a Corefile, and their arguments.
func optionsIn(t *testing.T, corefile string) []map[string]string {
	t.Helper()
	var found []map[string]string
	for _, block := range serverBlocks(t, corefile) {
		for d := caddyfile.NewDispenserTokens("Corefile", block.Tokens["longnames"]); d.Next(); {
			options := make(map[string]string)
			d.RemainingArgs() // zones
			for d.NextBlock() {
				options[d.Val()] = strings.Join(d.RemainingArgs(), " ")
			}
			found = append(found, options)
		}
	}
	return found
}

// serve runs a Corefile until the test ends.
func serve(t *testing.T, corefile string) (address string) {
	t.Helper()
	instance := servertest.Start(t, corefile)
	t.Cleanup(func() { servertest.Stop(t, instance) })
	address, _ = servertest.Await(t, instance)
	return address
}

// ask returns the records of an answer, as zone files have them, with single spaces.
func ask(t *testing.T, address, name string, qtype uint16) []string {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	answer := servertest.Query(t, "udp", address, m.SetEdns0(dns.DefaultMsgSize, false))
	texts := []string{}
	for _, rr := range answer.Answer {
		texts = append(texts, strings.Join(strings.Fields(rr.String()), " "))
	}
	return texts
}

// rdata cuts off what stands before the data of a record: name, TTL, class and type.
func rdata(record string) string { return strings.SplitN(record, " ", 5)[4] }

// deployCorefiles returns the Corefiles in deploy, by path.
func deployCorefiles(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	if err := filepath.WalkDir("deploy", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "Corefile" {
			found[path] = read(t, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// isStubDomain reports whether a Corefile is that of another server, which forwards to ours.
func isStubDomain(path string) bool { return strings.Contains(path, "stub-domain") }

// Everything is tried but the start, with the files that CoreDNS would find in its pod.
func TestCorefilesAreAccepted(t *testing.T) {
	corefiles := deployCorefiles(t)
	corefiles["Corefile.example"] = read(t, "Corefile.example")
	for _, page := range pages(t) {
		for _, snippet := range page.Snippets("corefile") {
			corefiles[snippet.Where] = snippet.Text
		}
	}
	inPod := podFiles(t)
	for name, text := range corefiles {
		t.Run(name, func(t *testing.T) {
			text := inPod(text)
			if err := caddy.ValidateAndExecuteDirectives(servertest.Input(text), nil, true); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

var (
	kubernetesReader = regexp.MustCompile(`(?m)^( *)(longnames|kubernetes)\b([^{}\n]*)(?:\{([^}]*)\})?$`)
	ownSource        = regexp.MustCompile(`(?m)^ *(endpoint|kubeconfig|manifests) `)
)

// podFiles returns a function that leads the paths in a Corefile to files, and what would read from
// the cluster around it to an API server that is named.
func podFiles(t *testing.T) func(corefile string) string {
	t.Helper()
	dir := t.TempDir()
	account := filepath.Join(dir, "account")
	for _, sub := range []string{account, filepath.Join(dir, "extra")} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"slices.yaml", "members.yaml", "extra/more.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, "examples/deployment.yaml")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := fakeapi.New(t, fakeapi.WithClientCert())
	api.WriteTLS(dir)
	api.WriteKubeconfig(dir, "prod")
	api.WriteServiceAccount(account, "secret", "kube-system")
	paths := strings.NewReplacer(
		"/etc/coredns/kubeconfig prod", dir+"/kubeconfig fakeapi",
		"/etc/coredns", dir,
		"/root", dir,
		"/etc/resolv.conf", "10.96.0.10",
		"__PILLAR__CLUSTER__DNS__", "10.96.0.11", // as node-cache fills it in
		"__PILLAR__UPSTREAM__SERVERS__", "10.96.0.12",
	)
	return func(corefile string) string {
		corefile = kubernetesReader.ReplaceAllStringFunc(corefile, func(block string) string {
			part := kubernetesReader.FindStringSubmatch(block)
			plugin, zones, options := part[2], part[3], part[4]
			if !ownSource.MatchString(options) {
				options += "\nendpoint " + api.URL + "\n"
				if plugin == "longnames" {
					options += "service_account " + account + "\n"
				}
			}
			return part[1] + plugin + zones + " {" + options + "}"
		})
		return paths.Replace(corefile)
	}
}
