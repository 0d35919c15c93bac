package test

import (
	"strings"
	"testing"

	_ "github.com/coredns/coredns/plugin/rewrite"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/fakeapi"
)

// tryRewrite has applications ask for a name of their own.
func tryRewrite(t *testing.T) {
	const (
		auto   = `rewrite name shop.example erl.internal`
		name   = `rewrite name regex ^(.*\.)?shop\.example\.$ {1}erl.internal answer name ^(.*\.)?erl\.internal\.$ {1}shop.example`
		suffix = `rewrite name suffix shop.example erl.internal`
		own    = "shop.example."
	)
	for _, tc := range []struct {
		name, rewrite, options string
		longname, target, node string // node is the name of a single one, if it is rewritten, too
	}{
		{"one name", auto, "", "app@10.0.0.1", "10.0.0.1.", ""},
		{"one name, host parts in the zone", auto, "mode dns\ncluster_domain erl.internal", "app@10-0-0-1.prod.pod.erl.internal", "10-0-0-1.prod.pod.shop.example.", ""},
		{"answer auto", suffix + " answer auto", "", "app@10.0.0.1", "10.0.0.1.", "web-0.shop.example."},
		{"answer auto, host parts in the zone", suffix + " answer auto", "mode dns\ncluster_domain erl.internal", "app@10-0-0-1.prod.pod.erl.internal", "10-0-0-1.prod.pod.shop.example.", "web-0.shop.example."},
		{"answer name", advised(t, name), "", "app@10.0.0.1", "10.0.0.1.", "web-0.shop.example."},
		{"answer name, host parts in the zone", name, "mode dns\ncluster_domain erl.internal", "app@10-0-0-1.prod.pod.erl.internal", "10-0-0-1.prod.pod.erl.internal.", "web-0.shop.example."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
			s := start(t, strings.Replace(corefile(api, "ttl 3600\n"+tc.options), "{", "{\ncache 3600\n"+tc.rewrite, 1))
			s.wants(own, "TXT", tc.longname)
			s.wants(own, "SRV", tc.target)
			s.wants(own, "A", "10.0.0.1")
			s.wants("erl.internal.", "TXT", tc.longname)
			for _, qtype := range []string{"TXT", "SRV", "A"} {
				same(t, "owners of "+qtype, owners(s.query("udp", own, qtype, 0).Answer), []string{own})
			}
			none := s.query("udp", own, "MX", 0)
			if none.Rcode != dns.RcodeSuccess || len(none.Answer) != 0 {
				t.Errorf("MX: got %s %v, want NOERROR and none", dns.RcodeToString[none.Rcode], none.Answer)
			}
			same(t, "authority", owners(none.Ns), []string{own})
			if tc.node != "" {
				s.wants(tc.node, "A", "10.0.0.1")
				s.wantsRcode("nobody."+own, "A", "NXDOMAIN")
			}
			api.Put(slice(endpoint("web-0", "10.0.0.2", true)))
			s.soon(own, "A", "10.0.0.2") // though there is a cache
		})
	}
	t.Run("no answer", func(t *testing.T) {
		s := start(t, ".:0 {\n"+suffix+"\n"+block("erl.internal", podsAt(t, "10.0.0.1"), "")+"}")
		s.wants(own, "TXT", "app@10.0.0.1")
		same(t, "owners", owners(s.query("udp", own, "TXT", 0).Answer), []string{"erl.internal."})
	})
}
