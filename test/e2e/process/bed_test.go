// Package process tests CoreDNS as a process of its own, which watches a real control plane. Pods are objects alone.
package process

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// patience is how long a busy machine may take for what takes seconds.
const patience = time.Minute

// coredns is what make has built.
const coredns = "../../../bin/coredns"

// bed is a control plane, which all tests share. Each has a part of the network and namespaces of its own.
type bed struct {
	*cluster.Cluster
	part int
	name string
}

// server is a CoreDNS on a host of its own.
type server struct {
	*cluster.Host
	address string
	process *cluster.Process
	allowed []*regexp.Regexp // errors that it may log
}

// namespace creates one for a test.
func (b bed) namespace(t *testing.T, name string) string {
	t.Helper()
	name = b.name + "-" + name
	_, err := b.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// serve starts CoreDNS with what a server block has besides, and waits until it is ready. In that, ACCOUNT stands for the
// directory of a service account.
func (b bed) serve(t *testing.T, account, plugins string) *server {
	t.Helper()
	s := b.launch(t, account, plugins)
	cluster.Eventually(t, patience, "CoreDNS is ready", s.ready)
	return s
}

// launch does the same for one that does not become ready.
func (b bed) launch(t *testing.T, account, plugins string) *server {
	t.Helper()
	a := cluster.HostAddresses(b.part, 0)
	s := &server{Host: b.NewHost(t, b.name, a...), address: a[0].String()}
	text := fmt.Sprintf(".:53 {\nbind %s %s\nerrors\nlog\nready %s:8181\n%s\n}\n", a[0], a[1], a[0], strings.ReplaceAll(plugins, "ACCOUNT", account))
	corefile := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(corefile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := filepath.Abs(coredns)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(cluster.APIServer)
	s.process = s.Start(t, "coredns", []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port, "CLUSTER_DOMAIN="},
		binary, "-conf", corefile)
	t.Cleanup(func() { s.end(t) })
	cluster.Eventually(t, patience, "CoreDNS listens", func() error {
		if err := s.process.Ended(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.process.Output(), "\nCoreDNS-") {
			return errors.New("it does not say so")
		}
		return nil
	})
	return s
}

// ready asks the *ready* plugin.
func (s *server) ready() error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}}
	response, err := client.Get("http://" + net.JoinHostPort(s.address, "8181") + "/ready")
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// endTime is how long CoreDNS may take to end: the README's word for it is 5 s.
const endTime = 5 * time.Second

var panicked = regexp.MustCompile(`(?m)^(panic|fatal error): .*|.*Recovered from panic.*`)

// end has CoreDNS end in good order, as a kubelet does, and looks into its log for what nobody has looked for.
func (s *server) end(t *testing.T) {
	t.Helper()
	if err := s.process.Ended(); err != nil {
		t.Fatal(err)
	}
	s.process.Signal(syscall.SIGTERM)
	select {
	case <-s.process.Done():
	case <-time.After(endTime):
		t.Errorf("CoreDNS has not ended within %s", endTime)
		return
	}
	if err := s.process.Err(); err != nil {
		t.Errorf("CoreDNS has ended with %v", err)
	}
	out := s.process.Output()
	if found := panicked.FindString(out); found != "" {
		t.Errorf("CoreDNS has logged %s", found)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "[ERROR]") && !slices.ContainsFunc(s.allowed, func(re *regexp.Regexp) bool { return re.MatchString(line) }) {
			t.Errorf("CoreDNS has logged %s", line)
		}
	}
}

// ask asks over UDP or TCP.
func (s *server) ask(t *testing.T, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	conn, err := s.Dial(t.Context(), network, net.JoinHostPort(s.address, "53"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, _, err := new(dns.Client).ExchangeWithConn(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), &dns.Conn{Conn: conn})
	return answer, err
}

// app is a pod of an app, which is an object alone.
func app(namespace, name, app string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}}
}

func TestProcess(t *testing.T) {
	b := bed{cluster.Start(t, cluster.Options{}), 1, "try"}
	ns := b.namespace(t, "prod")
	account := t.TempDir()
	b.Account(t, ns, "coredns", account)
	b.Kubectl(t, "create", "clusterrolebinding", b.name, "--clusterrole=view", "--serviceaccount="+ns+":coredns")
	b.CreatePod(t, app(ns, "shop-0", "shop"), true, netip.MustParseAddr("10.130.0.1"))
	s := b.serve(t, account, "longnames shop.erl.internal {\nservice_account ACCOUNT\nnamespaces "+ns+"\nselector app=shop\nlookup pods\nbasename shop\n}")
	for _, network := range []string{"udp", "tcp"} {
		m, err := s.ask(t, network, "shop.erl.internal", dns.TypeTXT)
		if err != nil {
			t.Fatal(err)
		}
		if want := `"shop@10.130.0.1"`; len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), want) {
			t.Errorf("%s: got %v, want %s", network, m, want)
		}
	}
}
