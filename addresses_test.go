package longnames

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddressesInAPrefix(t *testing.T) {
	a := addresses{all: slices.Values([]netip.Addr{
		netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("10.0.0.1"),
	})}
	for prefix, want := range map[string]bool{
		"10.0.0.0/8": true, "10.0.0.0/16": true, "10.1.0.0/16": false, "10.2.0.0/24": true,
		"11.0.0.0/8": false, "0.0.0.0/0": true, "fd00::/8": true, "fe00::/8": false,
	} {
		if got := a.overlaps(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s: got %t, want %t", prefix, got, want)
		}
	}
}
