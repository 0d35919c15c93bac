package kubeapi

import (
	"context"
	"net"
	"sync"
	"time"
)

// readLimit is how long a connection waits for the next byte. It is longer than a request
// does (silenceLimit), and than HTTP/2's pings take to fail, so that it ends only what these
// leave open: a dead HTTP/2 connection where pings are switched off, which the next request
// would be sent over too.
const readLimit = silenceLimit + 30*time.Second

// dialer knows the connections of one source, so that they end with it: an HTTP
// transport keeps them for a while, in case that somebody asks again.
type dialer struct {
	net.Dialer

	limit time.Duration // see readLimit

	mu     sync.Mutex // protects following
	conns  map[*conn]bool
	closed bool
}

func newDialer() *dialer {
	// The times are those of client-go's own.
	return &dialer{
		Dialer: net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second},
		limit:  readLimit, conns: make(map[*conn]bool),
	}
}

// DialContext connects, as long as the dialer is open.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return nil, net.ErrClosed
	}
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	tracked := &conn{Conn: c, dialer: d}
	d.conns[tracked] = true
	return tracked, nil
}

// close ends all connections, for good.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// conn is a connection that its dialer forgets when it is closed. Each Read fails after a
// while, unless those above have set a deadline of their own.
type conn struct {
	net.Conn
	dialer *dialer

	mu    sync.Mutex // protects following
	fixed bool       // the deadline is not ours
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if !c.fixed {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.dialer.limit)) // if it fails, so does Read
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fixed = !t.IsZero()
	if !c.fixed {
		t = time.Now().Add(c.dialer.limit) // for a Read that waits already
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
