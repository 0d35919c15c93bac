package longnames

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/miekg/dns"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const readme = "README.md"

// pages are the README and all of docs.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(found, readme)
}

// snippets gives the code blocks of a page that are in a language, by the line where each
// begins. Those in lists are indented; that is taken away.
func snippets(t *testing.T, page, language string) map[string]string {
	t.Helper()
	text := read(t, page)
	found := make(map[string]string)
	for _, at := range regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatchIndex(text, -1) {
		line := 2 + strings.Count(text[:at[0]], "\n")
		indent := regexp.MustCompile("(?m)^" + text[at[2]:at[3]])
		found[page+":"+strconv.Itoa(line)] = indent.ReplaceAllString(text[at[4]:at[5]], "")
	}
	if len(found) == 0 && page == readme {
		t.Fatalf("got no %s in the README", language)
	}
	return found
}

// serverBlocks splits a Corefile, of which every plugin has to be known, and gives what a
// setup function would see of each server block that has this plugin.
func serverBlocks(t *testing.T, text string) []*caddy.Controller {
	t.Helper()
	known := append(slices.Clone(dnsserver.Directives), pluginName)
	parsed, err := caddyfile.Parse("Corefile", strings.NewReader(text), known)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*caddy.Controller, 0, len(parsed))
	for _, server := range parsed {
		if tokens := server.Tokens[pluginName]; len(tokens) > 0 {
			c := caddy.NewTestController("dns", "")
			c.Dispenser = caddyfile.NewDispenserTokens("Corefile", tokens)
			c.ServerBlockKeys = server.Keys
			all = append(all, c)
		}
	}
	if len(all) == 0 && strings.Contains(text, pluginName+" ") {
		t.Fatalf("got no longnames in %q", text)
	}
	return all
}

// Everything but what needs the files and the API servers that they name.
func TestReadmeCorefilesAreAccepted(t *testing.T) {
	corefiles := map[string]string{"Corefile.example": read(t, "Corefile.example")}
	for _, page := range pages(t) {
		maps.Copy(corefiles, snippets(t, page, "corefile"))
	}
	for name, text := range corefiles {
		t.Run(name, func(t *testing.T) {
			for _, c := range serverBlocks(t, text) {
				l := &Longnames{zones: make(map[string][]zoneOwner)}
				for c.Next() {
					config, err := parse(c)
					if err != nil {
						t.Fatal(err)
					}
					if other, why := l.taken(config); other != nil {
						t.Error(why)
					}
					l.add(&block{config: config, table: newTable(config)})
				}
			}
		})
	}
}

