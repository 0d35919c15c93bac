package longnames

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// prefixes has the prefixes that have an address in them, of those that a name below in-addr.arpa
// or ip6.arpa can stand for. Readers need no lock; writers have the table's.
type prefixes struct{ m sync.Map } // netip.Prefix → int: how many there are that are one label longer

func (p *prefixes) has(prefix netip.Prefix) bool {
	_, ok := p.m.Load(prefix)
	return ok
}

// add counts an address that has come, or one out that has gone. Most have others near by, so
// that nothing changes in the prefixes above.
func (p *prefixes) add(a netip.Addr, delta int) {
	label := 8 // bits
	if a.Is6() {
		label = 4
	}
	for bits := a.BitLen() - label; bits >= 0; bits -= label {
		prefix := netip.PrefixFrom(a, bits).Masked()
		v, known := p.m.Load(prefix)
		count, _ := v.(int)
		if count += delta; count > 0 {
			p.m.Store(prefix, count)
		} else {
			p.m.Delete(prefix)
		}
		if known && count > 0 {
			return
		}
	}
}

// addresses is a set of addresses that can be searched by prefix. It does not change; it is sorted
// at the first question, since such questions are rare.
type addresses struct {
	all    func(yield func(netip.Addr) bool)
	once   sync.Once
	sorted []netip.Addr
}

func (a *addresses) overlaps(prefix netip.Prefix) bool {
	a.once.Do(func() {
		a.sorted = slices.SortedFunc(a.all, netip.Addr.Compare)
	})
	at, _ := slices.BinarySearchFunc(a.sorted, prefix.Addr(), netip.Addr.Compare)
	return at < len(a.sorted) && prefix.Contains(a.sorted[at])
}
