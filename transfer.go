package longnames

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

const (
	// transferBatch is how many records are handed over at a time.
	transferBatch = 500
	// maxTransfers is how many zones are transferred at a time, and transferTurn how long another
	// transfer waits: a secondary that gets an error comes again after the SOA record's retry.
	maxTransfers = 4
	transferTurn = 3 * time.Second
	// maxOpenTransfers bounds these together with the transfers that wait for their turn, and with those that
	// are given up while CoreDNS still waits to write to a client that does not read, which it does for ever.
	maxOpenTransfers = 32
	// transferIdle is how long a secondary may take nothing, and transferLimit how long a whole transfer
	// may take. A kernel may take megabytes at once, and then nothing until a good part of these is read.
	transferIdle  = 20 * time.Second
	transferLimit = 10 * time.Minute
)

var (
	errManyTransfers = errors.New("there are too many transfers at a time")
	errPluginEnds    = errors.New("the plugin ends")
)

// Transfer implements transfer.Transferer: all that would be answered in a zone, of the blocks
// of a server block, as it is now. A secondary whose serial is no older gets the SOA record alone, others
// everything, as RFC 1995 allows. It is an error, and never an empty zone, as long as not all
// members are known. The channel is closed early, before the SOA record comes for the second
// time, if CoreDNS ends, or if a secondary is too slow.
func (l *Longnames) Transfer(zone string, serial uint32) (<-chan []dns.RR, error) {
	zone = strings.ToLower(zone)
	if l.zones[zone].zone == nil {
		return nil, transfer.ErrNotAuthoritative
	}
	chain := l.chain(zone)
	if t := unsyncedTable(chain); t != nil {
		return nil, fmt.Errorf("transfer of %s: the members of %s are not known yet", zone, t.config.name())
	}
	asked, ttl := chain[0].zone, chain[0].resolver.ttl
	if current := asked.serial.at(time.Now()); serial != 0 && !newer(current, serial) {
		ch := make(chan []dns.RR, 1)
		ch <- []dns.RR{asked.soa(zone, ttl, current)}
		close(ch)
		return ch, nil
	}
	if err := l.transfers.begin(l.ended); err != nil {
		return nil, fmt.Errorf("transfer of %s: %w", zone, err)
	}
	soa := []dns.RR{asked.soa(zone, ttl, asked.serial.at(time.Now()))} // the records that follow are no older
	x := &export{Longnames: l, asked: asked, chain: frozen(chain)}
	h := &handover{to: make(chan []dns.RR), ended: l.ended, deadline: time.Now().Add(transferLimit)}
	go func() {
		defer l.transfers.close()
		defer close(h.to)
		isWhole := x.send(soa, h)
		x = nil // the rosters shall not be kept until CoreDNS takes note
		l.transfers.yield()
		if !isWhole {
			h.giveUp(zone)
		}
	}()
	return h.to, nil
}

// send hands over all of the zone, and reports whether all of it has been taken.
func (x *export) send(soa []dns.RR, h *handover) bool {
	return h.add(soa) && x.all(h.add) && h.add(soa) && h.flush()
}

// transfers bounds the zone transfers of an instance. Each keeps the rosters of its beginning.
type transfers struct {
	open  chan struct{} // has an element for each
	turns chan struct{} // has an element for each that has its turn
}

func newTransfers() *transfers {
	return &transfers{open: make(chan struct{}, maxOpenTransfers), turns: make(chan struct{}, maxTransfers)}
}

// begin waits for the turn of a transfer.
func (t *transfers) begin(ended <-chan struct{}) error {
	select {
	case t.open <- struct{}{}:
	default:
		return errManyTransfers
	}
	select {
	case t.turns <- struct{}{}:
		return nil
	case <-time.After(transferTurn):
		t.close()
		return errManyTransfers
	case <-ended:
		t.close()
		return errPluginEnds
	}
}

// yield ends the turn of a transfer.
func (t *transfers) yield() { <-t.turns }

// close ends a transfer that has no turn.
func (t *transfers) close() { <-t.open }

