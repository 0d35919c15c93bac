package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/internal/markdown"
	"github.com/longnames/longnames/test/e2e/cluster"
)

const (
	monitoringDir = "../../../deploy/monitoring"
	runbooks      = "../../../docs/operations.md"
)

// monitoringRules has Prometheus' own tool check the rules, and try them with made-up series.
func monitoringRules(t *testing.T, _ *bed) {
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = monitoringDir
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "promtool %v", args)
		assert.Contains(t, string(out), "SUCCESS", "promtool %v", args)
	}
}

// prometheus is Debian's, on a host of its own.
type prometheus struct {
	*cluster.Host
	t       *testing.T
	process *cluster.Process
}

// prometheus starts one with our rules, which reads the metrics of some servers and its own, and evaluates the rules, every
// second: a run has no time for what is usual.
func (b *bed) prometheus(t *testing.T, n int, servers ...string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs(monitoringDir + "/rules.yaml")
	require.NoError(t, err)
	dir := t.TempDir()
	config := write(t, dir+"/prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
- {job_name: coredns, static_configs: [{targets: [%s]}]}
- {job_name: prometheus, static_configs: [{targets: ["127.0.0.1:9090"]}]}
`, rules, strings.Join(servers, ":9153, ")+":9153"))
	p := &prometheus{Host: b.NewHost(t, b.name+"-prometheus", b.address(n)), t: t}
	p.process = p.Start(t, "prometheus", nil, "prometheus", "--config.file="+config, "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address=127.0.0.1:9090", "--log.level=warn")
	return p
}

// series is one of an answer: labels, and a value as text.
type series struct {
	Metric map[string]string
	Value  [2]any // a time, and that
}

// query has promtool ask what an expression is now.
func (p *prometheus) query(expr string) (found []series, err error) {
	out, err := p.Run(p.t.Context(), "promtool", "query", "instant", "--format=json", "http://127.0.0.1:9090", expr)
	if err = errors.Join(err, p.process.Ended()); err == nil {
		err = json.Unmarshal([]byte(out), &found)
	}
	return found, err
}

// must is query, which has to work.
func (p *prometheus) must(expr string) []series {
	found, err := p.query(expr)
	require.NoError(p.t, err)
	return found
}

// sees waits until an expression finds so many series, or more.
func (p *prometheus) sees(n int, expr string) {
	soon(p.t, "Prometheus sees "+expr, func() error {
		found, err := p.query(expr)
		if err == nil && len(found) < n {
			err = fmt.Errorf("%d of %d series", len(found), n)
		}
		return err
	})
}

// uncertain is an alert for what happens once here: whether that is more than once in what Prometheus sees is chance.
const uncertain = "LongnamesWatchUnreliable"

// alerts waits until those that have been pending or firing, by name, severity and zone, are these, and no others are now:
// for a moment, as long as only one replica has been read after a change, it may look like more.
func (p *prometheus) alerts(when string, want ...string) {
	named := func(found []series) (out []string) {
		for _, s := range found {
			out = append(out, strings.TrimSpace(s.Metric["alertname"]+" "+s.Metric["severity"]+" "+s.Metric["zone"]))
		}
		return out
	}
	soon(p.t, "the alerts are right "+when, func() error {
		now, err := p.query(`ALERTS{alertname!="` + uncertain + `"}`)
		all, err2 := p.query("last_over_time(ALERTS[1h])")
		surplus := slices.DeleteFunc(named(now), func(a string) bool { return slices.Contains(want, a) })
		missing := slices.DeleteFunc(slices.Clone(want), func(a string) bool { return slices.Contains(named(all), a) })
		if err = errors.Join(err, err2); err == nil && len(surplus)+len(missing) > 0 {
			err = fmt.Errorf("missing %q, not wanted %q", missing, surplus)
		}
		return err
	})
	// Prometheus counts the rules that it has, and the evaluations that have failed.
	p.sees(1, "prometheus_rule_group_rules > 0")
	assert.Empty(p.t, p.must("prometheus_rule_evaluation_failures_total > 0"), "rules that cannot be evaluated")
}

// checkRunbooks asks what the runbooks have operators ask, one query a line.
func (p *prometheus) checkRunbooks() {
	blocks := markdown.Read(p.t, runbooks).Snippets("promql")
	for _, block := range blocks {
		for query := range strings.Lines(block.Text) {
			p.must(query)
		}
	}
	assert.NotEmpty(p.t, blocks)
}

var (
	variable    = regexp.MustCompile(`\$\w+`)
	labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
)

// checkDashboard asks each query of each panel as Grafana does, and wants something to be seen.
func (p *prometheus) checkDashboard() {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	require.NoError(p.t, json.Unmarshal([]byte(read(p.t, monitoringDir+"/dashboard.json")), &d))
	values := map[string]string{"$__rate_interval": "4s"} // four times as long as between two scrapes
	fill := func(expr string) string {
		return variable.ReplaceAllStringFunc(expr, func(name string) string {
			assert.NotEmpty(p.t, values[name], "%s: no variable is called %s", expr, name)
			return values[name]
		})
	}
	for _, v := range d.Templating.List {
		if found := labelValues.FindStringSubmatch(v.Definition); found != nil {
			var all []string
			for _, s := range p.must("last_over_time(" + fill(found[1]) + "[1h])") {
				// In a regular expression, whose backslashes are doubled since it stands in a string.
				all = append(all, strings.ReplaceAll(s.Metric[found[2]], ".", `\\.`))
			}
			values["$"+v.Name] = "(" + strings.Join(all, "|") + ")"
		}
	}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expr := fill(target.Expr)
			curves := p.must("max_over_time((" + expr + ")[1h:1s])") // the largest value of each
			shown := slices.ContainsFunc(curves, func(s series) bool { return s.Value[1] != "NaN" })
			assert.True(p.t, shown, "panel %q has nothing to show of %s", panel.Title, expr)
		}
	}
}
