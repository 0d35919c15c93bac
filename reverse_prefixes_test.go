package longnames

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestPrefixesThatHaveAddresses(t *testing.T) {
	var p prefixes
	for _, step := range []struct {
		name    string
		address string
		delta   int
		want    map[string]bool
	}{
		{"the first", "10.0.0.1", +1, map[string]bool{
			"10.0.0.0/24": true, "10.0.0.0/16": true, "10.0.0.0/8": true, "0.0.0.0/0": true,
			"10.0.1.0/24": false, "10.1.0.0/16": false, "11.0.0.0/8": false, "::/0": false,
		}},
		{"one beside it", "10.0.0.2", +1, map[string]bool{"10.0.0.0/24": true, "0.0.0.0/0": true}},
		{"one elsewhere", "10.1.0.1", +1, map[string]bool{"10.1.0.0/24": true, "10.1.0.0/16": true, "10.0.0.0/16": true}},
		{"the first has gone", "10.0.0.1", -1, map[string]bool{"10.0.0.0/24": true, "10.0.0.0/16": true, "10.0.0.0/8": true}},
		{"the one beside it has gone", "10.0.0.2", -1, map[string]bool{
			"10.0.0.0/24": false, "10.0.0.0/16": false, "10.1.0.0/24": true, "10.0.0.0/8": true, "0.0.0.0/0": true,
		}},
		{"the last one has gone", "10.1.0.1", -1, map[string]bool{
			"10.1.0.0/24": false, "10.1.0.0/16": false, "10.0.0.0/8": false, "0.0.0.0/0": false,
		}},
		{"IPv6", "fd00::1f", +1, map[string]bool{
			"fd00::10/124": true, "fd00::/124": false, "fd00::/120": true, "fd00::/16": true, "fd00::/8": true, "f000::/4": true, "::/0": true,
			"0.0.0.0/0": false,
		}},
	} {
		p.add(netip.MustParseAddr(step.address), step.delta)
		for prefix, want := range step.want {
			if got := p.has(netip.MustParsePrefix(prefix)); got != want {
				t.Errorf("%s: %s: got %t, want %t", step.name, prefix, got, want)
			}
		}
	}
}

// TestPrefixesOfAnyAddresses compares with looking for an address in each prefix.
func TestPrefixesOfAnyAddresses(t *testing.T) {
	var p prefixes
	var all []netip.Addr
	r := rand.New(rand.NewPCG(1, 1))
	some := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(3)), byte(r.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(4)), 15: byte(r.IntN(40))})
	}
	for range 2000 {
		a := some()
		if at := slices.Index(all, a); at >= 0 {
			all = slices.Delete(all, at, at+1)
			p.add(a, -1)
		} else {
			all = append(all, a)
			p.add(a, +1)
		}
		other := some()
		bits := r.IntN(4) * 8
		if other.Is6() {
			bits = r.IntN(32) * 4
		}
		prefix := netip.PrefixFrom(other, bits).Masked()
		if got, want := p.has(prefix), slices.ContainsFunc(all, prefix.Contains); got != want {
			t.Fatalf("%s with %d addresses: got %t, want %t", prefix, len(all), got, want)
		}
	}
	for _, a := range all {
		p.add(a, -1)
	}
	p.m.Range(func(prefix, count any) bool {
		t.Errorf("without any address: got %d in %s, want none", count, prefix)
		return true
	})
}
