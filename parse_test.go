package longnames

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
)

// blockOf is a longnames block with these lines, the first of which is line 2 of the
// Corefile, and with what is required beside them.
func blockOf(lines ...string) string {
	given := make(map[string]bool)
	for _, line := range lines {
		given[firstWord(line)] = true
	}
	for _, line := range []string{"selector app=shop", "basename shop"} {
		if !given[firstWord(line)] {
			lines = append(slices.Clip(lines), line)
		}
	}
	return "longnames erl.internal {\n" + strings.Join(lines, "\n") + "\n}"
}

func firstWord(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

// parseText parses the first longnames block of a server block.
func parseText(text, root string, keys ...string) (*config, error) {
	c := caddy.NewTestController("dns", text)
	c.ServerBlockKeys = keys
	dnsserver.GetConfig(c).Root = root
	c.Next()
	return parse(c)
}

// wantError tells whether err says all that it should.
func wantError(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %q", wants)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want %q in it", err, want)
		}
	}
}

func TestZones(t *testing.T) {
	for _, tc := range []struct {
		name string
		args string
		keys []string
		want []string
	}{
		{"one", "erl.internal", nil, []string{"erl.internal."}},
		{"in lower case", "Erl.Internal.", nil, []string{"erl.internal."}},
		{"root", ".", nil, []string{"."}},
		{"several", "a.internal b.internal", nil, []string{"a.internal.", "b.internal."}},
		{"one inside another", "internal erl.internal", nil, []string{"internal.", "erl.internal."}},
		{"reverse", "erl.internal 10.in-addr.arpa 8.b.d.0.1.0.0.2.ip6.arpa", nil,
			[]string{"erl.internal.", "10.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."}},
		{"reverse as prefixes", "erl.internal 10.0.0.0/15 fd00::/8", nil,
			[]string{"erl.internal.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa.", "d.f.ip6.arpa."}},
		{"those of the server block", "", []string{"dns://erl.internal.:53", "dns://10.in-addr.arpa.:53"},
			[]string{"erl.internal.", "10.in-addr.arpa."}},
		{"instead of those of the server block", "erl.internal", []string{"dns://.:53"}, []string{"erl.internal."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(blockOf(), "erl.internal", tc.args, 1)
			c, err := parseText(text, "", tc.keys...)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(c.zones))
			for _, z := range c.zones {
				got = append(got, z.name)
			}
			equal(t, "zones", got, tc.want)
		})
	}
}

func TestZonesRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		args string
		keys []string
		want string
	}{
		{"no domain name", "erl..internal", nil, `expected a zone, got "erl..internal"`},
		{"a label too long", strings.Repeat("a", 64) + ".internal", nil, "expected a zone"},
		{"too long for names in it", strings.Repeat("a.", 120) + "internal", nil, "expected a shorter one"},
		{"empty", `""`, nil, `expected a zone, got ""`},
		{"an IPv4 prefix too long", "erl.internal 10.244.0.0/33", nil, `expected a zone, got "10.244.0.0/33"; those are names such as erl.internal, and prefixes such as 10.0.0.0/8`},
		{"an IPv6 prefix too long", "erl.internal fd00::/129", nil, "expected a zone, got"},
		{"half an address before a slash", "erl.internal 10.244.0/16", nil, "expected a zone, got"},
		{"an address", "erl.internal 10.244.0.0", nil, "expected a zone, got"},
		{"a pattern", "*.erl.internal", nil, "expected a zone, got"},
		{"a prefix too long, of the server block", "", []string{"erl.internal.", "10.244.0.0/33."}, `expected a zone, got "10.244.0.0/33." of the server block`},
		{"twice", "erl.internal b.internal ERL.internal.", nil, "expected each zone once, got erl.internal. twice"},
		{"twice by prefixes", "erl.internal 10.0.0.0/8 10.in-addr.arpa", nil, "expected each zone once, got 10.in-addr.arpa. twice"},
		{"reverse only", "10.in-addr.arpa", nil, "expected a zone that is not reverse"},
		{"reverse only, those of the server block", "", []string{"dns://10.in-addr.arpa.:53"}, "expected a zone that is not reverse"},
		{"none", "", nil, "expected a zone that is not reverse"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parseText(strings.Replace(blockOf(), "erl.internal", tc.args, 1), "", tc.keys...)
			wantError(t, err, "Testfile:1 - ", tc.want)
		})
	}
}

