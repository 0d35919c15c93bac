package longnames

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coredns/coredns/plugin/pkg/dnsutil"
	"github.com/miekg/dns"
)

// zone is a zone of a block, and the names in it that are always there.
type zone struct {
	name    string // lower case, with a final dot
	server  string // the name server's
	parent  string // of server
	contact string // of the SOA record
	reverse bool
	index   int // among the zones of its resolver that are not reverse, unless it is one
	// below has the names that exist because a zone lies below them: in lower case, with
	// a final dot.
	below  map[string]bool
	serial *serial
}

func newZone(name string) *zone {
	below := "."
	if name != "." {
		below += name
	}
	return &zone{
		name:    name,
		server:  "ns.dns" + below,
		parent:  "dns" + below,
		contact: "hostmaster" + below,
		reverse: dnsutil.IsReverse("."+name) > 0,
	}
}

// hasMembers reports whether the zone has the names of members, and not of their addresses.
func (z *zone) hasMembers() bool { return !z.reverse }

// isOfServer reports whether a name, as holds takes it, is that of the zone's name server, or lies on the way to it
// or below.
func (z *zone) isOfServer(name string) bool { return dns.IsSubDomain(z.parent, name) }

// contain notes that another zone lies in this one, if it does.
func (z *zone) contain(inner string) {
	if inner == z.name || !dns.IsSubDomain(z.name, inner) {
		return
	}
	for at, end := dns.NextLabel(inner, 0); !end && inner[at:] != z.name; at, end = dns.NextLabel(inner, at) {
		if z.below == nil {
			z.below = make(map[string]bool)
		}
		z.below[inner[at:]] = true
	}
}

// holds reports whether a name, in lower case with a final dot, is the zone's or lies below it.
func (z *zone) holds(name string) bool {
	at := len(name) - len(z.name)
	return name == z.name || z.name == "." || at > 0 && name[at-1] == '.' && name[at:] == z.name
}

// relative cuts the zone off a name that lies in it; the apex is empty.
func (z *zone) relative(name string) string {
	if z.name == "." {
		return strings.TrimSuffix(name, ".")
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, z.name), ".")
}

// absolute is the inverse of relative.
func (z *zone) absolute(relative string) string {
	switch {
	case relative == "":
		return z.name
	case z.name == ".":
		return relative + "."
	}
	return relative + "." + z.name
}

// soa returns the SOA record, with owner as the zone is spelt in the question.
func (z *zone) soa(owner string, ttl, serial uint32) dns.RR {
	return &dns.SOA{
		Hdr:     header(owner, dns.TypeSOA, ttl),
		Ns:      z.server,
		Mbox:    z.contact,
		Serial:  serial,
		Refresh: 60, // one question, for a secondary that has missed a NOTIFY
		Retry:   30,
		Expire:  4 * 7 * 86400, // (RFC 1912, section 2.2)
		Minttl:  ttl,
	}
}

func (z *zone) ns(owner string, ttl uint32) dns.RR {
	return &dns.NS{Hdr: header(owner, dns.TypeNS, ttl), Ns: z.server}
}

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// reversePrefix reads a name below in-addr.arpa or ip6.arpa, in lower case with a final
// dot, as the addresses that lie at or below it: all bits of a prefix are set for the name
// of one address. (RFC 1035, section 3.5; RFC 3596, section 2.5)
func reversePrefix(name string) (netip.Prefix, bool) {
	if rest, ok := cutDomain(name, "in-addr.arpa."); ok {
		return prefixOf(rest, 4, 8, func(label string) (uint64, bool) {
			n, err := strconv.ParseUint(label, 10, 8)
			return n, err == nil && (label == "0" || label[0] != '0')
		})
	}
	if rest, ok := cutDomain(name, "ip6.arpa."); ok {
		return prefixOf(rest, 32, 4, func(label string) (uint64, bool) {
			n, err := strconv.ParseUint(label, 16, 4)
			return n, err == nil && len(label) == 1
		})
	}
	return netip.Prefix{}, false
}

// cutDomain cuts a domain off a name in it.
func cutDomain(name, domain string) (string, bool) {
	if name == domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+domain)
}

// prefixOf reads labels, the most significant last, of so many bits each.
func prefixOf(text string, most, bits int, parse func(string) (uint64, bool)) (netip.Prefix, bool) {
	var labels []string
	if text != "" {
		labels = strings.Split(text, ".")
	}
	if len(labels) > most {
		return netip.Prefix{}, false
	}
	bytes := make([]byte, most*bits/8)
	for i := range labels {
		value, ok := parse(labels[len(labels)-1-i])
		if !ok {
			return netip.Prefix{}, false
		}
		at := i * bits
		bytes[at/8] |= byte(value << (8 - bits - at%8)) //nolint:gosec // no more than bits
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(addr, len(labels)*bits), true
}

// serial is a zone's, as RFC 1982 counts: the second in which the zone last changed. A change in
// the second of the last serial gets the next one once that second is over, so that no secondary
// misses it, and no serial is ahead of the clock, unless that is set back: then it grows by one.
type serial struct {
	mu     sync.Mutex // protects following
	last   uint32
	second int64 // that it stands for, since 1970; 0 if there is none yet
	more   bool  // the zone has changed in that second again
	// restored is when the newest snapshot had changed that was all there was at the start.
	restored int64
}

// serials are those of zones by name. A reload goes on with them, so that none goes back.
type serials struct{ sync.Map }

func (s *serials) of(zone string) *serial {
	found, _ := s.LoadOrStore(zone, &serial{})
	return found.(*serial)
}

// restore sets the serial to the time at which a snapshot had last changed, so that old content does not look
// newer than what others have.
func (s *serial) restore(changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := changed.Unix(); s.second <= s.restored {
		s.restored = max(s.restored, second)
		s.second, s.last = s.restored, uint32(s.restored) //nolint:gosec // the low bits: that is how serials count
	}
}

// change notes that the zone has changed.
func (s *serial) change(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	if second := now.Unix(); second == s.second {
		s.more = true
	} else {
		s.next(second)
	}
}

// at returns the serial.
func (s *serial) at(now time.Time) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settle(now); s.second == 0 {
		s.next(now.Unix())
	}
	return s.last
}

// due returns how long it takes until the serial tells of all changes.
func (s *serial) due(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settle(now); !s.more {
		return 0
	}
	return now.Truncate(time.Second).Add(time.Second).Sub(now)
}

// settle gives a second change within one second the next serial, once that second is over. The time of a
// question does not matter.
func (s *serial) settle(now time.Time) {
	if s.more && now.Unix() != s.second {
		s.next(s.second + 1)
	}
}

// next moves the serial on to a second, or at least by one.
func (s *serial) next(second int64) {
	next := uint32(second) //nolint:gosec // the low bits: that is how serials count
	if s.second != 0 {
		next = newest(s.last+1, next)
	}
	s.last, s.second, s.more = next, second, false
}

// newer reports whether a is the newer one of two serials (RFC 1982, section 3.2).
func newer(a, b uint32) bool { return int32(a-b) > 0 } //nolint:gosec // serial arithmetic

// newest returns the newer one of two serials.
func newest(a, b uint32) uint32 {
	if newer(b, a) {
		return b
	}
	return a
}
