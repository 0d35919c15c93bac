package longnames

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const operations = "docs/operations.md"

// module is where the project is at home, too.
const module = "github.com/longnames/longnames"

// section gives the text below a heading of a Markdown file, up to the next one that is not deeper.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, file), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s: got no heading %q", file, heading)
	}
	level := strings.Count(heading, "#")
	for _, at := range regexp.MustCompile(`(?m)^#+ `).FindAllStringIndex(text, -1) {
		if at[1]-at[0]-1 <= level {
			return text[:at[0]]
		}
	}
	return text
}

// anchorOf is where a heading can be linked to.
func anchorOf(heading string) string {
	text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(text, " ", "-")
}

// anchorsIn are those of a Markdown file.
func anchorsIn(t *testing.T, file string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, file), -1) {
		found[anchorOf(heading[1])] = true
	}
	return found
}

func TestOperationsLinks(t *testing.T) { leadSomewhere(t, operations) }

// leadSomewhere wants the links of a page to lead to files and headings that are there.
func leadSomewhere(t *testing.T, page string) {
	t.Helper()
	for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(read(t, page), -1) {
		path, name, _ := strings.Cut(link[1], "#")
		if strings.HasPrefix(path, "https://") {
			continue
		}
		file := page
		if path != "" {
			file = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
			if _, err := os.Stat(file); err != nil {
				t.Errorf("link: %v", err)
				continue
			}
		}
		if name != "" && !anchorsIn(t, file)[name] {
			t.Errorf("got link to %s, want one of %v", link[1], slices.Sorted(maps.Keys(anchorsIn(t, file))))
		}
	}
}

func TestOperationsExplainsEveryMetric(t *testing.T) {
	metric := regexp.MustCompile("(?m)^(?:\\* |\\| )`(coredns_longnames_[^`]*)`")
	list := func(text string) []string {
		var found []string
		for _, m := range metric.FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return found
	}
	want := list(section(t, "README.md", "## Metrics"))
	if len(want) == 0 {
		t.Fatal("got no metrics in the README")
	}
	equal(t, "metrics", list(section(t, operations, "## Metrics")), want)
}

// What a runbook gives for a time without API server answers what it says.
func TestMembersThatAreWrittenDownAreServed(t *testing.T) {
	text := section(t, operations, "### LongnamesMembersUnknown")
	example := func(language string) string {
		found := regexp.MustCompile("(?ms)^   ```"+language+"\n(.*?)^   ```$").FindAllStringSubmatch(text, -1)
		if len(found) != 1 {
			t.Fatalf("got %d examples in %s, want one", len(found), language)
		}
		return strings.ReplaceAll(found[0][1], "\n   ", "\n")
	}
	file := filepath.Join(t.TempDir(), "members.yaml")
	if err := os.WriteFile(file, []byte(strings.TrimPrefix(example("yaml"), "   ")), 0o600); err != nil {
		t.Fatal(err)
	}
	corefile := example("corefile")
	if !strings.Contains(corefile, "/root/members.yaml") {
		t.Fatalf("got %q, want members of /root/members.yaml", corefile)
	}
	for _, c := range serverBlocks(t, strings.Replace(corefile, "/root/members.yaml", file, 1)) {
		l, err := newLongnames(c)
		if err != nil {
			t.Fatal(err)
		}
		b := l.blocks[0]
		b.start(nil)
		t.Cleanup(func() { b.stop(false) })
		<-b.table.done
		equal(t, "members", txtOf(t, l, "shop.prod.svc.erl.internal."), []string{"shop@10.1.0.11", "shop@10.1.0.12"})
	}
	deployed := strings.Fields(read(t, "deploy/base/Corefile"))
	for _, option := range []string{"selector beam", "include all", "group_by kubernetes.io/service-name", "basename label beam", "ttl 0"} {
		if !strings.Contains(corefile, "\n           "+option+"\n") && !strings.Contains(corefile, " "+option+"\n") || !strings.Contains(strings.Join(deployed, " "), option) {
			t.Errorf("got %q, want %q in it, as in deploy/", corefile, option)
		}
	}
}

