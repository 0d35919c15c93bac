package longnames

import (
	"maps"
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

// ofPort returns the SRV set of a port, nil if nobody declares it. It need not have more than one record that does
// not fit: of many ports in turn, the sets are not kept, so each question has to make its own.
func (r *records) ofPort(service string, fit int) *rrset {
	services := r.members.services()
	if service == epmdService {
		return r.epmd.get(&r.mu, func() *rrset {
			return r.resolver.portSet(r.owner, service, services.listed, hostsOf(services.listed))
		})
	}
	ends := services.ends(service)
	if len(ends) == 0 {
		return nil
	}
	set, keeps := r.keptPort(service, ends)
	if keeps {
		return set
	}
	return r.portSet(service, ends[:min(len(ends), fit+1)], fit)
}

func (r *records) portSet(service string, ends []end, most int) *rrset {
	return r.resolver.srv(serviceOwner(r.owner, service), r.members.services().listed, ends, r.members.hosts(r.resolver), most)
}

// keptPort returns the set of a port, and whether it is kept: those are that are asked for first.
func (r *records) keptPort(service string, ends []end) (set *rrset, keeps bool) {
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if set, keeps, full := r.keptPorts(service); keeps || full {
		return set, keeps
	}
	set = r.portSet(service, ends, mostRecords)
	sets := map[string]*rrset{service: set}
	if kept := r.ports.Load(); kept != nil {
		maps.Copy(sets, *kept)
	}
	r.ports.Store(&sets)
	return set, true
}

// keptPorts returns the set of a port if it is kept, and reports whether no more are.
func (r *records) keptPorts(service string) (set *rrset, keeps, full bool) {
	kept := r.ports.Load()
	if kept == nil {
		return nil, false, false
	}
	set, keeps = (*kept)[service]
	return set, keeps, len(*kept) == mostPortSets
}
