package longnames

import (
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// addressOf gives the IP address of a client or of a socket.
func addressOf(a net.Addr) netip.Addr {
	if wrapped, ok := a.(interface{ Unwrap() net.Addr }); ok {
		if inner := wrapped.Unwrap(); inner != nil {
			a = inner
		}
	}
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// serverAddress is where a question came to. A socket for all addresses does not tell:
// then it is where an answer would come from, which the kernel knows without sending
// anything.
func serverAddress(w dns.ResponseWriter) netip.Addr {
	local := addressOf(w.LocalAddr())
	if local.IsValid() && !local.IsUnspecified() {
		return local
	}
	client := addressOf(w.RemoteAddr())
	if !client.IsValid() {
		return netip.Addr{}
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 53)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return addressOf(conn.LocalAddr())
}
