package longnames

import (
	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/longnames/longnames/kubeapi"
)

var (
	lastContact = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "api_last_contact_timestamp_seconds",
		Help:      "When the API server was last heard, in seconds since 1970.",
	}, []string{"zone"})

	watchRestarts = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "watch_restarts_total",
		Help:      "Watches of the API server that ended or could not be opened.",
	}, []string{"zone", "reason"})

	snapshotWrites = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "snapshot_writes_total",
		Help:      "Snapshots that were written.",
	}, []string{"zone"})

	snapshotFailures = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "snapshot_failures_total",
		Help:      "Snapshots that could not be written.",
	}, []string{"zone"})
)

// zoneMonitor counts what the source of a block tells. It has no metric before there is
// something to tell: a source that is no API server is never heard.
type zoneMonitor struct{ zone string }

var _ kubeapi.Monitor = zoneMonitor{}

// Heard implements kubeapi.Monitor.
func (m zoneMonitor) Heard() { lastContact.WithLabelValues(m.zone).SetToCurrentTime() }

// WatchEnded implements kubeapi.Monitor.
func (m zoneMonitor) WatchEnded(reason string) { watchRestarts.WithLabelValues(m.zone, reason).Inc() }

// SnapshotWritten implements kubeapi.Monitor.
func (m zoneMonitor) SnapshotWritten(err error) {
	if err != nil {
		snapshotFailures.WithLabelValues(m.zone).Inc()
		return
	}
	snapshotWrites.WithLabelValues(m.zone).Inc()
}
