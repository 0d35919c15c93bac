package main

import (
	"slices"
	"testing"
)

func TestRulesAreParsedByPrometheus(t *testing.T) {
	t.Parallel()
	rules, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) == 0 {
		t.Fatal("got no rules")
	}
	for _, r := range rules {
		if s, err := parsePromQL(r.Expr); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		} else if len(s.selectors) == 0 {
			t.Errorf("%s: got no metric in %q", r.Alert, r.Expr)
		}
	}
}

func TestQueriesOfRunbooksAreParsedByPrometheus(t *testing.T) {
	t.Parallel()
	queries, err := runbookQueries()
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) == 0 {
		t.Fatal("got no queries")
	}
	for _, q := range queries {
		if s, err := parsePromQL(q); err != nil {
			t.Errorf("%v", err)
		} else if len(s.selectors) == 0 {
			t.Errorf("got no metric in %q", q)
		}
	}
}

func TestDashboardIsParsedByPrometheus(t *testing.T) {
	t.Parallel()
	d, err := readDashboard()
	if err != nil {
		t.Fatal(err)
	}
	if len(d.shows()) == 0 {
		t.Fatal("got no panels")
	}
	for _, p := range d.shows() {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q: got no queries", p.Title)
		}
		for _, target := range p.Targets {
			expr, err := d.anything().fill(target.Expr)
			if err != nil {
				t.Errorf("panel %q: %v", p.Title, err)
				continue
			}
			if s, err := parsePromQL(expr); err != nil {
				t.Errorf("panel %q: %v", p.Title, err)
			} else if len(s.selectors) == 0 {
				t.Errorf("panel %q: got no metric in %q", p.Title, expr)
			}
		}
	}
}

// What Grafana would not complain about, but show badly.
func TestDashboardIsLaidOut(t *testing.T) {
	t.Parallel()
	d, err := readDashboard()
	if err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("got uid %q, title %q, schema %d; want the first two, and a schema that has data sources as objects", d.UID, d.Title, d.SchemaVersion)
	}
	var ids []int
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if slices.Contains(ids, p.ID) {
			t.Errorf("panel %q: got id %d twice", p.Title, p.ID)
		}
		ids = append(ids, p.ID)
		if p.GridPos.X+p.GridPos.W > pictureColumns {
			t.Errorf("panel %q: got columns up to %d, want %d", p.Title, p.GridPos.X+p.GridPos.W, pictureColumns)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok {
					t.Fatalf("panel %q lies on %q", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
	for _, p := range d.shows() {
		chosen := func(from *datasource) bool { return from != nil && *from == datasource{"prometheus", "${datasource}"} }
		if !chosen(p.Datasource) || slices.ContainsFunc(p.Targets, func(t target) bool { return !chosen(t.Datasource) }) {
			t.Errorf("panel %q: want the data source that was chosen", p.Title)
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q: want a description and a unit", p.Title)
		}
		var refs []string
		for _, target := range p.Targets {
			if slices.Contains(refs, target.RefID) || target.RefID == "" || target.LegendFormat == "" {
				t.Errorf("panel %q: got query %q called %q, want letters that differ, and names", p.Title, target.RefID, target.LegendFormat)
			}
			refs = append(refs, target.RefID)
		}
	}
}

func TestCatalogTellsWhatIsNotExported(t *testing.T) {
	t.Parallel()
	c := newCatalog([]labelSet{
		{"__name__": "members", "zone": "shop.", "instance": "a"},
		{"__name__": "restarts", "zone": "shop.", "reason": "closed"},
	})
	for _, test := range []struct {
		expr string
		good bool
	}{
		{`members`, true},
		{`members{zone=~"shop.*"}`, true},
		{`sum by (zone) (rate(restarts{reason="closed"}[5m]))`, true},
		{`rate(restarts{reason!~"closed|expired"}[5m])`, false},
		{`max without (instance, pod) (members)`, true},
		{`member`, false},
		{`members{zones="shop."}`, false},
		{`members{zone="cart."}`, false},
		{`sum by (reason) (members)`, false},
		{`members * on (zone) group_left () restarts`, true},
		{`members * on (server) group_left () restarts`, false},
		{`time()`, false},
		{`members >`, false},
	} {
		if err := c.check(test.expr); (err == nil) != test.good {
			t.Errorf("%s: got %v, want good to be %t", test.expr, err, test.good)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	c := choices{"zone": `(shop\\.|cart\\.)`, "__rate_interval": "4s"}
	for _, test := range []struct{ expr, want string }{
		{`rate(members{zone=~"$zone"}[$__rate_interval])`, `rate(members{zone=~"(shop\\.|cart\\.)"}[4s])`},
		{`members`, `members`},
	} {
		if got, err := c.fill(test.expr); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.expr, got, err, test.want)
		}
	}
	if got, err := c.fill(`members{instance="$instance"}`); err == nil {
		t.Errorf("got %q of an unknown variable, want an error", got)
	}
}

func TestLegend(t *testing.T) {
	t.Parallel()
	c := &curve{Metric: labelSet{"zone": "shop.", "code": "200"}}
	for _, test := range []struct{ format, want string }{
		{"{{zone}} {{ code }}", "shop. 200"},
		{"p99", "p99"},
	} {
		if got, err := (&target{LegendFormat: test.format}).legend(c); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.format, got, err, test.want)
		}
	}
	if got, err := (&target{LegendFormat: "{{verb}}"}).legend(c); err == nil {
		t.Errorf("got %q of a label that is not there, want an error", got)
	}
}
