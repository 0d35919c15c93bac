package main

import (
	"net"
	"time"

	"github.com/miekg/dns"
)

// asker asks a server one question over and over, and looks no closer at the answers than it has to.
type asker struct {
	conn   *dns.Conn
	packed []byte
	buffer []byte
}

// asker uses one connection; it offers room by EDNS if size is above 0.
func (p *peer) asker(network, name, qtype string, size uint16) *asker {
	raw, err := p.t.plane.dial(p.t.ctx, network, net.JoinHostPort(p.address, "53"))
	p.t.must(err)
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	packed, err := m.Pack()
	p.t.must(err)
	return &asker{conn: &dns.Conn{Conn: raw}, packed: packed, buffer: make([]byte, dns.MaxMsgSize)}
}

// ask gives an answer as it is on the wire, until the next one.
func (a *asker) ask() ([]byte, error) {
	if err := a.conn.SetDeadline(time.Now().Add(late)); err != nil {
		return nil, err
	}
	if _, err := a.conn.Write(a.packed); err != nil {
		return nil, err
	}
	n, err := a.conn.Read(a.buffer)
	return a.buffer[:n], err
}

func (a *asker) close() { a.conn.Close() }
