package longnames

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longnames/longnames/internal/markdown"
	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// The tests of other documents rely on the README's syntax.
func TestReadmeSyntaxIsThatOfTheParser(t *testing.T) {
	section := markdown.Read(t, "README.md").Section(t, "## Syntax")
	lines := strings.Split(strings.TrimSpace(section.Snippets("txt")[0].Text), "\n")
	want := []string{"longnames [ZONES...] {"}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		want = append(want, strings.TrimRight("    "+name+" "+options[name].args, " "))
		if n := strings.Count(section.Text, "\n* `"+name+"` "); n != 1 {
			t.Errorf("option %s: got %d explanations, want 1", name, n)
		}
	}
	slices.Sort(lines[1 : len(lines)-1])
	equal(t, "syntax", lines, append(want, "}"))
}

// Each option, with values that it takes and what becomes of them.
func TestOptionTakes(t *testing.T) {
	untested := maps.Clone(options)
	namespaces := func(c *config) any { return c.source.Namespaces }
	selector := func(c *config) any { return c.source.Selector }
	lookup := func(c *config) any { return c.source.Lookup }
	listed := func(c *config) any { return c.rules.Include }
	basename := func(c *config) any { return c.rules.Naming.Basename }
	style := func(c *config) any { return c.rules.Naming.Mode }
	domain := func(c *config) any { return c.rules.Naming.Domain }
	family := func(c *config) any { return c.source.Family }
	srvPort := func(c *config) any { return c.port }
	ttl := func(c *config) any { return c.ttl }
	through := func(c *config) any { return c.fall.Zones }
	held := func(c *config) any { return c.rules.Hold }
	timeout := func(c *config) any { return c.startupTimeout }
	for _, tc := range []struct {
		lines []string // the first has the option
		get   func(*config) any
		want  any
	}{
		{[]string{"namespaces prod"}, namespaces, []string{"prod"}},
		{[]string{"namespaces prod staging"}, namespaces, []string{"prod", "staging"}},
		{[]string{"namespaces *"}, namespaces, []string{"*"}},
		{[]string{`selector "app=shop"`}, selector, "app=shop"},
		{[]string{"selector app=shop,tier!=web"}, selector, "app=shop,tier!=web"},
		{[]string{"selector app in (shop, cart), !canary"}, selector, "app in (shop, cart), !canary"},
		{[]string{"selector app"}, selector, "app"},
		{[]string{"selector app.kubernetes.io/name==shop"}, selector, "app.kubernetes.io/name==shop"},
		{[]string{"selector app=shop", "group_by cluster"}, selector, "app=shop,cluster"},
		{[]string{"lookup endpoints"}, lookup, kubeapi.Endpoints},
		{[]string{"lookup pods"}, lookup, kubeapi.Pods},
		{[]string{"include ready", "lookup pods"}, listed, membership.IncludeReady},
		{[]string{"include serving"}, listed, membership.IncludeServing},
		{[]string{"include all"}, listed, membership.IncludeAll},
		{[]string{"group_by app.kubernetes.io/name"}, func(c *config) any { return c.source.Labels[c.rules.GroupLabel] }, "app.kubernetes.io/name"},
		{[]string{"basename shop"}, basename, "shop"},
		{[]string{"basename Shop_2-a"}, basename, "Shop_2-a"},
		{[]string{"basename label beam/name"}, func(c *config) any { return c.source.Labels[c.rules.Naming.BasenameLabel] }, "beam/name"},
		{[]string{"basename label app", "group_by team"}, func(c *config) any { return c.source.Labels[c.rules.Naming.BasenameLabel] }, "app"},
		{[]string{"basename shop", "group_by team"}, func(c *config) any { return c.rules.Naming.BasenameLabel }, -1},
		{[]string{"mode ip"}, style, membership.ModeIP},
		{[]string{"mode dns"}, style, membership.ModeDNS},
		{[]string{"mode hostname"}, style, membership.ModeHostname},
		{[]string{"endpoint_pod_names", "mode hostname"}, func(c *config) any { return c.rules.Naming.PodNames }, true},
		{[]string{"service queue-nodes", "mode hostname"}, func(c *config) any { return c.rules.Naming.Service }, "queue-nodes"},
		{[]string{"cluster_domain k8s.example", "mode ip"}, domain, "k8s.example"}, // of no use, but no mistake
		{[]string{"cluster_domain k8s.example", "mode dns"}, domain, "k8s.example"},
		{[]string{"cluster_domain k8s.example.", "mode hostname"}, domain, "k8s.example"},
		{[]string{"cluster_domain K8s.Example", "mode dns"}, domain, "K8s.Example"},
		{[]string{"cluster_domain local", "mode dns"}, domain, "local"},
		{[]string{"family ipv4"}, family, kubeapi.IPv4},
		{[]string{"family ipv6"}, family, kubeapi.IPv6},
		{[]string{"port 1"}, srvPort, port{number: 1}},
		{[]string{"port 65535"}, srvPort, port{number: 65535}},
		{[]string{"port dist"}, srvPort, port{name: "dist"}},
		{[]string{"port 9100-dist"}, srvPort, port{name: "9100-dist"}},
		{[]string{"ttl 0"}, ttl, uint32(0)},
		{[]string{"ttl 3600"}, ttl, uint32(3600)},
		{[]string{"fallthrough"}, through, []string{"."}},
		{[]string{"fallthrough Erl.internal 10.0.0.0/8"}, through, []string{"erl.internal.", "10.in-addr.arpa."}},
		{[]string{"hold 10m"}, held, 10 * time.Minute},
		{[]string{"hold 0"}, held, time.Duration(0)},
		{[]string{"hold 0s"}, held, time.Duration(0)},
		{[]string{"kubeconfig /etc/kubeconfig"}, func(c *config) any { return c.source.Kubeconfig }, "/etc/kubeconfig"},
		{[]string{"kubeconfig /etc/kubeconfig admin@prod"}, func(c *config) any { return c.source.Context }, "admin@prod"},
		{[]string{"endpoint https://10.0.0.1:6443"}, func(c *config) any { return c.source.Endpoint }, "https://10.0.0.1:6443"},
		{[]string{"endpoint http://[fd00::1]:8001"}, func(c *config) any { return c.source.Endpoint }, "http://[fd00::1]:8001"},
		{
			[]string{"tls /a/crt /b/key /c/ca", "endpoint https://10.0.0.1:6443"},
			func(c *config) any { return []string{c.source.CertFile, c.source.KeyFile, c.source.CAFile} },
			[]string{"/a/crt", "/b/key", "/c/ca"},
		},
		{[]string{"service_account /var/run/account"}, func(c *config) any { return c.source.ServiceAccount }, "/var/run/account"},
		{[]string{"cached"}, func(c *config) any { return c.source.Cached }, true},
		{[]string{"manifests /a.yaml /b/*.json"}, func(c *config) any { return c.source.Manifests }, []string{"/a.yaml", "/b/*.json"}},
		{[]string{"snapshot /var/lib/coredns/shop.json"}, func(c *config) any { return c.source.Snapshot }, "/var/lib/coredns/shop.json"},
		{[]string{"startup_timeout 250ms"}, timeout, 250 * time.Millisecond},
		{[]string{"startup_timeout 1m30s"}, timeout, 90 * time.Second},
		{[]string{"startup_timeout 0"}, timeout, time.Duration(0)},
	} {
		t.Run(strings.Join(tc.lines, "; "), func(t *testing.T) {
			c := configOf(t, blockOf(tc.lines...))
			if got := tc.get(c); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %#v, want %#v", got, tc.want)
			}
		})
		delete(untested, firstWord(tc.lines[0]))
	}
	if len(untested) > 0 {
		t.Errorf("got no test of %v", slices.Sorted(maps.Keys(untested)))
	}
}

