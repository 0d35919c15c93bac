// Package longnames is a CoreDNS plugin that tells Erlang and Elixir nodes who their
// cluster is. It watches the Pods or EndpointSlices of a Kubernetes cluster, gives every
// member its longname, basename@host, and answers for it in a zone of its own.
//
// From a question backwards: plugin.go takes it from CoreDNS, resolver.go answers it from
// the table in table.go, which package kubeapi fills. setup.go makes all that from a
// Corefile. transfer.go hands over whole zones, and notify.go tells who has them of changes.
package longnames

import (
	"context"
	"strings"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/cache"
	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/ready"
	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

const pluginName = "longnames"

// Longnames is the plugin.Handler of all longnames blocks of a server block.
type Longnames struct {
	Next plugin.Handler

	blocks []*block
	zones  map[string][]authority // by name, in the order of the Corefile
	all    *process
	server *dnsserver.Config // of the server block

	ended <-chan struct{} // closed at the end; nil before the start
	end   func()          // ends transfers and notifications; nil before the start
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
	_ metadata.Provider  = (*Longnames)(nil)

	_ transfer.Transferer = (*Longnames)(nil)
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
	l.link()
}

// Name implements plugin.Handler.
func (*Longnames) Name() string { return pluginName }

// ServeDNS implements plugin.Handler.
func (l *Longnames) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	q, ok := questionOf(w, r)
	if !ok {
		return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
	}
	server := metrics.WithServer(ctx)
	by, reply, answered := l.resolve(w, &q, &tally{server, kindOf(q.qtype)})
	if !answered {
		return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
	}
	if reply.stale {
		by.block.count(server, staleSlot)
	}
	return write(w, r, &reply)
}

// questionOf is false for what is not answered here.
func questionOf(w dns.ResponseWriter, r *dns.Msg) (question, bool) {
	if len(r.Question) == 0 || r.Opcode != dns.OpcodeQuery || r.Question[0].Qclass != dns.ClassINET {
		return question{}, false
	}
	asked := r.Question[0]
	return question{
		name:   strings.ToLower(asked.Name),
		qname:  asked.Name,
		qtype:  asked.Qtype,
		client: addressOf(w.RemoteAddr()),
	}, true
}

// resolve puts a question to the blocks whose zones it lies in, until one answers. If none
// does, it gives the first of them, if there is any.
func (l *Longnames) resolve(w dns.ResponseWriter, q *question, counts *tally) (by authority, _ reply, answered bool) {
	open := false // a block that has been asked may have the name, but cannot tell
	// The longest zone first, and those of one name in the order of the Corefile.
	for off, end := 0, false; ; {
		name := q.name[off:]
		if end {
			name = "."
		}
		var unread authority // the first that cannot tell, and would let another answer
		for _, a := range l.zones[name] {
			if by.block == nil {
				by = a
			}
			if q.name == a.zone.server {
				q.server = serverAddress(w)
			}
			reply := a.block.resolver.lookup(a.zone, q)
			// What was last known does not tell of a cluster that is younger.
			open = open || reply.result == unavailable || reply.stale && reply.result == nameError
			if (reply.result == nameError || reply.result == unavailable) && a.block.config.fall.Through(q.name) {
				if reply.result == unavailable && unread.block == nil {
					unread = a
				} else {
					counts.add(a.block, passedOn)
				}
				continue
			}
			if open && (reply.result == nameError || reply.empty) {
				reply = unknown
			}
			if unread.block != nil {
				counts.add(unread.block, passedOn)
			}
			counts.add(a.block, reply.result)
			return a, reply, true
		}
		if unread.block != nil {
			counts.add(unread.block, unavailable)
			return unread, unknown, true
		}
		if end || q.name == "." {
			return by, reply{}, false
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
