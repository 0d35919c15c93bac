// Package longnames is a CoreDNS plugin that tells Erlang and Elixir nodes the members of their cluster.
// It watches the Pods or EndpointSlices of a Kubernetes cluster, works out the longname of every member,
// basename@host, and answers for it in a zone of its own.
//
// A question goes from plugin.go to resolver.go, which finds the rosters of a cluster in table.go and keeps in
// cluster.go what follows from them; encoder.go makes the records. Package kubeapi tells the table what
// changes, and package membership decides which members there are then. setup.go makes all that from a
// Corefile, and instance.go goes on from the one before at a reload; transfer.go hands over whole zones, and
// notify.go tells secondaries of changes.
package longnames

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"slices"
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

// Longnames is the plugin.Handler of all longnames blocks of a server block.
type Longnames struct {
	Next plugin.Handler

	blocks []*block
	zones  map[string]zoneOwner // by name
	// serials are those of all plugins of the instance.
	serials   *serials
	transfers *transfers // likewise
	all       *instance
	server    *dnsserver.Config // of the server block

	ended <-chan struct{} // closed at the end; nil before the start
	end   func()          // ends transfers and notifications; nil before the start
}

// zoneOwner is a zone, and the resolver that answers for it.
type zoneOwner struct {
	zone     *zone
	resolver *resolver
}

var (
	_ plugin.Handler     = (*Longnames)(nil)
	_ ready.Readiness    = (*Longnames)(nil)
	_ cache.ZoneBypasser = (*Longnames)(nil)
	_ metadata.Provider  = (*Longnames)(nil)

	_ transfer.Transferer = (*Longnames)(nil)
)

// link connects each zone with the resolver of the blocks that have it: those that share a zone answer together.
func (l *Longnames) link() {
	if l.serials == nil {
		l.serials = &serials{}
	}
	if l.transfers == nil {
		l.transfers = newTransfers()
	}
	l.zones = make(map[string]zoneOwner)
	reserveServers(l.blocks)
	var resolvers []*resolver
	for _, b := range l.blocks {
		for _, z := range b.config.zones {
			if l.zones[z.name].zone != nil {
				continue
			}
			tables := l.tablesOf(z.name)
			at := slices.IndexFunc(resolvers, func(r *resolver) bool { return slices.Equal(r.tables, tables) })
			if at < 0 {
				at = len(resolvers)
				resolvers = append(resolvers, newResolver(tables))
			}
			resolvers[at].add(z)
			l.zones[z.name] = zoneOwner{z, resolvers[at]}
			for _, t := range tables {
				for _, other := range tables {
					t.config.reserveIn(z, other.config)
				}
			}
		}
	}
	for name, outer := range l.zones {
		for inner := range l.zones {
			outer.zone.contain(inner)
		}
		s := l.serials.of(name)
		outer.zone.serial = s
		for t := range tablesIn(l.chain(name)) {
			t.serials = append(t.serials, s)
		}
	}
	named := make(map[string]bool)
	for _, b := range l.blocks {
		if name := b.config.name(); !named[name] {
			named[name], b.audited = true, l.zones[name].resolver
		}
	}
	for _, r := range resolvers {
		for _, t := range r.tables {
			t.observe(&observer{r.forget})
		}
	}
}

// tablesOf returns those of the blocks that have a zone, in the order of the Corefile.
func (l *Longnames) tablesOf(name string) (tables []*table) {
	for _, b := range l.blocks {
		if b.config.has(name) {
			tables = append(tables, b.table)
		}
	}
	return tables
}

// Name implements plugin.Handler.
func (*Longnames) Name() string { return pluginName }

// ServeDNS implements plugin.Handler.
func (l *Longnames) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	q, ok := questionOf(w, r)
	if !ok {
		if l.refuses(r) {
			return dns.RcodeRefused, nil
		}
		return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
	}
	server := metrics.WithServer(ctx)
	by, reply, answered := l.resolve(w, &q, &questionCounter{server, kindOf(q.qtype)})
	if !answered {
		return plugin.NextOrFailure(l.Name(), l.Next, ctx, w, r)
	}
	if reply.stale {
		by.resolver.count(server, staleSlot)
	}
	return write(w, r, &reply)
}

// questionOf returns the question of a request, and reports whether this plugin may answer it.
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
		fit:    fitting(w, r),
	}, true
}

