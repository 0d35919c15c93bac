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
	"time"

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
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %v: %v: %s", args, err, out)
		}
	}
}

// prometheus is Debian's, on a host of its own.
type prometheus struct {
	*cluster.Host
	t       *testing.T
	process *cluster.Process
	begin   string
}

// prometheus starts one with our rules, which reads the metrics of some servers and its own, and evaluates the rules, every
// second: a run has no time for what is usual.
func (b *bed) prometheus(t *testing.T, n int, servers ...string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs(monitoringDir + "/rules.yaml")
	must(t, err)
	dir := t.TempDir()
	config := write(t, dir+"/prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
- {job_name: coredns, static_configs: [{targets: [%s]}]}
- {job_name: prometheus, static_configs: [{targets: ["127.0.0.1:9090"]}]}
`, rules, strings.Join(servers, ":9153, ")+":9153"))
	p := &prometheus{Host: b.NewHost(t, b.name+"-prometheus", b.addresses(n)...), t: t, begin: unix(time.Now())}
	p.process = p.Start(t, "prometheus", nil, "prometheus", "--config.file="+config, "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address=127.0.0.1:9090", "--log.level=warn")
	return p
}

func unix(t time.Time) string { return fmt.Sprint(t.Unix()) }

// query has promtool ask, with options. It prints a line for each series, with its labels.
func (p *prometheus) query(kind, expr string, options ...string) (lines []string, err error) {
	args := append([]string{"promtool", "query", kind}, options...)
	if args = append(args, "http://127.0.0.1:9090"); expr != "" {
		args = append(args, expr)
	}
	out, err := p.Run(p.t.Context(), args...)
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' }), errors.Join(err, p.process.Ended())
}

// series are all that a selector has matched so far.
func (p *prometheus) series(selector string) ([]string, error) {
	return p.query("series", "", "--match="+selector, "--start="+p.begin)
}

// label returns the value of a label of a series, or nothing.
func label(series, name string) string {
	if found := regexp.MustCompile(`[{ ]` + name + `="([^"]*)"`).FindStringSubmatch(series); found != nil {
		return found[1]
	}
	return ""
}

// sees waits until an expression finds so many series, or more.
func (p *prometheus) sees(n int, expr string) {
	p.t.Helper()
	soon(p.t, "Prometheus sees "+expr, func() error {
		found, err := p.query("instant", expr)
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
	p.t.Helper()
	soon(p.t, "the alerts are right "+when, func() error {
		now, err := p.query("instant", `ALERTS{alertname!="`+uncertain+`"}`)
		ever, err2 := p.series("ALERTS")
		for _, list := range [][]string{now, ever} {
			for i, a := range list {
				list[i] = strings.TrimSpace(label(a, "alertname") + " " + label(a, "severity") + " " + label(a, "zone"))
			}
		}
		surplus := slices.DeleteFunc(now, func(a string) bool { return slices.Contains(want, a) })
		missing := slices.DeleteFunc(slices.Clone(want), func(a string) bool { return slices.Contains(ever, a) })
		if err = errors.Join(err, err2); err == nil && len(surplus)+len(missing) > 0 {
			err = fmt.Errorf("missing %q, not wanted %q", missing, surplus)
		}
		return err
	})
	// Prometheus counts the rules that it has, and the evaluations that have failed.
	p.sees(1, "prometheus_rule_group_rules > 0")
	if sick, err := p.query("instant", "prometheus_rule_evaluation_failures_total > 0"); err != nil || len(sick) > 0 {
		p.t.Errorf("rules that cannot be evaluated: %v, %v", sick, err)
	}
}

var (
	variable    = regexp.MustCompile(`\$\w+`)
	labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
	inLegend    = regexp.MustCompile(`{{ *(\w+) *}}`)
	inRunbook   = regexp.MustCompile("(?ms)^```promql\n(.*?)^```$")
	ofHistogram = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// checkRunbooks asks what the runbooks have operators ask, one query a line.
func (p *prometheus) checkRunbooks() {
	p.t.Helper()
	blocks := inRunbook.FindAllStringSubmatch(read(p.t, runbooks), -1)
	for _, block := range blocks {
		for query := range strings.Lines(block[1]) {
			_, err := p.query("instant", query)
			must(p.t, err)
		}
	}
	if len(blocks) == 0 {
		p.t.Errorf("%s has no queries", runbooks)
	}
}

// checkDashboard asks each query of each panel as Grafana does, and wants something to be seen; and of each metric of ours.
func (p *prometheus) checkDashboard() {
	p.t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	must(p.t, json.Unmarshal([]byte(read(p.t, monitoringDir+"/dashboard.json")), &d))
	values := map[string]string{"$__rate_interval": "4s"} // four times as long as between two scrapes
	fill := func(expr string) string {
		return variable.ReplaceAllStringFunc(expr, func(name string) string {
			if values[name] == "" {
				p.t.Errorf("%s: no variable is called %s", expr, name)
			}
			return values[name]
		})
	}
	for _, v := range d.Templating.List {
		if found := labelValues.FindStringSubmatch(v.Definition); found != nil {
			all, err := p.query("labels", found[2], "--match="+fill(found[1]), "--start="+p.begin)
			must(p.t, err)
			// All values in a regular expression, whose backslashes are doubled since it stands in a string.
			values["$"+v.Name] = "(" + strings.ReplaceAll(strings.Join(all, "|"), ".", `\\.`) + ")"
		}
	}
	shown := ""
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expr, seen := fill(target.Expr), false
			shown += " " + expr
			curves, err := p.query("range", expr, "--start="+p.begin, "--end="+unix(time.Now()), "--step=1s")
			must(p.t, err)
			for _, line := range curves { // LABELS =>, or VALUE @[TIME]
				named := strings.HasSuffix(line, " =>")
				seen = seen || !named && !strings.HasPrefix(line, "NaN ")
				for _, found := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
					if named && label(line, found[1]) == "" {
						p.t.Errorf("panel %q: a curve of %s has no label %s for its legend", panel.Title, expr, found[1])
					}
				}
			}
			if !seen {
				p.t.Errorf("panel %q has nothing to show of %s", panel.Title, expr)
			}
		}
	}
	all, err := p.series(`{__name__=~"coredns_longnames_.+"}`)
	must(p.t, err)
	if len(all) == 0 {
		p.t.Error("nothing of ours is exported")
	}
	for _, s := range all {
		if name := ofHistogram.ReplaceAllString(label(s, "__name__"), ""); !regexp.MustCompile(`\b` + name + `(_bucket)?\b`).MatchString(shown) {
			p.t.Errorf("no panel shows %s", name)
		}
	}
}
