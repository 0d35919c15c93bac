package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sumOf adds up a metric in Prometheus' text format: all its series that have certain labels, each as `name="value"`.
// found tells whether there is any series of that name, whatever its labels.
func sumOf(text, name string, labels ...string) (sum float64, found bool, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "{") {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, true, fmt.Errorf("metric %s: %w", name, err)
		}
		found = true
		if !slices.ContainsFunc(labels, func(l string) bool { return !hasLabel(rest, l) }) {
			sum += n
		}
	}
	return sum, found, nil
}

// hasLabel tells whether the rest of a line, from its brace on, has a label: "{" and "," are what comes before one.
func hasLabel(rest, label string) bool {
	return strings.Contains(rest, "{"+label) || strings.Contains(rest, ","+label)
}
