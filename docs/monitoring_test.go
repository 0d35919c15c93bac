package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/internal/markdown"
)

// rule is an alert of Prometheus.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "../deploy/monitoring/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("got no alerts")
	}
	return all
}

func TestPrometheusRuleHasTheRules(t *testing.T) {
	var object struct{ Spec any }
	var file any
	for name, into := range map[string]any{"prometheusrule.yaml": &object, "rules.yaml": &file} {
		if err := yaml.Unmarshal([]byte(read(t, "../deploy/monitoring/"+name)), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if !reflect.DeepEqual(object.Spec, file) {
		t.Errorf("got\n%v\nwant\n%v", object.Spec, file)
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	var want []string
	for _, r := range alerts(t) {
		want = append(want, r.Alert)
		url := "https://github.com/longnames/longnames/blob/main/docs/" + operationsPath + "#" + markdown.Anchor(r.Alert)
		if got := r.Annotations["runbook_url"]; got != url {
			t.Errorf("%s: got runbook_url %q, want %q", r.Alert, got, url)
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
	got := slices.Sorted(slices.Values(markdown.Read(t, operationsPath).All(`(?m)^### (Longnames\w+)$`)))
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(got, want) { // some have two severities
		t.Errorf("runbooks: got %q, want %q", got, want)
	}
}

// In the tests that promtool runs, each alert fires, and does not.
func TestEveryAlertIsTried(t *testing.T) {
	var file struct {
		Tests []struct {
			Rules []struct {
				Alertname string
				Expected  []struct {
					Labels map[string]string `json:"exp_labels"`
				} `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../deploy/monitoring/rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, test := range file.Tests {
		for _, r := range test.Rules {
			if len(r.Expected) == 0 {
				silent[r.Alertname] = true
			}
			for _, alert := range r.Expected {
				fires[r.Alertname+" "+alert.Labels["severity"]] = true
			}
		}
	}
	for _, r := range alerts(t) {
		if degree := r.Alert + " " + r.Labels["severity"]; !fires[degree] {
			t.Errorf("%s: got no test in which it fires", degree)
		}
		if !silent[r.Alert] {
			t.Errorf("%s: got no test in which it does not fire", r.Alert)
		}
	}
}

// dashboard is a part of Grafana's model of one.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []struct {
		ID                       int
		Type, Title, Description string
		Datasource               datasource
		GridPos                  struct{ X, Y, W, H int } // in 24 columns
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct {
			RefID, Expr, LegendFormat string
			Datasource                datasource
		}
	}
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "../deploy/monitoring/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// Grafana would show faults in the layout badly, without a complaint.
func TestDashboardIsLaidOut(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("got uid %q, title %q, schema %d; want the first two, and a schema that has data sources as objects", d.UID, d.Title, d.SchemaVersion)
	}
	ids, taken, shows := make(map[int]bool), make(map[[2]int]string), 0
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: got id %d twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: got columns up to %d, want 24", p.Title, p.GridPos.X+p.GridPos.W)
		}
		for i := range p.GridPos.W * p.GridPos.H {
			at := [2]int{p.GridPos.X + i%p.GridPos.W, p.GridPos.Y + i/p.GridPos.W}
			if other, ok := taken[at]; ok {
				t.Fatalf("panel %q lies on %q", p.Title, other)
			}
			taken[at] = p.Title
		}
		if p.Type == "row" { // a heading
			continue
		}
		shows++
		chosen, refs := datasource{"prometheus", "${datasource}"}, make(map[string]bool)
		var names []string
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != chosen || len(p.Targets) == 0 {
			t.Errorf("panel %q: got %+v, want a description, a unit, queries, and the data source that was chosen", p.Title, p)
		}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.RefID == "" || target.LegendFormat == "" || target.Datasource != chosen {
				t.Errorf("panel %q: got query %+v, want a letter of its own, a name, and the data source that was chosen", p.Title, target)
			}
			refs[target.RefID] = true
			names = append(names, target.LegendFormat)
		}
		for _, name := range quoted.FindAllStringSubmatch(p.Description, -1) {
			if !slices.Contains(names, name[1]) {
				t.Errorf("panel %q: got the names %q, want %q, which its description explains", p.Title, names, name[1])
			}
		}
	}
	if shows == 0 {
		t.Error("got no panels")
	}
}

var (
	selector = regexp.MustCompile(`\b((?:coredns|process|go)_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=|!=|=~|!~) *"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on) *\(([^)]*)\)`)
	series   = regexp.MustCompile(`_(bucket|sum|count)$`)
	inText   = regexp.MustCompile(`\$labels\.(\w+)|{{ *(\w+) *}}`)
)

// query is PromQL, with the text in which values of its labels are shown.
type query struct{ where, expr, shownIn string }

// Each query is about metrics and labels that there are, with values that the README names. Each metric is on a panel.
func TestQueriesAskForWhatIsExported(t *testing.T) {
	operations := markdown.Read(t, operationsPath).Snippets("promql")
	if len(operations) == 0 {
		t.Errorf("got no queries in %s", operationsPath)
	}
	var queries []query
	for _, r := range alerts(t) {
		queries = append(queries, query{r.Alert, r.Expr, fmt.Sprint(r.Annotations)})
	}
	for _, snippet := range operations {
		for line := range strings.Lines(snippet.Text) {
			queries = append(queries, query{snippet.Where, line, ""})
		}
	}
	section := markdown.Read(t, readmePath).Section(t, "## Metrics")
	labels := make(map[string][]string) // by metric
	for _, metric := range metricsIn(t, section) {
		name, of, _ := strings.Cut(strings.TrimSuffix(metric, "}"), "{")
		labels[name] = append(strings.Split(of, ", "), "instance", "job")
	}
	missing := maps.Clone(labels)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			queries = append(queries, query{p.Title, target.Expr, target.LegendFormat})
			for _, s := range selector.FindAllStringSubmatch(target.Expr, -1) {
				delete(missing, series.ReplaceAllString(s[1], ""))
			}
		}
	}
	for _, q := range queries {
		q.check(t, labels, section.Text)
	}
	if len(missing) > 0 {
		t.Errorf("got no panel that shows %v", slices.Sorted(maps.Keys(missing)))
	}
}

// check reports metrics of ours that do not exist, and labels and values that they do not have. Labels are shown of
// the first metric. Metrics of others are looked at where they are exported, in test/e2e/process.
func (q query) check(t *testing.T, labels map[string][]string, values string) {
	t.Helper()
	found := selector.FindAllStringSubmatch(q.expr, -1)
	if len(found) == 0 {
		t.Errorf("%s: got no metric in %q", q.where, q.expr)
	}
	var all []string
	ours := true
	for i, s := range found {
		name := series.ReplaceAllString(s[1], "")
		has, known := labels[name]
		if !known && strings.HasPrefix(name, "coredns_longnames_") {
			t.Errorf("%s: %s is not exported", q.where, s[1])
		}
		if ours = ours && known; !known {
			continue
		}
		if name != s[1] {
			has = append(slices.Clone(has), "le")
		}
		all = append(all, has...)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(has, m[1]) {
				t.Errorf("%s: %s has no label %s", q.where, name, m[1])
			}
			for value := range strings.SplitSeq(m[2], "|") {
				if m[1] != "code" && !strings.HasPrefix(value, "$") && !strings.Contains(values, "`"+value+"`") {
					t.Errorf("%s: the README has no value %q of %s", q.where, value, m[1])
				}
			}
		}
		for _, n := range inText.FindAllStringSubmatch(q.shownIn, -1) {
			if i == 0 && !slices.Contains(has, n[1]+n[2]) {
				t.Errorf("%s: %s has no label %s for %q", q.where, name, n[1]+n[2], q.shownIn)
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(q.expr, -1) {
		for label := range strings.SplitSeq(strings.ReplaceAll(g[1], " ", ""), ",") {
			if ours && !slices.Contains(all, label) {
				t.Errorf("%s: nothing in %q has a label %s", q.where, q.expr, label)
			}
		}
	}
}
