package kubeapi

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
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

// dialled gives a connection as a dialer makes it, and its other end.
func dialled(t *testing.T) (near *conn, far net.Conn) {
	t.Helper()
	c, far := net.Pipe()
	near = &conn{Conn: c, dialer: newDialer()}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestReadsAreBounded(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name   string
		writes []time.Duration // pauses before a byte comes
		set    func(*conn)     // before the first Read
		want   time.Duration
	}{
		{"nothing comes", nil, nil, readLimit},
		{"something comes now and then", []time.Duration{2 * minute, 2 * minute, 2 * minute}, nil, 6*minute + readLimit},
		{"a deadline from above", nil, func(c *conn) { _ = c.SetReadDeadline(time.Now().Add(time.Second)) }, time.Second},
		{"a deadline from above that is later", nil, func(c *conn) { _ = c.SetDeadline(time.Now().Add(time.Hour)) }, time.Hour},
		{"a deadline from above, whatever comes", []time.Duration{minute, minute}, func(c *conn) { _ = c.SetDeadline(time.Now().Add(150 * time.Second)) }, 150 * time.Second},
		{"a deadline that is taken back", nil, func(c *conn) {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_ = c.SetDeadline(time.Time{})
		}, readLimit},
		{"a deadline for writing", nil, func(c *conn) { _ = c.SetWriteDeadline(time.Now().Add(time.Second)) }, readLimit},
		{"a deadline that comes while a Read waits", nil, func(c *conn) {
			time.AfterFunc(minute, func() { _ = c.SetReadDeadline(time.Now()) })
		}, minute},
		{"one that is taken back while a Read waits", nil, func(c *conn) {
			_ = c.SetReadDeadline(time.Now().Add(2 * minute))
			time.AfterFunc(minute, func() { _ = c.SetReadDeadline(time.Time{}) })
		}, minute + readLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := dialled(t)
				if tc.set != nil {
					tc.set(near)
				}
				go func() {
					for _, pause := range tc.writes {
						time.Sleep(pause)
						if _, err := far.Write([]byte("x")); err != nil {
							return
						}
					}
				}()
				start := time.Now()
				var err error
				for err == nil {
					_, err = near.Read(make([]byte, 1))
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("want a time-out, got %v", err)
				}
				if got := time.Since(start); got != tc.want {
					t.Errorf("want it after %v, got %v", tc.want, got)
				}
			})
		})
	}
}

func TestDeadlinesForWriting(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*conn, time.Time) error
	}{
		{"for writing alone", func(c *conn, at time.Time) error { return c.SetWriteDeadline(at) }},
		{"for both", func(c *conn, at time.Time) error { return c.SetDeadline(at) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, _ := dialled(t)
				start := time.Now()
				if err := tc.set(near, start.Add(time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := near.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("want a time-out after 1s, got %v after %v", err, time.Since(start))
				}
			})
		})
	}
}
