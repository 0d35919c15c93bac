package docs_test

import (
	"maps"
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
	_ "github.com/coredns/coredns/plugin/bufsize"
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
	_ "github.com/coredns/coredns/plugin/multisocket"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/root"
	_ "github.com/coredns/coredns/plugin/transfer"
	_ "github.com/coredns/coredns/plugin/tsig"
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
	texts := []string{}
	for _, rr := range servertest.Query(t, "udp", address, m.SetEdns0(dns.DefaultMsgSize, false)).Answer {
		texts = append(texts, singleSpaces(rr.String()))
	}
	return texts
}

// askShort returns only the data of the records, without name, TTL, class and type.
func askShort(t *testing.T, address, name string, qtype uint16) []string {
	t.Helper()
	texts := ask(t, address, name, qtype)
	for i, text := range texts {
		texts[i] = strings.SplitN(text, " ", 5)[4]
	}
	return texts
}

func singleSpaces(text string) string { return strings.Join(strings.Fields(text), " ") }

// deployCorefiles returns the Corefiles in deploy, by path.
func deployCorefiles(t *testing.T) map[string]string {
	t.Helper()
	found := readAll(t, "../deploy")
	maps.DeleteFunc(found, func(path, _ string) bool { return filepath.Base(path) != "Corefile" })
	return found
}

// CoreDNS sets up all plugins of each Corefile, and does not start.
func TestCorefilesAreAccepted(t *testing.T) {
	corefiles := deployCorefiles(t)
	corefiles["Corefile.example"] = read(t, "../Corefile.example")
	corefiles[optionsPath] = read(t, optionsPath)
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
	watching = regexp.MustCompile(`(?m)^ *(?:longnames|kubernetes)\b[^{}\n]*(?:\{[^}]*\})?$`)
	source   = regexp.MustCompile(`(?m)^ *(?:endpoint|kubeconfig|manifests) `)
)

// podFiles returns a function that replaces the paths in a Corefile by those of files that there are, and adds a
// kubeconfig to plugins that would rely on the cluster around them.
func podFiles(t *testing.T) func(corefile string) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"", "extra"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS("../examples")); err != nil {
			t.Fatal(err)
		}
	}
	api := fakeapi.New(t, fakeapi.WithClientCert())
	api.WriteTLS(dir)
	api.WriteServiceAccount(dir, "secret", "kube-system")
	const transferKey = "key \"transfer.\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n"
	if err := os.WriteFile(filepath.Join(dir, "transfer.key"), []byte(transferKey), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := api.WriteKubeconfig(dir, "prod")
	paths := strings.NewReplacer(
		"/etc/coredns/kubeconfig prod", kubeconfig+" fakeapi",
		"/etc/coredns/account", dir,
		"/etc/coredns", dir,
		"/root/members.yaml", "../examples/deployment.yaml",
		"slices.yaml", "deployment.yaml",
		"manifests examples", "manifests ../examples",
		"/etc/resolv.conf", "10.96.0.10",
		"__PILLAR__CLUSTER__DNS__", "10.96.0.11", // node-cache does so, too
		"__PILLAR__UPSTREAM__SERVERS__", "10.96.0.12",
	)
	return func(corefile string) string {
		return paths.Replace(watching.ReplaceAllStringFunc(corefile, func(block string) string {
			if source.MatchString(block) {
				return block
			}
			plugin, options, _ := strings.Cut(strings.TrimSuffix(block, "}"), "{")
			return plugin + " {" + options + "\nkubeconfig " + kubeconfig + "\n}"
		}))
	}
}
