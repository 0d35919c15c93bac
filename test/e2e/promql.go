package main

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// selection is what an expression needs of the metrics that there are.
type selection struct {
	selectors []*parser.VectorSelector
	by        []string // labels that it groups or joins by
}

// parsePromQL has Prometheus' own parser read an expression.
func parsePromQL(expr string) (*selection, error) {
	root, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	s := &selection{}
	parser.Inspect(root, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			s.selectors = append(s.selectors, n)
		case *parser.AggregateExpr:
			if !n.Without {
				s.by = append(s.by, n.Grouping...)
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				s.by = append(s.by, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	return s, nil
}

// metricName is the label that has the name of a metric.
const metricName = "__name__"

// catalog has what is exported: by name of a metric, all of its series.
type catalog map[string][]labelSet

func newCatalog(series []labelSet) catalog {
	c := make(catalog)
	for _, s := range series {
		name := s[metricName]
		c[name] = append(c[name], s)
	}
	return c
}

// has tells whether any series of a metric has a label.
func (c catalog) has(metric, label string) bool {
	return slices.ContainsFunc(c[metric], func(s labelSet) bool { return s[label] != "" })
}

// check tells what an expression asks for that is not exported: a metric, a label of it, or a value of that.
func (c catalog) check(expr string) error {
	s, err := parsePromQL(expr)
	if err != nil {
		return err
	}
	if len(s.selectors) == 0 {
		return fmt.Errorf("%s: it selects nothing", expr)
	}
	for _, selector := range s.selectors {
		for _, m := range selector.LabelMatchers {
			if m.Name != metricName && !c.has(selector.Name, m.Name) {
				return fmt.Errorf("%s: %s has no label %s, or is not exported", expr, selector.Name, m.Name)
			}
		}
		if !slices.ContainsFunc(c[selector.Name], func(s labelSet) bool { return matchAll(s, selector.LabelMatchers) }) {
			return fmt.Errorf("%s: nothing that is exported matches %s", expr, selector)
		}
	}
	for _, label := range s.by {
		if !slices.ContainsFunc(s.selectors, func(v *parser.VectorSelector) bool { return c.has(v.Name, label) }) &&
			!slices.Contains(missingLabels, label) {
			return fmt.Errorf("%s: nothing in it has the label %s", expr, label)
		}
	}
	return nil
}

// missingLabels are empty where nothing makes use of them, as if they did not exist.
var missingLabels = []string{"view"}

func matchAll(s labelSet, matchers []*labels.Matcher) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s[m.Name]) })
}
