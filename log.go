package longnames

import (
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coredns/coredns/coremain"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	"golang.org/x/time/rate"

	"github.com/longnames/longnames/kubeapi"
)

const pluginName = "longnames"

var log = lineLog{clog.NewWithPlugin(pluginName)}

// lineLog logs each message as one line of bounded length, whatever the names, labels, files and errors in it
// hold.
type lineLog struct{ to clog.P }

func (l lineLog) Debugf(format string, v ...any) {
	if clog.D.Value() {
		l.to.Debug(toLine(format, v...))
	}
}
func (l lineLog) Infof(format string, v ...any)    { l.to.Info(toLine(format, v...)) }
func (l lineLog) Warningf(format string, v ...any) { l.to.Warning(toLine(format, v...)) }
func (l lineLog) Errorf(format string, v ...any)   { l.to.Error(toLine(format, v...)) }

// maxLine is how many bytes of a message are logged.
const maxLine = 4096

// toLine formats a message. Characters that do not print, such as line feeds and escapes, are spelt as in Go.
func toLine(format string, v ...any) string {
	text, cut := fmt.Sprintf(format, v...), ""
	if more := len(text) - maxLine; more > 0 {
		text, cut = text[:maxLine], fmt.Sprintf("... (%d bytes more)", more)
	}
	line := make([]byte, 0, len(text)+len(cut))
	for at, r := range text {
		_, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			line = fmt.Appendf(line, `\x%02x`, text[at])
		case !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			line = append(line, quoted[1:len(quoted)-1]...)
		default:
			line = append(line, text[at:at+size]...)
		}
	}
	return string(append(line, cut...))
}

// zoneLog says of which block a message is.
type zoneLog struct{ zone string }

var _ kubeapi.Logger = zoneLog{}

func (l zoneLog) with(v []any) []any { return append([]any{l.zone}, v...) }

// Debugf implements kubeapi.Logger.
func (l zoneLog) Debugf(format string, v ...any) { log.Debugf("%s "+format, l.with(v)...) }

// Infof implements kubeapi.Logger.
func (l zoneLog) Infof(format string, v ...any) { log.Infof("%s "+format, l.with(v)...) }

// Warningf implements kubeapi.Logger.
func (l zoneLog) Warningf(format string, v ...any) { log.Warningf("%s "+format, l.with(v)...) }

// Errorf implements kubeapi.Logger.
func (l zoneLog) Errorf(format string, v ...any) { log.Errorf("%s "+format, l.with(v)...) }

// noAnswer is the code of a request that got no answer, or one whose status is no HTTP status.
const noAnswer = "error"

// zoneMonitor counts what the source of a block tells. It has no metric before there is
// something to tell: a source that is no API server is never heard.
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

// begin has the start stand for a contact, or it would be missing as long as nobody answers. A reload has been in
// contact before.
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

// Version is the version of the plugin. The build of CoreDNS sets it at its start.
var Version = "devel"

// userAgent is how the API server knows us, in its audit log for example.
func userAgent() string {
	return pluginName + "/" + Version + " CoreDNS/" + coremain.CoreVersion
}

// A stream of changes shall not fill the log: of each kind there are quotaLines at most, and one more each quotaPause;
// of those that come together, quotaAtOnce at most. Metrics count all.
const (
	quotaLines  = 60
	quotaPause  = 6 * time.Second
	quotaAtOnce = 10
)

// quota bounds the lines of a kind.
type quota struct {
	limiter *rate.Limiter
	unsaid  int // lines, since the last that was said
}

func newQuota() *quota { return &quota{limiter: rate.NewLimiter(rate.Every(quotaPause), quotaLines)} }

// allows reports whether there may be a line, and otherwise counts it.
func (q *quota) allows() bool {
	if q.limiter.Allow() {
		return true
	}
	q.unsaid++
	return false
}

// each has some lines said, as far as they are allowed.
func (q *quota) each(lines int, say func(line int)) {
	for i := range min(lines, quotaAtOnce) {
		if q.allows() {
			say(i)
		}
	}
	q.unsaid += max(0, lines-quotaAtOnce)
}

// rest has it said how many lines there were more.
func (q *quota) rest(say func(unsaid int)) {
	if q.unsaid > 0 && q.limiter.Allow() {
		say(q.unsaid)
		q.unsaid = 0
	}
}
