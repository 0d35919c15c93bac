package test

import (
	"strings"
	"testing"

	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/template"
)

// tryFile has a zone of its own beside ours, and one that both serve.
func tryFile(t *testing.T) {
	dir := t.TempDir()
	soa := "@ 3600 IN SOA ns hostmaster 1 7200 1800 86400 60\n@ IN NS ns\nns IN A 192.0.2.53\n"
	write(t, dir, "erl.zone", "$ORIGIN erl.internal.\n"+soa+"@ IN MX 10 mail\nwww IN A 192.0.2.80\n")
	write(t, dir, "org.zone", "$ORIGIN example.org.\n"+soa+"nodes IN CNAME erl.internal.\n")
	pods := podsAt(t, "10.0.0.1")
	corefile := func(more string) string {
		return ".:0 {\nfile " + dir + "/erl.zone erl.internal\nfile " + dir + "/org.zone example.org\n" + block("erl.internal", pods, more) + "}"
	}
	s := start(t, corefile("fallthrough"))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	s.wants("web-0.erl.internal.", "A", "10.0.0.1")
	s.wants("www.erl.internal.", "A", "192.0.2.80")
	s.wants("erl.internal.", "MX") // the zone's name is ours
	s.wantsRcode("nobody.erl.internal.", "A", "NXDOMAIN")
	s.wants("nodes.example.org.", "A", "10.0.0.1", "erl.internal.")

	s = start(t, corefile(""))
	s.wantsRcode("www.erl.internal.", "A", "NXDOMAIN")
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
}

// tryHosts asks a plugin first that knows next to nothing.
func tryHosts(t *testing.T) {
	pods := podsAt(t, "10.0.0.1")
	corefile := func(hosts string) string {
		return ".:0 {\nhosts {\n192.0.2.7 host.minikube.internal web-0.erl.internal\n" + hosts + "\n}\n" + block("erl.internal 10.in-addr.arpa", pods, "") + "}"
	}
	s := start(t, corefile("fallthrough"))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	s.wants("erl.internal.", "SRV", "10.0.0.1.")
	s.wants("erl.internal.", "A", "10.0.0.1")
	s.wants("1.0.0.10.in-addr.arpa.", "PTR", "10.0.0.1.")
	s.wants("host.minikube.internal.", "A", "192.0.2.7")
	s.wants("web-0.erl.internal.", "A", "192.0.2.7")

	s = start(t, corefile(""))
	for _, qtype := range []string{"TXT", "SRV", "A", "AAAA"} {
		s.wantsRcode("erl.internal.", qtype, "SERVFAIL")
	}
	s.wants("1.0.0.10.in-addr.arpa.", "PTR", "10.0.0.1.")

	s = start(t, strings.Replace(corefile(""), "hosts {", "hosts /dev/null minikube.internal {", 1))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
}

// tryTemplate has names in our zone made up.
func tryTemplate(t *testing.T) {
	pods := podsAt(t, "10.0.0.1")
	corefile := func(more string) string {
		return `.:0 {
			template IN A erl.internal {
				match ^static[.]
				answer "{{ .Name }} 60 IN A 192.0.2.9"
				` + more + `
			}
			template IN A example.org {
				answer "{{ .Name }} 60 IN A 192.0.2.10"
			}
			` + block("erl.internal", pods, "") + "}"
	}
	s := start(t, corefile("fallthrough"))
	s.wants("static.erl.internal.", "A", "192.0.2.9")
	s.wants("erl.internal.", "A", "10.0.0.1")
	s.wants("web-0.erl.internal.", "A", "10.0.0.1")
	s.wants("any.example.org.", "A", "192.0.2.10")

	s = start(t, corefile(""))
	s.wantsRcode("erl.internal.", "A", "SERVFAIL")
	s.wants("erl.internal.", "TXT", "app@10.0.0.1") // the template is for A alone
}
