package process

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/e2e/watch"
)

// asker returns what runs a command on a host with a resolv.conf, as a pod has it.
func (b *bed) asker(t *testing.T, s *server) func(args ...string) (string, error) {
	t.Helper()
	h := b.NewHost(t, b.name+"-asker", b.addresses(5)...)
	h.Resolve(t, s.address, b.addresses(0)[1].String())
	return func(args ...string) (string, error) { return h.Run(t.Context(), args...) }
}

// dig is what people see who look with it from a pod, over any transport, and with room for any size. Of an answer, it is
// flags and sections that are looked at.
func dig(t *testing.T, b *bed) {
	const three, forty = 3, 40
	b.open(t, endpointSlices, listWatch)
	b.service(t, b.prod, "big")
	many(t, 0, three, func(i int) {
		b.CreatePod(t, member(b.prod, "shop", shopName(i), hosted), true, b.addresses(10+i)...)
	})
	many(t, 0, forty, func(i int) { b.pod(t, b.prod, "big", fmt.Sprint("big-", i), 100+i) })
	s := b.serve(t, b.block("shop.erl.internal 10.0.0.0/8", "mode hostname", "cluster_domain shop.erl.internal")+
		b.block("six.erl.internal fdee::/16", "mode hostname", "cluster_domain six.erl.internal", "family ipv6")+
		strings.Replace(b.block("big.erl.internal"), "app=shop", "app=big", 1))
	s.wants("big.erl.internal", "A", b.some(100, 100+forty, "%s")...)
	hosts := func(zone, form string) (out []string) {
		for i := range three {
			out = append(out, fmt.Sprintf(form, fmt.Sprintf("shop-%d.shop.%s.svc.%s", i, b.prod, zone)))
		}
		return out
	}
	s.wants("shop.erl.internal", "TXT", hosts("shop.erl.internal", "shop@%s")...)
	s.wants("six.erl.internal", "TXT", hosts("six.erl.internal", "shop@%s")...)
	first, first6 := hosts("shop.erl.internal.", "%s")[0], hosts("six.erl.internal.", "%s")[0]
	address, address6 := b.address(10), b.addresses(10)[1].String()
	var addresses6 []string
	for i := range three {
		addresses6 = append(addresses6, b.addresses(10 + i)[1].String())
	}
	reverse, err := dns.ReverseAddr(address)
	must(t, err)
	reverse6, err := dns.ReverseAddr(address6)
	must(t, err)
	run := b.asker(t, s)
	for _, tt := range []struct {
		option, name, qtype string
		want                []string // data
		glue                int
	}{
		{"-4", "shop.erl.internal.", "A", b.some(10, 13, "%s"), 0},
		{"-4", "shop.erl.internal.", "TXT", hosts("shop.erl.internal", `"shop@%s"`), 0},
		{"-4", "shop.erl.internal.", "SRV", hosts("shop.erl.internal.", "0 0 4369 %s"), three},
		{"-4", first, "A", []string{address}, 0},
		{"-4", reverse, "PTR", []string{first}, 0},
		{"-4", "sHoP.ErL.InTeRnAl.", "SRV", hosts("shop.erl.internal.", "0 0 4369 %s"), three},
		{"-4", strings.ToUpper(reverse), "PTR", []string{first}, 0},
		{"-6", "six.erl.internal.", "AAAA", addresses6, 0},
		{"-6", "six.erl.internal.", "TXT", hosts("six.erl.internal", `"shop@%s"`), 0},
		{"-6", "six.erl.internal.", "SRV", hosts("six.erl.internal.", "0 0 4369 %s"), three},
		{"-6", first6, "AAAA", []string{address6}, 0},
		{"-6", reverse6, "PTR", []string{first6}, 0},
		{"-4", "big.erl.internal.", "A", b.some(100, 100+forty, "%s"), 0},
		{"-4", "big.erl.internal.", "TXT", b.some(100, 100+forty, `"shop@%s"`), 0},
		{"-4", "big.erl.internal.", "SRV", b.some(100, 100+forty, "0 0 4369 %s."), 0},
	} {
		for _, way := range []string{"+notcp +noedns", "+notcp +bufsize=1232", "+notcp +bufsize=4096", "+tcp +noedns",
			"+tcp +bufsize=4096"} {
			args := append([]string{"dig", "-r", "+noall", "+comments", "+answer", tt.option, tt.name, tt.qtype},
				strings.Fields(way)...)
			text, err := run(args...)
			must(t, err)
			var got []string
			for _, record := range regexp.MustCompile(`(?m)^(\S+)\s+5\s+IN\s+(\S+)\s+(.*)$`).FindAllStringSubmatch(text, -1) {
				if record[1] != tt.name || record[2] != tt.qtype { // it has to be spelt as in the question
					t.Errorf("%q: got the record %q", args, record[0])
				}
				got = append(got, record[3])
			}
			says := fmt.Sprintf(";; flags: qr aa rd; QUERY: 1, ANSWER: %d, AUTHORITY: 0, ADDITIONAL: ", len(tt.want))
			_, size, edns := strings.Cut(way, "bufsize=")
			if edns { // which says what size the server takes, and CoreDNS says what it was told
				says += fmt.Sprintf("%d\n;; WARNING: recursion requested but not available\n\n;; OPT PSEUDOSECTION:\n"+
					"; EDNS: version: 0, flags:; udp: %s\n", tt.glue+1, size)
			} else {
				says += fmt.Sprintf("%d\n", tt.glue)
			}
			cut := len(tt.want) == forty && strings.HasPrefix(way, "+notcp") && size != "4096" && (!edns || tt.qtype != "A")
			if err := watch.Same("data", got, tt.want); err != nil || !strings.Contains(text, says) ||
				strings.Contains(text, "Truncated, retrying in TCP") != cut {
				t.Errorf("%q: %v, got\n%s\nwant it to say %q, and to have retried over TCP: %t", args, err, text, says, cut)
			}
		}
	}
	for _, tt := range [][]string{{first, "-x", address}, {first6, "-6", "-x", address6}, {address, first, "A"}} {
		if text, err := run(append([]string{"dig", "-r", "+short"}, tt[1:]...)...); err != nil || text != tt[0]+"\n" {
			t.Errorf("dig +short %q: got %q, want %q: %v", tt[1:], text, tt[0], err)
		}
	}
}
