package longnames

import (
	"strconv"
	"sync"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// noAnswer is the code of a request that got no answer, or one whose status is no HTTP status.
const noAnswer = "error"

// zoneMonitor counts the events of a block's source. It has no metric before there is something to
// tell: a source that is no API server is never heard.
type zoneMonitor struct{ zone, source string }

var _ kubeapi.Monitor = zoneMonitor{}

// contacts are when API servers were last heard, by zone and source: of several, the metric tells of the one that is
// silent for longest.
var contacts = struct {
	sync.Mutex
	of map[string]map[string]*contact
}{of: make(map[string]map[string]*contact)}

type contact struct {
	at     time.Time
	blocks int // that use the source
}

// begin takes the start for a contact, or it would be missing as long as no API server answers. A reload has
// been in contact before.
func (m zoneMonitor) begin() (end func()) {
	contacts.Lock()
	defer contacts.Unlock()
	of := contacts.of[m.zone]
	if of == nil {
		of = make(map[string]*contact)
		contacts.of[m.zone] = of
	}
	if of[m.source] == nil {
		of[m.source] = &contact{at: time.Now()}
	}
	of[m.source].blocks++
	m.export()
	return sync.OnceFunc(func() {
		contacts.Lock()
		defer contacts.Unlock()
		if of[m.source].blocks--; of[m.source].blocks == 0 {
			delete(of, m.source)
			m.export()
		}
	})
}

// Heard implements kubeapi.Monitor.
func (m zoneMonitor) Heard() {
	contacts.Lock()
	defer contacts.Unlock()
	if c := contacts.of[m.zone][m.source]; c != nil {
		c.at = time.Now()
		m.export()
	}
}

// export sets the metric. The caller holds the lock.
func (m zoneMonitor) export() {
	var oldest time.Time
	for _, c := range contacts.of[m.zone] {
		if oldest.IsZero() || c.at.Before(oldest) {
			oldest = c.at
		}
	}
	if oldest.IsZero() {
		delete(contacts.of, m.zone)
		return
	}
	lastContact.WithLabelValues(m.zone).Set(float64(oldest.UnixMilli()) / 1000)
}

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

// SnapshotWritten implements kubeapi.Monitor. A disk that hangs may delay the call.
func (m zoneMonitor) SnapshotWritten(err error) {
	withMetrics(m.zone, func() {
		if err != nil {
			snapshotFailures.WithLabelValues(m.zone).Inc()
			return
		}
		snapshotWrites.WithLabelValues(m.zone).Inc()
	})
}
