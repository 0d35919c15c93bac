package test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/plugin/reload"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

var (
	// corefilePath is where the plugin reload reads, as long as it is not empty.
	corefilePath atomic.Value
	// newest is the instance that has been started last, which reload tells nobody else.
	newest atomic.Pointer[caddy.Instance]

	followReloads = sync.OnceFunc(func() {
		caddy.SetDefaultCaddyfileLoader("interplay", caddy.LoaderFunc(func(string) (caddy.Input, error) {
			path := corefilePath.Load().(string)
			text, err := os.ReadFile(path)
			return servertest.Input(string(text)), err
		}))
		caddy.RegisterEventHook("interplay", func(event caddy.EventName, info any) error {
			if instance, ok := info.(*caddy.Instance); ok && event == caddy.InstanceStartupEvent {
				newest.Store(instance)
			}
			return nil
		})
	})
)

// tryReload changes a Corefile: first for one that is bad, at last for one without us.
func tryReload(t *testing.T) {
	followReloads()
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	dir, port := t.TempDir(), freePort(t)
	corefilePath.Store(filepath.Join(dir, "Corefile"))
	on := func(corefile string) string {
		return strings.Replace(corefile, ".:0 {", ".:"+port+" {\nbind 127.0.0.1\nreload 2s 0s", 1)
	}
	write(t, dir, "Corefile", on(corefile(api, "")))
	messages := listenToLog(t)
	s := start(t, on(corefile(api, "")))
	first := newest.Load()
	if first != s.instance {
		t.Fatal("got no event of the start")
	}
	opened := len(api.Requests(fakeapi.Verb("watch")))
	asker := askAllTheTime("127.0.0.1:"+port, "erl.internal.", []string{"app@10.0.0.1", "app@10.0.0.2"})

	write(t, dir, "Corefile", on(corefile(api, "mode none")))
	eventually(t, "the bad Corefile is refused", func() bool {
		return len(messages.lines("[ERROR] plugin/reload: Corefile changed but reload failed")) == 1
	})
	write(t, dir, "Corefile", on(corefile(api, "ttl 77")))
	eventually(t, "the good Corefile is used", func() bool { return newest.Load() != first })
	s.use(newest.Load())

	asker.done(t)
	if got := s.query("udp", "erl.internal.", "TXT", 0).Answer[0].Header().Ttl; got != 77 {
		t.Errorf("TTL: got %d, want 77 as the new Corefile has it", got)
	}
	if got := len(api.Requests(fakeapi.Verb("watch"))); got != opened {
		t.Errorf("watches: got %d more, want none for the same block", got-opened)
	}

	write(t, dir, "Corefile", on(".:0 {\nwhoami\n}"))
	second := s.instance
	eventually(t, "the last Corefile is used", func() bool { return newest.Load() != second })
	s.use(newest.Load())
	api.WaitForWatches(0)
}