func TestReadmeShowsEveryOption(t *testing.T) {
	missing := maps.Clone(options)
	for _, text := range snippets(t, readme, "corefile") {
		for _, c := range serverBlocks(t, text) {
			for c.Next() {
				c.RemainingArgs()
				for c.NextBlock() {
					delete(missing, c.Val())
					c.RemainingArgs()
				}
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("got no example of %q, want one of each option", slices.Sorted(maps.Keys(missing)))
	}
}

func TestReadmeSyntaxIsThatOfTheParser(t *testing.T) {
	var got []string
	for _, text := range snippets(t, readme, "txt") {
		if strings.HasPrefix(text, "longnames [ZONES...] {\n") {
			for _, line := range regexp.MustCompile(`(?m)^    (.*)$`).FindAllStringSubmatch(text, -1) {
				got = append(got, line[1])
			}
		}
	}
	want := make([]string, 0, len(options))
	for name, o := range options {
		want = append(want, strings.TrimSpace(name+" "+o.args))
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "options", got, want)

	_, syntax, _ := strings.Cut(read(t, readme), "\n## Syntax\n")
	syntax, _, _ = strings.Cut(syntax, "\n#")
	for name := range options {
		if n := strings.Count(syntax, "\n* `"+name+"` "); n != 1 {
			t.Errorf("option %s: got %d explanations, want 1", name, n)
		}
	}
}

// example is Corefile.example at work.
func example(t *testing.T) *Longnames {
	t.Helper()
	l, err := newLongnames(serverBlocks(t, read(t, "Corefile.example"))[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range l.blocks {
		b.start(nil)
		t.Cleanup(func() { b.stop(true) })
		<-b.table.done
	}
	return l
}

func TestReadmeDigsAreAnsweredAsItSays(t *testing.T) {
	corefile := read(t, "Corefile.example")
	for _, want := range []string{"\n.:1053 {\n", "\n    bind 127.0.0.1\n"} {
		if !strings.Contains(corefile, want) {
			t.Errorf("Corefile.example: got %q, want %q in it, where dig asks", corefile, want)
		}
	}
	l := example(t)
	asked := 0
	for where, text := range snippets(t, readme, "console") {
		for _, command := range strings.Split(text, "$ ")[1:] {
			line, output, _ := strings.Cut(command, "\n")
			dig, ok := strings.CutPrefix(line, "dig @127.0.0.1 -p 1053 ")
			if !ok {
				if !slices.Contains([]string{"git clone https://github.com/longnames/longnames", "cd longnames", "make run"}, line) {
					t.Errorf("%s: got %q, which nobody checks", where, line)
				}
				continue
			}
			asked++
			equal(t, where+": "+dig, answers(t, l, strings.Fields(dig)), nonEmpty(output))
		}
	}
	if asked == 0 {
		t.Error("got no dig in the README")
	}
}

// answers gives what dig would print, with single spaces.
func answers(t *testing.T, l *Longnames, args []string) []string {
	t.Helper()
	short, name, qtype := false, "", "A"
	for i, arg := range args {
		switch {
		case arg == "+short":
			short = true
		case arg == "+noall" || arg == "+answer" || arg == "-x":
		case i > 0 && args[i-1] == "-x":
			reverse, err := dns.ReverseAddr(arg)
			if err != nil {
				t.Fatal(err)
			}
			name, qtype = reverse, "PTR"
		case name == "":
			name = dns.Fqdn(arg)
		default:
			qtype = arg
		}
	}
	got := texts(ask(t, l, name, qtype, client{}).Answer)
	if short {
		for i, text := range got {
			got[i] = strings.Join(strings.Fields(text)[4:], " ") // after name, TTL, class and type
		}
	}
	return got
}

// nonEmpty gives the lines of a text, with single spaces.
func nonEmpty(text string) []string {
	lines := []string{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	return lines
}

// The YAML is what Kubernetes takes, and grants what the watch needs.
func TestReadmeYAML(t *testing.T) {
	kinds := make(map[string]int)
	decode := func(text string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range snippets(t, readme, "yaml") {
		for doc := range strings.SplitSeq(text, "---\n") {
			var o struct {
				Kind     string              `json:"kind"`
				Rules    []rbacv1.PolicyRule `json:"rules"`
				Subjects []rbacv1.Subject    `json:"subjects"`
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Errorf("%q: %v", doc, err)
			}
			kinds[o.Kind]++
			switch o.Kind {
			case "Role":
				decode(doc, &rbacv1.Role{})
			case "RoleBinding":
				decode(doc, &rbacv1.RoleBinding{})
			case "ClusterRole":
				decode(doc, &rbacv1.ClusterRole{})
			case "ClusterRoleBinding":
				decode(doc, &rbacv1.ClusterRoleBinding{})
			default:
				decode(doc, &struct {
					Env []corev1.EnvVar `json:"env"`
				}{})
			}
			for _, rule := range o.Rules {
				equal(t, o.Kind, slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs),
					[]string{"discovery.k8s.io", "endpointslices", "list", "watch"})
			}
		}
	}
	want := map[string]int{"Role": 1, "RoleBinding": 1, "ClusterRole": 1, "ClusterRoleBinding": 1, "": 1}
	if !maps.Equal(kinds, want) {
		t.Errorf("got kinds %v, want %v", kinds, want)
	}
}

// The order of sections is that of CoreDNS' own plugins, from which man pages are made.
func TestReadmeSections(t *testing.T) {
	headings := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(read(t, readme), -1)
	got := make([]string, 0, len(headings))
	for _, heading := range headings {
		got = append(got, heading[1])
	}
	equal(t, "sections", got, []string{
		"Quick start", "Name", "Description", "Compilation", "Syntax", "Examples", "Metadata", "Metrics", "Ready", "Bugs", "See Also",
	})
}

// anchors are what a link to a page can lead to.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, page), -1) {
		name := regexp.MustCompile(`[^a-z0-9_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

func TestReadmeLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue
			}
			target, anchor, _ := strings.Cut(link[1], "#")
			if target == "" {
				target = page
			} else {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link: %v", page, err)
				continue
			}
			if anchor == "" {
				continue
			}
			if known := anchors(t, target); !known[anchor] {
				t.Errorf("%s: got link to %s, want one of %v", page, link[1], slices.Sorted(maps.Keys(known)))
			}
		}
	}
}

// manifests is what the pages print that is for the API server.
var manifests = map[string]func() any{
	"ConfigMap":   func() any { return new(corev1.ConfigMap) },
	"Deployment":  func() any { return new(appsv1.Deployment) },
	"Service":     func() any { return new(corev1.Service) },
	"StatefulSet": func() any { return new(appsv1.StatefulSet) },
	"":            func() any { return new(appsv1.Deployment) }, // a change to one
}

func TestDocsYAML(t *testing.T) {
	kinds := make(map[string]int)
	for where, text := range snippets(t, "docs/clients.md", "yaml") {
		for doc := range strings.SplitSeq(text, "---\n") {
			var meta struct {
				Kind string `json:"kind"`
			}
			if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			into, known := manifests[meta.Kind]
			if !known {
				t.Errorf("%s: got kind %q, want one of %v", where, meta.Kind, slices.Sorted(maps.Keys(manifests)))
				continue
			}
			kinds[meta.Kind]++
			if err := yaml.UnmarshalStrict([]byte(doc), into()); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	for kind := range manifests {
		if kinds[kind] == 0 {
			t.Errorf("got no manifest of kind %q", kind)
		}
	}
}

// What a node is called by its rel/env.sh.eex is what a member is called.
func TestDocsNodesAreCalledAsMembersAre(t *testing.T) {
	domains := map[membership.Mode]string{membership.ModeIP: "", membership.ModeDNS: "erl.internal", membership.ModeHostname: "erl.internal"}
	tried := make(map[membership.Mode]bool)
	for where, lines := range snippets(t, "docs/clients.md", "sh") {
		named := regexp.MustCompile(`^# rel/env\.sh\.eex, mode (\w+)`).FindStringSubmatch(lines)
		if named == nil {
			continue
		}
		mode := membership.Mode(named[1])
		domain, known := domains[mode]
		if !known {
			t.Errorf("%s: got mode %q", where, mode)
		}
		tried[mode] = true
		rules := &membership.Rules{
			Source: &kubeapi.Config{}, Naming: membership.Naming{Mode: mode, Basename: "shop", BasenameLabel: -1, Domain: domain},
		}
		for _, address := range []string{"10.0.0.1", "fd00::1", "fd00::", "2001:db8::1:0:0:1", "fd00:1:2:3:4:5:6:7"} {
			nodes, left := rules.Nodes(&membership.Roster{Objects: []*kubeapi.Object{slice("shop", hosted(endpoint("shop-0", address)))}})
			if len(nodes) != 1 {
				t.Fatalf("%s: got %d nodes, and without a longname %v", address, len(nodes), left)
			}
			command := exec.Command("sh", "-euc", lines+`echo "$RELEASE_DISTRIBUTION $RELEASE_NODE ${ERL_AFLAGS:-}"`)
			command.Env = []string{"PATH=" + os.Getenv("PATH"), "POD_IP=" + address, "POD_NAME=shop-0", "POD_NAMESPACE=prod"}
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", where, err, out)
			}
			want := "name " + nodes[0].Longname()
			if strings.Contains(address, ":") {
				want += " -proto_dist inet6_tcp"
			}
			if got := strings.TrimSpace(string(out)); got != want {
				t.Errorf("%s with %s: got %q, want %q", where, address, got, want)
			}
		}
	}
	if len(tried) != len(domains) {
		t.Errorf("got lines for modes %v, want all of %v", tried, domains)
	}
}

// Lines of text are not longer than this; tables and links cannot be broken.
const longestLine = 120

func TestPagesAreWrapped(t *testing.T) {
	for _, page := range []string{"docs/clients.md", "docs/migrating-from-libcluster.md"} {
		for i, line := range strings.Split(read(t, page), "\n") {
			if length := len([]rune(line)); length > longestLine && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: got %d characters, want %d at most", page, i+1, length, longestLine)
			}
		}
	}
}