func TestOptionDefaults(t *testing.T) {
	t.Setenv("CLUSTER_DOMAIN", "")
	c := configOf(t, blockOf())
	for name, pair := range map[string][2]any{
		"namespaces":         {c.source.Namespaces, []string(nil)},
		"lookup":             {c.source.Lookup, kubeapi.Endpoints},
		"include":            {c.rules.Include, membership.IncludeReady},
		"include for pods":   {configOf(t, blockOf("lookup pods")).rules.Include, membership.IncludeAll},
		"group_by":           {c.rules.GroupLabel, -1},
		"basename label":     {c.rules.Naming.BasenameLabel, -1},
		"mode":               {c.rules.Naming.Mode, membership.ModeIP},
		"endpoint_pod_names": {configOf(t, blockOf("mode hostname")).rules.Naming.PodNames, false},
		"service":            {configOf(t, blockOf("mode hostname")).rules.Naming.Service, ""},
		"cluster_domain":     {configOf(t, blockOf("mode dns")).rules.Naming.Domain, "cluster.local"},
		"family":             {c.source.Family, kubeapi.AnyFamily},
		"port":               {c.port, port{number: 4369}},
		"ttl":                {c.ttl, uint32(5)},
		"fallthrough":        {c.fall.Zones, []string(nil)},
		"hold":               {c.rules.Hold, 30 * time.Second},
		"cached":             {c.source.Cached, false},
		"snapshot":           {c.source.Snapshot, ""},
		"startup_timeout":    {c.startupTimeout, 5 * time.Second},
	} {
		if got, want := pair[0], pair[1]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", name, got, want)
		}
	}
}

