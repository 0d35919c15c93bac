package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// prometheusAddress is where it listens, in the namespace of the control plane.
const prometheusAddress = "127.0.0.1:9090"

// scrapeEvery is how often Prometheus reads metrics and looks at its rules: a run has no time for what is usual.
const scrapeEvery = time.Second

// prometheus is a real one, Debian's, which reads the metrics of a trial's CoreDNS.
type prometheus struct {
	t       *trial
	process *process
}

// labelSet are the labels of a series; its name is __name__.
type labelSet map[string]string

// newPrometheus starts it with the rules of a file, for servers that export metrics at some addresses. It takes its time.
func (t *trial) newPrometheus(rules string, targets ...string) *prometheus {
	dir := filepath.Join(t.dir, "prometheus")
	t.must(os.MkdirAll(dir, 0o755))
	every := scrapeEvery.String()
	config, err := json.Marshal(map[string]any{
		"global":     map[string]any{"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
		"rule_files": []string{rules},
		"scrape_configs": []any{map[string]any{
			"job_name": "coredns", "static_configs": []any{map[string]any{"targets": targets}},
		}},
	})
	t.must(err)
	file := filepath.Join(dir, "prometheus.yml") // JSON is YAML
	t.must(os.WriteFile(file, config, 0o600))
	p := &prometheus{t: t}
	p.process, err = start(t.plane.name, dir, command{name: "prometheus", args: []string{
		"/usr/bin/prometheus", "--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + prometheusAddress, "--log.level=warn"}})
	t.must(err)
	t.cleanup(func() {
		p.process.signal(syscall.SIGKILL) // its data is not kept
		<-p.process.done
		_ = os.RemoveAll(filepath.Join(dir, "data"))
	})
	return p
}

// reads waits until it has read the metrics of so many.
func (p *prometheus) reads(n int) {
	p.t.soon("Prometheus has read the metrics of all", func() error {
		found, err := p.query("up == 1")
		if err == nil && len(found) != n {
			err = fmt.Errorf("those of %d", len(found))
		}
		return err
	})
}

// get asks Prometheus' API, https://prometheus.io/docs/prometheus/latest/querying/api/.
func (p *prometheus) get(path string, parameters url.Values, data any) error {
	if err := p.process.ended(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.t.ctx, 10*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: p.t.plane.dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+prometheusAddress+"/api/v1/"+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("prometheus: %s: %s: %w", path, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s: %s: %s", path, parameters.Get("query"), answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// sample is a value at a time: seconds since 1970, and a number as text.
type sample [2]any

func (s sample) time() float64 {
	at, _ := s[0].(float64)
	return at
}

func (s sample) value() float64 {
	text, _ := s[1].(string)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// curve is one series of a range of time.
type curve struct {
	Metric labelSet
	Values []sample
}

// isEmpty tells whether there is nothing to be seen.
func (c *curve) isEmpty() bool {
	for _, v := range c.Values {
		if !math.IsNaN(v.value()) {
			return false
		}
	}
	return true
}

// query gives the labels of what an expression is about now.
func (p *prometheus) query(expr string) ([]labelSet, error) {
	var data struct{ Result []struct{ Metric labelSet } }
	err := p.get("query", url.Values{"query": {expr}}, &data)
	out := make([]labelSet, 0, len(data.Result))
	for _, r := range data.Result {
		out = append(out, r.Metric)
	}
	return out, err
}

// curves asks as Grafana does for a panel.
func (p *prometheus) curves(expr string, from, to time.Time) ([]curve, error) {
	var data struct{ Result []curve }
	err := p.get("query_range", url.Values{
		"query": {expr}, "start": {unixText(from)}, "end": {unixText(to)}, "step": {unixStep},
	}, &data)
	return data.Result, err
}

// unixStep is the time between two points of a curve, in seconds.
const unixStep = "1"

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// series gives all that a selector has matched since a time.
func (p *prometheus) series(selector string, since time.Time) ([]labelSet, error) {
	var data []labelSet
	err := p.get("series", url.Values{"match[]": {selector}, "start": {unixText(since)}}, &data)
	return data, err
}

// sick tells what Prometheus finds wrong with rules that it has tried.
func (p *prometheus) sick() error {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("rules", nil, &data); err != nil {
		return err
	}
	n := 0
	for _, group := range data.Groups {
		for _, rule := range group.Rules {
			n++
			if rule.Health != "ok" {
				return fmt.Errorf("rule %s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("prometheus has no rules")
	}
	return nil
}
