package longnames

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// seriesOf are the metrics of a zone that have a value, by name.
func seriesOf(t testing.TB, zone string) map[string]bool {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "zone" && label.GetValue() == zone {
					names[family.GetName()] = true
				}
			}
		}
	}
	return names
}

func TestMetricsOfAZoneEndWithItsLastBlock(t *testing.T) {
	c := configOf(t, "longnames ending.internal {\n manifests "+shop+"\n selector app=web\n basename app\n}")
	begin := func() *block {
		b, err := newBlock(c)
		if err != nil {
			t.Fatal(err)
		}
		b.start(nil)
		newAudit(c, b.table) // so that its metrics are there for sure
		return b
	}
	want := map[string]bool{
		"coredns_longnames_members": true, "coredns_longnames_clusters": true, "coredns_longnames_held_clusters": true,
		"coredns_longnames_left_out_members": true, "coredns_longnames_members_without_port": true,
		"coredns_longnames_stale_answers_total": true,
	}
	check := func(when string, want map[string]bool) {
		t.Helper()
		if got := seriesOf(t, "ending.internal."); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	check("before", map[string]bool{})
	first := begin()
	staleAnswers.WithLabelValues("dns://:53", "ending.internal.").Inc()
	check("one block", want)
	second := begin() // a reload starts the new before it stops the old
	first.stop(true)
	first.stop(true)
	check("after a reload", want)
	_, other := useMetrics("other.internal.")
	newAudit(configOf(t, "longnames other.internal {\n selector app=web\n basename app\n}"), newTable(c))
	second.stop(true)
	check("afterwards", map[string]bool{})
	if got := seriesOf(t, "other.internal."); len(got) == 0 {
		t.Error("another zone: got no metrics any more")
	}
	other()
	third := begin()
	delete(want, "coredns_longnames_stale_answers_total")
	check("again", want)
	third.stop(true)
}

func TestReadmeExplainsEveryMetric(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "README.md"), "\n## Metrics\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, m := range ofZones {
		c, ok := m.(prometheus.Collector)
		if !ok {
			t.Fatalf("got %T, want a collector", m)
		}
		all := make(chan *prometheus.Desc, 1)
		c.Describe(all)
		desc := (<-all).String()
		parts := regexp.MustCompile(`fqName: "(.*?)".* variableLabels: {(.*?)}`).FindStringSubmatch(desc)
		if parts == nil {
			t.Fatalf("got %s, want a name and labels", desc)
		}
		want := "\n* `" + parts[1] + "{" + strings.ReplaceAll(parts[2], ",", ", ") + "}` - "
		if strings.Count(text, want) != 1 {
			t.Errorf("got no explanation, want %q", want)
		}
	}
}
