package docs_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/internal/markdown"
)

// metricsIn returns the metrics that the README lists, with their labels.
func metricsIn(t *testing.T, section markdown.Page) []string {
	t.Helper()
	found := section.All("(?m)^\\* `(coredns_longnames_[^`]*)`")
	if len(found) == 0 {
		t.Fatalf("%s: got no metrics", section.Path)
	}
	return found
}

func TestOperationsSaysWhatIsNormalOfEveryMetric(t *testing.T) {
	section := markdown.Read(t, operationsPath).Section(t, "## Metrics")
	for _, metric := range metricsIn(t, markdown.Read(t, readmePath).Section(t, "## Metrics")) {
		name, _, _ := strings.Cut(strings.TrimPrefix(metric, "coredns_longnames_"), "{")
		if !strings.Contains(section.Text, "`"+name+"`") {
			t.Errorf("%s: got nothing about %s", operationsPath, name)
		}
	}
}

// For sizing.md's bytes a member, by its formula.
func TestMemoryFollowsTheFormula(t *testing.T) {
	sizing, section := read(t, "sizing.md"), markdown.Read(t, operationsPath).Section(t, "## Sizing")
	formula := regexp.MustCompile(`(\d+) MB \+ (\d+) × members × bytes a member`).FindStringSubmatch(sizing)
	bytes := regexp.MustCompile("takes (\\d+) bytes with `lookup endpoints` and (\\d+) with `lookup pods`").FindStringSubmatch(singleSpaces(sizing))
	rows := regexp.MustCompile(`(?m)^\| ([\d ]+) \| (\d+) MB \| (\d+) MB \|$`).FindAllStringSubmatch(section.Text, -1)
	if formula == nil || bytes == nil || len(rows) != 4 {
		t.Fatalf("got formula %q, bytes %q, rows %q", formula, bytes, rows)
	}
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(strings.ReplaceAll(text, " ", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, row := range rows {
		for i, got := range row[2:] {
			want := number(formula[1]) + number(formula[2])*number(row[1])*number(bytes[1+i])/1e6
			if math.Abs(number(got)-want) > 1 {
				t.Errorf("%s members: got %s MB, want %.1f", row[1], got, want)
			}
		}
	}
}

// A runbook has users write down members, for as long as there is no API server.
func TestMembersThatAreWrittenDownAreServed(t *testing.T) {
	const anywhere, membersPath = "svc.erl.internal:1053 {", "/root/members.yaml"
	section := markdown.Read(t, operationsPath).Section(t, "### LongnamesMembersUnknown")
	corefiles, members := section.Snippets("corefile"), section.Snippets("yaml")
	if len(corefiles) != 1 || len(members) != 1 {
		t.Fatalf("got %d Corefiles and %d manifests, want one of each", len(corefiles), len(members))
	}
	corefile := corefiles[0].Text
	if !strings.Contains(corefile, anywhere) || !strings.Contains(corefile, membersPath) {
		t.Fatalf("got %q, want %q and %q in it", corefile, anywhere, membersPath)
	}

	got, want := optionsIn(t, corefile)[0], optionsIn(t, read(t, "../deploy/base/Corefile"))[0]
	delete(got, "manifests")
	delete(want, "namespaces")
	delete(want, "snapshot")
	if !maps.Equal(got, want) {
		t.Errorf("options: got %q, want %q as in deploy", got, want)
	}

	file := filepath.Join(t.TempDir(), "members.yaml")
	if err := os.WriteFile(file, []byte(members[0].Text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := serve(t, strings.NewReplacer(anywhere, "svc.erl.internal:0 {\nbind 127.0.0.1", membersPath, file).Replace(corefile))
	longnames := askShort(t, address, "shop.prod.svc.erl.internal", dns.TypeTXT)
	if want := []string{`"shop@10.1.0.11"`, `"shop@10.1.0.12"`}; !slices.Equal(longnames, want) {
		t.Errorf("got %q, want %q", longnames, want)
	}
}

// log-lines.md explains the lines that the code logs as warnings and errors, and no others.
func TestOperationsExplainsEveryLogLine(t *testing.T) {
	text := singleSpaces(read(t, logLinesPath))
	explained := make(map[string]bool) // by line: whether something logs it
	for _, line := range regexp.MustCompile("\\* `([^`]*)` - ").FindAllStringSubmatch(text, -1) {
		explained[line[1]] = false
	}
	for _, format := range logFormats(t) {
		found := false
		for line := range explained {
			if like(format).MatchString(line) {
				found, explained[line] = true, true
			}
		}
		if !found {
			t.Errorf("log: %q is not explained in %s", format, logLinesPath)
		}
	}
	for line, logged := range explained {
		if !logged {
			t.Errorf("%s: nothing logs %q", logLinesPath, line)
		}
	}
}

// like matches the lines of a format, with the zone at its beginning or without.
func like(format string) *regexp.Regexp {
	zone := ""
	if rest, ok := strings.CutPrefix(format, "%s "); ok {
		zone, format = "(.+ )?", rest
	}
	return regexp.MustCompile("^" + zone + regexp.MustCompile(`%[a-z]`).ReplaceAllString(regexp.QuoteMeta(format), ".+") + "$")
}

// logFormats returns the formats of all warnings and errors in the sources.
func logFormats(t *testing.T) []string {
	t.Helper()
	var formats []string
	for _, pattern := range []string{"../*.go", "../kubeapi/*.go", "../kubeapi/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if !strings.HasSuffix(name, "_test.go") && name != "../log.go" { // which passes on formats of others
				formats = append(formats, formatsIn(t, name)...)
			}
		}
	}
	if len(formats) == 0 {
		t.Fatal("got no formats")
	}
	return formats
}

// The lines about the API server are made in one place, and logged in another: with a suffix.
const (
	outages     = "../kubeapi/outage.go"
	knownSuffix = "%s; what is known stays in use"
)

func formatsIn(t *testing.T, name string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var formats, made []string
	suffixed, called := false, make(map[ast.Node]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if len(n.Args) == 0 {
				return true
			}
			format, literal := literalText(n.Args[0])
			suffixed = suffixed || format == knownSuffix
			if isLogger(n.Fun) {
				called[n.Fun] = true
				formats = append(formats, format)
				if !literal {
					t.Errorf("%s: got a log line whose format is no literal", name)
				}
			} else if strings.HasPrefix(format, "API server") && types.ExprString(n.Fun) == "fmt.Sprintf" {
				made = append(made, strings.Replace(knownSuffix, "%s", format, 1))
			}
		case *ast.SelectorExpr:
			if isLogger(n) && !called[n] && name != outages {
				t.Errorf("%s: got a logger that is passed on, want its format where it is called", name)
			}
		}
		return true
	})
	if suffixed {
		formats = append(formats, made...)
	}
	return formats
}

// literalText returns the text of a literal, or of a sum of literals, and false for all else.
func literalText(e ast.Expr) (string, bool) {
	value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(e))
	if err != nil || value.Value == nil || value.Value.Kind() != constant.String {
		return "", false
	}
	return constant.StringVal(value.Value), true
}

var logger = regexp.MustCompile(`(?i)^(.*\.)?log\.(Warning|Error)f?$`)

// isLogger reports whether an expression is a method of a logger for warnings or errors.
func isLogger(e ast.Expr) bool {
	return logger.MatchString(types.ExprString(e))
}
