package kubeapi

import (
	"context"
	"net"
	"sync"
	"time"
)

// dialer knows the connections of one source, so that they end with it: an HTTP
// transport keeps them for a while, in case that somebody asks again.
type dialer struct {
	net.Dialer

	mu     sync.Mutex // protects following
	conns  map[*conn]bool
	closed bool
}

func newDialer() *dialer {
	// The times are those of client-go's own.
	return &dialer{Dialer: net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}, conns: make(map[*conn]bool)}
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

// conn is a connection that its dialer forgets when it is closed.
type conn struct {
	net.Conn
	dialer *dialer
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
