package fakeapi

import (
	"crypto/tls"
	"net"
	"sync"
)

// connKey finds a request's connection in its context.
type connKey struct{}

// transportOf gets below TLS, where a connection can be closed without a farewell.
func transportOf(c net.Conn) *conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*conn)
}

// gate lets bytes pass or holds them, for all connections at once.
type gate struct {
	mu   sync.Mutex
	pass chan struct{} // closed while open
}

func newGate() *gate {
	g := &gate{pass: make(chan struct{})}
	close(g.pass)
	return g
}

func (g *gate) current() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pass
}

func (g *gate) isOpen() bool {
	select {
	case <-g.pass:
		return true
	default:
		return false
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen() {
		g.pass = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen() {
		close(g.pass)
	}
}

// listener knows its connections, so that it can close them without asking the protocols above.
type listener struct {
	net.Listener
	gate *gate

	mu    sync.Mutex
	conns map[*conn]struct{}
	done  bool
}

func newListener(l net.Listener, g *gate) *listener {
	return &listener{Listener: l, gate: g, conns: map[*conn]struct{}{}}
}

func (l *listener) Accept() (net.Conn, error) {
	socket, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: socket, listener: l, closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		_ = socket.Close()
		return nil, net.ErrClosed
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// shut closes the listener and all that it has accepted.
func (l *listener) shut() {
	_ = l.Close()
	l.mu.Lock()
	l.done = true
	conns := l.conns
	l.conns = map[*conn]struct{}{}
	l.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// conn stops at the gate.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	closed   chan struct{}
}

// Read looks at the gate afterwards: it usually waits in here when the gate is shut.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.wait() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write holds the bytes back rather than drop them, as a network does that comes back.
func (c *conn) Write(p []byte) (int, error) {
	if !c.wait() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// wait returns false if the connection was closed meanwhile.
func (c *conn) wait() bool {
	select {
	case <-c.listener.gate.current():
		return true
	case <-c.closed:
		return false
	}
}

// Close frees those who wait at the gate.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.listener.mu.Lock()
		defer c.listener.mu.Unlock()
		delete(c.listener.conns, c)
	})
	return c.Conn.Close()
}
