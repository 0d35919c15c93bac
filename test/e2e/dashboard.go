package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// monitoringDir has what operators give to Grafana and to Prometheus.
const monitoringDir = "../../deploy/monitoring"

// dashboard is what is needed here of Grafana's model of one.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
}

// panel is a row's heading, or shows what some queries find.
type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *datasource
	GridPos                  struct{ X, Y, W, H int } // in 24 columns
	Targets                  []target
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Value *float64 } }
		}
	}
}

type datasource struct{ Type, UID string }

// target is one query, and what its curves are called.
type target struct {
	RefID, Expr, LegendFormat string
	Datasource                *datasource
}

// variable is what can be chosen above the panels.
type variable struct {
	Name, Type, Definition string
	Query                  json.RawMessage
}

func readDashboard() (*dashboard, error) {
	text, err := os.ReadFile(filepath.Join(monitoringDir, "dashboard.json"))
	if err != nil {
		return nil, err
	}
	d := &dashboard{}
	return d, json.Unmarshal(text, d)
}

// shows are the panels that are no headings.
func (d *dashboard) shows() []panel {
	return slices.DeleteFunc(slices.Clone(d.Panels), func(p panel) bool { return p.Type == "row" })
}

// labelValues is how a variable asks for the values of a label.
var labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// choices are the values of a dashboard's variables.
type choices map[string]string

// anything is for expressions that are not asked.
func (d *dashboard) anything() choices {
	c := choices{"__rate_interval": "1m"}
	for _, v := range d.Templating.List {
		c[v.Name] = ".*"
	}
	return c
}

// rateInterval is what Grafana takes for $__rate_interval: four times as long as between two scrapes.
const rateInterval = 4 * scrapeEvery

// all chooses all values of each variable, as Grafana does: all that Prometheus knows, in a regular expression.
func (d *dashboard) all(p *prometheus, since time.Time) (choices, error) {
	c := choices{"__rate_interval": rateInterval.String()}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		found := labelValues.FindStringSubmatch(v.Definition)
		if found == nil {
			return nil, fmt.Errorf("variable %s: expected label_values(SELECTOR, LABEL), got %q", v.Name, v.Definition)
		}
		selector, err := c.fill(found[1])
		if err != nil {
			return nil, err
		}
		series, err := p.series(selector, since)
		if err != nil {
			return nil, err
		}
		var values []string
		for _, labels := range series {
			if value, ok := labels[found[2]]; ok {
				values = append(values, regexp.QuoteMeta(value))
			}
		}
		if len(values) == 0 {
			return nil, fmt.Errorf("variable %s: %s has no values", v.Name, v.Definition)
		}
		slices.Sort(values)
		// Grafana doubles the backslashes, for the expression stands in a string.
		c[v.Name] = strings.ReplaceAll("("+strings.Join(slices.Compact(values), "|")+")", `\`, `\\`)
	}
	return c, nil
}

// chosen is a variable in an expression.
var chosen = regexp.MustCompile(`\$\w+`)

// fill puts values for the variables of an expression.
func (c choices) fill(expr string) (string, error) {
	var unknown []string
	out := chosen.ReplaceAllStringFunc(expr, func(text string) string {
		value, ok := c[text[1:]]
		if !ok {
			unknown = append(unknown, text)
		}
		return value
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("%q: no variable is called %s", expr, unknown)
	}
	return out, nil
}

// inLegend is a label in a legend.
var inLegend = regexp.MustCompile(`{{ *(\w+) *}}`)

// legend is what a curve is called.
func (t *target) legend(c *curve) (string, error) {
	var missing []string
	text := inLegend.ReplaceAllStringFunc(t.LegendFormat, func(text string) string {
		label := inLegend.FindStringSubmatch(text)[1]
		value, ok := c.Metric[label]
		if !ok {
			missing = append(missing, label)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("legend %q: a curve of %s has no label %s", t.LegendFormat, t.Expr, missing)
	}
	return text, nil
}
