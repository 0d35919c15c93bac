package main

import (
	"context"
	"io"
	"net"
	"sync"
)

// proxy stands between a CoreDNS and the API server, so that their connection can be cut without a cut for others.
type proxy struct {
	bed      *bed
	api      string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // protects conns
	conns map[net.Conn]bool
}

func newProxy(b *bed, api string) (*proxy, error) {
	l, err := b.plane.listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{bed: b, api: api, listener: l, conns: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := p.bed.plane.dial(context.Background(), "tcp", p.api)
		if err != nil {
			client.Close()
			continue
		}
		p.keep(client, server)
		p.wg.Go(func() { p.pump(client, server) })
		p.wg.Go(func() { p.pump(server, client) })
	}
}

// pump ends both directions when one ends.
func (p *proxy) pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

// cut ends all connections; new ones can be made.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.cut()
	p.wg.Wait()
}
