package longnames

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

var (
	listedMembers = gauge("members", "Members that are listed.")

	nonEmptyClusters = gauge("clusters", "Clusters that have members.")

	clusterFalls = counter("cluster_falls_total", "Clusters that came to list fewer than half of the members that they had listed lately.", "zone")

	suspectMembers = gauge("suspect_members", "Members that are listed though their probes fail (failing), they vanished without notice (missing), or nobody else is left (last).", "reason")

	suspectsEnded = counter("suspects_ended_total", "Members that ceased to be suspect: they are alive (returned), their end was announced or another has their name (left), their time was up (given_up), or there were too many (dropped).", "zone", "end")

	truncatedClusters = gauge("truncated_clusters", "Clusters whose SRV records no DNS message can hold.")

	leftOutMembers = gauge("left_out_members", "Candidates that are not served since no longname can be made for them.", "reason")

	contestedNames = gauge("contested_names", "Names below their cluster's that nodes claim, and others have; longnames that several live members have; groups that differ in case only.")

	defaultPorts = gauge("members_without_port", "Members that do not declare the port that SRV records are configured to give.")

	cutObjects = gauge("cut_objects", "Pods or EndpointSlices that have more ports or addresses than are kept.")

	staleAnswers = counter("stale_answers_total", "Answers from the members that were last known, before they have been read.", "server", "zone")
)

// zoned is a metric that has a zone.
type zoned interface {
	DeletePartialMatch(labels prometheus.Labels) int
}

// ofZones has all metrics with a zone.
var ofZones []zoned

// ofZone adds a metric to ofZones.
func ofZone[M zoned](m M) M {
	ofZones = append(ofZones, m)
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return ofZone(promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      name,
		Help:      help,
	}, append([]string{"zone"}, labels...)))
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return ofZone(promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      name,
		Help:      help,
	}, labels))
}

// histogram returns a metric with classic buckets, up to the greatest value that is observed, and native ones.
func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return ofZone(promauto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace:                   plugin.Namespace,
		Subsystem:                   pluginName,
		Name:                        name,
		Help:                        help,
		Buckets:                     buckets,
		NativeHistogramBucketFactor: plugin.NativeHistogramBucketFactor,
	}, labels))
}

// users counts, for each zone, the blocks at work that have it as their name.
var users = struct {
	sync.Mutex
	of map[string]int
}{of: make(map[string]int)}

// useMetrics keeps the metrics of a zone until the function that it returns is called. They are
// removed with the last block: a reload does not interrupt them, and a zone that is no longer
// configured does not alert for ever.
func useMetrics(zone string) (end func()) {
	users.Lock()
	defer users.Unlock()
	users.of[zone]++
	return sync.OnceFunc(func() {
		users.Lock()
		defer users.Unlock()
		if users.of[zone]--; users.of[zone] > 0 {
			return
		}
		delete(users.of, zone)
		for _, m := range ofZones {
			m.DeletePartialMatch(prometheus.Labels{"zone": zone})
		}
	})
}

// withMetrics calls do unless the metrics of a zone have been removed: those of a late question
// would stay for ever.
func withMetrics(zone string, do func()) {
	users.Lock()
	defer users.Unlock()
	if users.of[zone] > 0 {
		do()
	}
}

// membersKnown is no sum as the other gauges are: a zone is known if all of its blocks are.
var membersKnown = gauge("members_known", "1 if all members are known, even if only from before the start, else 0.")

// unsynced counts the audits of each zone of which a block does not know its members.
var unsynced = struct {
	sync.Mutex
	of map[string]int
}{of: make(map[string]int)}

// countUnsynced counts audits of a zone in or out.
func countUnsynced(zone string, delta int) {
	unsynced.Lock()
	defer unsynced.Unlock()
	if unsynced.of[zone] += delta; unsynced.of[zone] > 0 {
		membersKnown.WithLabelValues(zone).Set(0)
		return
	}
	delete(unsynced.of, zone)
	membersKnown.WithLabelValues(zone).Set(1)
}

// longestPropagation is the longest time that counts as a propagation. Some objects tell a time
// long before their change: what changes while Kubernetes' controller is away gets the Service's
// creation.
const longestPropagation = 10 * time.Minute