// What is wrong with a block as a whole is said at its end, line 3 for a block of one
// line, and names the lines that do not fit.
func TestContradictions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		block []string
		line  string
		want  string
	}{
		{"no selector", []string{"basename shop"}, "3", "expected option selector or option group_by"},
		{"no basename", []string{"selector app=shop"}, "3", "expected option basename"},
		{"nothing", nil, "2", "expected option selector or option group_by"},
		{"manifests and kubeconfig", []string{"kubeconfig a", "manifests b"}, "6",
			"expected either manifests (line 3) or kubeconfig (line 2): members come either from files or from an API server"},
		{"manifests and endpoint", []string{"manifests a", "endpoint https://b"}, "6", "either manifests (line 2) or endpoint (line 3)"},
		{"manifests and tls", []string{"manifests a", "tls a b c"}, "6", "either manifests (line 2) or tls (line 3)"},
		{"manifests and service_account", []string{"manifests a", "service_account b"}, "6", "either manifests (line 2) or service_account (line 3)"},
		{"manifests and cached", []string{"manifests a", "cached"}, "6", "either manifests (line 2) or cached (line 3)"},
		{"manifests and snapshot", []string{"manifests a", "snapshot b"}, "6",
			"either manifests (line 2) or snapshot (line 3): members come from files already"},
		{"kubeconfig and endpoint", []string{"kubeconfig a", "endpoint https://b"}, "6",
			"either kubeconfig (line 2) or endpoint (line 3): a kubeconfig names the API server itself"},
		{"kubeconfig and tls", []string{"kubeconfig a", "tls a b c"}, "6",
			"either kubeconfig (line 2) or tls (line 3): a kubeconfig has the credentials itself"},
		{"kubeconfig and service_account", []string{"kubeconfig a", "service_account b"}, "6",
			"either kubeconfig (line 2) or service_account (line 3): a kubeconfig has the credentials itself"},
		{"tls and service_account", []string{"endpoint https://a", "tls a b c", "service_account b"}, "7",
			"either tls (line 3) or service_account (line 4): credentials are either a certificate or a token"},
		{"tls without endpoint", []string{"tls a b c"}, "5", "option tls (line 2): expected option endpoint with it, with an https URL"},
		{"tls in clear", []string{"tls a b c", "endpoint http://a"}, "6", "option tls (line 2): expected option endpoint with it, with an https URL"},
		{"service in mode ip", []string{"service a"}, "5", "option service (line 2): expected mode hostname with it, since mode ip has no hostname or service"},
		{"endpoint_pod_names in mode ip", []string{"endpoint_pod_names"}, "5", "option endpoint_pod_names (line 2): expected mode hostname with it"},
		{"service in mode dns", []string{"service a", "mode dns"}, "6", "option service (line 2): expected mode hostname with it, since mode dns has no hostname or service"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "longnames erl.internal {\n" + strings.Join(tc.block, "\n") + "\n}"
			if len(tc.block) == 0 {
				text = "longnames erl.internal {\n}"
			} else if !strings.HasPrefix(tc.name, "no ") {
				text = blockOf(tc.block...)
			}
			_, err := parseText(text, "")
			wantError(t, err, "Testfile:"+tc.line+" - ", tc.want)
		})
	}
}

func TestUnknownOptionIsToldTheKnownOnes(t *testing.T) {
	_, err := parseText(blockOf("kubernetes_selector app=shop"), "")
	wantError(t, err, "Testfile:2 - ", `unknown option "kubernetes_selector"`)
	for name := range options {
		wantError(t, err, name)
	}
}

func TestClusterDomainFromEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name  string
		env   string
		lines []string
		want  string
		err   string
	}{
		{"unset", "", []string{"mode dns"}, "cluster.local", ""},
		{"set", "k8s.example", []string{"mode dns"}, "k8s.example", ""},
		{"with a final dot", "k8s.example.", []string{"mode hostname"}, "k8s.example", ""},
		{"option before it", "k8s.example", []string{"mode dns", "cluster_domain erl.internal"}, "erl.internal", ""},
		{"libcluster's", "cluster", []string{"mode hostname"}, "", "environment CLUSTER_DOMAIN: expected a whole domain"},
		{"bad", "k8s..example", []string{"mode dns"}, "", `environment CLUSTER_DOMAIN: expected a domain name, got "k8s..example"`},
		{"bad, but not used", "k8s..example", []string{"mode ip"}, "", ""},
		{"bad, but not asked", "k8s..example", []string{"mode dns", "cluster_domain erl.internal"}, "erl.internal", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("CLUSTER_DOMAIN", tc.env)
			c, err := parseText(blockOf(tc.lines...), "")
			if tc.err != "" {
				wantError(t, err, "Testfile:5 - ", tc.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.rules.Naming.Domain; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzCorefile feeds blocks to the parser, which must neither panic nor complain without
// saying where.
func FuzzCorefile(f *testing.F) {
	f.Add(blockOf())
	f.Add(blockOf("mode hostname", "service queue", "cluster_domain erl.internal.", "fallthrough in-addr.arpa"))
	f.Add("longnames a.internal 10.0.0.0/8 fd00::/8 {\n group_by app\n}\nlongnames a.internal {\n}")
	f.Add("longnames {\n selector app in (a, b), !c\n basename label d\n cached {\n ttl 7\n }\n}")
	f.Add("longnames . {\n port epmd\n {\n }\n namespaces a *\n}")
	f.Add("longnames x { selector \"a=b\nc\"\n startup_timeout 1h\n tls a b c }")
	where := regexp.MustCompile(`^Testfile:[1-9]\d* - `)
	f.Fuzz(func(t *testing.T, text string) {
		c := caddy.NewTestController("dns", text)
		c.ServerBlockKeys = []string{"dns://erl.internal.:53"}
		for c.Next() {
			config, err := parse(c)
			if err != nil {
				if !where.MatchString(err.Error()) {
					t.Errorf("error %q does not say where", err)
				}
				return
			}
			if len(config.zones) == 0 || config.source.Selector == "" || config.rules.Naming.Basename == "" && config.rules.Naming.BasenameLabel < 0 {
				t.Errorf("%q is taken, but says too little", text)
			}
		}
	})
}
