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

var (
	digVaries = regexp.MustCompile(`(?m)^;; (Query time|WHEN|MSG SIZE) *:? .*$`)
	space     = regexp.MustCompile(`[ \t]+`)
)

// digger returns what has dig ask some questions at once, and wants it to print exactly this, or what a regular expression
// matches. Of what it prints, times and sizes are left out, and two words have one space between.
func (b *bed) digger(t *testing.T, s *server) func(want any, args ...string) {
	t.Helper()
	run := b.asker(t, s)
	return func(want any, args ...string) {
		t.Helper()
		text, err := run(append([]string{"dig", "-r", "+nocmd", "+nocookie", "+qid=7"}, args...)...)
		must(t, err)
		got := space.ReplaceAllString(digVaries.ReplaceAllString(text, ";; $1"), " ")
		if re, ok := want.(*regexp.Regexp); got != want && (!ok || !re.MatchString(got)) {
			t.Fatalf("dig %s: got\n%s\nwant\n%s", strings.Join(args, " "), got, want)
		}
	}
}

// answer is what dig gets.
type answer struct {
	name, qtype string
	data        []string // of each record, in order
	glue        []string // whole records
	server      string
}

// text is all that dig prints of it.
func (a answer) text(transport, edns string) string {
	additional, opt, records, glue := len(a.glue), "", "", ""
	if edns != "" {
		additional++
		opt = ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: " + edns + "\n"
	}
	for _, data := range a.data {
		records += fmt.Sprintf("%s 5 IN %s %s\n", a.name, a.qtype, data)
	}
	if len(a.glue) > 0 {
		glue = "\n;; ADDITIONAL SECTION:\n" + strings.Join(a.glue, "\n") + "\n"
	}
	return fmt.Sprintf(`;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7
;; flags: qr aa rd; QUERY: 1, ANSWER: %d, AUTHORITY: 0, ADDITIONAL: %d
;; WARNING: recursion requested but not available

%s;; QUESTION SECTION:
;%s IN %s

;; ANSWER SECTION:
%s%s
;; Query time
;; SERVER: %[8]s#53(%[8]s) (%[9]s)
;; WHEN
;; MSG SIZE

`, len(a.data), additional, opt, a.name, a.qtype, records, glue, a.server, transport)
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
	for _, tt := range []struct {
		zone, qtype string
		family      int
		args        []string
	}{
		{"shop.erl.internal.", "A", 0, nil},
		{"sHoP.ErL.InTeRnAl.", "A", 0, nil},
		{"six.erl.internal.", "AAAA", 1, []string{"-6"}},
	} {
		// The names in the question are spelt as here, and so have to be the owners of what is answered; nothing else is.
		zone, server := strings.ToLower(tt.zone), b.addresses(0)[tt.family].String()
		spell := func(name string) string {
			if zone == tt.zone {
				return name
			}
			return mixed(name)
		}
		var all []answer
		var addresses, srv, txt, glue, names []string
		for i := range members {
			host := fmt.Sprintf("shop-%d.shop.%s.svc.%s", i, b.prod, zone)
			address, name := b.addresses(10 + i)[tt.family].String(), "shop@"+strings.TrimSuffix(host, ".")
			reverse, err := dns.ReverseAddr(address)
			must(t, err)
			addresses, names, txt = append(addresses, address), append(names, name), append(txt, `"`+name+`"`)
			srv, glue = append(srv, "0 0 4369 "+host), append(glue, host+" 5 IN "+tt.qtype+" "+address)
			all = append(all, answer{spell(host), tt.qtype, []string{address}, nil, server},
				answer{spell(reverse), "PTR", []string{host}, nil, server})
		}
		s.wants(zone, "TXT", names...)
		all = append(all, answer{tt.zone, "TXT", txt, nil, server}, answer{tt.zone, tt.qtype, addresses, nil, server},
			answer{tt.zone, "SRV", srv, glue, server})
		for _, a := range all {
			args, want := slices.Clone(tt.args), ""
			for _, transport := range []string{"UDP", "TCP"} {
				// EDNS says what size the server takes, and CoreDNS says what it was told.
				for _, edns := range []string{"", "1232", "4096"} {
					size := map[bool]string{true: "+noedns", false: "+bufsize=" + edns}[edns == ""]
					args = append(args, a.name, a.qtype, map[string]string{"UDP": "+notcp", "TCP": "+tcp"}[transport], size)
					want += a.text(transport, edns)
				}
			}
			digs(want, args...)
		}
		for i, address := range addresses {
			digs(strings.TrimPrefix(srv[i], "0 0 4369 ")+"\n", "+short", "-x", address)
		}
		digs(strings.Join(txt, "\n")+"\n", slices.Concat(tt.args, []string{"+short", strings.TrimSuffix(tt.zone, "."), "TXT"})...)
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
		a := answer{name: "shop.erl.internal.", qtype: qtype, server: s.address}
		for _, address := range b.some(10, 10+members) {
			a.data = append(a.data, fmt.Sprintf(form, address))
		}
		digs(";; Truncated, retrying in TCP mode.\n"+a.text("TCP", ""), a.name, qtype, "+noedns")
		digs(a.text("UDP", "4096"), a.name, qtype, "+bufsize=4096")
		digs(regexp.MustCompile(`(?m)^;; flags: qr aa tc rd; QUERY: 1, ANSWER: `), a.name, qtype, "+noedns", "+ignore")
	}
}
