package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/internal/servertest"
)

// podManifest is a running pod of app web.
func podManifest(name, ip string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: prod, labels: {app: web}}\nstatus: {phase: Running, podIP: %s}\n---\n", name, ip)
}

func TestManifestsRelativeToRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	s := start(t, `.:0 {
		root `+dir+`
		longnames erl.internal {
			manifests *.yaml
			lookup pods
			selector app=web
			basename app
		}
	}`)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")

	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1")+podManifest("b", "10.0.0.2"))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")

	write(t, dir, "more.yaml", podManifest("c", "10.0.0.3"))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3")
}

func TestABrokenObjectAmongGoodOnes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1")+
		"apiVersion: v1\nkind: Pod\nmetadata: [this is, no map]\n---\n"+
		podManifest("hostile", `"10.0.0.1\" ; drop"`)+
		podManifest("b", "10.0.0.2"))
	s := start(t, `.:0 {
		longnames erl.internal {
			manifests `+dir+`/pods.yaml
			lookup pods
			selector app=web
			basename app
		}
	}`)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
}

// A blank file is what a command that failed leaves behind: what it was to have is not known.
func TestABlankManifest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", "")
	health := freeAddress(t)
	corefile := func(before, more string) string {
		return ".:0 {\n" + before + "\nlongnames erl.internal {\nmanifests " + dir + "/pods.yaml\nlookup pods\nselector app=web\nbasename app\nstartup_timeout 10ms\n" + more + "\n}\n}"
	}
	log := captureLog(t)
	s := start(t, corefile("ready "+health, ""))
	if got := s.rcode("erl.internal.", "TXT"); got != "SERVFAIL" {
		t.Errorf("at the start: got %s, want SERVFAIL", got)
	}
	for _, line := range []string{"got a blank file: the members are not known until it has something",
		"Members have not been read after 10ms: questions get SERVFAIL until they are"} {
		eventually(t, line+" is logged", func() bool { return log.has(line) })
	}
	if got := status(t, health); got != http.StatusServiceUnavailable {
		t.Errorf("ready at the start: got %d, want 503", got)
	}
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1")
	if got := status(t, health); got != http.StatusOK {
		t.Errorf("ready with members: got %d, want 200", got)
	}
	write(t, dir, "pods.yaml", "")
	eventually(t, "it is logged", func() bool { return log.has("got a blank file; what is known of it stays in use") })
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))

	s = start(t, corefile("", "")) // ready does not end after a reload that fails
	write(t, dir, "pods.yaml", "# nobody\n")
	kept, err := s.instance.Restart(servertest.Input(corefile("", "mode dns")))
	if err == nil || !strings.Contains(err.Error(), "pods.yaml: expected objects") {
		t.Errorf("a reload: got error %v, want one that names the file", err)
	}
	s.use(kept)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
}

func TestUDPAndTCP(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	var want []string
	for i := range 300 {
		ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
		text.WriteString(podManifest(fmt.Sprint("web-", i), ip))
		want = append(want, "app@"+ip)
	}
	slices.Sort(want)
	write(t, dir, "pods.yaml", text.String())
	s := start(t, `.:0 {
		longnames erl.internal {
			manifests `+dir+`/pods.yaml
			lookup pods
			selector app=web
			basename app
		}
	}`)
	tests := []struct {
		network   string
		size      uint16
		truncated bool
	}{
		{"udp", 0, true},
		{"udp", 1232, true},
		{"udp", 16384, false},
		{"tcp", 0, false},
		{"tcp", 1232, false},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprint(tc.network, tc.size), func(t *testing.T) {
			m := s.query(tc.network, "erl.internal.", "TXT", tc.size)
			if m.Truncated != tc.truncated {
				t.Errorf("truncated: got %t, want %t", m.Truncated, tc.truncated)
			}
			if got := data(m.Answer); !tc.truncated && !slices.Equal(got, want) {
				t.Errorf("got %d records, want all %d", len(got), len(want))
			}
			if (m.IsEdns0() != nil) != (tc.size > 0) {
				t.Errorf("EDNS: got %v, want it if it was asked with", m.IsEdns0())
			}
		})
	}
}

func TestAChangeIsSeenThroughCache(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	s := start(t, `.:0 {
		cache 3600
		longnames erl.internal 10.in-addr.arpa {
			manifests `+dir+`/pods.yaml
			lookup pods
			selector app=web
			basename app
			ttl 3600
		}
	}`)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	if got := s.rcode("2.0.0.10.in-addr.arpa.", "PTR"); got != "NXDOMAIN" {
		t.Errorf("before: got %s, want NXDOMAIN", got)
	}
	write(t, dir, "pods.yaml", podManifest("b", "10.0.0.2"))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2")
	s.wants("2.0.0.10.in-addr.arpa.", "PTR", "10.0.0.2.")
}

func TestSeveralBlocksAndServerBlocks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	block := func(zones, basename, more string) string {
		return "longnames " + zones + " {\n manifests " + dir + "/pods.yaml\n lookup pods\n selector app=web\n basename " + basename + "\n" + more + "\n}\n"
	}
	s := start(t, "erl.internal:0 {\n"+block("", "first", "")+block("b.erl.internal", "second", "")+"whoami\n}\n"+
		"other.internal:0 {\n"+block("", "third", "fallthrough")+"whoami\n}\n")
	s.wants("other.internal.", "TXT", "third@10.0.0.1")
	if got := s.rcode("nobody.other.internal.", "A"); got != "NOERROR" {
		t.Errorf("a name that falls through to whoami: got %s, want NOERROR", got)
	}
	servers := s.instance.Servers()
	s.udp = servers[0].LocalAddr().String()
	s.wants("erl.internal.", "TXT", "first@10.0.0.1")
	s.wants("b.erl.internal.", "TXT", "second@10.0.0.1")
	if got := s.rcode("nobody.erl.internal.", "A"); got != "NXDOMAIN" {
		t.Errorf("a name that does not: got %s, want NXDOMAIN", got)
	}
}
