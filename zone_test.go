package longnames

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestReversePrefix(t *testing.T) {
	tests := []struct {
		name string
		want string // empty: none
	}{
		{"1.2.3.10.in-addr.arpa.", "10.3.2.1/32"},
		{"10.in-addr.arpa.", "10.0.0.0/8"},
		{"3.10.in-addr.arpa.", "10.3.0.0/16"},
		{"in-addr.arpa.", "0.0.0.0/0"},
		{"0.0.0.0.in-addr.arpa.", "0.0.0.0/32"},
		{"9.1.2.3.10.in-addr.arpa.", ""},
		{"256.2.3.10.in-addr.arpa.", ""},
		{"01.2.3.10.in-addr.arpa.", ""},
		{"-1.2.3.10.in-addr.arpa.", ""},
		{"+1.2.3.10.in-addr.arpa.", ""},
		{"a.2.3.10.in-addr.arpa.", ""},
		{"d.f.ip6.arpa.", "fd00::/8"},
		{"ip6.arpa.", "::/0"},
		{"0f.d.f.ip6.arpa.", ""},
		{"g.d.f.ip6.arpa.", ""},
		{"10.in-addr.arpa.example.", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := reversePrefix(tc.name)
			if ok != (tc.want != "") || ok && got.String() != tc.want {
				t.Errorf("got %s, %t; want %q", got, ok, tc.want)
			}
		})
	}
}

func TestReversePrefixOfAnAddress(t *testing.T) {
	for _, text := range []string{"10.0.0.1", "255.255.255.255", "fd00::1", "2001:db8::567:89ab", "::"} {
		name, err := dns.ReverseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := reversePrefix(name)
		if want := netip.MustParseAddr(text); !ok || !got.IsSingleIP() || got.Addr() != want {
			t.Errorf("%s: got %s, %t; want %s", name, got, ok, want)
		}
	}
}
