package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// monitoringScenarios: what an operator is given to watch CoreDNS with fits what CoreDNS really exports.
func monitoringScenarios() []scenario {
	return []scenario{
		{"monitoring", tryMonitoring},
		{"monitoring-rules", tryRules},
	}
}

// rulesFile is what Prometheus loads.
func (t *trial) rulesFile(name string) string {
	path, err := filepath.Abs(filepath.Join(monitoringDir, name))
	t.must(err)
	return path
}

// tryRules has Prometheus' own tool check the rules, and try them with made-up series.
func tryRules(t *trial) {
	for _, args := range [][]string{
		{"check", "rules", t.rulesFile("rules.yaml")},
		{"test", "rules", t.rulesFile("rules_test.yaml")},
	} {
		said, err := output(t.ctx, t.plane.name, nil, append([]string{"promtool"}, args...)...)
		t.must(err)
		if !strings.Contains(said, "SUCCESS") {
			t.failf("promtool %s says %s", strings.Join(args, " "), tail(said))
		}
	}
}

// rule is what is read here of an alert.
type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func readRules() ([]rule, error) {
	text, err := os.ReadFile(filepath.Join(monitoringDir, "rules.yaml"))
	if err != nil {
		return nil, err
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var out []rule
	for _, group := range file.Groups {
		out = append(out, group.Rules...)
	}
	return out, nil
}

// tryMonitoring has a real Prometheus read two CoreDNS while things happen to these. Each expression of the dashboard and
// of the rules has to fit what they export, each panel has something to show, and the alerts that are pending or firing
// are those for what has happened, and no others.
func tryMonitoring(t *trial) {
	m := newMonitored(t)
	m.quiet()
	m.happen()
	m.judgeAlerts("in the end", m.expected...)
	series, err := m.prometheus.series(`{job="coredns"}`, m.begin)
	t.must(err)
	exported := newCatalog(series)
	m.judgeMetrics(exported)
	m.judgeRules(exported)
	m.judgeRunbooks(exported)
	curves := m.judgeDashboard(exported)
	if t.picture != "" {
		t.must(drawDashboard(t.picture, curves, m.events, m.begin, time.Now()))
		t.note("%s is drawn", t.picture)
	}
	m.stop()
}

// uncertain is an alert for what happens once here: whether that is more than once in what Prometheus sees is chance.
const uncertain = "LongnamesWatchUnreliable"

// judgeAlerts wants some alerts, by name, severity and zone, to have been pending or firing, and no others to be so now: for
// a moment, as long as only one replica has been read after a change, it may look like more.
func (m *monitored) judgeAlerts(when string, want ...string) {
	m.must(m.prometheus.sick())
	m.soon("the alerts are right "+when, func() error {
		now, err := m.prometheus.query("ALERTS")
		if err != nil {
			return err
		}
		ever, err := m.prometheus.series("ALERTS", m.begin)
		if err != nil {
			return err
		}
		got := alertNames(now)
		for name := range alertNames(ever) {
			if slices.Contains(want, name) {
				got[name] = true
			}
		}
		return same("alerts "+when, slices.Collect(maps.Keys(got)), want)
	})
}

func alertNames(series []labelSet) map[string]bool {
	out := make(map[string]bool)
	for _, s := range series {
		if s["alertname"] != uncertain {
			out[strings.TrimSpace(s["alertname"]+" "+s["severity"]+" "+s["zone"])] = true
		}
	}
	return out
}

// documented is a metric in the README, with its labels.
var documented = regexp.MustCompile("(?m)^\\* `(coredns_longnames_\\w+)\\{([^}]*)\\}`")

// judgeMetrics wants what the README explains to be exported, with just the labels that it tells, and nothing else.
func (m *monitored) judgeMetrics(exported catalog) {
	text, err := os.ReadFile(readme)
	m.must(err)
	known := make(map[string]bool)
	for _, found := range documented.FindAllStringSubmatch(string(text), -1) {
		name, want := found[1], strings.Split(found[2], ", ")
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			known[name+suffix] = true
		}
		series := exported[name]
		if len(series) == 0 {
			series = exported[name+"_count"]
		}
		if len(series) == 0 {
			m.failf("%s is in the README, but not exported", name)
		}
		var got []string
		for label := range series[0] {
			if !slices.Contains([]string{metricName, "job", "instance"}, label) {
				got = append(got, label)
			}
		}
		m.must(same("labels of "+name, got, want))
	}
	if len(known) == 0 {
		m.failf("the README has no metrics")
	}
	for name := range exported {
		if strings.HasPrefix(name, "coredns_longnames_") && !known[name] {
			m.failf("%s is exported, but not in the README", name)
		}
	}
}

