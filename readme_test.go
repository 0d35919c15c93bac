package longnames

import (
	"maps"
	"os"
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
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snippets gives the code blocks of the README that are in a language, by the line where
// each begins.
func snippets(t *testing.T, language string) map[string]string {
	t.Helper()
	readme := read(t, "README.md")
	found := make(map[string]string)
	for _, at := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatchIndex(readme, -1) {
		line := 2 + strings.Count(readme[:at[0]], "\n")
		found["README.md:"+strconv.Itoa(line)] = readme[at[2]:at[3]]
	}
	if len(found) == 0 {
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
	if len(all) == 0 {
		t.Fatalf("got no longnames in %q", text)
	}
	return all
}

// Everything but what needs the files and the API servers that they name.
func TestReadmeCorefilesAreAccepted(t *testing.T) {
	corefiles := snippets(t, "corefile")
	corefiles["Corefile.example"] = read(t, "Corefile.example")
	for name, text := range corefiles {
		t.Run(name, func(t *testing.T) {
			for _, c := range serverBlocks(t, text) {
				l := &Longnames{zones: make(map[string][]authority)}
				for c.Next() {
					config, err := parse(c)
					if err != nil {
						t.Fatal(err)
					}
					if other, why := l.taken(config); other != nil {
						t.Error(why)
					}
					l.add(&block{config: config})
				}
			}
		})
	}
}

func TestReadmeShowsEveryOption(t *testing.T) {
	missing := maps.Clone(options)
	for _, text := range snippets(t, "corefile") {
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
	for _, text := range snippets(t, "txt") {
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

	_, syntax, _ := strings.Cut(read(t, "README.md"), "\n## Syntax\n")
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
	for where, text := range snippets(t, "console") {
		for _, command := range strings.Split(text, "$ ")[1:] {
			line, output, _ := strings.Cut(command, "\n")
			dig, ok := strings.CutPrefix(line, "dig @127.0.0.1 -p 1053 ")
			if !ok {
				if line != "make run" {
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
	for _, text := range snippets(t, "yaml") {
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
	headings := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(read(t, "README.md"), -1)
	got := make([]string, 0, len(headings))
	for _, heading := range headings {
		got = append(got, heading[1])
	}
	equal(t, "sections", got, []string{
		"Quick start", "Name", "Description", "Compilation", "Syntax", "Examples", "Metrics", "Ready", "Bugs", "See Also",
	})
}

func TestReadmeLinks(t *testing.T) {
	readme := read(t, "README.md")
	anchors := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(readme, -1) {
		anchors["#"+strings.ToLower(strings.ReplaceAll(heading[1], " ", "-"))] = true
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(readme, -1) {
		switch target := link[1]; {
		case strings.HasPrefix(target, "https://"):
		case strings.HasPrefix(target, "#"):
			if !anchors[target] {
				t.Errorf("got link to %s, want one of %v", target, slices.Sorted(maps.Keys(anchors)))
			}
		default:
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("link: %v", err)
			}
		}
	}
}
