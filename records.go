package longnames

import (
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// records are the RRsets of one cluster in one zone.
type records struct {
	resolver *resolver
	members  *members
	owner    string

	mu                      sync.Mutex // held while one of them is made
	srv, txt, a, aaaa, epmd lazy[rrset]
	ports                   atomic.Pointer[map[string]*rrset] // by name of the service; never written to
}

// of returns the set for a type, nil for one that clusters have no records of.
func (r *records) of(qtype uint16) *rrset {
	var l *lazy[rrset]
	switch qtype {
	case dns.TypeSRV:
		l = &r.srv
	case dns.TypeTXT:
		l = &r.txt
	case dns.TypeA:
		l = &r.a
	case dns.TypeAAAA:
		l = &r.aaaa
	default:
		return nil
	}
	return l.get(&r.mu, func() *rrset {
		listed := r.members.listed()
		return r.resolver.rrset(qtype, r.owner, listed, hostsOf(listed))
	})
}

// with adds the records of nodes that wait at the client's address. What those share with a set is looked
// for once.
func (r *records) with(set, own *rrset) *rrset {
	if set == nil {
		return own
	}
	said := set.said.get(&r.mu, func() *map[datum]bool {
		said := says(set.answer, r.members.dataOfWaiting())
		return &said
	})
	return set.with(own, *said)
}

// mostPortSets is how many SRV sets of ports are kept, besides epmd's: few nodes have more ports that
// anybody asks for, and each set is as large as that of the cluster.
const mostPortSets = 16

// ofPort returns the SRV set of a port, nil if nobody declares it.
func (r *records) ofPort(service string) *rrset {
	services := r.members.services()
	declared := services.nodes[service]
	if declared == nil {
		return nil
	}
	made := func() *rrset {
		return r.resolver.portSet(r.owner, service, declared.nodes, hostsOf(services.nodes[epmdService].nodes))
	}
	if service == epmdService {
		return r.epmd.get(&r.mu, made)
	}
	if set := r.keptPort(service); set != nil {
		return set
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.keptPort(service)
	if set == nil {
		set = made()
		r.keepPort(service, set)
	}
	return set
}

func (r *records) keptPort(service string) *rrset {
	if kept := r.ports.Load(); kept != nil {
		return (*kept)[service]
	}
	return nil
}

// keepPort keeps a set, in place of any other if there are too many.
func (r *records) keepPort(service string, set *rrset) {
	sets := map[string]*rrset{service: set}
	if kept := r.ports.Load(); kept != nil {
		for other, set := range *kept {
			if len(sets) < mostPortSets {
				sets[other] = set
			}
		}
	}
	r.ports.Store(&sets)
}