// inAnnotation is a label in the text of an alert.
var inAnnotation = regexp.MustCompile(`\$labels\.(\w+)`)

func (m *monitored) judgeRules(exported catalog) {
	rules, err := readRules()
	m.must(err)
	if len(rules) == 0 {
		m.failf("there are no rules")
	}
	for _, r := range rules {
		m.must(exported.check(r.Expr))
		s, err := parsePromQL(r.Expr)
		m.must(err)
		for _, text := range r.Annotations {
			for _, found := range inAnnotation.FindAllStringSubmatch(text, -1) {
				if !exported.has(s.selectors[0].Name, found[1]) {
					m.failf("%s: %s has no label %s for %q", r.Alert, s.selectors[0].Name, found[1], text)
				}
			}
		}
	}
}

// inRunbook is a block of queries, one a line.
var inRunbook = regexp.MustCompile("(?ms)^```promql\n(.*?)^```$")

// runbookQueries are those that the runbooks have operators ask.
func runbookQueries() ([]string, error) {
	text, err := os.ReadFile(operationsPage)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, block := range inRunbook.FindAllStringSubmatch(string(text), -1) {
		out = append(out, strings.Split(strings.TrimSuffix(block[1], "\n"), "\n")...)
	}
	return out, nil
}

func (m *monitored) judgeRunbooks(exported catalog) {
	queries, err := runbookQueries()
	m.must(err)
	if len(queries) == 0 {
		m.failf("%s has no queries", operationsPage)
	}
	for _, q := range queries {
		m.must(exported.check(q))
		_, err := m.prometheus.query(q)
		m.must(err)
	}
}

// shown is a panel and what it has to show.
type shown struct {
	panel
	curves []namedCurve
}

// namedCurve is a curve as the legend calls it.
type namedCurve struct {
	name string
	curve
}

// judgeDashboard asks each query of each panel as Grafana does.
func (m *monitored) judgeDashboard(exported catalog) []shown {
	d, err := readDashboard()
	m.must(err)
	values, err := d.all(m.prometheus, m.begin)
	m.must(err)
	used := make(map[string]bool)
	out := make([]shown, 0, len(d.Panels))
	for _, p := range d.Panels {
		s := shown{panel: p}
		for _, target := range p.Targets {
			expr, err := values.fill(target.Expr)
			m.must(err)
			m.must(exported.check(expr))
			selection, err := parsePromQL(expr)
			m.must(err)
			for _, v := range selection.selectors {
				used[strings.TrimSuffix(v.Name, "_bucket")] = true
			}
			s.curves = append(s.curves, m.curvesOf(&p, &target, expr)...)
		}
		out = append(out, s)
	}
	for name := range exported {
		name = histogramPart.ReplaceAllString(name, "")
		if strings.HasPrefix(name, "coredns_longnames_") && !used[name] {
			m.failf("no panel shows %s", name)
		}
	}
	return out
}

// histogramPart is what the name of a series has besides that of its histogram.
var histogramPart = regexp.MustCompile(`_(bucket|sum|count)$`)

// curvesOf wants something to be seen.
func (m *monitored) curvesOf(p *panel, target *target, expr string) []namedCurve {
	curves, err := m.prometheus.curves(expr, m.begin, time.Now())
	m.must(err)
	var out []namedCurve
	for _, c := range curves {
		name, err := target.legend(&c)
		if err != nil {
			m.failf("panel %q: %w", p.Title, err)
		}
		if !c.isEmpty() {
			out = append(out, namedCurve{name, c})
		}
	}
	if len(out) == 0 {
		m.failf("panel %q has nothing to show of %s", p.Title, expr)
	}
	return out
}
