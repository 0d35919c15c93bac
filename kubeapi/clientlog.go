package kubeapi

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// clientLog passes on what client-go logs. Failed requests are contact's to report,
// so that an outage is one line; what else client-go calls an error is a warning, once.
type clientLog struct {
	log Logger

	mu   sync.Mutex // protects following
	said map[string]bool
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
	if c.said == nil {
		c.said = make(map[string]bool)
	}
	if text := msg + values(pairs); !c.said[msg] {
		c.said[msg] = true
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