func TestGroupByNamesItsMembers(t *testing.T) {
	c := configOf(t, "longnames erl.internal {\n group_by app\n}")
	if got, want := c.source.Selector, "app"; got != want {
		t.Errorf("selector: got %q, want %q", got, want)
	}
	if got, want := c.source.Labels, []string{"app"}; !slices.Equal(got, want) {
		t.Errorf("labels: got %q, want %q", got, want)
	}
	if c.rules.Naming.BasenameLabel != c.rules.GroupLabel {
		t.Errorf("basename: got label %d, want the group's, %d", c.rules.Naming.BasenameLabel, c.rules.GroupLabel)
	}
}

// Each option, with values that it does not take and what is said of them.
func TestOptionRefuses(t *testing.T) {
	untested := maps.Clone(options)
	for _, tc := range []struct {
		lines []string // the first has the option
		want  string
	}{
		{[]string{"namespaces"}, `expected "namespaces NAMESPACE...", got 0 arguments`},
		{[]string{"namespaces Prod"}, `"Prod" is no namespace`},
		{[]string{"namespaces prod a.b"}, `"a.b" is no namespace`},
		{[]string{"namespaces prod *"}, "either * or names"},
		{[]string{"namespaces * prod"}, "either * or names"},
		{[]string{"namespaces prod staging prod"}, "each namespace once, got prod twice"},
		{[]string{"selector"}, `expected "selector EXPRESSION", got 0 arguments`},
		{[]string{`selector ""`}, `expected "selector EXPRESSION", got an empty argument`},
		{[]string{"selector app=shop="}, `"app=shop=" is no label selector`},
		{[]string{"selector app in shop"}, `"app in shop" is no label selector`},
		{[]string{"selector -=x"}, `"-=x" is no label selector`},
		{[]string{"lookup"}, `expected "lookup endpoints|pods", got 0 arguments`},
		{[]string{"lookup endpoints pods"}, "got 2 arguments"},
		{[]string{"lookup services"}, `expected endpoints or pods, got "services"`},
		{[]string{"include"}, "got 0 arguments"},
		{[]string{"include ready all"}, "got 2 arguments"},
		{[]string{"include running"}, `expected ready or serving or all, got "running"`},
		{[]string{"include Ready"}, `expected ready or serving or all, got "Ready"`},
		{[]string{"group_by"}, "got 0 arguments"},
		{[]string{"group_by app team"}, "got 2 arguments"},
		{[]string{"group_by app=shop"}, `"app=shop" is no label key`},
		{[]string{"group_by a/b/c"}, `"a/b/c" is no label key`},
		{[]string{"basename"}, `expected "basename NAME | label LABEL", got 0 arguments`},
		{[]string{"basename label app x"}, "got 3 arguments"},
		{[]string{"basename shop@host"}, `expected letters, digits, _ and -, got "shop@host"`},
		{[]string{"basename shöp"}, `expected letters, digits, _ and -, got "shöp"`},
		{[]string{"basename label"}, "expected the key of a label after the word label"},
		{[]string{"basename label app=shop"}, `"app=shop" is no label key`},
		{[]string{"basename from app"}, `expected "NAME | label LABEL", got "from app"`},
		{[]string{"mode"}, "got 0 arguments"},
		{[]string{"mode ip dns"}, "got 2 arguments"},
		{[]string{"mode fqdn"}, `expected ip or dns or hostname, got "fqdn"`},
		{[]string{"endpoint_pod_names true", "mode hostname"}, `expected "endpoint_pod_names", got 1 arguments`},
		{[]string{"service", "mode hostname"}, "got 0 arguments"},
		{[]string{"service a b", "mode hostname"}, "got 2 arguments"},
		{[]string{"service queue.prod", "mode hostname"}, `expected the name of a Service, got "queue.prod"`},
		{[]string{"cluster_domain", "mode dns"}, "got 0 arguments"},
		{[]string{"cluster_domain a b", "mode dns"}, "got 2 arguments"},
		{[]string{"cluster_domain cluster", "mode dns"}, `expected a whole domain, such as cluster.local, got "cluster"`},
		{[]string{"cluster_domain .", "mode dns"}, `expected a domain name, got "."`},
		{[]string{"cluster_domain a..b", "mode dns"}, `expected a domain name, got "a..b"`},
		{[]string{"cluster_domain a_b.local", "mode dns"}, `expected a domain name, got "a_b.local"`},
		{[]string{"cluster_domain " + strings.Repeat("a.", 130) + "b", "mode dns"}, "expected a domain name"},
		{[]string{"family"}, "got 0 arguments"},
		{[]string{"family ipv4 ipv6"}, "got 2 arguments"},
		{[]string{"family 6"}, `expected ipv4 or ipv6, got "6"`},
		{[]string{"port"}, "got 0 arguments"},
		{[]string{"port 1 2"}, "got 2 arguments"},
		{[]string{"port 0"}, "expected a number from 1 to 65535, got 0"},
		{[]string{"port -1"}, "expected a number from 1 to 65535, got -1"},
		{[]string{"port 65536"}, "expected a number from 1 to 65535, got 65536"},
		{[]string{"port 99999999999999999999"}, "expected a number from 1 to 65535, got 99999999999999999999"},
		{[]string{"port _epmd"}, `"_epmd" is no port name`},
		{[]string{"ttl"}, "got 0 arguments"},
		{[]string{"ttl 5 6"}, "got 2 arguments"},
		{[]string{"ttl -1"}, `expected seconds from 0 to 3600, got "-1"`},
		{[]string{"ttl 3601"}, `expected seconds from 0 to 3600, got "3601"`},
		{[]string{"ttl 5s"}, `expected seconds from 0 to 3600, got "5s"`},
		{[]string{"fallthrough a..b"}, `expected a zone, got "a..b"`},
		{[]string{"fallthrough 10.0.0.0/9 a..b"}, `expected a zone, got "a..b"`},
		{[]string{`fallthrough ""`}, `expected "fallthrough [ZONES...]", got an empty argument`},
		{[]string{"hold"}, `expected "hold DURATION", got 0 arguments`},
		{[]string{"hold 5s 6s"}, "got 2 arguments"},
		{[]string{"hold 30"}, `expected a duration like 5s, got "30"`},
		{[]string{"hold -1s"}, `expected a duration like 5s, got "-1s"`},
		{[]string{"hold forever"}, `expected a duration like 5s, got "forever"`},
		{[]string{"kubeconfig"}, `expected "kubeconfig FILE [CONTEXT]", got 0 arguments`},
		{[]string{"kubeconfig a b c"}, "got 3 arguments"},
		{[]string{`kubeconfig ""`}, "got an empty argument"},
		{[]string{"endpoint"}, "got 0 arguments"},
		{[]string{"endpoint https://a https://b"}, "got 2 arguments"},
		{[]string{"endpoint 10.0.0.1:6443"}, `expected a URL like https://10.0.0.1:6443, got "10.0.0.1:6443"`},
		{[]string{"endpoint ftp://10.0.0.1"}, "expected a URL like"},
		{[]string{"endpoint https://"}, "expected a URL like"},
		{[]string{"endpoint https://[fd00::1"}, "expected a URL like"},
		{[]string{"tls", "endpoint https://a"}, `expected "tls CERT KEY CACERT", got 0 arguments`},
		{[]string{"tls crt key", "endpoint https://a"}, "got 2 arguments"},
		{[]string{"tls crt key ca more", "endpoint https://a"}, "got 4 arguments"},
		{[]string{`tls crt "" ca`, "endpoint https://a"}, "got an empty argument"},
		{[]string{"service_account"}, "got 0 arguments"},
		{[]string{"service_account a b"}, "got 2 arguments"},
		{[]string{`service_account ""`}, "got an empty argument"},
		{[]string{"cached yes"}, `expected "cached", got 1 arguments`},
		{[]string{"cached {", "ttl 7", "}"}, `expected "cached", got a block`},
		{[]string{"manifests"}, `expected "manifests FILE...", got 0 arguments`},
		{[]string{`manifests ""`}, "got an empty argument"},
		{[]string{"snapshot"}, `expected "snapshot FILE", got 0 arguments`},
		{[]string{"snapshot a b"}, "got 2 arguments"},
		{[]string{`snapshot ""`}, "got an empty argument"},
		{[]string{"startup_timeout"}, "got 0 arguments"},
		{[]string{"startup_timeout 5s 6s"}, "got 2 arguments"},
		{[]string{"startup_timeout 5"}, `expected a duration like 5s, got "5"`},
		{[]string{"startup_timeout -5s"}, `expected a duration like 5s, got "-5s"`},
	} {
		t.Run(strings.Join(tc.lines, "; "), func(t *testing.T) {
			_, err := parseText(blockOf(tc.lines...), "")
			wantError(t, err, "Testfile:2 - ", "option "+firstWord(tc.lines[0])+": ", tc.want)
		})
		delete(untested, firstWord(tc.lines[0]))
	}
	if len(untested) > 0 {
		t.Errorf("got no test of %v", slices.Sorted(maps.Keys(untested)))
	}
}

