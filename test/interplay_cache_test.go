package test

import (
	"testing"

	_ "github.com/coredns/coredns/plugin/forward"

	"github.com/longnames/longnames/test/fakeapi"
)

// tryCache has a TTL of an hour for what may be kept.
func tryCache(t *testing.T) {
	upstream := startResolver(t)
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, `.:0 {
		cache 3600
		longnames erl.internal 10.in-addr.arpa {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			ttl 3600
			hold 0
			fallthrough 10.in-addr.arpa
		}
		forward . `+upstream.address+`
	}`)

	const appears = "web-1.erl.internal."
	s.wants("erl.internal.", "A", "10.0.0.1")
	s.wants("erl.internal.", "SRV", "10.0.0.1.")
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	s.wantsRcode(appears, "A", "NXDOMAIN")
	api.Put(slice(endpoint("web-1", "10.0.0.2", true)))
	s.soon(appears, "A", "10.0.0.2")
	s.wants("erl.internal.", "A", "10.0.0.2")
	s.wants("erl.internal.", "SRV", "10.0.0.2.")
	s.wants("erl.internal.", "TXT", "app@10.0.0.2")
	s.wantsRcode("web-0.erl.internal.", "A", "NXDOMAIN")

	// What falls through from a zone of ours is not kept either: it may be ours by and by.
	const foreign = "9.0.0.10.in-addr.arpa."
	for range 3 {
		s.wants("example.org.", "A", elsewhere)
		s.wants(foreign, "PTR", "elsewhere.example.org.")
	}
	if got := upstream.count("example.org.", "A"); got != 1 {
		t.Errorf("a name outside of our zones was asked for %d times, want 1 and the rest from the cache", got)
	}
	if got := upstream.count(foreign, "PTR"); got != 3 {
		t.Errorf("what falls through was asked for %d times, want 3", got)
	}
	api.Put(slice(endpoint("web-1", "10.0.0.9", true)))
	s.soon(foreign, "PTR", "10.0.0.9.")
}

func tryForward(t *testing.T) {
	upstream := startResolver(t)
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Fail(503, "ServiceUnavailable", "not yet")
	s := start(t, `.:0 {
		longnames erl.internal {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			startup_timeout 10ms
		}
		longnames late.internal {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			startup_timeout 10ms
			fallthrough
		}
		forward . `+upstream.address+`
	}`)
	s.wants("example.org.", "A", elsewhere)
	for _, name := range []string{"erl.internal.", "nobody.erl.internal.", "late.internal.", "nobody.late.internal."} {
		s.wantsRcode(name, "A", "SERVFAIL")
	}
	api.Recover()
	s.soon("erl.internal.", "TXT", "app@10.0.0.1")
	s.soon("late.internal.", "TXT", "app@10.0.0.1")
	s.wantsRcode("nobody.erl.internal.", "A", "NXDOMAIN")
	for _, name := range []string{"erl.internal.", "nobody.erl.internal.", "late.internal.", "nobody.late.internal."} {
		if got := upstream.count(name, "A"); got != 0 {
			t.Errorf("%s was forwarded %d times, want never", name, got)
		}
	}
	s.wants("nobody.late.internal.", "A", elsewhere)
}
