package test

import (
	"strings"
	"testing"

	"github.com/coredns/caddy"

	"github.com/longnames/longnames/test/fakeapi"
)

func TestReload(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, ""))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")

	next, err := s.instance.Restart(input(corefile(api, "mode dns")))
	if err != nil {
		t.Fatal(err)
	}
	s.use(next)
	s.wants("erl.internal.", "TXT", "app@10-0-0-1.prod.pod.cluster.local")

	kept, err := s.instance.Restart(input(corefile(api, "mode none")))
	if err == nil || !strings.Contains(err.Error(), "mode") {
		t.Errorf("a bad option: got error %v, want one that names it", err)
	}
	s.use(kept)
	s.wants("erl.internal.", "TXT", "app@10-0-0-1.prod.pod.cluster.local")
	api.WaitForWatches(1)
}

func TestAMistakeIsAStartUpError(t *testing.T) {
	_, err := caddy.Start(input(".:0 {\n longnames erl.internal {\n  selector app=web\n  basename app\n  ttl forever\n }\n}\n"))
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"plugin/longnames", "Corefile:5", "ttl", "expected", `"forever"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}
