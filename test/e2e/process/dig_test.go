package process

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// asker returns what runs a command on a host with a resolv.conf, as a pod has it.
func (b *bed) asker(t *testing.T, s *server) func(args ...string) (string, error) {
	t.Helper()
	h := b.NewHost(t, b.name+"-asker", b.addresses(5)...)
	h.Resolve(t, s.address, b.addresses(0)[1].String())
	return func(args ...string) (string, error) { return h.Run(t.Context(), args...) }
}

var space = regexp.MustCompile(`[ \t]+`)

// digger returns what has dig ask some questions at once, and wants it to print exactly this, but for blank lines and more
// than one space.
func (b *bed) digger(t *testing.T, s *server) func(want string, args ...string) {
	t.Helper()
	run := b.asker(t, s)
	return func(want string, args ...string) {
		t.Helper()
		text, err := run(append([]string{"dig", "-r", "+noall", "+qid=7", "+nocookie"}, args...)...)
		must(t, err)
		if got := strings.TrimSpace(strings.ReplaceAll(space.ReplaceAllString(text, " "), "\n\n", "\n")); got != strings.TrimSpace(want) {
			t.Fatalf("dig %s: got\n%s\nwant\n%s", strings.Join(args, " "), got, want)
		}
	}
}

// ways are to ask over any transport with room of any size. EDNS says what size the server takes, and CoreDNS says what it
// was told.
var ways = []string{
	"+notcp +noedns", "+notcp +bufsize=1232", "+notcp +bufsize=4096", "+tcp +noedns", "+tcp +bufsize=1232", "+tcp +bufsize=4096",
}

const sections = `;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7
;; flags: qr aa rd; QUERY: 1, ANSWER: %d, AUTHORITY: 0, ADDITIONAL: %d
;; WARNING: recursion requested but not available
%s;; ANSWER SECTION:
%s
`

// answered is what dig prints of an answer with records and glue, in one of these ways.
func answered(way string, records, glue []string) string {
	opt, additional := "", len(glue)
	if _, size, ok := strings.Cut(way, "bufsize="); ok {
		opt, additional = ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: "+size+"\n", additional+1
	}
	text := fmt.Sprintf(sections, len(records), additional, opt, strings.Join(records, "\n"))
	if len(glue) > 0 {
		text += ";; ADDITIONAL SECTION:\n" + strings.Join(glue, "\n") + "\n"
	}
	return text
}

// dig is what people see who look with it from a pod: all that a zone has, by all transports and sizes.
func dig(t *testing.T, b *bed) {
	const members = 3
	b.open(t, endpointSlices, listWatch)
	for i := range members {
		b.CreatePod(t, member(b.prod, "shop", shopName(i), hosted), true, b.addresses(10+i)...)
	}
	s := b.serve(t, b.block("shop.erl.internal 10.0.0.0/8", "mode hostname", "cluster_domain shop.erl.internal")+
		b.block("six.erl.internal fdee::/16", "mode hostname", "cluster_domain six.erl.internal", "family ipv6"))
	digs := b.digger(t, s)
	same := func(name string) string { return name }
	for _, tt := range []struct {
		zone, qtype, option string
		family              int
		spell               func(string) string // of a name in a question, and so of the owners of what is answered, but of nothing else
	}{
		{"shop.erl.internal.", "A", "-4", 0, same},
		{"shop.erl.internal.", "A", "-4", 0, mixed},
		{"six.erl.internal.", "AAAA", "-6", 1, same},
	} {
		zone := tt.spell(tt.zone)
		records := map[string][]string{} // by question
		var names, glue []string
		for i := range members {
			host := fmt.Sprintf("shop-%d.shop.%s.svc.%s", i, b.prod, tt.zone)
			address, name := b.addresses(10 + i)[tt.family].String(), "shop@"+strings.TrimSuffix(host, ".")
			reverse, err := dns.ReverseAddr(address)
			must(t, err)
			glue, names = append(glue, host+" 5 IN "+tt.qtype+" "+address), append(names, name)
			for _, r := range [][3]string{
				{zone, "TXT", `"` + name + `"`}, {zone, tt.qtype, address}, {zone, "SRV", "0 0 4369 " + host},
				{tt.spell(host), tt.qtype, address}, {tt.spell(reverse), "PTR", host},
			} {
				question := r[0] + " " + r[1]
				records[question] = append(records[question], r[0]+" 5 IN "+r[1]+" "+r[2])
			}
		}
		s.wants(tt.zone, "TXT", names...)
		for question, records := range records {
			args, want := []string{tt.option}, ""
			for _, way := range ways {
				args = slices.Concat(args, strings.Fields(question), strings.Fields(way+" +comments +answer +additional"))
				if strings.HasSuffix(question, " SRV") {
					want += answered(way, records, glue)
				} else {
					want += answered(way, records, nil)
				}
			}
			digs(want, args...)
		}
		for _, record := range glue {
			f := strings.Fields(record)
			digs(f[0], "+short", "-x", f[4])
		}
		digs(`"`+strings.Join(names, "\"\n\"")+`"`, tt.option, "+short", strings.TrimSuffix(zone, "."), "TXT")
	}
}

// mixed spells a name with every other letter in upper case.
func mixed(name string) string {
	out := []byte(name)
	for i := 1; i < len(out); i += 2 {
		out[i] = strings.ToUpper(string(out[i]))[0]
	}
	return string(out)
}

// digTruncated has a set that is too large for 512 bytes: dig gets it by TCP, or at once by EDNS.
func digTruncated(t *testing.T, b *bed) {
	const members = 40
	b.open(t, pods, listWatch)
	b.shop(t, 0, members)
	s := b.serve(t, b.block("shop.erl.internal", "lookup pods"))
	digs := b.digger(t, s)
	for qtype, form := range map[string]string{"SRV": "0 0 4369 %s.", "TXT": `"shop@%s"`, "A": "%s"} {
		records := b.some(10, 10+members, "shop.erl.internal. 5 IN "+qtype+" "+form)
		question := []string{"shop.erl.internal.", qtype, "+comments", "+answer"}
		digs(";; Truncated, retrying in TCP mode.\n"+answered("", records, nil), append(question, "+noedns")...)
		digs(answered("bufsize=4096", records, nil), append(question, "+bufsize=4096")...)
		m, err := s.ask("udp", "shop.erl.internal", qtype, 0)
		must(t, err)
		if !m.Truncated || !m.Authoritative || len(m.Answer) == 0 {
			t.Errorf("over UDP without EDNS: got %s, want a part, truncated", m)
		}
	}
}
