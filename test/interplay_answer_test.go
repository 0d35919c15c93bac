package test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/coredns/coredns/plugin/any"
	_ "github.com/coredns/coredns/plugin/autopath"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/dns64"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/multisocket"
	_ "github.com/coredns/coredns/plugin/nsid"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/test/fakeapi"
)

// options are those of EDNS that an answer has: codes of extended errors, names of servers.
func options(t *testing.T, m *dns.Msg) []string {
	t.Helper()
	out := []string{}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			switch o := o.(type) {
			case *dns.EDNS0_EDE:
				out = append(out, fmt.Sprint(o.InfoCode))
			case *dns.EDNS0_NSID:
				name, err := hex.DecodeString(o.Nsid)
				if err != nil {
					t.Error(err)
				}
				out = append(out, string(name))
			}
		}
	}
	slices.Sort(out)
	return out
}

func tryAny(t *testing.T) {
	file := podsAt(t, "10.0.0.1")
	for plugin, want := range map[string]string{
		"":    `HINFO "RFC8482" ""`,
		"any": `HINFO "ANY obsoleted" "See RFC 8482"`,
	} {
		s := start(t, ".:0 {\n"+plugin+"\n"+block("erl.internal", file, "")+"}")
		answer := s.query("udp", "erl.internal.", "ANY", 0)
		if len(answer.Answer) != 1 || !strings.HasSuffix(strings.ReplaceAll(answer.Answer[0].String(), "\t", " "), " "+want) {
			t.Errorf("with plugin %q: got %v, want just %s", plugin, answer.Answer, want)
		}
		s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	}
}

