package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/markdown"
)

// The order of sections is that of CoreDNS' own plugins, from which man pages are made.
func TestReadmeSections(t *testing.T) {
	got := markdown.Read(t, readmePath).All(`(?m)^## (.*)$`)
	want := []string{
		"Why not just a headless Service", "Quick start",
		"Name", "Description", "Compilation", "Syntax", "Ready", "Examples", "Metadata", "Metrics", "Bugs", "See Also",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// There are more examples in Corefile.options. The plugin's own tests compare the syntax with the parser.
func TestReadmeShowsEveryOption(t *testing.T) {
	readme := markdown.Read(t, readmePath)
	shown := make(map[string]bool)
	more := markdown.Snippet{Where: optionsPath, Text: read(t, optionsPath)}
	for _, snippet := range append(readme.Snippets("corefile"), more) {
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
