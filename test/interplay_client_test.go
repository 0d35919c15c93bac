package test

import (
	"fmt"
	"testing"

	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/view"
	"github.com/miekg/dns"
)

// tryACL tells by the extended error (RFC 8914) who has answered.
func tryACL(t *testing.T) {
	s := start(t, `.:0 {
		bind 127.0.0.1
		acl erl.internal {
			allow net 127.0.0.2/32
			filter net 127.0.0.4/32
			block
		}
		`+block("erl.internal", podsAt(t, "10.0.0.1", "10.0.0.2"), "")+`
	}`)
	blocked, filtered := fmt.Sprint(dns.ExtendedErrorCodeBlocked), fmt.Sprint(dns.ExtendedErrorCodeFiltered)
	for _, tc := range []struct {
		client, rcode   string
		answer, options []string
	}{
		{"127.0.0.2", "NOERROR", []string{"app@10.0.0.1", "app@10.0.0.2"}, []string{}},
		{"127.0.0.3", "REFUSED", []string{}, []string{blocked}},
		{"127.0.0.4", "NOERROR", []string{}, []string{filtered}}, // as if everybody had left
	} {
		m := new(dns.Msg).SetQuestion("erl.internal.", dns.TypeTXT)
		m.SetEdns0(1232, false)
		answer, err := s.exchange(m, tc.client)
		if err != nil {
			t.Fatalf("%s: %v", tc.client, err)
		}
		same(t, tc.client, []string{dns.RcodeToString[answer.Rcode]}, []string{tc.rcode})
		same(t, "answer for "+tc.client, data(answer.Answer), tc.answer)
		same(t, "options for "+tc.client, options(t, answer), tc.options)
	}
}

// tryView makes one name three clusters, of which each client sees one.
func tryView(t *testing.T) {
	view := func(clients, address string) string {
		if clients != "" {
			clients = "view from_" + address + " {\nexpr incidr(client_ip(), '" + clients + "')\n}\n"
		}
		return ".:0 {\nbind 127.0.0.1\n" + clients + block("erl.internal", podsAt(t, address), "") + "}\n"
	}
	blue, green := view("127.0.0.2/32", "10.2.0.1"), view("127.0.0.3/32", "10.3.0.1")
	s := start(t, blue+green+view("", "10.0.0.1"))
	for client, want := range map[string]string{"127.0.0.2": "10.2.0.1", "127.0.0.3": "10.3.0.1", "127.0.0.4": "10.0.0.1"} {
		for qtype, want := range map[string]string{"TXT": "app@" + want, "SRV": want + ".", "A": want} {
			_, got := s.askFrom(client, "erl.internal.", qtype)
			same(t, qtype+" from "+client, got, []string{want})
		}
	}

	s = start(t, blue+green)
	for client, want := range map[string]string{"127.0.0.2": "NOERROR", "127.0.0.4": "REFUSED"} {
		rcode, _ := s.askFrom(client, "erl.internal.", "TXT")
		same(t, "without a block for all, from "+client, []string{rcode}, []string{want})
	}
}
