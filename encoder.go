package longnames

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/longnames/longnames/membership"
)

// encoder makes the records of nodes.
type encoder struct {
	ttl    uint32    // seconds
	blocks []*config // by Node.Block
	zones  []*zone
	hosts  placement // of host parts
}

func (e *encoder) port(n *membership.Node) port { return e.blocks[n.Block].port }

// placement is where host parts lie, seen from some zones.
type placement uint8

const (
	outside placement = iota
	inside
	mixed // it depends on the namespace, say
)

// hasHost reports whether the host part of a node lies in one of the zones, and a block answers for it.
func (e *encoder) hasHost(n *membership.Node, at hosts) bool {
	switch e.hosts {
	case outside:
		return false
	case mixed:
		if !slices.ContainsFunc(e.zones, func(z *zone) bool { return dns.IsSubDomain(z.name, n.Host()) }) {
			return false
		}
	}
	return e.blocks[n.Block].hosts != outside || len(at(n.Host())) > 0
}

// lazy is something that is made when it is first asked for. There are many: it is as small
// as can be, so that those of one cluster share a lock.
type lazy[T any] struct{ made atomic.Pointer[T] }

func (l *lazy[T]) get(mu *sync.Mutex, made func() *T) *T {
	if got := l.made.Load(); got != nil {
		return got
	}
	mu.Lock()
	defer mu.Unlock()
	if l.made.Load() == nil {
		l.made.Store(made())
	}
	return l.made.Load()
}

// rrset is the answer to one kind of question. All questions share it, so it is never written to.
type rrset struct {
	answer []dns.RR
	// glue are addresses of SRV targets that lie in the blocks' zones, size the bytes
	// of a whole message with it, if there can be any.
	glue []dns.RR
	size int

	asker *rrset               // more records, for this client alone; nil if there are none. They count in size
	said  lazy[map[datum]bool] // data that the records share with those of nodes that wait
}

// len returns how many records there are.
func (s *rrset) len() int {
	if s == nil {
		return 0
	}
	return len(s.answer) + s.asker.len()
}

// datum is the content of a record.
type datum struct {
	name    string // a longname or, in lower case, a host part with a final dot
	port    uint16
	address netip.Addr
}

func datumOf(rr dns.RR) (d datum) {
	switch rr := rr.(type) {
	case *dns.SRV:
		d.name, d.port = strings.ToLower(rr.Target), rr.Port
	case *dns.TXT:
		d.name = rr.Txt[0]
	case *dns.A:
		d.address, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		d.address, _ = netip.AddrFromSlice(rr.AAAA)
	}
	return d
}

// sharedData returns the data of records that are also in data, which has no ports: each target with and without its
// port.
func sharedData(rrs []dns.RR, data map[datum]bool) map[datum]bool {
	said := make(map[datum]bool)
	for _, rr := range rrs {
		d := datumOf(rr)
		bare := d
		if bare.port = 0; data[bare] {
			said[d], said[bare] = true, true
		}
	}
	return said
}

// with returns a set with more records for one client, less those whose data are said. Neither of the two
// sets changes.
func (s *rrset) with(more *rrset, said map[datum]bool) *rrset {
	own := &rrset{}
	for _, rr := range more.answer {
		if !said[datumOf(rr)] {
			own.answer = append(own.answer, rr)
		}
	}
	if len(own.answer) == 0 {
		return s
	}
	for _, rr := range more.glue {
		if !said[datum{name: strings.ToLower(rr.Header().Name)}] {
			own.glue = append(own.glue, rr)
		}
	}
	return &rrset{answer: s.answer, glue: s.glue, size: s.size + more.size, asker: own}
}

// mostWaiting is how many nodes are added for a client that has their address and is not listed. Only pods
// that have their host's address share one.
const mostWaiting = 16

