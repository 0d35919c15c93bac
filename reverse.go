package longnames

import (
	"net/netip"
	"strconv"
	"strings"
)

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
