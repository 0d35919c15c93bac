// Package longnames is a CoreDNS plugin that tells Erlang and Elixir nodes who their
// cluster is. It watches the Pods or EndpointSlices of a Kubernetes cluster, gives every
// member its longname, basename@host, and answers for it in a zone of its own.
//
// From a question backwards: plugin.go takes it from CoreDNS, resolver.go answers it from
// the table in table.go, which package kubeapi fills. setup.go makes all that from a
// Corefile.
package longnames

import (
	"context"
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/cache"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/ready"
	"github.com/miekg/dns"
)

const pluginName = "longnames"

// Longnames is the plugin.Handler of all longnames blocks of a server block.
type Longnames struct {
	Next plugin.Handler

	blocks []*block
	zones  map[string][]authority // by name, in the order of the Corefile
	all    *process
}

// authority is a zone, and the block that answers for it.
type authority struct {
	block *block
	zone  *zone
}

var (
	_ plugin.Handler     = (*Longnames)(nil)
	_ ready.Readiness    = (*Longnames)(nil)
	_ cache.ZoneBypasser = (*Longnames)(nil)
)

// add lets a block answer for its zones, after those that have been added before.
func (l *Longnames) add(b *block) {
	l.blocks = append(l.blocks, b)
	for i := range b.config.zones {
		z := &b.config.zones[i]
		l.zones[z.name] = append(l.zones[z.name], authority{b, z})
	}
	for _, others := range l.zones {
		for _, outer := range others {
			for inner := range l.zones {
				outer.zone.contain(inner)
			}
		}
	}
}

// Name implements plugin.Handler.
func (*Longnames) Name() string { return pluginName }

// ServeDNS implements plugin.Handler.
func (l *Longnames) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	asked := r.Question[0]
	if r.Opcode != dns.OpcodeQuery || asked.Qclass != dns.ClassINET {
		return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
	}
	q := question{
		name:   strings.ToLower(asked.Name),
		qname:  asked.Name,
		qtype:  asked.Qtype,
		client: addressOf(w.RemoteAddr()),
	}
	open := false // a block that has been asked may have the name, but cannot tell
	// The longest zone first, and those of one name in the order of the Corefile.
	for off, end := 0, false; ; {
		name := q.name[off:]
		if end {
			name = "."
		}
		unread := false
		for _, a := range l.zones[name] {
			if q.name == a.zone.server {
				q.server = serverAddress(w)
			}
			reply := a.block.resolver.lookup(a.zone, &q)
			unread = unread || reply.result == unavailable
			// What was last known does not tell of a cluster that is younger.
			open = open || unread || reply.stale && reply.result == nameError
			if (reply.result == nameError || reply.result == unavailable) && a.block.config.fall.Through(q.name) {
				continue
			}
			if open && (reply.result == nameError || reply.empty) {
				reply = unknown
			}
			if reply.stale {
				staleAnswers.WithLabelValues(metrics.WithServer(ctx), a.block.config.name()).Inc()
			}
			return write(w, r, &reply)
		}
		if unread {
			return write(w, r, &unknown)
		}
		if end || q.name == "." {
			return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
		}
		off, end = dns.NextLabel(q.name, off)
	}
}

// CacheBypassZones implements cache.ZoneBypasser: a change shall be seen at once.
func (l *Longnames) CacheBypassZones() []string {
	zones := make([]string, 0, len(l.zones))
	for name := range l.zones {
		zones = append(zones, name)
	}
	return zones
}