// handover gives records to CoreDNS, some sets together.
type handover struct {
	to       chan []dns.RR
	ended    <-chan struct{}
	deadline time.Time
	batch    []dns.RR
}

// add adds records, and reports whether more are wanted. To make them takes time, too.
func (h *handover) add(set []dns.RR) bool {
	h.batch = append(h.batch, set...)
	return time.Now().Before(h.deadline) && (len(h.batch) < transferBatch || h.flush())
}

// flush hands over the batch, and reports whether it was taken in time.
func (h *handover) flush() bool {
	batch := h.batch
	h.batch = nil
	if len(batch) == 0 {
		return true
	}
	select {
	case h.to <- batch:
		return true
	case <-time.After(min(transferIdle, time.Until(h.deadline))):
	case <-h.ended:
	}
	return false
}

// giveUp waits until CoreDNS takes note, which is when the client reads again, or its connection has ended.
func (h *handover) giveUp(zone string) {
	select {
	case <-h.ended:
		return
	default:
	}
	log := zoneLog{zone}
	log.Warningf("Transfer: given up: the secondary does not read, or is too slow")
	select {
	case h.to <- nil:
	case <-h.ended:
	}
}

// frozen returns the owners with resolvers that stay as they are now.
func frozen(chain []zoneOwner) []zoneOwner {
	tables := make(map[*table]*table)
	for t := range tablesIn(chain) {
		tables[t] = t.freeze()
	}
	owners := make([]zoneOwner, 0, len(chain))
	for _, a := range chain {
		owners = append(owners, zoneOwner{a.zone, resolverOn(tables, a.resolver)})
	}
	return owners
}

// resolverOn returns a resolver that answers from other tables than r does. A cluster that is alone is the same.
func resolverOn(other map[*table]*table, r *resolver) *resolver {
	o := &resolver{
		encoder: r.encoder, name: r.name, fall: r.fall,
		reverse: r.reverse, grouped: r.grouped,
	}
	for _, t := range r.tables {
		o.tables = append(o.tables, other[t])
	}
	if !r.grouped {
		o.clusters.Store("", r.cluster(""))
	}
	return o
}

// chain returns all that may have an answer in a zone, in the order in which ServeDNS asks them.
func (l *Longnames) chain(zone string) []zoneOwner {
	var chain []zoneOwner
	for name := range ancestors(zone) {
		a := l.zones[name]
		if a.zone == nil {
			continue
		}
		if chain = append(chain, a); len(a.resolver.fall.Zones) == 0 {
			break
		}
	}
	return chain
}

// tablesIn returns each table once.
func tablesIn(chain []zoneOwner) map[*table]bool {
	tables := make(map[*table]bool)
	for _, a := range chain {
		for _, t := range a.resolver.tables {
			tables[t] = true
		}
	}
	return tables
}

// unsyncedTable returns a table whose members are not all known; nil if there is none.
func unsyncedTable(chain []zoneOwner) *table {
	for t := range tablesIn(chain) {
		if !t.isComplete() {
			return t
		}
	}
	return nil
}

// serverAddresses returns the addresses of a server block, for clients that learn of its name
// server elsewhere: those that *bind* names or else, as in the *kubernetes* plugin, all of the host
// but loopback and link-local ones.
func (l *Longnames) serverAddresses() []netip.Addr {
	if l.server == nil {
		return nil
	}
	var addresses []netip.Addr
	for _, host := range l.server.ListenHosts {
		a, err := netip.ParseAddr(host)
		switch {
		case err != nil: // none is named
			addresses = append(addresses, hostAddresses(true)...)
		case a.IsUnspecified():
			addresses = append(addresses, hostAddresses(a.Is6())...)
		default:
			addresses = append(addresses, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// hostAddresses returns those of all interfaces but loopback and link-local ones.
func hostAddresses(ipv6 bool) []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // a secondary is configured with an address anyway
	}
	var addresses []netip.Addr
	for _, one := range all {
		p, err := netip.ParsePrefix(one.String())
		if a := p.Addr().Unmap(); err == nil && a.IsGlobalUnicast() && (ipv6 || a.Is4()) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}
