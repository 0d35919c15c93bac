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

// SnapshotWritten implements kubeapi.Monitor.
func (m zoneMonitor) SnapshotWritten(err error) {
	if err != nil {
		snapshotFailures.WithLabelValues(m.zone).Inc()
		return
	}
	snapshotWrites.WithLabelValues(m.zone).Inc()
}
