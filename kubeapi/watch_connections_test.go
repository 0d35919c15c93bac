package kubeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"k8s.io/client-go/rest"
)

func TestConnectionsEndWithTheSource(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{rest: &rest.Config{}, dial: new(net.Dialer).DialContext}
	w.endConnectionsWith(ctx)
	dial := func() (net.Conn, error) { return w.rest.Dial(t.Context(), "tcp", l.Addr().String()) }
	for range 2 {
		near, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
	}
	cancel()
	if c, err := dial(); !errors.Is(err, context.Canceled) {
		t.Errorf("want no connection after the end, got %v, %v", c, err)
	}
	for range 2 {
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("want the other end closed, got %d, %v", n, err)
		}
		far.Close()
	}
}

// A transport goes on dialing for later requests, of which there are none.
func TestDialingEndsWithTheSource(t *testing.T) {
	for _, tc := range []struct {
		name string
		wait func(context.Context) error // after the end of the source, before there is a connection
	}{
		{"while it waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"just when it is through", func(context.Context) error { return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			near, far := net.Pipe()
			defer far.Close()
			defer near.Close()
			w := &watcher{rest: &rest.Config{}, dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel()
				return near, tc.wait(ctx)
			}}
			w.endConnectionsWith(ctx)
			if _, err := w.rest.Dial(t.Context(), "tcp", "10.0.0.1:443"); !errors.Is(err, context.Canceled) {
				t.Errorf("want %v, got %v", context.Canceled, err)
			}
		})
	}
}