// ruleFile is what Prometheus reads.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func rules(t *testing.T) ruleFile {
	t.Helper()
	var f ruleFile
	if err := yaml.UnmarshalStrict([]byte(read(t, "deploy/monitoring/rules.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPrometheusRuleHasTheRules(t *testing.T) {
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	var file map[string]any
	for name, into := range map[string]any{"prometheusrule.yaml": &object, "rules.yaml": &file} {
		if err := yaml.Unmarshal([]byte(read(t, "deploy/monitoring/"+name)), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	got, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "groups", strings.Split(string(got), "\n"), strings.Split(string(want), "\n"))
}

func TestEveryAlertHasARunbook(t *testing.T) {
	alerts := make(map[string]bool)
	runbooks := anchorsIn(t, operations)
	for _, group := range rules(t).Groups {
		for _, r := range group.Rules {
			alerts[r.Alert] = true
			if got, want := r.Annotations["runbook_url"], "https://"+module+"/blob/main/"+operations+"#"+anchorOf(r.Alert); got != want {
				t.Errorf("%s: got runbook_url %q, want %q", r.Alert, got, want)
			}
			if !runbooks[anchorOf(r.Alert)] {
				t.Errorf("%s: got no section, want one in %s", r.Alert, operations)
			}
			if got := r.Labels["severity"]; got != "warning" && got != "critical" {
				t.Errorf("%s: got severity %q, want warning or critical", r.Alert, got)
			}
			for _, name := range []string{"summary", "description"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s: got no %s", r.Alert, name)
				}
			}
		}
	}
	if len(alerts) == 0 {
		t.Fatal("got no alerts")
	}
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^### (Longnames\w+)$`).FindAllStringSubmatch(read(t, operations), -1) {
		sections = append(sections, heading[1])
	}
	slices.Sort(sections)
	equal(t, "runbooks", sections, slices.Sorted(maps.Keys(alerts)))
}

// Each alert is tried by promtool in both ways: it fires, and does not.
func TestEveryAlertIsTried(t *testing.T) {
	var tests struct {
		Tests []struct {
			Rules []struct {
				Alertname string           `json:"alertname"`
				Expected  []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/monitoring/rules_test.yaml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, test := range tests.Tests {
		for _, r := range test.Rules {
			if len(r.Expected) == 0 {
				silent[r.Alertname] = true
			}
			for _, alert := range r.Expected {
				labels, _ := alert["exp_labels"].(map[string]any)
				severity, _ := labels["severity"].(string)
				fires[r.Alertname+" "+severity] = true
			}
		}
	}
	for _, group := range rules(t).Groups {
		for _, r := range group.Rules {
			if degree := r.Alert + " " + r.Labels["severity"]; !fires[degree] {
				t.Errorf("%s: got no test in which it fires", degree)
			}
			if !silent[r.Alert] {
				t.Errorf("%s: got no test in which it does not fire", r.Alert)
			}
		}
	}
}

// The lines that the code logs as warnings and errors are those that the page explains.
func TestOperationsExplainsEveryLogLine(t *testing.T) {
	formats := logFormats(t)
	text := strings.Join(strings.Fields(section(t, operations, "## Log lines")), " ")
	var lines []string
	for _, line := range regexp.MustCompile("\\* `([^`]*)` - ").FindAllStringSubmatch(text, -1) {
		lines = append(lines, line[1])
	}
	explained := make(map[string]bool)
	for _, format := range formats {
		line := slices.IndexFunc(lines, like(format).MatchString)
		if line < 0 {
			t.Errorf("log: %q is not explained in %s", format, operations)
			continue
		}
		for _, line := range lines {
			explained[line] = explained[line] || like(format).MatchString(line)
		}
	}
	for _, line := range lines {
		if !explained[line] {
			t.Errorf("%s: nothing logs %q", operations, line)
		}
	}
}

// like matches what a format can become, with the zone at its beginning or without.
func like(format string) *regexp.Regexp {
	zone := ""
	if rest, ok := strings.CutPrefix(format, "%s "); ok {
		zone, format = "(.+ )?", rest
	}
	return regexp.MustCompile("^" + zone + regexp.MustCompile(`%[a-z]`).ReplaceAllString(regexp.QuoteMeta(format), ".+") + "$")
}

// quoted makes the text of a literal, or of a sum of literals; it is false for all else.
func quoted(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok := quoted(e.X)
		right, too := quoted(e.Y)
		return left + right, ok && too && e.Op == token.ADD
	}
	return "", false
}

// logFormats reads the formats of all warnings and errors from the sources.
func logFormats(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.go", "kubeapi/*.go", "kubeapi/*/*.go"} {
		some, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, some...)
	}
	var formats []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "log.go" { // which passes on what others say
			continue
		}
		file, err := goparser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		formats = append(formats, formatsIn(t, name, file)...)
	}
	if len(formats) == 0 {
		t.Fatal("got no formats")
	}
	return formats
}

// knownSuffix ends the lines about the API server, which are made in one place and logged in another.
const knownSuffix = "%s; what is known stays in use"

func formatsIn(t *testing.T, name string, file *ast.File) []string {
	t.Helper()
	var formats, made []string
	suffixed := false
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		format, literal := quoted(call.Args[0])
		suffixed = suffixed || format == knownSuffix
		if f, ok := call.Fun.(*ast.SelectorExpr); ok {
			switch {
			case isLogger(f):
				if !literal {
					t.Errorf("%s: got a log line whose format is no literal", name)
				}
				formats = append(formats, format)
			case f.Sel.Name == "Sprintf" && strings.HasPrefix(format, "API server"):
				made = append(made, format)
			}
		}
		for _, arg := range call.Args {
			if f, ok := arg.(*ast.SelectorExpr); ok && isLogger(f) && name != "kubeapi/outage.go" {
				t.Errorf("%s: got a logger that is passed on, want its format where it is called", name)
			}
		}
		return true
	})
	if suffixed {
		for _, format := range made {
			formats = append(formats, strings.Replace(knownSuffix, "%s", format, 1))
		}
	}
	return formats
}

// isLogger tells whether a selector is a method of a logger for what asks for action.
func isLogger(f *ast.SelectorExpr) bool {
	if !slices.Contains([]string{"Warning", "Warningf", "Error", "Errorf"}, f.Sel.Name) {
		return false
	}
	switch x := f.X.(type) {
	case *ast.Ident:
		return x.Name == "log"
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	}
	return false
}
