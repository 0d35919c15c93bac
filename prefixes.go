package longnames

import (
	"net/netip"
	"sync"
)

// prefixes tells which prefixes have an address in them, of those that a name below in-addr.arpa
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