func TestOptionIsGivenOnce(t *testing.T) {
	args := map[string]string{
		"tls": "a b c", "endpoint": "https://a", "port": "1", "ttl": "1", "hold": "1s", "startup_timeout": "1s", "lookup": "pods",
		"include": "all", "mode": "dns", "family": "ipv4", "cached": "", "fallthrough": "", "endpoint_pod_names": "",
	}
	for name := range options {
		arg, ok := args[name]
		if !ok {
			arg = "x"
		}
		line := strings.TrimSpace(name + " " + arg)
		t.Run(name, func(t *testing.T) {
			_, err := parseText("longnames erl.internal {\n"+line+"\n\n"+line+"\n}", "")
			wantError(t, err, "Testfile:4 - ", "option "+name+": expected once, but line 2 has it already")
		})
	}
}

func TestPathsAreRelativeToRoot(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		get   func(*kubeapi.Config) string
	}{
		{[]string{"kubeconfig a/b"}, func(c *kubeapi.Config) string { return c.Kubeconfig }},
		{[]string{"tls a/b c d", "endpoint https://a"}, func(c *kubeapi.Config) string { return c.CertFile }},
		{[]string{"tls c a/b d", "endpoint https://a"}, func(c *kubeapi.Config) string { return c.KeyFile }},
		{[]string{"tls c d a/b", "endpoint https://a"}, func(c *kubeapi.Config) string { return c.CAFile }},
		{[]string{"service_account a/b"}, func(c *kubeapi.Config) string { return c.ServiceAccount }},
		{[]string{"manifests x a/b"}, func(c *kubeapi.Config) string { return c.Manifests[1] }},
		{[]string{"snapshot a/b"}, func(c *kubeapi.Config) string { return c.Snapshot }},
	} {
		for _, root := range []struct{ root, path, want string }{
			{"/srv/dns", "a/b", "/srv/dns/a/b"},
			{"/srv/dns", "/a/b", "/a/b"},
			{"etc", "a/b", "etc/a/b"},
			{"", "a/b", "a/b"},
		} {
			lines := slices.Clone(tc.lines)
			lines[0] = strings.Replace(lines[0], "a/b", root.path, 1)
			t.Run(lines[0]+" in "+root.root, func(t *testing.T) {
				c, err := parseText(blockOf(lines...), root.root)
				if err != nil {
					t.Fatal(err)
				}
				if got := tc.get(&c.source); got != root.want {
					t.Errorf("got %q, want %q", got, root.want)
				}
			})
		}
	}
}
