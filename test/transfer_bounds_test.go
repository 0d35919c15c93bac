package test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/tsig"
	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/longnames/longnames/test/fakeapi"
)

// stall asks for a zone over a connection of its own, and reads nothing.
func (s *server) stall(t *testing.T, zone string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	question, err := new(dns.Msg).SetAxfr(zone).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// heap is what has been allocated, and is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools had
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Secondaries that do not read hold little, and nobody up for good.
func TestTransfersThatStall(t *testing.T) {
	const names = "mode dns\ncluster_domain erl.internal\n" // of nodes, which are in the zone
	t.Run("one cluster", func(t *testing.T) { stallTransfers(t, "", "erl.internal.") })
	t.Run("many clusters", func(t *testing.T) { stallTransfers(t, "group_by group", "erl.internal.") })
	t.Run("one cluster, with names of nodes", func(t *testing.T) { stallTransfers(t, names, "erl.internal.", "10.in-addr.arpa.") })
	t.Run("many clusters, with names of nodes", func(t *testing.T) {
		stallTransfers(t, names+"group_by group", "erl.internal.", "10.in-addr.arpa.")
	})
}

func stallTransfers(t *testing.T, options string, zones ...string) {
	t.Helper()
	const (
		members  = 20_000
		stalling = 30
		most     = 24 << 20 // bytes: of the zone once, and a message for each
	)
	api := fakeapi.New(t)
	for i := range members / 1000 {
		endpoints := make([]discoveryv1.Endpoint, 1000)
		for j := range endpoints {
			n := 1000*i + j
			endpoints[j] = endpoint(fmt.Sprintf("web-%d", n), fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), true)
		}
		o := slice(endpoints...)
		o.Name = fmt.Sprintf("web-%d", i)
		o.Labels["group"] = o.Name
		api.Put(o)
	}
	text := strings.Replace(corefile(api, options), "longnames erl.internal", "longnames "+strings.Join(zones, " "), 1)
	s := start(t, withTransfer(text, "*"))
	before, goroutines := heap(), runtime.NumGoroutine()
	conns := make([]net.Conn, stalling)
	for i := range conns {
		conns[i] = s.stall(t, zones[i%len(zones)])
		defer conns[i].Close()
	}
	answered := make(map[net.Conn]bool)
	eventually(t, "all that stall have some of the zone, or an error", func() bool {
		for _, conn := range conns {
			if answered[conn] {
				continue
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, err := io.ReadFull(conn, make([]byte, 1))
			answered[conn] = err == nil
		}
		return !slices.ContainsFunc(conns, func(conn net.Conn) bool { return !answered[conn] })
	})
	var held int64
	eventually(t, fmt.Sprintf("%d transfers that stall hold at most %d bytes", stalling, most), func() bool {
		held = heap() - before // those that have not come to a halt yet make garbage meanwhile
		return held <= most
	})
	for _, conn := range conns {
		conn.Close()
	}
	var closing, left int64 // what is made while the garbage is collected counts, as nobody waits to take it
	eventually(t, "those whose clients have gone end", func() bool {
		left = heap() - before
		closing = max(closing, left)
		return runtime.NumGoroutine() <= goroutines
	})
	t.Logf("%d transfers that stall hold %.1f MB, at most %.1f MB when they close, and %.1f MB afterwards", stalling,
		float64(held)/(1<<20), float64(closing)/(1<<20), float64(left)/(1<<20))
	if closing > 8*most || left > 2*most {
		t.Errorf("got %d bytes held while they close, and %d afterwards, want %d and %d at most", closing, left, 8*most, 2*most)
	}
	eventually(t, "somebody who reads gets the zone", func() bool {
		rrs, err := s.transfer("erl.internal.", 0)
		return err == nil && len(rrs) > members
	})
}

func TestTransferWithTSIG(t *testing.T) {
	const (
		name, secret = "longnames-transfer.", "c2VjcmV0IG9mIHRoZSBzZWNvbmRhcnkgZm9yIGEgdGVzdA=="
		other        = "b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5IGVsc2UgaGVyZQ=="
	)
	api := fakeapi.New(t)
	const members = 1000 // of several messages
	endpoints := make([]discoveryv1.Endpoint, members)
	for i := range endpoints {
		endpoints[i] = endpoint(fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), true)
	}
	api.Put(slice(endpoints...))
	key := filepath.Join(t.TempDir(), "transfer.key")
	if err := os.WriteFile(key, []byte("key \""+name+"\" {\n\talgorithm hmac-sha256;\n\tsecret \""+secret+"\";\n};\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/zone-transfers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## TSIG\n")
	_, text, _ = strings.Cut(text, "```corefile\n")
	text, _, _ = strings.Cut(text, "```")
	for _, change := range [][2]string{
		{"shop.erl.internal {", ".:0 {\nbind 127.0.0.1"}, {"/etc/coredns/transfer.key", key},
		{"longnames {", "longnames erl.internal {\nendpoint " + api.URL}, {"app=shop", "app=web"}, {"to * 192.0.2.53", "to *"}, {"basename shop", "basename app"},
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("got %q on the page, want %q in it once", text, change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	// Its zones are those of the server block, which is here for all names.
	s := start(t, strings.NewReplacer("tsig {", "tsig erl.internal {", "transfer {", "transfer erl.internal {").Replace(text))
	for _, tc := range []struct {
		name, key, secret string
		want              string // of an error; none if the zone comes
	}{
		{"without a key", "", "", "bad xfr rcode: 5"}, // REFUSED
		{"with the key", name, secret, ""},
		{"with another secret", name, other, "bad authentication"},
		{"with another key", "somebody.", secret, "bad authentication"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := new(dns.Msg).SetAxfr("erl.internal.")
			in := &dns.Transfer{DialTimeout: patience, ReadTimeout: patience}
			if tc.key != "" {
				m.SetTsig(tc.key, dns.HmacSHA256, 300, time.Now().Unix())
				in.TsigSecret = map[string]string{tc.key: tc.secret}
			}
			messages, err := in.In(m, s.tcp)
			if err != nil {
				t.Fatal(err)
			}
			var rrs []dns.RR
			for e := range messages {
				if e.Error != nil {
					err = e.Error
				}
				rrs = append(rrs, e.RR...)
			}
			switch {
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || len(rrs) > 0):
				t.Errorf("got %d records and error %v, want %q", len(rrs), err, tc.want)
			case tc.want == "" && (err != nil || len(rrs) < 10*members):
				t.Errorf("got %d records and error %v, want the zone", len(rrs), err)
			}
		})
	}
	if m := s.query("tcp", "web-0.erl.internal.", "TXT", 0); !slices.Equal(data(m.Answer), []string{"app@10.0.0.1"}) {
		t.Errorf("a node, without a key: got %v, want its longname", m)
	}
}
