package longnames

import "testing"

// What makes other records of the same objects is another form, and nothing else is.
func TestForm(t *testing.T) {
	of := func(text string) string { return configOf(t, text).form() }
	plain := of("longnames erl.internal {\n selector app=shop\n basename shop\n}")
	if want := "zones erl.internal., include ready, basename shop, mode ip, port 4369, ttl 5"; plain != want {
		t.Errorf("got %q, want %q", plain, want)
	}
	for option, same := range map[string]bool{
		"": true, "mode ip": true, "port 4369": true, "ttl 5": true, "include ready": true,
		"hold 1m": true, "startup_timeout 1s": true, "cached": true, "snapshot x": true, "family ipv6": true,
		"mode dns": false, "fallthrough": false, "fallthrough a.erl.internal": false, "port 4370": false, "port dist": false, "ttl 6": false, "include all": false, "group_by app": false,
		"mode hostname\n service web": false, "mode hostname\n cluster_domain erl.internal": false,
	} {
		got := of("longnames erl.internal {\n selector app=shop\n basename shop\n " + option + "\n}")
		if (got == plain) != same {
			t.Errorf("with %q: got %q, the same as without: want %t", option, got, same)
		}
	}
	if got := of("longnames erl.internal 10.in-addr.arpa {\n selector app=shop\n basename shop\n}"); got == plain {
		t.Errorf("with another zone: got %q, as without", got)
	}
	name, label := of("longnames erl.internal {\n selector app\n basename app\n}"), of("longnames erl.internal {\n selector app\n basename label app\n}")
	other := of("longnames erl.internal {\n selector app\n basename label tier\n}")
	if name == label || label == other {
		t.Errorf("basename app, label app, label tier: got %q, %q, %q, want three forms", name, label, other)
	}
}
