package longnames

import (
	"strconv"

	"github.com/longnames/longnames/kubeapi"
)

var (
	lastContact = gauge("api_last_contact_timestamp_seconds", "When the API server was last heard, in seconds since 1970.")

	watchRestarts = counter("watch_restarts_total", "Watches of the API server that ended or could not be opened.", "zone", "reason")

	snapshotWrites = counter("snapshot_writes_total", "Snapshots that were written.", "zone")

	snapshotFailures = counter("snapshot_failures_total", "Snapshots that could not be written.", "zone")

	apiRequests = counter("api_requests_total", "Requests to the API server, by the HTTP status of the answer.", "zone", "verb", "code")
)

// noAnswer is the code of a request that got no answer, or one whose status is no HTTP status.
const noAnswer = "error"

// zoneMonitor counts what the source of a block tells. It has no metric before there is
// something to tell: a source that is no API server is never heard.
type zoneMonitor struct{ zone string }

var _ kubeapi.Monitor = zoneMonitor{}

// Heard implements kubeapi.Monitor.
func (m zoneMonitor) Heard() { lastContact.WithLabelValues(m.zone).SetToCurrentTime() }

// WatchEnded implements kubeapi.Monitor.
func (m zoneMonitor) WatchEnded(reason string) { watchRestarts.WithLabelValues(m.zone, reason).Inc() }

// Requested implements kubeapi.Monitor.
func (m zoneMonitor) Requested(verb string, code int) {
	text := noAnswer
	if code >= 100 && code <= 999 {
		text = strconv.Itoa(code)
	}
	apiRequests.WithLabelValues(m.zone, verb, text).Inc()
}

// SnapshotWritten implements kubeapi.Monitor. A disk that hangs may have it be called late.
func (m zoneMonitor) SnapshotWritten(err error) {
	withMetrics(m.zone, func() {
		if err != nil {
			snapshotFailures.WithLabelValues(m.zone).Inc()
			return
		}
		snapshotWrites.WithLabelValues(m.zone).Inc()
	})
}

// watchReasons are the values of the label.
var watchReasons = []string{
	kubeapi.WatchClosed, kubeapi.WatchExpired, kubeapi.WatchSilent, kubeapi.WatchBackwards, kubeapi.WatchUnreachable,
	kubeapi.WatchForbidden, kubeapi.WatchUnauthorized, kubeapi.WatchThrottled, kubeapi.WatchServerError, kubeapi.WatchInvalid,
}

// countFromZero has counters be there before there is something to count: else the first would
// not be seen as an increase.
func (c *config) countFromZero() {
	zone := c.name()
	if len(c.source.Manifests) == 0 {
		for _, reason := range watchReasons {
			watchRestarts.WithLabelValues(zone, reason).Add(0)
		}
	}
	if c.source.Snapshot != "" {
		snapshotWrites.WithLabelValues(zone).Add(0)
		snapshotFailures.WithLabelValues(zone).Add(0)
	}
}
