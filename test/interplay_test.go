package test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestInterplay proves what docs/plugins.md says of each plugin of CoreDNS.
func TestInterplay(t *testing.T) {
	t.Run("acl", tryACL)
	t.Run("any", tryAny)
	t.Run("autopath", tryAutopath)
	t.Run("bufsize", tryBufsize)
	t.Run("cache", tryCache)
	t.Run("dns64", tryDNS64)
	t.Run("dnssec", tryDNSSEC)
	t.Run("errors", tryErrors)
	t.Run("file", tryFile)
	t.Run("forward", tryForward)
	t.Run("health", tryHealth)
	t.Run("hosts", tryHosts)
	t.Run("kubernetes", tryKubernetes)
	t.Run("loadbalance", tryLoadbalance)
	t.Run("log", tryLog)
	t.Run("minimal", tryMinimal)
	t.Run("multisocket", tryMultisocket)
	t.Run("nsid", tryNSID)
	t.Run("prometheus", tryPrometheus)
	t.Run("ready", tryReady)
	t.Run("reload", tryReload)
	t.Run("rewrite", tryRewrite)
	t.Run("template", tryTemplate)
	t.Run("tls", tryTLS)
	t.Run("view", tryView)
}

// plugins is what users read about what is tried here.
const plugins = "../docs/plugins.md"

func TestEachPluginInTheTableIsTried(t *testing.T) {
	names := func(file, pattern string) (out []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)`+pattern).FindAllSubmatch(text, -1) {
			out = append(out, string(found[1]))
		}
		return out
	}
	got, want := names(plugins, `^\| \*(\w+)\* `), names("interplay_test.go", `^\tt\.Run\("(\w+)", try`)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("rows of %s: got %q, want a row for each test, %q", plugins, got, want)
	}
}

// advised gives a part of a Corefile that docs/plugins.md advises, as it stands there.
func advised(t *testing.T, corefile string) string {
	t.Helper()
	text, err := os.ReadFile(plugins)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("`"+corefile+"`")) {
		t.Errorf("%s does not have %q", plugins, corefile)
	}
	return corefile + "\n"
}

// podsAt writes a file of pods, web-0 at the first address and so on, and gives its name.
func podsAt(t *testing.T, addresses ...string) string {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	for i, a := range addresses {
		text.WriteString(podManifest(fmt.Sprint("web-", i), a))
	}
	write(t, dir, "pods.yaml", text.String())
	return dir + "/pods.yaml"
}

// block is a longnames block for the pods in a file, with more options.
func block(zones, file, more string) string {
	return "longnames " + zones + " {\nmanifests " + file + "\nlookup pods\nselector app=web\nbasename app\n" + more + "\n}\n"
}

// exchange asks a question that is made already, from an address of this host.
func (s *server) exchange(m *dns.Msg, from string) (*dns.Msg, error) {
	s.tb.Helper()
	_, port, err := net.SplitHostPort(s.udp)
	if err != nil {
		s.tb.Fatal(err)
	}
	client := dns.Client{
		Timeout: 5 * time.Second,
		Dialer:  &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}},
	}
	answer, _, err := client.Exchange(m, net.JoinHostPort("127.0.0.1", port))
	return answer, err
}

// askFrom asks from an address of this host, and gives the response code and the data.
func (s *server) askFrom(from, name, qtype string) (rcode string, got []string) {
	s.tb.Helper()
	answer, err := s.exchange(new(dns.Msg).SetQuestion(name, dns.StringToType[qtype]), from)
	if err != nil {
		s.tb.Fatalf("%s %s from %s: %v", name, qtype, from, err)
	}
	return dns.RcodeToString[answer.Rcode], data(answer.Answer)
}

// wantsRcode asks once.
func (s *server) wantsRcode(name, qtype, want string) {
	s.tb.Helper()
	if got := s.rcode(name, qtype); got != want {
		s.tb.Errorf("%s %s: got %s, want %s", name, qtype, got, want)
	}
}

// owners gives the owner names of records, each once.
func owners(rrs []dns.RR) []string {
	out := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		out = append(out, rr.Header().Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// journal is what CoreDNS logs from now on until the test ends.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func listenToLog(t *testing.T) *journal {
	t.Helper()
	l := &journal{}
	writer, flags := log.Writer(), log.Flags()
	log.SetOutput(l)
	log.SetFlags(0)
	t.Cleanup(func() {
		log.SetOutput(writer)
		log.SetFlags(flags)
	})
	return l
}

// Write implements io.Writer.
func (l *journal) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines are those so far that begin like this.
func (l *journal) lines(prefix string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []string{}
	for line := range strings.Lines(l.text.String()) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// httpGet gives the status and the body.
func httpGet(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// resolver is a DNS server for what is not ours: it has one record for every name and
// type, and counts what it is asked.
type resolver struct {
	address string
	mu      sync.Mutex
	asked   map[dns.Question]int
}

// elsewhere is what the resolver answers.
const elsewhere = "192.0.2.1"

func startResolver(t *testing.T) *resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{address: socket.LocalAddr().String(), asked: make(map[dns.Question]int)}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: socket, Handler: r, NotifyStartedFunc: func() { close(started) }}
	done := make(chan error)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// ServeDNS implements dns.Handler.
func (r *resolver) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	q := m.Question[0]
	r.mu.Lock()
	q.Name = strings.ToLower(q.Name)
	r.asked[q]++
	r.mu.Unlock()
	reply := new(dns.Msg).SetReply(m)
	header := dns.RR_Header{Name: m.Question[0].Name, Rrtype: q.Qtype, Class: q.Qclass, Ttl: 3600}
	switch q.Qtype {
	case dns.TypeA:
		reply.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP(elsewhere)}}
	case dns.TypePTR:
		reply.Answer = []dns.RR{&dns.PTR{Hdr: header, Ptr: "elsewhere.example.org."}}
	}
	_ = w.WriteMsg(reply)
}

// count is how often it has been asked this.
func (r *resolver) count(name, qtype string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[dns.Question{Name: name, Qtype: dns.StringToType[qtype], Qclass: dns.ClassINET}]
}
