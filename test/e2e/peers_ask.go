package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// asker asks a server one question over and over, and looks no closer at the answers than it has to.
type asker struct {
	conn   *dns.Conn
	packed []byte
	buffer []byte
}

// asker is newAsker where nothing may go wrong.
func (p *peer) asker(network, name, qtype string, size uint16) *asker {
	ask, err := p.newAsker(network, name, qtype, size)
	p.t.must(err)
	return ask
}

// newAsker uses one connection; it offers room by EDNS if size is above 0.
func (p *peer) newAsker(network, name, qtype string, size uint16) (*asker, error) {
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, err
	}
	raw, err := p.t.plane.dial(p.t.ctx, network, net.JoinHostPort(p.address, "53"))
	if err != nil {
		return nil, err
	}
	return &asker{conn: &dns.Conn{Conn: raw}, packed: packed, buffer: make([]byte, dns.MaxMsgSize)}, nil
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

// shows asks until an answer has an address, and tells when that answer was there.
func (a *asker) shows(address netip.Addr) (time.Time, error) {
	bytesOf := address.AsSlice()
	data := append(binary.BigEndian.AppendUint16(nil, uint16(len(bytesOf))), bytesOf...) //nolint:gosec // 4 or 16: RDLENGTH, RDATA
	for deadline := time.Now().Add(patience); ; {
		answer, err := a.ask()
		now := time.Now()
		switch {
		case err != nil:
			return now, err
		case bytes.Contains(answer, data):
			return now, nil
		case now.After(deadline):
			return now, fmt.Errorf("%s is not shown within %s", address, patience)
		}
	}
}

func (a *asker) close() { a.conn.Close() }
