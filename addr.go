package longnames

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

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

// hostAddresses are those of all interfaces, but for loopback and link-local ones.
func hostAddresses(ipv6 bool) []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // a secondary is configured with an address anyway
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

// reversePrefix reads a name below in-addr.arpa or ip6.arpa, in lower case with a final
// dot, as the addresses that lie at or below it: all bits of a prefix are set for the name
// of one address. (RFC 1035, section 3.5; RFC 3596, section 2.5)
func reversePrefix(name string) (netip.Prefix, bool) {
	if rest, ok := cutDomain(name, "in-addr.arpa."); ok {
		return prefixOf(rest, 4, 8, func(label string) (uint64, bool) {
			n, err := strconv.ParseUint(label, 10, 8)
			return n, err == nil && (label == "0" || label[0] != '0')
		})
	}
	if rest, ok := cutDomain(name, "ip6.arpa."); ok {
		return prefixOf(rest, 32, 4, func(label string) (uint64, bool) {
			n, err := strconv.ParseUint(label, 16, 4)
			return n, err == nil && len(label) == 1
		})
	}
	return netip.Prefix{}, false
}

// cutDomain cuts a domain off a name in it.
func cutDomain(name, domain string) (string, bool) {
	if name == domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+domain)
}

// prefixOf reads labels, the most significant last, of so many bits each.
func prefixOf(text string, most, bits int, parse func(string) (uint64, bool)) (netip.Prefix, bool) {
	var labels []string
	if text != "" {
		labels = strings.Split(text, ".")
	}
	if len(labels) > most {
		return netip.Prefix{}, false
	}
	bytes := make([]byte, most*bits/8)
	for i := range labels {
		value, ok := parse(labels[len(labels)-1-i])
		if !ok {
			return netip.Prefix{}, false
		}
		at := i * bits
		bytes[at/8] |= byte(value << (8 - bits - at%8)) //nolint:gosec // no more than bits
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(addr, len(labels)*bits), true
}