// propagation has few buckets below a second, for Kubernetes' times are cut to whole ones.
var propagation = histogram("propagation_duration_seconds",
	"From the change of an object to when the first answer able to show it could be given, in seconds.",
	[]float64{.25, .5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, longestPropagation.Seconds()}, "zone")

// countPropagation counts how long ago changes happened. Two clocks may differ.
func countPropagation(zone string, changes []time.Time, now time.Time) {
	for _, at := range changes {
		if took := now.Sub(at); took <= longestPropagation {
			propagation.WithLabelValues(zone).Observe(max(0, took).Seconds())
		}
	}
}

// countEnds counts how suspects ceased to be.
func countEnds(zone string, by *membership.Ends) {
	if *by == (membership.Ends{}) {
		return
	}
	withMetrics(zone, func() {
		for e, n := range by {
			suspectsEnded.WithLabelValues(zone, membership.End(e).String()).Add(float64(n))
		}
	})
}

var (
	lastContact = gauge("api_last_contact_timestamp_seconds", "When the API server was last heard, in seconds since 1970; of several, the one that is silent for longest.")

	watchRestarts = counter("watch_restarts_total", "Watches of the API server that ended or could not be opened.", "zone", "reason")

	snapshotWrites = counter("snapshot_writes_total", "Snapshots that were written.", "zone")

	snapshotFailures = counter("snapshot_failures_total", "Snapshots that could not be written.", "zone")

	apiRequests = counter("api_requests_total", "Requests to the API server, by the HTTP status of the answer.", "zone", "verb", "code")
)

// watchReasons are the values of the label.
var watchReasons = []string{
	kubeapi.WatchClosed, kubeapi.WatchExpired, kubeapi.WatchSilent, kubeapi.WatchBackwards, kubeapi.WatchUnreachable,
	kubeapi.WatchForbidden, kubeapi.WatchUnauthorized, kubeapi.WatchThrottled, kubeapi.WatchServerError, kubeapi.WatchInvalid,
}

// countFromZero creates counters before there is something to count: else the first would
// not be seen as an increase.
func (c *config) countFromZero() {
	zone := c.name()
	if len(c.source.Manifests) == 0 {
		for _, reason := range watchReasons {
			watchRestarts.WithLabelValues(zone, reason).Add(0)
		}
	}
	if c.source.Snapshot != "" {
		snapshotWrites.WithLabelValues(zone).Add(0)
		snapshotFailures.WithLabelValues(zone).Add(0)
	}
}

var questionsAsked = counter("questions_total", "Questions, by type and by what the block did with them.", "server", "zone", "type", "result")

// result is the kind of an answer.
type result uint8

const (
	success     result = iota // there are records
	noData                    // the name exists, but has no record of the type
	nameError                 // the name does not exist
	unavailable               // the members are not known yet
	refused                   // not answered here
	fellThrough               // passed on after a nameError
	results                   // how many there are
)

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

// slot is the place of a counter among those of one server: of questions by type and result, or
// staleSlot.
type slot int

const (
	staleSlot = slot(otherKind+1) * slot(results)
	slots     = staleSlot + 1
)

func slotOf(k kind, r result) slot { return slot(k)*slot(results) + slot(r) }

// counter returns the counter of the slot.
func (s slot) counter(server, zone string) prometheus.Counter {
	if s == staleSlot {
		return staleAnswers.WithLabelValues(server, zone)
	}
	k, r := kind(s/slot(results)), result(s%slot(results)) //nolint:gosec // less than results
	return questionsAsked.WithLabelValues(server, zone, k.String(), resultNames[r])
}

// askedCounters are the counters of the questions to one resolver, as far as they have been
// needed: an answer takes no lock for them, and no memory.
type askedCounters struct {
	servers atomic.Pointer[map[string]*serverCounters] // none of these is ever written to
}

// serverCounters are those of the questions to one server.
type serverCounters [slots]atomic.Pointer[prometheus.Counter]

// count adds one to a counter of a zone.
func (a *askedCounters) count(server, zone string, s slot) {
	if c := a.find(server, s); c != nil {
		c.Inc()
		return
	}
	withMetrics(zone, func() {
		c := s.counter(server, zone)
		c.Inc()
		a.keep(server, s, c)
	})
}

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

// keep stores a counter. The caller holds the lock of users.
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