// fewWaiting returns one node for each longname, of nodes in the order of these. If there are too many, it takes
// those first that do not end, then pods, then those whose object is older, as owners of a name are chosen, since
// another object that claims the address may have any longname. The rest go by longname.
func fewWaiting(nodes []*membership.Node) []*membership.Node {
	if len(nodes) < 2 {
		return nodes
	}
	byLongname := func(a, b *membership.Node) int { return strings.Compare(a.Longname(), b.Longname()) }
	nodes = slices.CompactFunc(nodes, func(a, b *membership.Node) bool { return byLongname(a, b) == 0 })
	if len(nodes) <= mostWaiting {
		return nodes
	}
	doubt := func(n *membership.Node) int {
		switch {
		case n.Member.Terminating:
			return 2
		case !n.Member.IsPod:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(nodes, func(a, b *membership.Node) int {
		return cmp.Or(cmp.Compare(doubt(a), doubt(b)), cmp.Compare(a.Created(), b.Created()))
	})
	nodes = slices.Clone(nodes[:mostWaiting])
	slices.SortFunc(nodes, byLongname)
	return nodes
}

// rrset makes the RRset of one type for some nodes; nil for a type that nodes have none of.
func (e *encoder) rrset(qtype uint16, owner string, nodes []*membership.Node, at hosts) *rrset {
	switch qtype {
	case dns.TypeSRV:
		ends := newEnds(nodes, len(nodes))
		for i, n := range nodes {
			number, _ := e.port(n).of(n)
			ends.add(int32(i), number)
		}
		return e.srv(owner, nodes, ends.all, at, mostRecords)
	case dns.TypeTXT:
		return &rrset{answer: e.txt(owner, nodes)}
	case dns.TypeA, dns.TypeAAAA:
		return &rrset{answer: e.addresses(qtype, owner, nodes)}
	}
	return nil
}

// portSet makes the SRV set of one port, which is named as in services, for nodes that declare it.
func (e *encoder) portSet(cluster, service string, nodes []*membership.Node, at hosts) *rrset {
	ends := newEnds(nodes, len(nodes))
	for i, n := range nodes {
		numbers := []uint16{e.port(n).epmd(n)}
		if service != epmdService {
			numbers = appendDeclared(nil, n.Ports, service)
		}
		for _, number := range numbers {
			ends.add(int32(i), number)
		}
	}
	return e.srv(serviceOwner(cluster, service), nodes, ends.all, at, mostRecords)
}

// serviceOwner returns the name of a port's records.
func serviceOwner(cluster, service string) string {
	return service + "." + strings.TrimPrefix(cluster, ".") // the root is a dot
}

// smallestRecord is the least bytes that a record of ours takes: the root as its owner, type to
// length, and the address of an A record.
const smallestRecord = 1 + 10 + 4

// mostRecords is how many records a message can hold at all.
const mostRecords = dns.MaxMsgSize / smallestRecord

// srv makes SRV records (RFC 2782) of the ends of some nodes. Their glue is the answer to a question for the
// targets' addresses; there is none if that is more than most records together.
func (e *encoder) srv(owner string, nodes []*membership.Node, ends []end, at hosts, most int) *rrset {
	set := &rrset{answer: make([]dns.RR, len(ends))}
	records := make([]dns.SRV, len(ends))
	last := int32(-1)
	var targets []string // in our zones
	for i, end := range ends {
		n := nodes[end.node]
		host := n.Host()
		records[i] = dns.SRV{Hdr: header(owner, dns.TypeSRV, e.ttl), Port: end.port, Target: host}
		set.answer[i] = &records[i]
		if end.node != last && e.hasHost(n, at) {
			targets = append(targets, host)
		}
		last = end.node
	}
	if len(set.answer)+len(targets) > most {
		return set // with glue it does not fit
	}
	if len(targets) > 0 {
		set.glue = e.glue(targets, at)
	}
	if e.hosts != outside {
		whole := dns.Msg{Compress: true, Answer: set.answer, Extra: set.glue}
		whole.Question = []dns.Question{{Name: owner, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}
		set.size = whole.Len()
	}
	return set
}

// hosts returns the nodes that have a host part, which several may claim.
type hosts func(target string) []*membership.Node

// fewNodes is how many nodes the records of one name are made of for each question. There should be one.
const fewNodes = 8

// glue makes the addresses of host parts, some of which may come more than once. One that more than few
// nodes share has none: each of their records would bring the addresses of all.
func (e *encoder) glue(targets []string, at hosts) []dns.RR {
	glue := make([]dns.RR, 0, len(targets))
	seen := make(map[string]bool, len(targets))
	for _, target := range targets {
		if seen[target] {
			continue
		}
		seen[target] = true
		nodes := at(target)
		if len(nodes) > fewNodes {
			continue
		}
		for i, n := range nodes {
			if !slices.ContainsFunc(nodes[:i], func(o *membership.Node) bool { return o.Address() == n.Address() }) {
				glue = append(glue, addressRecord(target, n.Address(), e.ttl))
			}
		}
	}
	return glue
}

// txt makes TXT records, each of one string: the longname.
func (e *encoder) txt(owner string, nodes []*membership.Node) []dns.RR {
	rrs, records, strs := make([]dns.RR, 0, len(nodes)), make([]dns.TXT, len(nodes)), make([]string, len(nodes))
	for i, n := range nodes {
		if i > 0 && nodes[i-1].Longname() == n.Longname() {
			continue // nodes are ordered by it
		}
		strs[i] = n.Longname()
		records[i] = dns.TXT{Hdr: header(owner, dns.TypeTXT, e.ttl), Txt: strs[i : i+1 : i+1]}
		rrs = append(rrs, &records[i])
	}
	return rrs
}

// addresses makes the A or AAAA records of those nodes that have an address of that type.
func (e *encoder) addresses(qtype uint16, owner string, nodes []*membership.Node) []dns.RR {
	found := make([]netip.Addr, 0, len(nodes))
	seen := make(map[netip.Addr]bool, len(nodes))
	for _, n := range nodes {
		if a := n.Address(); addressType(a) == qtype && !seen[a] {
			seen[a] = true
			found = append(found, a)
		}
	}
	rrs, hdr := make([]dns.RR, len(found)), header(owner, qtype, e.ttl)
	if qtype == dns.TypeA {
		records, ips := make([]dns.A, len(found)), make([][4]byte, len(found))
		for i, a := range found {
			ips[i] = a.As4()
			records[i] = dns.A{Hdr: hdr, A: ips[i][:]}
			rrs[i] = &records[i]
		}
		return rrs
	}
	records, ips := make([]dns.AAAA, len(found)), make([][16]byte, len(found))
	for i, a := range found {
		ips[i] = a.As16()
		records[i] = dns.AAAA{Hdr: hdr, AAAA: ips[i][:]}
		rrs[i] = &records[i]
	}
	return rrs
}

// addressRecords makes A and AAAA records.
func addressRecords(owner string, addresses []netip.Addr, ttl uint32) []dns.RR {
	rrs := make([]dns.RR, 0, len(addresses))
	for _, a := range addresses {
		rrs = append(rrs, addressRecord(owner, a, ttl))
	}
	return rrs
}

// pointer makes the one PTR record of nodes that share an address.
func (e *encoder) pointer(owner string, nodes []*membership.Node) dns.RR {
	return &dns.PTR{Hdr: header(owner, dns.TypePTR, e.ttl), Ptr: membership.Owner("", nodes).Host()}
}

// addressRecord makes an A or an AAAA record.
func addressRecord(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}

// addressType returns the type of the record that holds an address.
func addressType(a netip.Addr) uint16 {
	if a.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

// copyWithOwner returns the records with the owner's spelling of the question, since older OTP
// compares it with regard to case. The records themselves stay as they are.
func copyWithOwner(rrs []dns.RR, owner string) []dns.RR {
	if len(rrs) == 0 || rrs[0].Header().Name == owner {
		return rrs
	}
	switch rrs[0].(type) {
	case *dns.SRV:
		return copiesOf[dns.SRV](rrs, owner)
	case *dns.TXT:
		return copiesOf[dns.TXT](rrs, owner)
	case *dns.A:
		return copiesOf[dns.A](rrs, owner)
	case *dns.AAAA:
		return copiesOf[dns.AAAA](rrs, owner)
	}
	own := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		own[i] = dns.Copy(rr)
		own[i].Header().Name = owner
	}
	return own
}

// copiesOf copies records of one type, all at once, with another owner.
func copiesOf[T any, P interface {
	*T
	dns.RR
}](rrs []dns.RR, owner string) []dns.RR {
	copies := make([]T, len(rrs))
	own := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		copies[i] = *rr.(P)
		p := P(&copies[i])
		p.Header().Name = owner
		own[i] = p
	}
	return own
}