// tryAutopath asks as a resolver does that goes through a search list, and then for the name alone.
func tryAutopath(t *testing.T) {
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvConf, []byte("search prod.svc.cluster.local svc.cluster.local cluster.local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, `.:0 {
		autopath `+resolvConf+`
		cache 3600
		template ANY ANY cluster.local {
			rcode NXDOMAIN
		}
		`+block("erl.internal", podsAt(t, "10.0.0.1", "10.0.0.2"), "ttl 3600")+`
	}`)
	for range 2 {
		answer := s.query("udp", "erl.internal.prod.svc.cluster.local.", "A", 1232).Answer
		if len(answer) != 3 {
			t.Fatalf("from a search list: got %v, want an alias and two addresses", answer)
		}
		if alias, ok := answer[0].(*dns.CNAME); !ok || alias.Target != "erl.internal." {
			t.Errorf("from a search list: got %s, want an alias of erl.internal first", answer[0])
		}
		same(t, "from a search list", data(answer[1:]), []string{"10.0.0.1", "10.0.0.2"})
		s.wants("erl.internal.", "A", "10.0.0.1", "10.0.0.2") // and no alias
	}
	s.wantsRcode("nobody.erl.internal.prod.svc.cluster.local.", "A", "NXDOMAIN")
}

// tryBufsize has more members than fit, in spite of what the client offers.
func tryBufsize(t *testing.T) {
	addresses, want := make([]string, 26), make([]string, 26)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.0.1.1%02d", i)
		want[i] = "app@" + addresses[i]
	}
	s := start(t, ".:0 {\nbufsize 512\n"+block("erl.internal", podsAt(t, addresses...), "")+"}")
	cut := s.query("udp", "erl.internal.", "TXT", 4096)
	cut.Compress = true // as it came
	if !cut.Truncated || cut.Len() > 512 {
		t.Errorf("over UDP: got %d bytes, truncated: %t, want 512 at most and the word to ask over TCP", cut.Len(), cut.Truncated)
	}
	whole := s.query("tcp", "erl.internal.", "TXT", 4096)
	if whole.Truncated {
		t.Error("over TCP: got a truncated answer")
	}
	same(t, "over TCP", data(whole.Answer), want)
}

// tryDNS64 asks over IPv4 for simplicity: by default, dns64 does it for questions over IPv6.
func tryDNS64(t *testing.T) {
	file := podsAt(t, "10.0.0.1")
	both := start(t, ".:0 {\ndns64 {\nallow_ipv4\n}\n"+block("erl.internal", file, "")+"}")
	both.wants("erl.internal.", "AAAA", "64:ff9b::a00:1")
	both.wants("erl.internal.", "A", "10.0.0.1")
	both.wants("erl.internal.", "SRV", "10.0.0.1.")
	both.wants("erl.internal.", "TXT", "app@10.0.0.1")

	six := start(t, ".:0 {\ndns64 {\nallow_ipv4\n}\n"+block("erl.internal", podsAt(t, "fd00::1"), "")+"}")
	six.wants("erl.internal.", "AAAA", "fd00::1")

	apart := start(t, "erl.internal:0 {\n"+block("", file, "")+"}\n.:0 {\ndns64 {\nallow_ipv4\n}\nforward . "+startResolver(t).address+"\n}")
	apart.wants("example.org.", "AAAA", "64:ff9b::c000:201")
	apart.wants("erl.internal.", "AAAA")
	apart.wants("erl.internal.", "A", "10.0.0.1")
}

// tryLoadbalance asks all at once: the records in the answers are shared.
func tryLoadbalance(t *testing.T) {
	addresses, srv, txt := make([]string, 9), make([]string, 9), make([]string, 9)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.0.0.%d", i+1)
		srv[i], txt[i] = addresses[i]+".", "app@"+addresses[i]
	}
	s := start(t, ".:0 {\nloadbalance round_robin\n"+block("erl.internal", podsAt(t, addresses...), "")+"}")
	orders := make(map[string]map[string]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				for qtype, want := range map[string][]string{"A": addresses, "SRV": srv, "TXT": txt} {
					m := new(dns.Msg).SetQuestion("erl.internal.", dns.StringToType[qtype])
					answer, err := s.exchange(m, "127.0.0.1")
					if err != nil {
						t.Error(err)
						return
					}
					same(t, qtype, data(answer.Answer), want)
					mu.Lock()
					if orders[qtype] == nil {
						orders[qtype] = make(map[string]bool)
					}
					orders[qtype][fmt.Sprint(answer.Answer)] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if got := len(orders["A"]); got < 2 {
		t.Errorf("A: got %d order of addresses, want several", got)
	}
	for _, qtype := range []string{"SRV", "TXT"} {
		if got := len(orders[qtype]); got != 1 {
			t.Errorf("%s: got %d orders, want the one that stays", qtype, got)
		}
	}
}

// tryMinimal has host parts lie in the zone, so that there are addresses for SRV targets.
func tryMinimal(t *testing.T) {
	const target1, target2 = "10-0-0-1.prod.pod.erl.internal.", "10-0-0-2.prod.pod.erl.internal."
	for _, tc := range []struct {
		name, plugin string
		glue         []string
		stale        int
	}{
		{"without", "", []string{target1, target2}, int(dns.ExtendedErrorCodeStaleAnswer)},
		{"with", "minimal", []string{}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t)
			api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
			snapshot := filepath.Join(t.TempDir(), "members.json")
			text := strings.Replace(corefile(api, "mode dns\ncluster_domain erl.internal\nstartup_timeout 10ms\nsnapshot "+snapshot), "{", "{\n"+tc.plugin, 1)
			s := start(t, text)
			s.soon("erl.internal.", "SRV", target1, target2)
			answer := s.query("udp", "erl.internal.", "SRV", 0)
			same(t, "SRV", data(answer.Answer), []string{target1, target2})
			same(t, "glue", owners(answer.Extra), tc.glue)
			s.wants("erl.internal.", "TXT", "app@10-0-0-1.prod.pod.erl.internal", "app@10-0-0-2.prod.pod.erl.internal")
			s.wants(target1, "A", "10.0.0.1")
			none := s.query("udp", "nobody.erl.internal.", "A", 0)
			same(t, "a name that does not exist", []string{dns.RcodeToString[none.Rcode]}, []string{"NXDOMAIN"})
			same(t, "authority", owners(none.Ns), []string{"erl.internal."})

			eventually(t, "the snapshot is written", func() bool { _, err := os.Stat(snapshot); return err == nil })
			api.Stop()
			s = s.restart(t, text)
			s.wants("erl.internal.", "SRV", target1, target2)
			if got := s.ede("erl.internal.", "TXT"); got != tc.stale {
				t.Errorf("last known: got extended error %d, want %d", got, tc.stale)
			}
			if err := os.Remove(snapshot); err != nil {
				t.Fatal(err)
			}
			s = s.restart(t, text)
			if got := s.ede("erl.internal.", "TXT"); got != int(dns.ExtendedErrorCodeNotReady) {
				t.Errorf("not known: got extended error %d, want %d", got, dns.ExtendedErrorCodeNotReady)
			}
		})
	}
}

func tryMultisocket(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, strings.Replace(corefile(api, "hold 0"), "{", "{\nmultisocket 3", 1))
	listeners := s.instance.Servers()
	if got := len(listeners); got != 3 {
		t.Fatalf("got %d servers, want 3", got)
	}
	api.Put(slice(endpoint("web-1", "10.0.0.2", true)))
	for _, l := range listeners {
		s.udp = l.LocalAddr().String()
		s.soon("erl.internal.", "TXT", "app@10.0.0.2")
	}
	if got := len(api.Requests(fakeapi.Verb("watch"))); got != 1 {
		t.Errorf("watches: got %d, want 1 for all servers", got)
	}
}
