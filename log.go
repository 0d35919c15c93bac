package longnames

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	clog "github.com/coredns/coredns/plugin/pkg/log"
	"golang.org/x/time/rate"

	"github.com/longnames/longnames/kubeapi"
)

const pluginName = "longnames"

var (
	log    zoneLog // for messages that are not about one block alone
	output = clog.NewWithPlugin(pluginName)
)

// zoneLog logs each message as one line of bounded length, whatever the names, labels, files and errors in it
// hold. The line begins with the zone, if there is one: it names the block.
type zoneLog struct{ zone string }

var _ kubeapi.Logger = zoneLog{}

// Debugf implements kubeapi.Logger.
func (l zoneLog) Debugf(format string, v ...any) {
	if clog.D.Value() {
		output.Debug(l.line(format, v...))
	}
}

// Infof implements kubeapi.Logger.
func (l zoneLog) Infof(format string, v ...any) { output.Info(l.line(format, v...)) }

// Warningf implements kubeapi.Logger.
func (l zoneLog) Warningf(format string, v ...any) { output.Warning(l.line(format, v...)) }

// Errorf implements kubeapi.Logger.
func (l zoneLog) Errorf(format string, v ...any) { output.Error(l.line(format, v...)) }

// maxLine is how many bytes of a message are logged.
const maxLine = 4096

// line formats a message. Characters that do not print, such as line feeds and escapes, are spelt as in Go.
func (l zoneLog) line(format string, v ...any) string {
	text, cut := fmt.Sprintf(format, v...), ""
	if l.zone != "" {
		text = l.zone + " " + text
	}
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
	unsaid  int // lines that were left out since the last call of rest
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

// each calls say for some lines, as far as they are allowed.
func (q *quota) each(lines int, say func(line int)) {
	for i := range min(lines, quotaAtOnce) {
		if q.allows() {
			say(i)
		}
	}
	q.unsaid += max(0, lines-quotaAtOnce)
}

// rest calls say if lines were left out, with their number.
func (q *quota) rest(say func(unsaid int)) {
	if q.unsaid > 0 && q.limiter.Allow() {
		say(q.unsaid)
		q.unsaid = 0
	}
}
