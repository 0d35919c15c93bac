// Package plugincfg_test builds CoreDNS from its own source tree with longnames in plugin.cfg, as the README says, and
// asks it what the README asks.
package plugincfg_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/markdown"
)

const (
	coreDNS = "github.com/coredns/coredns"
	plugin  = "github.com/longnames/longnames"
)

// shell runs a script in a directory. Flags that make test has as well let it find in the cache what that has compiled.
func shell(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestPluginCfg(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles all of CoreDNS")
	}
	checkout := shell(t, "../..", "pwd")
	source := shell(t, checkout, "go list -m -f {{.Dir}} "+coreDNS)
	tree := filepath.Join(t.TempDir(), "coredns")
	shell(t, checkout, "cp -r "+source+" "+tree+" && chmod -R u+w "+tree)

	page := markdown.Read(t, checkout+"/README.md")
	addLine(t, tree+"/plugin.cfg", only(t, page.Snippets("txt"), plugin), page)
	shell(t, tree, only(t, page.Snippets("sh"), "go generate"), publish(t, tree, checkout))
	if got := shell(t, tree, "./coredns -plugins"); !slices.Contains(strings.Split(got, "\n"), "longnames") {
		t.Errorf("got plugins\n%s\nwant longnames among them", got)
	}
	want := regexp.MustCompile(`(?m)\+short (shop\S+) TXT\n((?:".*"\n)+)`).FindStringSubmatch(page.Text)
	if want == nil {
		t.Fatal("README.md has no dig for TXT records of shop")
	}
	address := serve(t, checkout, tree+"/coredns")
	if got := texts(t, address, want[1]); got != want[2] {
		t.Errorf("%s: got %s, want %s", want[1], got, want[2])
	}
}

// publish has a source tree take the checkout for what is published as the plugin, and returns the environment in which
// the go command finds a version of it.
func publish(t *testing.T, tree, checkout string) (env string) {
	t.Helper()
	shell(t, tree, "go mod edit -replace "+plugin+"="+checkout)
	proxy := t.TempDir()
	versions := filepath.Join(proxy, filepath.FromSlash(plugin), "@v")
	shell(t, proxy, "mkdir -p "+versions+"; cd "+versions+`
		echo v0.0.0-test >list
		echo '{"Version":"v0.0.0-test"}' >v0.0.0-test.info`)
	return "GOPROXY=file://" + proxy + "," + shell(t, tree, "go env GOPROXY")
}

// only returns the one snippet that has a text.
func only(t *testing.T, snippets []markdown.Snippet, text string) string {
	t.Helper()
	var found []string
	for _, snippet := range snippets {
		if strings.Contains(snippet.Text, text) {
			found = append(found, snippet.Text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d snippets with %q, want 1", len(found), text)
	}
	return found[0]
}

// addLine puts the line where the README says.
func addLine(t *testing.T, path, line string, page markdown.Page) {
	t.Helper()
	next := regexp.MustCompile("plugin\\.cfg`, before `(\\S+)`").FindStringSubmatch(page.Text)
	if next == nil {
		t.Fatal("README.md does not say before which line of plugin.cfg")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), "\n"+next[1]+"\n")
	if !ok {
		t.Fatalf("plugin.cfg has no line %q", next[1])
	}
	if err := os.WriteFile(path, []byte(before+"\n"+line+next[1]+"\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve has a binary serve Corefile.example, and returns the address once it answers there.
func serve(t *testing.T, checkout, binary string) string {
	t.Helper()
	corefile, err := os.ReadFile(checkout + "/Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	path := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(path, []byte(strings.Replace(string(corefile), ".:1053 {", ".:"+port+" {", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, binary, "-conf", path)
	cmd.Dir = checkout
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed, or has ended before it answered
		close(exited)
	}()
	t.Cleanup(func() {
		cancel()
		<-exited
	})
	deadline := time.After(time.Minute)
	for {
		if _, err := dns.Exchange(new(dns.Msg).SetQuestion("erl.internal.", dns.TypeSOA), address); err == nil {
			return address
		}
		select {
		case <-exited:
			t.Fatalf("the CoreDNS that was built does not start:\n%s", log.String())
		case <-deadline:
			t.Fatal("the CoreDNS that was built does not answer within a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// texts returns what dig +short prints of TXT records.
func texts(t *testing.T, address, name string) string {
	t.Helper()
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), address)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			b.WriteString(`"` + strings.Join(txt.Txt, `" "`) + "\"\n")
		}
	}
	return b.String()
}
