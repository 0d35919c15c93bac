package longnames

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// addressOf returns the IP address of a client or of a socket.
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

// serverAddresses are where a server block can be asked, for those who learn of its name server
// without asking there: what *bind* names or else, as the *kubernetes* plugin has it, all
// addresses of the host but those that mean something else elsewhere.
func (l *Longnames) serverAddresses() []netip.Addr {
	if l.server == nil {
		return nil
	}
	var addresses []netip.Addr
	for _, host := range l.server.ListenHosts {
		a, err := netip.ParseAddr(host)
		switch {
		case err != nil: // none is named
			addresses = append(addresses, hostAddresses(true)...)
		case a.IsUnspecified():
			addresses = append(addresses, hostAddresses(a.Is6())...)
		default:
			addresses = append(addresses, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// hostAddresses are those of all interfaces, but for loopback and link-local ones.
func hostAddresses(ipv6 bool) []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // whoever learns of the name server knows where to ask
	}
	var addresses []netip.Addr
	for _, one := range all {
		p, err := netip.ParsePrefix(one.String())
		if a := p.Addr().Unmap(); err == nil && a.IsGlobalUnicast() && (ipv6 || a.Is4()) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}
