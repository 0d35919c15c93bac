package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/servertest"
	"github.com/longnames/longnames/test/fakeapi"
)

// restart runs a Corefile while s is running, as after a crash: nothing is handed over.
func (s *server) restart(t *testing.T, corefile string) *server {
	t.Helper()
	for _, err := range s.instance.ShutdownCallbacks() {
		t.Error(err)
	}
	return start(t, corefile)
}

// ede is the code of the extended error that comes with an answer, -1 if there is none.
func (s *server) ede(name, qtype string) int {
	s.tb.Helper()
	if opt := s.query("udp", name, qtype, 1232).IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}

func TestStartFromASnapshot(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	file := filepath.Join(t.TempDir(), "members.json")
	text := corefile(api, "hold 0\nsnapshot "+file)
	s := start(t, text)
	eventually(t, "the snapshot is written", func() bool { _, err := os.Stat(file); return err == nil })
	serial := s.serial()
	if got := s.ede("erl.internal.", "TXT"); got != -1 {
		t.Errorf("fresh: got extended error %d, want none", got)
	}
	api.Stop()
	s = s.restart(t, text)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
	if got := s.ede("erl.internal.", "TXT"); got != int(dns.ExtendedErrorCodeStaleAnswer) {
		t.Errorf("stale: got extended error %d, want %d", got, dns.ExtendedErrorCodeStaleAnswer)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, written := s.serial(), uint32(info.ModTime().Unix()); got < serial || got > written {
		t.Errorf("serial: got %d, want at least %d as before, and at most %d when the snapshot was written", got, serial, written)
	}

	api.Start()
	api.Put(slice(endpoint("web-1", "10.0.0.2", true), endpoint("web-2", "10.0.0.3", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2", "app@10.0.0.3")
	if got := s.ede("erl.internal.", "TXT"); got != -1 {
		t.Errorf("fresh again: got extended error %d, want none", got)
	}
	api.Stop()
	s = s.restart(t, text) // what has changed last is written at the end
	s.wants("erl.internal.", "TXT", "app@10.0.0.2", "app@10.0.0.3")
}

func TestSnapshotThatCannotBeUsed(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	dir := t.TempDir()
	file := filepath.Join(dir, "members.json")
	s := start(t, corefile(api, "snapshot "+file))
	eventually(t, "the snapshot is written", func() bool { _, err := os.Stat(file); return err == nil })
	for _, err := range s.instance.ShutdownCallbacks() {
		t.Error(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, content, options string }{
		{"damaged", strings.Replace(string(good), "10.0.0.1", "10.0.0.9", 1), ""},
		{"cut short", string(good[:len(good)/2]), ""},
		{"empty", "", ""},
		{"of something else", "{}", ""},
		{"of another configuration", string(good), "lookup pods"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true)), pod("web-0", "10.0.0.1"))
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			api.Stop()
			s := start(t, corefile(api, "startup_timeout 1ms\nsnapshot "+file+"\n"+tc.options))
			if got := s.rcode("erl.internal.", "TXT"); got != "SERVFAIL" {
				t.Errorf("got %s, want SERVFAIL", got)
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != tc.content {
				t.Errorf("got a file that has changed, or %v: want it as it was until the members are known", err)
			}
			api.Start()
			s.soon("erl.internal.", "TXT", "app@10.0.0.1")
			eventually(t, "the file is replaced", func() bool {
				now, err := os.ReadFile(file)
				return err == nil && string(now) != tc.content
			})
		})
	}
}

func TestSnapshotThatCannotBeWritten(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, "snapshot "+filepath.Join(t.TempDir(), "missing", "members.json")))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
}

// A reload hands the file over: the old server writes it no more, and again if it stays.
func TestReloadWithASnapshot(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	file := filepath.Join(t.TempDir(), "members.json")
	has := func(text string) func() bool {
		return func() bool { now, _ := os.ReadFile(file); return strings.Contains(string(now), text) }
	}
	s := start(t, corefile(api, "snapshot "+file))
	eventually(t, "the snapshot is written", has("10.0.0.1"))
	for _, tc := range []struct {
		name, options, address string
		fails                  bool
	}{
		{"good", "ttl 1", "10.0.0.2", false},
		{"with another watch", "ttl 1\ncached", "10.0.0.3", false},
		{"with a bad option", "ttl x", "10.0.0.4", true},
		{"that fails late", "ttl 1\n}\n}\n.:0 {\nbind 192.0.2.1\nwhoami", "10.0.0.5", true},
	} {
		text := corefile(api, "snapshot "+file+"\n"+tc.options)
		if strings.Contains(tc.options, "192.0.2.1") {
			text = strings.TrimSuffix(strings.TrimSpace(text), "}")
		}
		next, err := s.instance.Restart(servertest.Input(text))
		if tc.fails != (err != nil) {
			t.Fatalf("%s: got error %v, want one: %t", tc.name, err, tc.fails)
		}
		s.use(next)
		api.Put(slice(endpoint("web-0", tc.address, true)))
		s.soon("erl.internal.", "TXT", "app@"+tc.address)
		eventually(t, tc.name+": the snapshot is written", has(tc.address))
	}
}

func TestTwoBlocksCannotShareASnapshot(t *testing.T) {
	api := fakeapi.New(t)
	file := filepath.Join(t.TempDir(), "members.json")
	text := corefile(api, "snapshot "+file)
	_, err := caddy.Start(servertest.Input(text + "\n" + strings.ReplaceAll(text, "erl.internal", "other.internal")))
	if err == nil || !strings.Contains(err.Error(), "snapshot") || !strings.Contains(err.Error(), file) {
		t.Errorf("got error %v, want one that names the option and the file", err)
	}
}
