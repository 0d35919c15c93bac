package longnames

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// grafana is what is read here of its model of a dashboard.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
type grafana struct {
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

func dashboard(t *testing.T) (d grafana) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/monitoring/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The dashboard has nothing that Grafana would not complain about, but show badly.
func TestDashboardIsLaidOut(t *testing.T) {
	d := dashboard(t)
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
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != chosen || len(p.Targets) == 0 {
			t.Errorf("panel %q: got %+v, want a description, a unit, queries, and the data source that was chosen", p.Title, p)
		}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.RefID == "" || target.LegendFormat == "" || target.Datasource != chosen {
				t.Errorf("panel %q: got query %+v, want a letter of its own, a name, and the data source that was chosen", p.Title, target)
			}
			refs[target.RefID] = true
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
	runbook  = regexp.MustCompile("(?ms)^```promql\n(.*?)^```$")
)

// Alerts, runbooks and the dashboard ask for metrics that there are, by labels that these have, with values that the README
// names; and annotations and legends name labels of what they are about. Each metric is on a panel.
func TestQueriesAskForWhatIsExported(t *testing.T) {
	_, values, _ := strings.Cut(read(t, "README.md"), "\n## Metrics\n")
	labels := make(map[string][]string) // by name of a metric
	for _, m := range ofZones {
		parts := nameAndLabels(t, m)
		labels[parts[1]] = append(strings.Split(parts[2], ","), "instance", "job")
	}
	check := func(where, expr, about string) {
		t.Helper()
		// Of metrics of others nothing is known here: they are looked at where they are exported, in test/e2e/process.
		var all []string
		ours := true
		found := selector.FindAllStringSubmatch(expr, -1)
		for i, s := range found {
			name := series.ReplaceAllString(s[1], "")
			has, known := labels[name]
			if !known && strings.HasPrefix(name, "coredns_longnames_") {
				t.Errorf("%s: %s is not exported", where, s[1])
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
					t.Errorf("%s: %s has no label %s", where, name, m[1])
				}
				for value := range strings.SplitSeq(m[2], "|") {
					if m[1] != "code" && !strings.HasPrefix(value, "$") && !strings.Contains(values, "`"+value+"`") {
						t.Errorf("%s: the README has no value %q of %s", where, value, m[1])
					}
				}
			}
			for _, n := range inText.FindAllStringSubmatch(about, -1) {
				if i == 0 && n[1]+n[2] != "" && !slices.Contains(has, n[1]+n[2]) {
					t.Errorf("%s: %s has no label %s for %q", where, name, n[1]+n[2], about)
				}
			}
		}
		if len(found) == 0 {
			t.Errorf("%s: got no metric in %q", where, expr)
		}
		for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(strings.ReplaceAll(g[1], " ", ""), ",") {
				if ours && !slices.Contains(all, label) {
					t.Errorf("%s: nothing in %q has a label %s", where, expr, label)
				}
			}
		}
	}
	for _, group := range rules(t).Groups {
		for _, r := range group.Rules {
			check(r.Alert, r.Expr, fmt.Sprint(r.Annotations))
		}
	}
	shown := make(map[string]bool)
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr, target.LegendFormat)
			for _, s := range selector.FindAllStringSubmatch(target.Expr, -1) {
				shown[series.ReplaceAllString(s[1], "")] = true
			}
		}
	}
	for name := range labels {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	blocks := runbook.FindAllStringSubmatch(read(t, operations), -1)
	if len(blocks) == 0 {
		t.Errorf("got no queries in %s", operations)
	}
	for _, block := range blocks {
		for query := range strings.Lines(block[1]) {
			check(operations, query, "")
		}
	}
}
