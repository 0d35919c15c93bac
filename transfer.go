package longnames

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"
)

// transferBatch is how many records are handed over at a time.
const transferBatch = 500

// Transfer implements transfer.Transferer: all that would be answered in a zone, of the blocks
// of a server block. Who has a serial that is no older gets the SOA record alone, others
// everything, as RFC 1995 allows. It is an error, and never an empty zone, as long as not all
// members are known. The channel is closed early, before the SOA record comes for the second
// time, if CoreDNS ends.
func (l *Longnames) Transfer(zone string, serial uint32) (<-chan []dns.RR, error) {
	zone = strings.ToLower(zone)
	if len(l.zones[zone]) == 0 {
		return nil, transfer.ErrNotAuthoritative
	}
	x := &export{Longnames: l, chain: l.chain(zone)}
	if b := unread(x.chain); b != nil {
		return nil, fmt.Errorf("transfer of %s: the members of %s are not known yet", zone, b.config.name())
	}
	x.asked = x.chain[0].zone
	current := x.asked.serial()
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

// chain is who may have an answer in a zone, in the order in which ServeDNS asks them.
func (l *Longnames) chain(zone string) []authority {
	var chain []authority
	for name := range ancestors(zone) {
		chain = append(chain, l.zones[name]...)
		if slices.ContainsFunc(chain, func(a authority) bool { return len(a.block.config.fall.Zones) == 0 }) {
			break
		}
	}
	return chain
}

// blocksOf gives each block once.
func blocksOf(chain []authority) map[*block]bool {
	blocks := make(map[*block]bool, len(chain))
	for _, a := range chain {
		blocks[a.block] = true
	}
	return blocks
}

// unread gives a block whose members are not known, nil if there is none.
func unread(chain []authority) *block {
	for _, a := range chain {
		if !a.block.table.whole() {
			return a.block
		}
	}
	return nil
}

// link lets zones count the versions of all that is shown there, and blocks that are shown
// together draw them from one row.
func (l *Longnames) link() {
	for name, own := range l.zones {
		chain := l.chain(name)
		var tables []*table
		for b := range blocksOf(chain) {
			tables = append(tables, b.table)
			l.countTogether(own[0].block, b)
		}
		for _, a := range own {
			a.zone.shown = tables
		}
	}
}

// countTogether gives all blocks that count with one of two the versions of the other.
func (l *Longnames) countTogether(a, b *block) {
	one, other := a.versions, b.versions
	for _, each := range l.blocks {
		if each.versions == other {
			each.versions = one
		}
	}
}
