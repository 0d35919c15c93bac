package main

import "testing"

func TestSumOf(t *testing.T) {
	const text = `# HELP requests_total All of them.
# TYPE requests_total counter
requests_total{code="200",resource="endpoints"} 3
requests_total{code="404",resource="endpoints"} 4
requests_total{code="200",resource="endpointslices"} 5
requests_total{code="200",subresource="endpoints"} 100
requests_totally{code="200"} 1000
up 1e+03
broken{a="b"} many
`
	for _, c := range []struct {
		what, name string
		labels     []string
		want       float64
		found, bad bool
	}{
		{what: "all series", name: "requests_total", want: 112, found: true},
		{what: "one label", name: "requests_total", labels: []string{`resource="endpoints"`}, want: 7, found: true},
		{what: "both labels", name: "requests_total", labels: []string{`resource="endpoints"`, `code="404"`}, want: 4, found: true},
		{what: "a label that none has", name: "requests_total", labels: []string{`code="500"`}, found: true},
		{what: "no labels at all", name: "up", want: 1000, found: true},
		{what: "no such metric", name: "request", found: false},
		{what: "no number", name: "broken", found: true, bad: true},
	} {
		sum, found, err := sumOf(text, c.name, c.labels...)
		if sum != c.want || found != c.found || (err != nil) != c.bad {
			t.Errorf("%s: got %v, %v and %v, want %v, %v and an error: %v", c.what, sum, found, err, c.want, c.found, c.bad)
		}
	}
}
