package fakeapi

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// keepPort returns an address on which nobody else listens until the test ends: by a socket that is bound to it, but does
// not listen itself. Servers that are stopped would else lose their port to others.
func keepPort(tb testing.TB) string {
	tb.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatalf("fakeapi: %v", err)
	}
	syscall.CloseOnExec(socket)
	tb.Cleanup(func() { _ = syscall.Close(socket) })
	host := [4]byte{127, 0, 0, 1}
	err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: host})
	}
	var bound syscall.Sockaddr
	if err == nil {
		bound, err = syscall.Getsockname(socket)
	}
	address, ok := bound.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		tb.Fatalf("fakeapi: a port of its own: %v", err)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(host), uint16(address.Port))).String() //nolint:gosec // a port
}
