package test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

func TestMembersThatVanishAtOnceAreHeld(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	held := corefile(api, "hold 1h")
	block := held[strings.Index(held, "longnames"):strings.LastIndex(held, "}")]
	s := start(t, ".:0 {\n"+block+strings.NewReplacer("erl.internal", "now.internal", "1h", "0").Replace(block)+"\n}")
	s.wants("now.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
	api.Delete(slice())
	s.soon("now.internal.", "TXT")
	for range 50 {
		s.wants("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
	}
	api.Put(slice(endpoint("web-2", "10.0.0.3", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.3")
}

func TestMembersAreHeldForSomeTimeOnly(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, "hold 100ms"))
	api.Delete(slice())
	s.soon("erl.internal.", "TXT")
}

// What is held is held on, though nothing else is known to a block that reads anew.
func TestReloadOfWhatIsHeldWhileTheAPIServerIsAway(t *testing.T) {
	for _, tc := range []struct{ name, options, selector string }{
		{"the same watch", "ttl 3", "selector app=web"},
		{"another watch", "cached", "selector app=web"},
		{"another selector", "", "selector app"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
			s := start(t, corefile(api, "hold 1h"))
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
			serial := func() uint32 { return s.query("udp", "erl.internal.", "SOA", 0).Answer[0].(*dns.SOA).Serial }
			before := serial()
			api.Delete(slice())
			eventually(t, "the cluster is held", func() bool { return serial() != before })
			api.Stop()
			text := corefile(api, "hold 1h\nstartup_timeout 100ms\n"+tc.options)
			next, err := s.instance.Restart(servertest.Input(strings.Replace(text, "selector app=web", tc.selector, 1)))
			if err != nil {
				t.Fatal(err)
			}
			s.use(next)
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
			api.Start()
			api.WaitForWatches(1)
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
		})
	}
}
