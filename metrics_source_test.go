package longnames

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/longnames/longnames/kubeapi"
)

func TestZoneMonitorCounts(t *testing.T) {
	const zone = "monitor.internal."
	measured(t, zone)
	m := zoneMonitor{zone: zone}
	full := errors.New("disk full")
	for _, tc := range []struct {
		name   string
		metric prometheus.Collector
		tell   func()
	}{
		{"a silent watch", watchRestarts.WithLabelValues(zone, kubeapi.WatchSilent), func() { m.WatchEnded(kubeapi.WatchSilent) }},
		{"a closed watch", watchRestarts.WithLabelValues(zone, kubeapi.WatchClosed), func() { m.WatchEnded(kubeapi.WatchClosed) }},
		{"a list", apiRequests.WithLabelValues(zone, "list", "200"), func() { m.Requested("list", 200) }},
		{"a watch that is forbidden", apiRequests.WithLabelValues(zone, "watch", "403"), func() { m.Requested("watch", 403) }},
		{"a request without answer", apiRequests.WithLabelValues(zone, "watch", "error"), func() { m.Requested("watch", 0) }},
		{"a status that is none", apiRequests.WithLabelValues(zone, "watch", "error"), func() { m.Requested("watch", 1234) }},
		{"a snapshot", snapshotWrites.WithLabelValues(zone), func() { m.SnapshotWritten(nil) }},
		{"a snapshot that failed", snapshotFailures.WithLabelValues(zone), func() { m.SnapshotWritten(full) }},
	} {
		before := testutil.ToFloat64(tc.metric)
		tc.tell()
		if got := testutil.ToFloat64(tc.metric) - before; got != 1 {
			t.Errorf("%s: want 1 more, got %v", tc.name, got)
		}
	}
}

func TestZoneMonitorTellsTheLastContact(t *testing.T) {
	start := time.Now()
	m := zoneMonitor{zone: "contact.internal."}
	defer m.begin()()
	m.Heard()
	if got := testutil.ToFloat64(lastContact.WithLabelValues("contact.internal.")); got < float64(start.Unix()) {
		t.Errorf("want %v or later, got %v", start.Unix(), got)
	}
}

// An API server that is away shall not be hidden by another one of its zone.
func TestLastContactIsOfTheServerThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		one, other := zoneMonitor{"two.internal.", "one"}, zoneMonitor{"two.internal.", "other"}
		endOne, endOther := one.begin(), other.begin()
		reload := other.begin()
		since := func() time.Duration {
			return time.Duration(testutil.ToFloat64(lastContact.WithLabelValues("two.internal."))-float64(start.Unix())) * time.Second
		}
		for _, step := range []struct {
			name string
			do   func()
			want time.Duration
		}{
			{"the start", func() {}, 0},
			{"one is heard", one.Heard, 0},
			{"both are heard", other.Heard, 20 * time.Second},
			{"the other one is heard again", other.Heard, 20 * time.Second},
			{"a reload", reload, 20 * time.Second},
			{"the one that is silent is not read any more", endOne, 40 * time.Second},
			{"an event that comes late", one.Heard, 40 * time.Second},
			{"the end", endOther, 40 * time.Second},
		} {
			time.Sleep(10 * time.Second)
			step.do()
			if got := since(); got != step.want {
				t.Errorf("%s: got %s, want %s", step.name, got, step.want)
			}
		}
	})
}

// An alert on the age of the last contact has to see one that there never was.
func TestLastContactIsTheStartUntilThereIsOne(t *testing.T) {
	start := time.Now()
	b, err := newBlock(configOf(t, "longnames never.internal {\n endpoint http://127.0.0.1:1\n namespaces prod\n selector app=web\n basename app\n}"))
	if err != nil {
		t.Fatal(err)
	}
	b.start(nil, nil)
	defer b.stop(false)
	if got := testutil.ToFloat64(lastContact.WithLabelValues("never.internal.")); got < float64(start.Unix()) {
		t.Errorf("want %v or later, got %v", start.Unix(), got)
	}
}

func TestSourceIsMonitoredByItsZone(t *testing.T) {
	c, err := parseText("longnames shop.internal {\nselector app=shop\nbasename shop\n}", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.source.Monitor, (zoneMonitor{zone: "shop.internal."}); got != want {
		t.Errorf("want %v, got %v", want, got)
	}
}

// It is called for every event.
func TestHeardAllocatesNothing(t *testing.T) {
	m := zoneMonitor{zone: "heard.internal."}
	defer m.begin()()
	if got := testing.AllocsPerRun(100, m.Heard); got > 0 {
		t.Errorf("want no allocation, got %v", got)
	}
}

// BenchmarkHeard shows what it costs to note that the API server was heard.
func BenchmarkHeard(b *testing.B) {
	m := zoneMonitor{zone: "heard.internal."}
	for b.Loop() {
		m.Heard()
	}
}
