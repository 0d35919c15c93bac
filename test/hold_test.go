package test

import (
	"strings"
	"testing"

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
	s.soon("erl.internal.", "TXT", "app@10.0.0.3")
}

func TestMembersAreHeldForSomeTimeOnly(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, "hold 100ms"))
	api.Delete(slice())
	s.soon("erl.internal.", "TXT")
}
