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
	success: "success", noData: "nodata", nameError: "nxdomain", unavailable: "servfail", refused: "refused", fellThrough: "fallthrough",
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

// questionCounter counts a question. Nil counts none.
type questionCounter struct {
	server string // that it came to
	kind   kind
}

// add counts what b did with the question, unless b is nil.
func (t *questionCounter) add(b *block, r result) {
	if t != nil && b != nil {
		b.count(t.server, slotOf(t.kind, r))
	}
}

// slot is the place of a counter among those of one server: of questions by type and result, or
// staleSlot.
type slot int

const (
	staleSlot = slot(otherKind+1) * slot(results)
	slots     = staleSlot + 1
)

func slotOf(k kind, r result) slot { return slot(k)*slot(results) + slot(r) }

// counter is the one that belongs there.
func (s slot) counter(server, zone string) prometheus.Counter {
	if s == staleSlot {
		return staleAnswers.WithLabelValues(server, zone)
	}
	k, r := kind(s/slot(results)), result(s%slot(results)) //nolint:gosec // less than results
	return questionsAsked.WithLabelValues(server, zone, k.String(), resultNames[r])
}

// count adds one to a counter of the block.
func (b *block) count(server string, s slot) {
	if c := b.asked.find(server, s); c != nil {
		c.Inc()
		return
	}
	zone := b.config.name()
	withMetrics(zone, func() {
		c := s.counter(server, zone)
		c.Inc()
		b.asked.keep(server, s, c)
	})
}

// askedCounters are the counters of the questions to one block, as far as they have been
// needed: an answer takes no lock for them, and no memory.
type askedCounters struct {
	servers atomic.Pointer[map[string]*serverCounters] // none of these is ever written to
}

// serverCounters are those of the questions to one server.
type serverCounters [slots]atomic.Pointer[prometheus.Counter]

func (a *askedCounters) of(server string) *serverCounters {
	if servers := a.servers.Load(); servers != nil {
		return (*servers)[server]
	}
	return nil
}

func (a *askedCounters) find(server string, s slot) prometheus.Counter {
	counters := a.of(server)
	if counters == nil {
		return nil
	}
	if c := counters[s].Load(); c != nil {
		return *c
	}
	return nil
}

// keep is for one goroutine at a time.
func (a *askedCounters) keep(server string, s slot, c prometheus.Counter) {
	counters := a.of(server)
	if counters == nil {
		counters = &serverCounters{}
		servers := make(map[string]*serverCounters)
		if others := a.servers.Load(); others != nil {
			maps.Copy(servers, *others)
		}
		servers[server] = counters
		a.servers.Store(&servers)
	}
	counters[s].Store(&c)
}
