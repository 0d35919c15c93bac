package test

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/fakeapi"
)

// FuzzPacket sends a server any bytes, over UDP and TCP. It has to go on answering, and what
// it answers has to be a reply to what was asked.
func FuzzPacket(f *testing.F) {
	for _, m := range []*dns.Msg{
		new(dns.Msg).SetQuestion("erl.internal.", dns.TypeSRV),
		new(dns.Msg).SetQuestion("eRl.InterNal.", dns.TypeTXT).SetEdns0(512, true),
		new(dns.Msg).SetQuestion("1.0.0.10.in-addr.arpa.", dns.TypePTR),
		new(dns.Msg).SetAxfr("erl.internal."),
		new(dns.Msg).SetNotify("erl.internal."),
		new(dns.Msg).SetUpdate("erl.internal."),
		new(dns.Msg),
	} {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, false)
		f.Add(wire, true)
		f.Add(wire[:len(wire)-1], false)
	}
	api := fakeapi.New(f)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", false)))
	// With debug, CoreDNS does not recover from panics.
	s := start(f, `.:0 {
		bind 127.0.0.1
		debug
		longnames erl.internal 10.0.0.0/8 {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
		}
	}`)
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		network, address := "udp", s.udp
		if tcp {
			network, address = "tcp", s.tcp
		}
		conn, err := net.DialTimeout(network, address, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		c := &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
		packet = packet[:min(len(packet), 2048)]
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
		last := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeTXT)
		last.Id = ^idOf(packet)
		if err := c.WriteMsg(last); err != nil && !tcp {
			t.Fatal(err)
		}
		for {
			m, err := c.ReadMsg()
			if tcp && err != nil && m == nil {
				break // a stream that makes no sense is closed
			}
			if err != nil {
				t.Fatalf("want a message, got error %v", err)
			}
			if !m.Response {
				t.Fatalf("want a reply, got %v", m)
			}
			if m.Id == last.Id {
				if got := data(m.Answer); len(got) != 1 || got[0] != "app@10.0.0.1" {
					t.Fatalf("want app@10.0.0.1, got %q", got)
				}
				return
			}
			if m.Id != idOf(packet) {
				t.Fatalf("want a reply to %d or %d, got %d", idOf(packet), last.Id, m.Id)
			}
		}
		s.tb = t
		s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	})
}

// idOf is the ID of a packet, if it is long enough to have one.
func idOf(packet []byte) uint16 {
	if len(packet) < 2 {
		return 0
	}
	return uint16(packet[0])<<8 | uint16(packet[1])
}
