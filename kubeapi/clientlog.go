package kubeapi

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// clientLog logs client-go's messages. Failed requests are outageLog's to log, so that an outage is one
// line. Other errors of client-go are a warning, once each.
type clientLog struct {
	log Logger

	mu     sync.Mutex // protects following
	logged map[string]bool
}

var _ logr.LogSink = (*clientLog)(nil)

// Init implements logr.LogSink.
func (*clientLog) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (*clientLog) Enabled(level int) bool { return klog.V(klog.Level(level)).Enabled() } //nolint:gosec // levels are small

// Info implements logr.LogSink.
func (c *clientLog) Info(_ int, msg string, pairs ...any) {
	c.log.Debugf("%s%s", msg, values(pairs))
}

// Error implements logr.LogSink.
func (c *clientLog) Error(err error, msg string, pairs ...any) {
	if err != nil {
		c.log.Debugf("%s: %v%s", msg, err, values(pairs))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logged == nil {
		c.logged = make(map[string]bool)
	}
	if text := msg + values(pairs); !c.logged[msg] {
		c.logged[msg] = true
		c.log.Warningf("%s (further ones are not logged)", text)
	}
}

// WithValues implements logr.LogSink.
func (c *clientLog) WithValues(...any) logr.LogSink { return c }

// WithName implements logr.LogSink.
func (c *clientLog) WithName(string) logr.LogSink { return c }

func values(pairs []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, " %v=%v", pairs[i], pairs[i+1])
	}
	return b.String()
}
