package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/bufsize"
	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/longnames/longnames/test/fakeapi"
)

// datagram asks over UDP, and returns the answer with its size on the wire.
func (s *server) datagram(t *testing.T, name, qtype string, size uint16) (m *dns.Msg, bytes int) {
	t.Helper()
	r := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		r.SetEdns0(size, false)
	}
	question, err := r.Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, dns.MaxMsgSize)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(question); err != nil {
		t.Fatal(err)
	}
	if bytes, err = conn.Read(buffer); err != nil {
		t.Fatal(err)
	}
	m = new(dns.Msg)
	if err := m.Unpack(buffer[:bytes]); err != nil {
		t.Fatal(err)
	}
	return m, bytes
}

// Whatever a question over UDP says that it can take, the shipped Corefiles bound the answer. The rest is to be had over
// TCP.
func TestAnswersOverUDPAreBounded(t *testing.T) {
	const members, most = 700, 1232
	for _, file := range []string{"base", "overlays/standalone-namespaced"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("../deploy/" + file + "/Corefile")
			if err != nil {
				t.Fatal(err)
			}
			api := fakeapi.New(t)
			endpoints := make([]discoveryv1.Endpoint, members)
			for i := range endpoints {
				endpoints[i] = endpoint(fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), true)
			}
			o := slice(endpoints...)
			o.Labels["longnames.dev/basename"] = "web"
			api.Put(o)
			s := start(t, strings.NewReplacer(
				":1053 {", ":0 {\nbind 127.0.0.1", "longnames {", "longnames {\nendpoint "+api.URL,
				"/var/lib/coredns/", filepath.ToSlash(t.TempDir())+"/", "prometheus :9153\n", "\n", "lameduck 10s", "lameduck 1ms",
				"    health {", "    health 127.0.0.1:0 {", "    ready\n", "    ready 127.0.0.1:0\n",
			).Replace(string(text)))
			for _, qtype := range []string{"SRV", "TXT", "A", "ANY", "AAAA", "SOA"} {
				for _, size := range []uint16{0, 512, 4096, 65535} {
					m, bytes := s.datagram(t, "web.prod.svc.erl.internal.", qtype, size)
					if bytes > most {
						t.Errorf("%s, EDNS %d: got %d bytes, want at most %d", qtype, size, bytes, most)
					}
					if many := qtype == "SRV" || qtype == "TXT" || qtype == "A"; m.Truncated != many {
						t.Errorf("%s, EDNS %d: got truncated %t, want %t", qtype, size, m.Truncated, many)
					}
				}
			}
			if got := len(s.query("tcp", "web.prod.svc.erl.internal.", "TXT", 65535).Answer); got != members {
				t.Errorf("over TCP: got %d members, want %d", got, members)
			}
		})
	}
}
