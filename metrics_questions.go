package longnames

import (
	"maps"
	"sync/atomic"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

var questionsAsked = counter("questions_total", "Questions, by type and by what the block did with them.", "server", "zone", "type", "result")

// resultNames are the values of the label.
var resultNames = [results]string{
	success: "success", noData: "nodata", nameError: "nxdomain", unavailable: "servfail", refused: "refused", passedOn: "fallthrough",
}

// countedTypes are the types that the label has. Anybody can ask for any other.
var countedTypes = [...]uint16{
	dns.TypeSRV, dns.TypeTXT, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeSOA, dns.TypeNS, dns.TypeANY,
}

// kind is an index into countedTypes, or otherKind.
type kind int

const otherKind = kind(len(countedTypes))

func kindOf(qtype uint16) kind {
	for i, counted := range countedTypes {
		if qtype == counted {
			return kind(i)
		}
	}
	return otherKind
}

func (k kind) String() string {
	if k == otherKind {
		return "other"
	}
	return dns.TypeToString[countedTypes[k]]
}

// tally is a question to be counted. Nil is one that is not.
type tally struct {
	server string // that it came to
	kind   kind
}

// add counts what a block did with the question.
func (t *tally) add(b *block, r result) {
	if t == nil {
		return
	}
	if c := b.asked.find(t, r); c != nil {
		c.Inc()
		return
	}
	zone := b.config.name()
	withMetrics(zone, func() {
		c := questionsAsked.WithLabelValues(t.server, zone, t.kind.String(), resultNames[r])
		c.Inc()
		b.asked.keep(t, r, c)
	})
}

// askedCounters are the counters of the questions to one block, as far as they have been
// needed: an answer takes no lock for them, and no memory.
type askedCounters struct {
	servers atomic.Pointer[map[string]*serverCounters] // none of these is ever written to
}

// serverCounters are those of the questions to one server, by type and result.
type serverCounters [otherKind + 1][results]atomic.Pointer[prometheus.Counter]

func (a *askedCounters) of(server string) *serverCounters {
	if servers := a.servers.Load(); servers != nil {
		return (*servers)[server]
	}
	return nil
}

func (a *askedCounters) find(t *tally, r result) prometheus.Counter {
	s := a.of(t.server)
	if s == nil {
		return nil
	}
	if c := s[t.kind][r].Load(); c != nil {
		return *c
	}
	return nil
}

// keep is for one goroutine at a time.
func (a *askedCounters) keep(t *tally, r result, c prometheus.Counter) {
	s := a.of(t.server)
	if s == nil {
		s = &serverCounters{}
		servers := make(map[string]*serverCounters)
		if others := a.servers.Load(); others != nil {
			maps.Copy(servers, *others)
		}
		servers[t.server] = s
		a.servers.Store(&servers)
	}
	s[t.kind][r].Store(&c)
}
