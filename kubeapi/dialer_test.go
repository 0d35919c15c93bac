package kubeapi

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestDialerEndsItsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	d := newDialer()
	dial := func() (net.Conn, error) { return d.DialContext(t.Context(), "tcp", l.Addr().String()) }
	first, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if got := len(d.conns); got != 1 {
		t.Errorf("want the closed connection forgotten, got %d of 1", got)
	}
	d.close()
	d.close()
	second.Close()
	if c, err := dial(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("want no connection after the end, got %v, %v", c, err)
	}
	for range 2 {
		c := <-accepted
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("want the other end closed, got %d, %v", n, err)
		}
		c.Close()
	}
}