// refuses reports whether a request that is no question for us, such as a NOTIFY, is about a name
// that only this plugin can have. No zone here is a secondary.
func (l *Longnames) refuses(r *dns.Msg) bool {
	if len(r.Question) == 0 {
		return false
	}
	name, isOurs := strings.ToLower(r.Question[0].Name), false
	for zone := range ancestors(name) {
		a := l.zones[zone]
		if a.zone == nil {
			continue
		}
		if name == zone && !l.mayFollow() || !a.resolver.fall.Through(name) {
			return true
		}
		isOurs = true
	}
	return isOurs && l.Next == nil
}

// mayFollow reports whether another plugin of the server block may be a secondary for our zones.
func (l *Longnames) mayFollow() bool {
	return l.server != nil && l.server.Handler("secondary") != nil
}

// ancestors yields a name and every name above it, up to the root.
func ancestors(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
			if !yield(name[off:]) {
				return
			}
		}
		if name != "." {
			yield(".")
		}
	}
}

// resolve puts a question to the zones that it lies in, the longest first, until one answers. If none does, it gives
// the first of them, if there is any.
func (l *Longnames) resolve(w dns.ResponseWriter, q *question, counts *questionCounter) (by zoneOwner, _ reply, answered bool) {
	var closest, last zoneOwner // the first that is asked, and the last, which lets the question fall through
	open := false               // one that has been asked may have the name, but cannot tell
	for name := range ancestors(q.name) {
		a := l.zones[name]
		if a.zone == nil {
			continue
		}
		if closest.zone == nil {
			closest = a
		}
		counts.add(last.resolver, fellThrough)
		if q.name == a.zone.server {
			q.server = serverAddress(w)
		}
		reply := a.resolver.lookup(a.zone, q)
		// The members last known do not tell of a cluster that is younger.
		open = open || reply.stale && reply.result == nameError
		if reply.result == nameError && a.resolver.fall.Through(q.name) {
			last = a
			continue
		}
		if open && (reply.result == nameError || reply.empty) {
			reply = unknown
		}
		reply = closest.deny(reply, q)
		counts.add(a.resolver, reply.result)
		return a, reply, true
	}
	if last.zone == nil || l.Next != nil {
		counts.add(last.resolver, fellThrough)
		return closest, reply{}, false
	}
	denial := reply{result: nameError}
	if open {
		denial = unknown
	}
	denial = closest.deny(denial, q)
	counts.add(last.resolver, denial.result)
	return closest, denial, true
}

// deny adds the SOA record of the closest zone to a reply without records: resolvers cache it as that
// zone's (RFC 2308, section 3). A name without records exists all the same if a zone lies below it.
func (a zoneOwner) deny(r reply, q *question) reply {
	if r.result == nameError && a.zone.below[q.name] {
		r.result = noData
	}
	if r.result == nameError || r.result == noData {
		r.soa = a.resolver.soa(a.zone, q)
	}
	return r
}

// CacheBypassZones implements cache.ZoneBypasser: a change shall be seen at once.
func (l *Longnames) CacheBypassZones() []string {
	zones := make([]string, 0, len(l.zones))
	for name := range l.zones {
		zones = append(zones, name)
	}
	return zones
}

// addressOf returns the IP address of a client or of a socket.
func addressOf(a net.Addr) netip.Addr {
	if wrapped, ok := a.(interface{ Unwrap() net.Addr }); ok {
		if inner := wrapped.Unwrap(); inner != nil {
			a = inner
		}
	}
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// serverAddress returns the address to which a question came. A socket for all addresses does not
// have it: then it is the one from which an answer would be sent, which the kernel knows without
// sending anything.
func serverAddress(w dns.ResponseWriter) netip.Addr {
	local := addressOf(w.LocalAddr())
	if local.IsValid() && !local.IsUnspecified() {
		return local
	}
	client := addressOf(w.RemoteAddr())
	if !client.IsValid() {
		return netip.Addr{}
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 53)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return addressOf(conn.LocalAddr())
}

// questionCounter counts a question. Nil counts none.
type questionCounter struct {
	server string // that it came to
	kind   kind
}

// add counts what r did with the question, unless r is nil.
func (t *questionCounter) add(r *resolver, what result) {
	if t != nil && r != nil {
		r.count(t.server, slotOf(t.kind, what))
	}
}
