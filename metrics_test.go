package longnames

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longnames/longnames/internal/markdown"
	"github.com/longnames/longnames/kubeapi"
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

// valuesOf gives the values of a counter in a zone, by the values of other labels, with spaces
// between them.
func valuesOf(t testing.TB, name, zone string, labels ...string) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			of := make(map[string]string)
			for _, label := range m.GetLabel() {
				of[label.GetName()] = label.GetValue()
			}
			if of["zone"] != zone {
				continue
			}
			by := make([]string, 0, len(labels))
			for _, label := range labels {
				by = append(by, of[label])
			}
			values[strings.Join(by, " ")] += m.GetCounter().GetValue()
		}
	}
	return values
}

func TestMetricsOfAZoneEndWithItsLastBlock(t *testing.T) {
	c := configOf(t, "longnames ending.internal {\n manifests "+shop+"\n selector app=web\n basename app\n}")
	begin := func() *block {
		b, err := newBlock(c)
		if err != nil {
			t.Fatal(err)
		}
		b.start(nil, nil)
		auditOf(b.table) // so that its metrics are there for sure
		return b
	}
	want := map[string]bool{
		"coredns_longnames_members_known": true, "coredns_longnames_members": true, "coredns_longnames_clusters": true,
		"coredns_longnames_cluster_falls_total": true, "coredns_longnames_suspect_members": true, "coredns_longnames_suspects_ended_total": true,
		"coredns_longnames_truncated_clusters": true, "coredns_longnames_cut_objects": true,
		"coredns_longnames_left_out_members": true, "coredns_longnames_members_without_port": true,
		"coredns_longnames_contested_names": true,
	}
	check := func(when string, want map[string]bool) {
		t.Helper()
		if got := seriesOf(t, "ending.internal."); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	check("before", map[string]bool{})
	first := begin()
	check("one block", want)
	// Each of the others comes with what it counts.
	staleAnswers.WithLabelValues("dns://:53", "ending.internal.").Inc()
	zoneMonitor{zone: "ending.internal."}.Requested("list", 200)
	endContact := zoneMonitor{zone: "ending.internal."}.begin()
	zoneMonitor{zone: "ending.internal."}.WatchEnded(kubeapi.WatchClosed)
	zoneMonitor{zone: "ending.internal."}.SnapshotWritten(nil)
	zoneMonitor{zone: "ending.internal."}.SnapshotWritten(errors.New("disk full"))
	propagation.WithLabelValues("ending.internal.").Observe(1)
	(&questionCounter{"dns://:53", otherKind}).add(newResolver([]*table{first.table}), refused)
	all := make(map[string]bool)
	for _, m := range ofZones {
		all[nameAndLabels(t, m)[1]] = true
	}
	check("all metrics", all)
	second := begin() // a reload starts the new before it stops the old
	first.stop(true)
	first.stop(true)
	check("after a reload", all)
	other := useMetrics("other.internal.")
	auditOf(newTable(configOf(t, "longnames other.internal {\n selector app=web\n basename app\n}")))
	endContact()
	second.stop(true)
	check("afterwards", map[string]bool{})
	if got := seriesOf(t, "other.internal."); len(got) == 0 {
		t.Error("another zone: got no metrics any more")
	}
	other()
	third := begin()
	check("again", want)
	third.stop(true)
}

// The tests of other documents rely on the README's metrics.
func TestReadmeExplainsEveryMetric(t *testing.T) {
	got := markdown.Read(t, "README.md").Section(t, "## Metrics").All("(?m)^\\* `(\\w+{.*?})` - ")
	want := make([]string, 0, len(ofZones))
	for _, m := range ofZones {
		parts := nameAndLabels(t, m)
		want = append(want, parts[1]+"{"+strings.ReplaceAll(parts[2], ",", ", ")+"}")
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "metrics", got, want)
}

// nameAndLabels returns the name of a metric at 1, and its labels with commas between them at 2.
func nameAndLabels(t *testing.T, metric any) []string {
	t.Helper()
	c, ok := metric.(prometheus.Collector)
	if !ok {
		t.Fatalf("got %T, want a collector", metric)
	}
	all := make(chan *prometheus.Desc, 1)
	c.Describe(all)
	desc := (<-all).String()
	parts := regexp.MustCompile(`fqName: "(.*?)".* variableLabels: {(.*?)}`).FindStringSubmatch(desc)
	if parts == nil {
		t.Fatalf("got %s, want a name and labels", desc)
	}
	return parts
}
