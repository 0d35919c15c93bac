package membership

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/longnames/longnames/kubeapi"
)

// candidate is a potential member, merged from all objects that contain it.
type candidate struct {
	entries []entry
	ports   []kubeapi.Port
	lists   *portLists // that the ports are united of; nil if they are those of one object
	passes  bool       // include lets it in
	ends    bool       // any object says that it terminates
	next    int32      // another candidate with the same hash; -1 if there is none
}

// seed is for hashes of identities: no tenant can make them collide.
var seed = maphash.MakeSeed()

func (c *candidate) identity() identity { return identityOf(c.entries[0].object, c.entries[0].member) }

// entry is a candidate in one of its objects.
type entry struct {
	object *kubeapi.Object
	member *kubeapi.Member
}

// withHostname returns m or, if m has no hostname, the member of another entry that has one: only
// the slices of one Service may know it.
func (c *candidate) withHostname(m *kubeapi.Member) *kubeapi.Member {
	at := slices.IndexFunc(c.entries, func(e entry) bool { return e.member.Hostname != "" })
	if m.Hostname != "" || at < 0 {
		return m
	}
	return c.entries[at].member
}

// identity tells candidates apart: a node behind an address.
type identity struct {
	namespace string
	service   string // if id is a hostname; else empty
	id        string
	address   netip.Addr
}

// join makes the candidates of one cluster, one for each identity, in the order in which
// the objects tell of them, without the IPv6 addresses of those that are known by an IPv4 one. Ports
// are united, those of some names first; a candidate passes if any object lets it.
func join(objects []*kubeapi.Object, include Include, four map[identity]bool, first []string) []candidate {
	members := 0
	for _, o := range objects {
		members += len(o.Members)
	}
	candidates := make([]candidate, 0, members)
	entries := make([]entry, 0, members) // the first of each candidate; most have no other
	ports := uniter{first: first}
	known := make(map[uint64]int32, members) // candidates by the hash of their identity, which is small and has no pointers
	for _, o := range objects {
		for i := range o.Members {
			m := &o.Members[i]
			who := identityOf(o, m)
			if m.Address.Is6() && four[who.withoutAddress()] {
				continue
			}
			hash := maphash.Comparable(seed, who)
			last, ok := known[hash]
			if !ok {
				last = -1
			}
			at := last
			for at >= 0 && candidates[at].identity() != who {
				at = candidates[at].next
			}
			if at < 0 {
				entries = append(entries, entry{o, m})
				known[hash] = int32(len(candidates)) //nolint:gosec // a cluster has fewer
				candidates = append(candidates, candidate{
					entries: slices.Clip(entries[len(entries)-1:]), ports: o.Ports, next: last, passes: include.passes(m), ends: m.Terminating,
				})
				continue
			}
			c := &candidates[at]
			if c.lists == nil {
				c.lists = ports.with(nil, c.ports)
			}
			c.lists = ports.with(c.lists, o.Ports)
			c.entries = append(c.entries, entry{o, m})
			c.passes = c.passes || include.passes(m)
			c.ends = c.ends || m.Terminating
		}
	}
	for i := range candidates {
		if c := &candidates[i]; c.lists != nil {
			c.ports = ports.unite(c.lists)
		}
	}
	return candidates
}

// withoutAddress returns an identity that all addresses of a node share, if it is known to have several.
func (who identity) withoutAddress() identity {
	if who.id != "" {
		who.address = netip.Addr{}
	}
	return who
}

func identityOf(o *kubeapi.Object, m *kubeapi.Member) identity {
	if m.ID == "" && m.Hostname != "" { // an endpoint made by hand; no Service is called "-"
		return identity{o.Namespace, cmp.Or(o.Service, "-"), m.Hostname, m.Address}
	}
	return identity{namespace: o.Namespace, id: m.ID, address: m.Address}
}

// knownByIPv4 finds those that have an IPv4 address, or had one until they went missing, if there is an
// IPv6 one at all: an endpoint has both in two slices. A node has one name. It is nil if no address is
// of a second family.
func knownByIPv4(objects []*kubeapi.Object, family kubeapi.Family, suspects []*Suspect) map[identity]bool {
	if family != kubeapi.AnyFamily || !slices.ContainsFunc(objects, hasIPv6) {
		return nil
	}
	four := make(map[identity]bool)
	add := func(who identity) {
		if who.id != "" && who.address.Is4() {
			four[who.withoutAddress()] = true
		}
	}
	for _, o := range objects {
		for i := range o.Members {
			add(identityOf(o, &o.Members[i]))
		}
	}
	for _, s := range suspects {
		if s.Reason == Missing {
			add(s.identity())
		}
	}
	return four
}

func hasIPv6(o *kubeapi.Object) bool {
	return slices.ContainsFunc(o.Members, func(m kubeapi.Member) bool { return m.Address.Is6() })
}
