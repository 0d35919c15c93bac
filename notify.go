package longnames

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/coredns/coredns/plugin/transfer"

	"github.com/longnames/longnames/kubeapi"
)

const (
	// noticePause is the least time between two notifications of a zone: changes often come
	// many at a time, and a secondary takes all that there are by then.
	noticePause = time.Second
	// noticeRetry and noticeRetries are how often a secondary that does not answer is told again.
	// (RFC 1996, section 3.6)
	noticeRetry   = time.Minute
	noticeRetries = 5
)

// notice tells the secondaries of a zone that it has changed (RFC 1996).
type notice struct {
	zone       string
	serial     *serial
	isComplete func() bool // the zone can be transferred
	send       func(zone string) error
	changed    chan struct{} // has an element if there is something to tell
}

func newNotice(zone string, s *serial, isComplete func() bool, send func(zone string) error) *notice {
	return &notice{zone: zone, serial: s, isComplete: isComplete, send: send, changed: make(chan struct{}, 1)}
}

// mark takes note of a change. It never waits.
func (n *notice) mark() { wake(n.changed) }

// run tells of changes until ctx ends: of the first at once, of those that come within a pause
// together. It does not return before the secondaries that are being told have answered, or have not.
func (n *notice) run(ctx context.Context) {
	log := zoneLog{n.zone}
	problem, retries := "", 0
	for {
		var again <-chan time.Time
		if problem != "" && retries < noticeRetries {
			again = time.After(noticeRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.changed:
			retries = 0
		case <-again:
			retries++
		}
		if !n.isComplete() {
			continue // it is marked again once it is
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(n.serial.due(time.Now())):
		}
		last := problem
		problem = ""
		if err := n.send(n.zone); err != nil {
			problem = withoutPort(err)
		}
		switch {
		case ctx.Err() != nil:
			return
		case problem != "" && problem != last:
			log.Warningf("NOTIFY: %s", problem)
		case problem == "" && last != "":
			log.Infof("NOTIFY: all secondaries answer again")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(noticePause):
		}
	}
}

// ownPort is in errors of each exchange, and another one each time.
var ownPort = regexp.MustCompile(`:\d+->`)

// withoutPort returns the same line for errors of which there is nothing new to say.
func withoutPort(err error) string {
	return ownPort.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", "; "), "->")
}

// notifier has the notices of all zones that depend on a source. It joins the source after the
// table, so that a secondary that is told finds the change there.
type notifier struct{ of []*notice }

var _ kubeapi.NamespaceSink = (*notifier)(nil)

// Apply implements kubeapi.Sink.
func (n *notifier) Apply([]kubeapi.Change) { n.mark() }

// Restored implements kubeapi.Sink.
func (n *notifier) Restored() { n.mark() }

// Unread implements kubeapi.NamespaceSink.
func (n *notifier) Unread(map[string]time.Time) { n.mark() }

// Synced implements kubeapi.Sink.
func (n *notifier) Synced() { n.mark() }

func (n *notifier) mark() {
	for _, notice := range n.of {
		notice.mark()
	}
}

// open lets zones be transferred, and their secondaries be told of changes once the server
// listens. It is for before the blocks start.
func (l *Longnames) open(listening <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	l.ended, l.end = ctx.Done(), cancel
	if t, ok := l.server.Handler("transfer").(*transfer.Transfer); ok {
		l.announce(ctx, listening, t.Notify)
	}
}

// announce calls send for each zone that changes.
func (l *Longnames) announce(ctx context.Context, listening <-chan struct{}, send func(zone string) error) {
	for zone := range l.zones {
		chain := l.chain(zone)
		n := newNotice(zone, l.serials.of(zone), func() bool { return unsyncedTable(chain) == nil }, send)
		tables := tablesIn(chain)
		for _, b := range l.blocks {
			if !tables[b.table] {
				continue
			}
			if b.notifier == nil {
				b.notifier = &notifier{}
			}
			b.notifier.of = append(b.notifier.of, n)
		}
		go func() {
			select {
			case <-listening: // a secondary that is told comes to ask
				n.run(ctx)
			case <-ctx.Done():
			}
		}()
	}
}
