package kubeapi

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longnames/longnames/test/fakeapi"
)

// proxy stands before an API server and can lose connections without closing them, as a
// network does.
type proxy struct {
	URL string

	listener net.Listener
	target   string
	dead     atomic.Bool // new connections are lost from the start

	mu    sync.Mutex // protects following
	pairs []*pair
}

// pair are the two connections of one client.
type pair struct {
	client, server net.Conn
	lost           atomic.Bool
}

func newProxy(t *testing.T, api *fakeapi.Server) *proxy {
	t.Helper()
	target, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{URL: target.Scheme + "://" + l.Addr().String(), listener: l, target: target.Host}
	var wg sync.WaitGroup
	wg.Go(func() { p.accept(&wg) })
	t.Cleanup(func() {
		l.Close()
		p.each(func(c *pair) { c.close() })
		wg.Wait()
	})
	return p
}

func (p *proxy) accept(wg *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		c.lost.Store(p.dead.Load())
		p.mu.Lock()
		p.pairs = append(p.pairs, c)
		p.mu.Unlock()
		wg.Go(func() { c.copy(c.server, c.client) })
		wg.Go(func() { c.copy(c.client, c.server) })
	}
}

func (p *proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pairs {
		f(c)
	}
}

// lose lets nothing through any more over the connections that are open.
func (p *proxy) lose() { p.each(func(c *pair) { c.lost.Store(true) }) }

// connections is how many there have been.
func (p *proxy) connections() (n int) {
	p.each(func(*pair) { n++ })
	return n
}

func (c *pair) copy(to, from net.Conn) {
	defer c.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !c.lost.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *pair) close() {
	c.client.Close()
	c.server.Close()
}
