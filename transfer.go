package longnames

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

// transferBatch is how many records are handed over at a time.
const transferBatch = 500

// Transfer implements transfer.Transferer: all that would be answered in a zone, of the blocks
// of a server block. A secondary whose serial is no older gets the SOA record alone, others
// everything, as RFC 1995 allows. It is an error, and never an empty zone, as long as not all
// members are known. The channel is closed early, before the SOA record comes for the second
// time, if CoreDNS ends.
func (l *Longnames) Transfer(zone string, serial uint32) (<-chan []dns.RR, error) {
	zone = strings.ToLower(zone)
	if len(l.zones[zone]) == 0 {
		return nil, transfer.ErrNotAuthoritative
	}
	x := &export{Longnames: l, chain: l.chain(zone)}
	if b := unsyncedBlock(x.chain); b != nil {
		return nil, fmt.Errorf("transfer of %s: the members of %s are not known yet", zone, b.config.name())
	}
	x.asked = x.chain[0].zone
	current := x.asked.serial.at(time.Now()) // what follows is no older
	soa := []dns.RR{x.asked.soa(zone, x.ttl(), current)}
	ch := make(chan []dns.RR)
	go func() {
		defer close(ch)
		send(ch, l.ended, func(yield func([]dns.RR) bool) {
			isUpToDate := serial != 0 && !newer(current, serial)
			_ = yield(soa) && !isUpToDate && x.all(yield) && yield(soa)
		})
	}()
	return ch, nil
}

// send sends sets of records, some together, until there are no more or nobody wants them.
func send(ch chan<- []dns.RR, ended <-chan struct{}, sets iter.Seq[[]dns.RR]) {
	var batch []dns.RR
	flush := func() bool {
		select {
		case ch <- batch:
			batch = nil
			return true
		case <-ended:
			return false
		}
	}
	for set := range sets {
		batch = append(batch, set...)
		if len(batch) >= transferBatch && !flush() {
			return
		}
	}
	if len(batch) > 0 {
		flush()
	}
}

// chain returns all that may have an answer in a zone, in the order in which ServeDNS asks them.
func (l *Longnames) chain(zone string) []zoneOwner {
	var chain []zoneOwner
	for name := range ancestors(zone) {
		chain = append(chain, l.zones[name]...)
		if slices.ContainsFunc(chain, func(a zoneOwner) bool { return len(a.block.config.fall.Zones) == 0 }) {
			break
		}
	}
	return chain
}

// blocksOf returns each block once.
func blocksOf(chain []zoneOwner) map[*block]bool {
	blocks := make(map[*block]bool, len(chain))
	for _, a := range chain {
		blocks[a.block] = true
	}
	return blocks
}

// unsyncedBlock returns a block whose members are not all known; nil if there is none.
func unsyncedBlock(chain []zoneOwner) *block {
	for _, a := range chain {
		if !a.block.table.isComplete() {
			return a.block
		}
	}
	return nil
}

// link has the tables know the serials of the zones in which they may be seen.
func (l *Longnames) link() {
	if l.serials == nil {
		l.serials = &serials{}
	}
	for _, b := range l.blocks {
		b.table.serials = nil
	}
	for name, own := range l.zones {
		s := l.serials.of(name)
		for _, a := range own {
			a.zone.serial = s
		}
		for b := range blocksOf(l.chain(name)) {
			b.table.serials = append(b.table.serials, s)
		}
	}
}

// serverAddresses are where a server block can be asked, for those who learn of its name server
// without asking there: what *bind* names or else, as the *kubernetes* plugin has it, all
// addresses of the host but those that mean something else elsewhere.
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
