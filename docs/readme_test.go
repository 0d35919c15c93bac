package docs_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/longnames/longnames/internal/markdown"
)

// The order of sections is that of CoreDNS' own plugins, from which man pages are made.
func TestReadmeSections(t *testing.T) {
	got := markdown.Read(t, readmePath).All(`(?m)^## (.*)$`)
	want := []string{
		"Quick start", "Name", "Description", "Compilation", "Syntax", "Examples", "Metadata", "Metrics", "Ready", "Bugs", "See Also",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The plugin's own tests compare the syntax with the parser.
func TestReadmeShowsEveryOption(t *testing.T) {
	readme := markdown.Read(t, readmePath)
	shown := make(map[string]bool)
	for _, snippet := range readme.Snippets("corefile") {
		for _, options := range optionsIn(t, snippet.Text) {
			for name := range options {
				shown[name] = true
			}
		}
	}
	syntax := readme.Section(t, "## Syntax").Snippets("txt")[0].Text
	options := regexp.MustCompile(`(?m)^    (\w+)`).FindAllStringSubmatch(syntax, -1)
	if len(options) == 0 {
		t.Fatal("got no options in the syntax")
	}
	for _, option := range options {
		if !shown[option[1]] {
			t.Errorf("got no example of %s", option[1])
		}
	}
}

func TestReadmeDigsAreAnsweredAsItSays(t *testing.T) {
	corefile := read(t, "../Corefile.example")
	for _, want := range []string{"\n.:1053 {\n", "\n    bind 127.0.0.1\n"} {
		if !strings.Contains(corefile, want) {
			t.Errorf("Corefile.example: got %q, want %q in it, where dig asks", corefile, want)
		}
	}
	address := serve(t, strings.NewReplacer(":1053", ":0", "manifests ", "manifests ../").Replace(corefile))
	asked := 0
	for _, snippet := range markdown.Read(t, readmePath).Snippets("console") {
		for _, command := range strings.Split(snippet.Text, "$ ")[1:] {
			line, output, _ := strings.Cut(command, "\n")
			args, ok := strings.CutPrefix(line, "dig @127.0.0.1 -p 1053 ")
			if !ok {
				if !slices.Contains([]string{"git clone https://github.com/longnames/longnames", "cd longnames", "make run"}, line) {
					t.Errorf("%s: got %q, which nothing checks", snippet.Where, line)
				}
				continue
			}
			asked++
			want := []string{}
			for record := range strings.Lines(output) {
				if record = singleSpaces(record); record != "" {
					want = append(want, record)
				}
			}
			if got := dig(t, address, strings.Fields(args)); !slices.Equal(got, want) {
				t.Errorf("%s: %s:\ngot  %q\nwant %q", snippet.Where, line, got, want)
			}
		}
	}
	if asked == 0 {
		t.Error("got no dig in the README")
	}
}

// dig returns what dig would print, with single spaces.
func dig(t *testing.T, address string, args []string) []string {
	t.Helper()
	answer, name, qtype := ask, "", dns.TypeA
	for i, arg := range args {
		switch {
		case arg == "+short":
			answer = askShort
		case arg == "+noall" || arg == "+answer" || arg == "-x":
		case i > 0 && args[i-1] == "-x":
			reverse, err := dns.ReverseAddr(arg)
			if err != nil {
				t.Fatal(err)
			}
			name, qtype = reverse, dns.TypePTR
		case name == "":
			name = arg
		default:
			qtype = dns.StringToType[arg]
		}
	}
	return answer(t, address, name, qtype)
}

// The YAML is what Kubernetes takes, and grants what the watch needs.
func TestReadmeYAML(t *testing.T) {
	type container struct {
		Env []corev1.EnvVar `json:"env"`
	}
	got := make(map[string]int)
	var rules []rbacv1.PolicyRule
	for kind, all := range objects(t, readmePath, func() any { return new(container) }) {
		got[kind] = len(all)
		switch o := all[0].(type) {
		case *rbacv1.Role:
			rules = append(rules, o.Rules...)
		case *rbacv1.ClusterRole:
			rules = append(rules, o.Rules...)
		}
	}
	if want := map[string]int{"Role": 1, "RoleBinding": 1, "ClusterRole": 1, "ClusterRoleBinding": 1, "": 1}; !maps.Equal(got, want) {
		t.Errorf("got kinds %v, want %v", got, want)
	}
	for _, rule := range rules {
		got, want := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), []string{"discovery.k8s.io", "endpointslices", "list", "watch"}
		if !slices.Equal(got, want) {
			t.Errorf("got rule %q, want %q", got, want)
		}
	}
}
